"""A server restarted during TIME_WAIT, with SO_REUSEADDR before, after, both or neither."""

from tcptrace.analysis.demo.evidence import CONDITIONS, HOLDS, Evidence, Findings
from tcptrace.analysis.demo.experiment import Experiment
from tcptrace.analysis.demo.stage import Stage

#: (SO_REUSEADDR of the server before, of the one restarted) -> its port.
PORTS = {(False, False): 9000, (False, True): 9001, (True, False): 9002, (True, True): 9003}
PORT = PORTS[False, False]


class BindInUse(Experiment):
    """bind() while TIME_WAIT stands, and until it ends."""

    name = "bind-in-use"
    summary = "a restarted server: bind fails during TIME_WAIT, or not"
    claims = ("D4", "D6", "E2", "E6")
    wire = False

    def play(self, stage: Stage) -> None:
        """Restart four servers, then try the plain one until it succeeds."""
        client = stage.program("client", "left")
        self.outcomes: dict[tuple[bool, bool], str] = {}
        for index, ((before, after), port) in enumerate(PORTS.items()):
            server = stage.program("server", "right")
            server.do("listen", name="l", port=port, reuse=before)
            stage.connect(client, server, port, 40000 + index)
            server.do("close", name="c")
            client.do("close_at_end", name="c")
            stage.wait_for_states("right", port, ["LISTEN", "TIME_WAIT"])
            server.do("close", name="l")
            restarted = stage.program("restarted", "right")
            self.outcomes[before, after] = restarted.ask(
                "listen", name="l", port=port, reuse=after
            ).outcome
        last = stage.program("restarted", "right")
        self.last_failure = self.success = 0

        def bound() -> bool:
            stage.status = "trying bind() again and again"
            reply = last.ask("listen", name="l", port=PORT)
            if reply.error == "EADDRINUSE":
                self.last_failure = reply.began
            elif reply.error is None:
                self.success = reply.ended
            return reply.error != "EADDRINUSE"

        stage.wait_until(bound, "bind() after TIME_WAIT", patience=90, every=0.1)

    def judge(self, evidence: Evidence, findings: Findings) -> None:
        """Compare the moment bind() succeeds with the recorded end of TIME_WAIT."""
        expected = {
            (False, False): "EADDRINUSE",
            (False, True): "EADDRINUSE",
            (True, False): "EADDRINUSE",
            (True, True): "ok",
        }
        findings.expect(self.outcomes == expected, f"bind() gave {self.outcomes}")
        connection = evidence.connection("right", PORT)
        lived = float(connection["time_wait_s"])
        began = connection["time_wait_began"]
        failed = (evidence.utc(self.last_failure, "right") - began).total_seconds()
        bound = (evidence.utc(self.success, "right") - began).total_seconds()
        findings.expect(
            failed <= lived <= bound,
            f"last EADDRINUSE {failed:.3f} s, end {lived:.3f} s, success {bound:.3f} s",
        )
        findings.measured |= {
            "bind": {f"{before}/{after}": out for (before, after), out in self.outcomes.items()},
            "time_wait_s": round(lived, 3),
            "last_failure_s": round(failed, 3),
            "success_s": round(bound, 3),
        }
        when = (
            f"EADDRINUSE up to {failed:.1f} s into TIME_WAIT, which ended after {lived:.1f} s; "
            f"success at {bound:.1f} s"
        )
        both = (
            "only if the server before had set it too: Linux keeps the option in the "
            "TIME_WAIT, and both sockets must have it. Set on the new server alone: "
            f"{self.outcomes[False, True]}; on both: {self.outcomes[True, True]}"
        )
        findings.say(
            "D4",
            CONDITIONS,
            f"for {failed:.1f} s, unless both set SO_REUSEADDR",
            f"without SO_REUSEADDR on both servers: {when}",
        )
        findings.say("D6", CONDITIONS, "only if the server before had set it too", both)
        findings.say("E2", HOLDS, f"EADDRINUSE for {failed:.1f} s, TIME_WAIT {lived:.1f} s", when)
        findings.say("E6", CONDITIONS, "only if the server before had set it too", both)
        findings.ladders.append(("The connection that stands in the way", evidence.ladder(PORT)))
