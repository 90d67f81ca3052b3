"""An old duplicate can end a TIME_WAIT: RFC 1337."""

from functools import partial

from tcptrace.analysis.demo.capture import Sighting
from tcptrace.analysis.demo.evidence import CONDITIONS, Evidence, Findings
from tcptrace.analysis.demo.experiment import Experiment
from tcptrace.analysis.demo.sockets import states
from tcptrace.analysis.demo.stage import Stage

#: Value of tcp_rfc1337 -> port.
PORTS = {0: 8000, 1: 8001}


class TimeWaitAssassination(Experiment):
    """A data segment of the old connection comes once more, with tcp_rfc1337 off and on."""

    name = "time-wait-assassination"
    summary = "RST ends TIME_WAIT early, not with tcp_rfc1337=1"
    claims = ("E5",)

    def play(self, stage: Stage) -> None:
        """Repeat an old segment to a TIME_WAIT under each setting."""
        client, server = stage.program("client", "left"), stage.program("server", "right")
        self.after: dict[int, list[str]] = {}
        for setting, port in PORTS.items():
            stage.left.set_sysctl("tcp_rfc1337", setting)
            server.do("listen", name="l", port=port)
            stage.connect(client, server, port, 40000 + setting)
            server.do("send_all", name="c", text="an old segment")
            client.do("receive", name="c")
            old = stage.wire.find(partial(is_data, port=port))[0]
            stage.close_in_order(client, server)
            stage.wait_for_states("right", port, ["LISTEN"])
            stage.wait_for_states("left", port, ["TIME_WAIT"])
            stage.wire.repeat(old)
            rst = stage.wire.wait_for(partial(is_reset, port=port), "RST")
            assert rst.arrived is not None  # noqa: S101  nothing holds it up
            self.after[setting] = states(stage.left, port)
        stage.wait_for_time_wait_end("left", PORTS[1])

    def judge(self, evidence: Evidence, findings: Findings) -> None:
        """Compare the two lifetimes."""
        lived = {}
        for setting, port in PORTS.items():
            row = evidence.connection("left", port)
            lived[setting] = float(row["time_wait_s"])
            findings.measured[f"rfc1337_{setting}"] = {
                "time_wait_s": round(lived[setting], 6),
                "end": str(row["time_wait_end"]),
                "after_rst": self.after[setting],
            }
        end = {
            setting: evidence.connection("left", port)["time_wait_end"]
            for setting, port in PORTS.items()
        }
        findings.expect(self.after == {0: [], 1: ["TIME_WAIT"]}, f"after the RST: {self.after}")
        findings.expect(lived[0] < 30, f"with 0 it lived {lived[0]:.3f} s")
        findings.expect(end[0] in ("killed", "reset"), f"with 0 it ended by {end[0]}")
        findings.expect(lived[1] >= 60, f"with 1 it lived {lived[1]:.3f} s")
        findings.expect(end[1] == "expired", f"with 1 it ended by {end[1]}")
        findings.say(
            "E5",
            CONDITIONS,
            f"but gone after {lived[0] * 1000:.0f} ms with tcp_rfc1337=0",
            "an old duplicate did not reach a program, but it ended the TIME_WAIT that guards "
            f"against the next one: TIME_WAIT answered it, the peer, long closed, answered that "
            f"with RST, and with tcp_rfc1337=0 (the default) TIME_WAIT was gone after "
            f"{lived[0] * 1000:.0f} ms; with tcp_rfc1337=1 it lived its {lived[1]:.1f} s",
        )
        findings.ladders += [
            ("tcp_rfc1337=0", evidence.ladder(PORTS[0])),
            ("tcp_rfc1337=1", evidence.ladder(PORTS[1])),
        ]


def is_data(one: Sighting, port: int) -> bool:
    """Match a segment with data."""
    return port in one.segment.ports and one.segment.length > 0


def is_reset(one: Sighting, port: int) -> bool:
    """Match an RST."""
    return port in one.segment.ports and one.segment.rst
