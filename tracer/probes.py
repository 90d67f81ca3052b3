"""The probes: which program sits on which tracepoint, and what is lost without it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Probe:
    """``name``: as the recording's header has it. ``tracepoint``: the raw
    tracepoint. ``program``: its function in bpf/tcptrace.c. ``family``: what must
    be compiled in (:class:`tcptrace.tracer.offsets.KernelFacts`). ``without``:
    what a recording lacks if it is not attached. ``twice``: a second program,
    ``program`` + ``_again``, does what the first was interrupted for (bpf/once.h).
    ``typed``: it is quicker where the kernel tells it its argument's type.
    """  # noqa: D205

    name: str
    tracepoint: str
    program: str
    family: str
    without: str
    twice: bool = False
    typed: bool = False

    @property
    def programs(self) -> tuple[str, ...]:
        """Name the programs, in the order in which they must be attached."""
        return (self.program, f"{self.program}_again") if self.twice else (self.program,)


_TIMEWAIT = "TIME_WAIT: when it began, how long it lasted, how it ended"

PROBES = (
    Probe(
        "sock:inet_sock_set_state",
        "inet_sock_set_state",
        "set_state",
        "state",
        "everything",
        twice=True,
        typed=True,
    ),
    Probe("timer:timer_start", "timer_start", "timer_start", "timewait", _TIMEWAIT, typed=True),
    Probe(
        "timer:timer_expire_entry",
        "timer_expire_entry",
        "timer_expire",
        "timewait",
        _TIMEWAIT,
        typed=True,
    ),
    Probe("timer:timer_cancel", "timer_cancel", "timer_cancel", "timewait", _TIMEWAIT, typed=True),
    Probe(
        "tcp:tcp_receive_reset",
        "tcp_receive_reset",
        "receive_reset",
        "reset",
        "that a connection was reset by its peer",
        twice=True,
    ),
    Probe(
        "tcp:tcp_send_reset",
        "tcp_send_reset",
        "send_reset",
        "reset",
        "that this side reset a connection, and why",
        twice=True,
    ),
    Probe(
        "sock:inet_sk_error_report",
        "inet_sk_error_report",
        "error_report",
        "error",
        "errors reported to programs while a connection lives on",
        twice=True,
    ),
)

#: Not recorded at all without these.
REQUIRED = frozenset({"sock:inet_sock_set_state"})
