"""Both sides close at once: their FINs cross."""

from tcptrace.analysis.demo.evidence import CONDITIONS, Evidence, Findings
from tcptrace.analysis.demo.experiment import Experiment
from tcptrace.analysis.demo.stage import Stage

PORT = 8000
EXPECTED = ["ESTABLISHED", "FIN_WAIT_1", "CLOSING", "TIME_WAIT"]


class SimultaneousClose(Experiment):
    """Two FINs cross on the wire."""

    name = "simultaneous-close"
    summary = "the FINs cross: CLOSING, then TIME_WAIT on both sides"
    claims = ("C3",)

    def play(self, stage: Stage) -> None:
        """Hold up both FINs until both are sent, then let them cross."""
        client, server = stage.program("client", "left"), stage.program("server", "right")
        server.do("listen", name="l", port=PORT)
        stage.connect(client, server, PORT, 40000)
        # Two rules of one catch each: a FIN sent again must not be taken for the first.
        left = stage.wire.hold(lambda one: one.segment.fin and one.side == "left")
        right = stage.wire.hold(lambda one: one.segment.fin and one.side == "right")
        client.do("close", name="c")
        server.do("close", name="c")
        left.wait()
        right.wait()
        stage.wire.release(left.caught[0], right.caught[0])
        stage.wait_for_states("left", PORT, ["TIME_WAIT"])
        stage.wait_for_states("right", PORT, ["LISTEN", "TIME_WAIT"])

    def judge(self, evidence: Evidence, findings: Findings) -> None:
        """Compare both sides."""
        for side in ("left", "right"):
            visited = evidence.visited(side, PORT)[1:]
            closed_by = evidence.connection(side, PORT)["closed_by"]
            findings.expect(visited == EXPECTED, f"states ({side}): {visited}")
            findings.expect(closed_by == "both", f"closed by ({side}): {closed_by}")
        fins = [one for one in evidence.segments(PORT) if one.segment.fin and one.arrived]
        findings.expect(
            {one.side for one in fins} == {"left", "right"}
            and max(one.time for one in fins) < min(one.arrived or 0 for one in fins),
            "the FINs did not cross",
        )
        findings.measured["states"] = {
            side: evidence.visited(side, PORT) for side in ("left", "right")
        }
        findings.say(
            "C3",
            CONDITIONS,
            "both at once: TIME_WAIT on both sides",
            "not when both close at once: each FIN met FIN_WAIT_1, both sides went through "
            "CLOSING, and both have a TIME_WAIT",
        )
        findings.ladders.append(("Two FINs cross", evidence.ladder(PORT)))
