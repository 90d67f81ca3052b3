"""What a TIME_WAIT keeps others from: the port, or only the four-tuple."""

from tcptrace.analysis.demo.evidence import CONDITIONS, Evidence, Findings
from tcptrace.analysis.demo.experiment import Experiment
from tcptrace.analysis.demo.stage import Stage

PORT, ELSEWHERE = 8000, 8001
CLIENT = 40000
#: A client that lets the kernel choose its port, from a range of one.
CHOSEN, CHOSEN_ELSEWHERE, CHOSEN_CLIENT = 8002, 8003, 40001


class SameFourTuple(Experiment):
    """A second client on the same port: to the same server, and elsewhere."""

    name = "same-four-tuple"
    summary = "TIME_WAIT holds a four-tuple; the port elsewhere is free"
    claims = ("A3",)
    wire = False

    def play(self, stage: Stage) -> None:
        """Try to follow a client whose TIME_WAIT stands."""
        first, second = stage.program("first", "left"), stage.program("second", "left")
        server = stage.program("server", "right")
        address = stage.address("right")
        for port in (PORT, ELSEWHERE, CHOSEN, CHOSEN_ELSEWHERE):
            server.do("listen", name=f"l{port}", port=port)
        stage.left.set_sysctl("ip_local_port_range", f"{CHOSEN_CLIENT} {CHOSEN_CLIENT}")

        def used(port: int, **options: object) -> None:
            first.do("connect", name="c", address=address, port=port, **options)
            server.do("accept", name="c", listener=f"l{port}")
            first.do("close", name="c")
            server.do("close_at_end", name="c")
            stage.wait_for_states("left", port, ["TIME_WAIT"])

        def attempt(port: int, **options: object) -> str:
            return second.ask(
                "connect", name=str(port), address=address, port=port, **options
            ).outcome

        used(PORT, local_port=CLIENT, reuse=True)
        used(CHOSEN)
        self.outcomes = {
            "bind, same destination": attempt(PORT, local_port=CLIENT),
            "bind, elsewhere": attempt(ELSEWHERE, local_port=CLIENT),
            "bind with SO_REUSEADDR, same destination": attempt(
                PORT, local_port=CLIENT, reuse=True
            ),
            "bind with SO_REUSEADDR, elsewhere": attempt(ELSEWHERE, local_port=CLIENT, reuse=True),
            "no bind, same destination": attempt(CHOSEN),
            "no bind, elsewhere": attempt(CHOSEN_ELSEWHERE),
        }
        stage.wait_for_time_wait_end("left", PORT)
        self.afterwards = attempt(PORT, local_port=CLIENT, reuse=True)

    def judge(self, evidence: Evidence, findings: Findings) -> None:
        """Compare the outcomes, and when the four-tuple was free again."""
        expected = {
            "bind, same destination": "EADDRINUSE",
            "bind, elsewhere": "EADDRINUSE",
            "bind with SO_REUSEADDR, same destination": "EADDRNOTAVAIL",
            "bind with SO_REUSEADDR, elsewhere": "ok",
            "no bind, same destination": "EADDRNOTAVAIL",
            "no bind, elsewhere": "ok",
        }
        for what, outcome in expected.items():
            findings.expect(self.outcomes[what] == outcome, f"{what}: {self.outcomes[what]}")
        findings.expect(self.afterwards == "ok", f"after TIME_WAIT: {self.afterwards}")
        before, after = (evidence.connection("left", PORT, which) for which in (0, -1))
        lived = float(str(before["time_wait_s"]))
        gap = (after["opened"] - before["closed"]).total_seconds()  # type: ignore[operator]
        findings.expect(gap >= lived, f"reopened after {gap:.3f} s, TIME_WAIT {lived:.3f} s")
        findings.measured |= {
            "outcomes": self.outcomes,
            "after_time_wait": self.afterwards,
            "time_wait_s": round(lived, 3),
        }
        findings.say(
            "A3",
            CONDITIONS,
            "connect() to the same destination: EADDRNOTAVAIL; to another one from the same port: "
            "ok at once. The four-tuple is what counts, but bind() to the port without "
            "SO_REUSEADDR on both sockets knows no destination yet and fails for all: "
            f"EADDRINUSE. After {lived:.1f} s the same four-tuple was free again",
        )
        findings.ladders.append(("Before, and after TIME_WAIT", evidence.ladder(PORT)))
