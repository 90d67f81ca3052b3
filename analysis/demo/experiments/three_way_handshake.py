"""SYN, SYN+ACK, ACK, each held up for a look at both ends."""

from tcptrace.analysis.demo.evidence import HOLDS, Evidence, Findings
from tcptrace.analysis.demo.experiment import Experiment
from tcptrace.analysis.demo.sockets import states
from tcptrace.analysis.demo.stage import Stage

PORT = 8000


class ThreeWayHandshake(Experiment):
    """Each of the three segments is held up; both ends' states are read meanwhile."""

    name = "three-way-handshake"
    summary = "SYN, SYN+ACK, ACK: what each side knows after each"
    claims = ("D1",)

    def play(self, stage: Stage) -> None:
        """Hold up each segment in turn."""
        client, server = stage.program("client", "left"), stage.program("server", "right")
        server.do("listen", name="l", port=PORT)
        #: Segments that have arrived -> the states of (client, server).
        self.known: list[tuple[list[str], list[str]]] = []
        rules = [stage.wire.hold(lambda one: one.segment.syn and one.side == "left")]
        rules.append(stage.wire.hold(lambda one: one.segment.syn and one.side == "right"))
        rules.append(stage.wire.hold(lambda one: one.segment.pure_ack))
        client.start(
            "connect", name="c", address=stage.address("right"), port=PORT, local_port=40000
        )
        for rule in rules:
            held = rule.wait()
            self.known.append((states(stage.left, PORT), states(stage.right, PORT)))
            rule.lift()
            stage.wire.release(held)
        client.finish()
        server.do("accept", name="c", listener="l")
        self.known.append((states(stage.left, PORT), states(stage.right, PORT)))
        client.do("close", name="c")
        server.do("close_at_end", name="c")
        stage.wait_for_states("right", PORT, ["LISTEN"])

    def judge(self, evidence: Evidence, findings: Findings) -> None:
        """Compare what both ends knew with what the recorder saw."""
        left, right = evidence.visited("left", PORT), evidence.visited("right", PORT)
        findings.expect(left[:2] == ["SYN_SENT", "ESTABLISHED"], f"client's states: {left}")
        findings.expect(right[:2] == ["SYN_RECV", "ESTABLISHED"], f"server's states: {right}")
        # By name, and each once: a busy machine may make the client send its SYN again.
        names = list(dict.fromkeys(one.segment.names for one in evidence.segments(PORT)))[:3]
        findings.expect(names == ["SYN", "SYN,ACK", "ACK"], f"first segments: {names}")
        expected = [
            (["SYN_SENT"], ["LISTEN"]),
            (["SYN_SENT"], ["LISTEN", "SYN_RECV"]),
            (["ESTABLISHED"], ["LISTEN", "SYN_RECV"]),
            (["ESTABLISHED"], ["ESTABLISHED", "LISTEN"]),
        ]
        findings.expect(self.known == expected, f"states between the segments: {self.known}")
        findings.measured["states_after_segments"] = self.known
        findings.measured["segments"] = names
        findings.say(
            "D1",
            HOLDS,
            "after two the server is still SYN_RECV",
            "after one segment the server has a half-open connection; after two the client is "
            "ESTABLISHED and the server still SYN_RECV, not knowing whether its SYN arrived; "
            "after three both are ESTABLISHED. Linux keeps SYN_RECV in a small request socket "
            "and makes the real one when the third segment comes",
        )
        findings.ladders.append(("Each segment held up", evidence.ladder(PORT)))
