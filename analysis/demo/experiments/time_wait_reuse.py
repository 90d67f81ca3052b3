"""Who may take a TIME_WAIT's place before its end: tcp_tw_reuse, and a newer SYN."""

import time
from dataclasses import dataclass

from tcptrace.analysis.demo.capture import ExperimentError, Side
from tcptrace.analysis.demo.evidence import CONDITIONS, Evidence, Findings
from tcptrace.analysis.demo.experiment import Experiment
from tcptrace.analysis.demo.programs import Calls
from tcptrace.analysis.demo.sockets import states
from tcptrace.analysis.demo.stage import Stage

#: The only port the kernel may choose.
CLIENT = 40000
INCOMING, INCOMING_CLIENT = 8010, 40010
#: connect() is tried this long, seconds: tcp_tw_reuse may ask for up to 2.
TRIED = 3.0
_DELAY = "tcp_tw_reuse_delay"


@dataclass(frozen=True)
class Case:
    """A setting to try; ``delay`` in ms, None for the kernel's own."""

    label: str
    port: int
    reuse: int
    loopback: bool = False
    timestamps: int = 1
    delay: int | None = None
    expected: bool = False


CASES = (
    Case("tcp_tw_reuse=0", 8000, 0),
    Case("tcp_tw_reuse=0, loopback", 8001, 0, loopback=True),
    Case("tcp_tw_reuse=1", 8002, 1, expected=True),
    Case("tcp_tw_reuse=1, tcp_timestamps=0", 8003, 1, timestamps=0),
    Case("tcp_tw_reuse=2 (default)", 8004, 2),
    Case("tcp_tw_reuse=2, loopback", 8005, 2, loopback=True, expected=True),
    Case("tcp_tw_reuse=1, delay 200 ms", 8006, 1, delay=200, expected=True),
)


class TimeWaitReuse(Experiment):
    """connect() again and again under each setting; then a client that comes back."""

    name = "time-wait-reuse"
    summary = "tcp_tw_reuse 0, 1, 2 and its delay; reuse by a SYN"
    claims = ("A3", "D5")
    wire = False

    def play(self, stage: Stage) -> None:
        """Try each case in turn."""
        client = stage.program("client", "left")
        servers: dict[Side, Calls] = {
            "left": stage.program("server", "left"),
            "right": stage.program("server", "right"),
        }
        stage.left.set_sysctl("ip_local_port_range", f"{CLIENT} {CLIENT}")
        self.default_delay = stage.left.sysctl(_DELAY)
        self.outcomes: dict[str, str] = {}
        for case in CASES:
            if case.delay is not None:
                if self.default_delay is None:
                    stage.skipped.append(f"net.ipv4.{_DELAY} does not exist on this kernel")
                    continue
                stage.left.set_sysctl(_DELAY, case.delay)
            stage.status = case.label
            server = servers["left" if case.loopback else "right"]
            self.outcomes[case.label] = self._attempt(stage, client, server, case)

        server = servers["right"]
        stage.right.set_sysctl("tcp_tw_reuse", 0)
        server.do("listen", name="l", port=INCOMING)
        stage.connect(client, server, INCOMING, INCOMING_CLIENT)
        stage.close_in_order(server, client)
        stage.wait_for_states("right", INCOMING, ["LISTEN", "TIME_WAIT"])
        stage.connect(client, server, INCOMING, INCOMING_CLIENT)
        self.incoming = states(stage.right, INCOMING)

    def _attempt(self, stage: Stage, client: Calls, server: Calls, case: Case) -> str:
        stage.left.set_sysctl("tcp_tw_reuse", case.reuse)
        for host in (stage.left, stage.right):
            host.set_sysctl("tcp_timestamps", case.timestamps)
        address = "127.0.0.1" if case.loopback else stage.address("right")
        server.do("listen", name="l", port=case.port)
        client.do("connect", name="c", address=address, port=case.port)
        server.do("accept", name="c", listener="l")
        stage.close_in_order(client, server)
        stage.wait_for_states("left", case.port, ["TIME_WAIT"] + ["LISTEN"] * case.loopback)
        deadline = time.monotonic() + TRIED
        while True:
            reply = client.ask("connect", name="c", address=address, port=case.port)
            if reply.error not in (None, "EADDRNOTAVAIL"):
                raise ExperimentError(f"{case.label}: connect() failed: {reply.error}")
            if reply.error is None or time.monotonic() > deadline:
                return reply.outcome
            stage.pause(0.02)

    def judge(self, evidence: Evidence, findings: Findings) -> None:
        """Say which setting let connect() succeed, and after how long."""
        lines, after = [], {}
        for case in CASES:
            outcome = self.outcomes.get(case.label)
            if outcome is None:
                continue
            row = evidence.connections("left", case.port).query("role == 'client'").iloc[0]
            end = str(row["time_wait_end"])
            findings.expect(
                (outcome == "ok") == case.expected, f"{case.label}: connect() gave {outcome}"
            )
            text = f"{outcome} for {TRIED:.0f} s"
            if case.expected:
                after[case.label] = lived = float(row["time_wait_s"])
                findings.expect(end == "reused_connect", f"{case.label}: ended by {end}")
                text = f"ok after {lived:.3f} s"
            lines.append(f"  {case.label:36} {text}")
        if self.default_delay is not None:
            slow, quick = after.get(CASES[2].label, 0.0), after.get(CASES[6].label, 0.0)
            findings.expect(slow >= int(self.default_delay) / 1000, f"reused after {slow:.3f} s")
            findings.expect(0.2 <= quick < 1, f"with 200 ms reused after {quick:.3f} s")
        first = evidence.connection("right", INCOMING_CLIENT)
        incoming = float(first["time_wait_s"])
        findings.expect(
            first["time_wait_end"] == "reused_syn", f"the SYN: ended by {first['time_wait_end']}"
        )
        findings.expect("ESTABLISHED" in self.incoming, f"after the SYN: {self.incoming}")
        findings.measured |= {
            "outcomes": self.outcomes,
            "reused_after_s": {label: round(lived, 3) for label, lived in after.items()},
            "reused_by_syn_after_s": round(incoming, 4),
            _DELAY: self.default_delay,
        }
        delay = f" ({_DELAY} {self.default_delay} ms)" if self.default_delay else ""
        findings.say(
            "A3",
            CONDITIONS,
            f"tcp_tw_reuse=1 takes it after {after.get(CASES[2].label, 0):.2f} s",
            "connect() may take a TIME_WAIT's four-tuple over: with tcp_tw_reuse=1 after "
            f"{after.get(CASES[2].label, 0):.2f} s{delay}, and with 2, the default, on loopback "
            f"only, after {after.get(CASES[5].label, 0):.2f} s; never without timestamps",
        )
        findings.say(
            "D5",
            CONDITIONS,
            f"a newer SYN gets in after {incoming * 1000:.1f} ms",
            "a client that comes back with the same address and port does not collide with the "
            f"server's TIME_WAIT: its SYN took the place after {incoming * 1000:.1f} ms, "
            "with tcp_tw_reuse=0",
        )
        findings.ladders += [
            ("connect() to the only local port that TIME_WAIT holds", lines),
            ("A SYN takes the server's TIME_WAIT's place", evidence.ladder(INCOMING)),
        ]
