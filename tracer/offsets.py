"""What bpf/*.h must know of the running kernel, as -D options.

Everything is found by feature: a structure member, an enumeration, a tracepoint's
arguments, a symbol. Nothing depends on a version.
"""

import sys
from dataclasses import dataclass, field

from tcptrace.tracer.btf import Btf
from tcptrace.tracer.errors import PreflightError
from tcptrace.tracer.kallsyms import KALLSYMS, function_addresses
from tcptrace.tracer.privileges import effective

_COMMON = {
    "OFFSET_SKC_DADDR": ("skc_daddr", 4),
    "OFFSET_SKC_RCV_SADDR": ("skc_rcv_saddr", 4),
    "OFFSET_SKC_DPORT": ("skc_dport", 2),
    "OFFSET_SKC_NUM": ("skc_num", 2),
    "OFFSET_SKC_FAMILY": ("skc_family", 2),
    "OFFSET_SKC_STATE": ("skc_state", 1),
    "OFFSET_SKC_NET": ("skc_net", 8),
}
#: Absent where the kernel has no IPv6.
_COMMON_V6 = {
    "OFFSET_SKC_V6_DADDR": ("skc_v6_daddr", 16),
    "OFFSET_SKC_V6_RCV_SADDR": ("skc_v6_rcv_saddr", 16),
}
_STATE = {
    "OFFSET_SK_PROTOCOL": "sock.sk_protocol",
    "OFFSET_SK_FLAGS": "sock.__sk_common.skc_flags",
    "OFFSET_SK_ERR": "sock.sk_err",
    "OFFSET_SK_TXHASH": "sock.sk_txhash",
    "OFFSET_INET_SPORT": "inet_sock.inet_sport",
    "OFFSET_NET_INUM": "net.ns.inum",
}
#: What the helpers bpf_get_current_*() give, for programs that may read a task as it is.
_TASK = {
    "OFFSET_TASK_TGID": "task_struct.tgid",
    "OFFSET_TASK_COMM": "task_struct.comm",
    "OFFSET_TASK_CGROUPS": "task_struct.cgroups",
    "OFFSET_CSS_SET_CGROUP": "css_set.dfl_cgrp",
    "OFFSET_CGROUP_NODE": "cgroup.kn",
    "OFFSET_NODE_ID": "kernfs_node.id",
}
_TIMEWAIT = {
    "OFFSET_TW_TIMER": "inet_timewait_sock.tw_timer",
    "OFFSET_TW_SUBSTATE": "inet_timewait_sock.tw_substate",
    "OFFSET_TIMER_FUNCTION": "timer_list.function",
    "OFFSET_TIMER_EXPIRES": "timer_list.expires",
}
_REQUEST = {"OFFSET_REQUEST_TIMER": "request_sock.rsk_timer"}
_RESET = {
    "OFFSET_TW_SUBSTATE": "inet_timewait_sock.tw_substate",
    "OFFSET_SKB_HEAD": "sk_buff.head",
    "OFFSET_SKB_NETWORK_HEADER": "sk_buff.network_header",
    "OFFSET_SKB_TRANSPORT_HEADER": "sk_buff.transport_header",
    "OFFSET_SKB_DEV": "sk_buff.dev",
    "OFFSET_SKB_CB": "sk_buff.cb",
    "OFFSET_DEVICE_NET": "net_device.nd_net",
}

#: BPF's stack is 512 bytes; the tuple lies in the first 88 on every kernel seen.
_COMMON_LIMIT = 128


@dataclass
class KernelFacts:
    """``defines``: -D names and values; ``missing``: per family (``timewait``,
    ``reset``, ``error``) why it cannot be had; ``lacks``: smaller losses, name to words;
    ``reset_reasons``: enum sk_rst_reason, value to name, empty before Linux 6.10.
    """  # noqa: D205

    defines: dict[str, int] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    lacks: dict[str, str] = field(default_factory=dict)
    reset_reasons: dict[int, str] = field(default_factory=dict)


def _resolve(btf: Btf, paths: dict[str, str]) -> tuple[dict[str, int], list[str]]:
    found = {name: btf.offset(path) for name, path in paths.items()}
    missing = [paths[name] for name, value in found.items() if value is None]
    return {name: value for name, value in found.items() if value is not None}, missing


def kernel_facts(btf: Btf) -> KernelFacts:
    """Collect offsets, constants and addresses for the BPF programs.

    Raises :class:`PreflightError` if the state tracepoint itself cannot be read.
    """
    facts = KernelFacts()
    end = 0
    for names, needed in ((_COMMON, True), (_COMMON_V6, False)):
        for name, (member, size) in names.items():
            offset = btf.offset(f"sock_common.{member}")
            if offset is not None:
                facts.defines[name] = offset
                end = max(end, offset + size)
            elif needed:
                raise PreflightError(f"this kernel's BTF has no sock_common.{member}")
    state, missing = _resolve(btf, _STATE)
    if missing or btf.tracepoint_arguments("inet_sock_set_state") is None:
        lacking = ", ".join(missing) or "the tracepoint sock:inet_sock_set_state (Linux 4.16)"
        raise PreflightError(f"this kernel lacks {lacking}")
    done, dead = (btf.enumerator("sock_flags", name) for name in ("SOCK_DONE", "SOCK_DEAD"))
    if done is None or dead is None or end > _COMMON_LIMIT:
        raise PreflightError(
            "this kernel's struct sock is laid out in a way tcptrace does not know"
        )
    facts.defines |= state | {"SOCK_DONE": done, "SOCK_DEAD": dead, "COMMON_SIZE": -(-end // 8) * 8}
    # As long as a timewait socket knew which counter was its, that was for its end.
    if btf.offset("inet_timewait_sock.tw_kill") is not None:
        facts.lacks["timewait_counters"] = (
            "the kernel counts a TIME_WAIT when it expires, not when it begins (Linux 5.17)"
        )
    _task(btf, facts)
    _timewait(btf, facts)
    _reset(btf, facts)
    _error(btf, facts)
    return facts


def _task(btf: Btf, facts: KernelFacts) -> None:
    """Where the helpers do as well: nothing is missing without."""
    offsets, missing = _resolve(btf, _TASK)
    helper = btf.enumerator("bpf_func_id", "BPF_FUNC_get_current_task_btf")  # Linux 5.11
    if helper is not None and not missing and sys.byteorder == "little":
        facts.defines |= offsets | {"CURRENT_TASK": helper}


def _timewait(btf: Btf, facts: KernelFacts) -> None:
    offsets, missing = _resolve(btf, _TIMEWAIT)
    symbols: dict[str, int] = {}
    unread = ""
    try:
        symbols = function_addresses({"tw_timer_handler", "reqsk_timer_handler"})
    except OSError as error:
        unread = f"{KALLSYMS} cannot be read: {error.strerror}"
    if missing:
        facts.missing["timewait"] = f"the kernel's BTF lacks {', '.join(missing)}"
    elif "tw_timer_handler" not in symbols:
        facts.missing["timewait"] = unread or (
            "the address of tw_timer_handler is hidden: "
            + (
                "sysctl kernel.kptr_restrict=1"
                if "CAP_SYSLOG" in effective()
                else "CAP_SYSLOG is missing"
            )
        )
    if "timewait" in facts.missing:
        return
    facts.defines |= offsets
    facts.defines |= {"HAVE_TIMEWAIT": 1, "TIMEWAIT_HANDLER": symbols["tw_timer_handler"]}
    request, missing = _resolve(btf, _REQUEST)
    if missing or "reqsk_timer_handler" not in symbols:
        facts.lacks["reuse_by_syn"] = "a TIME_WAIT reused by an incoming SYN is told by time alone"
    else:
        facts.defines |= request | {"REQUEST_HANDLER": symbols["reqsk_timer_handler"]}


def _reset(btf: Btf, facts: KernelFacts) -> None:
    offsets, missing = _resolve(btf, _RESET)
    arguments = btf.tracepoint_arguments("tcp_send_reset")
    if missing or arguments is None:
        facts.missing["reset"] = f"the kernel lacks {', '.join(missing) or 'tcp:tcp_send_reset'}"
        return
    facts.defines |= offsets | {"HAVE_RESET": 1}
    if arguments >= 3:
        facts.defines["SEND_RESET_HAS_REASON"] = 1
        reasons = btf.enumerators("sk_rst_reason")
        facts.reset_reasons = {
            value: name.removeprefix("SK_RST_REASON_").lower() for name, value in reasons.items()
        }
    else:
        facts.lacks["reset_reasons"] = "resets carry no reason (Linux 6.10)"
    # Once it has a format of its own it fires for every reset, before for full sockets only.
    if btf.offset("trace_event_raw_tcp_send_reset.state") is None:
        facts.lacks["timewait_resets"] = (
            "resets sent by a timewait socket, or for no socket, are not told (Linux 6.10)"
        )


def _error(btf: Btf, facts: KernelFacts) -> None:
    if btf.tracepoint_arguments("inet_sk_error_report") is None:
        facts.missing["error"] = "the kernel lacks sock:inet_sk_error_report (Linux 5.14)"
    else:
        facts.defines["HAVE_ERROR"] = 1
