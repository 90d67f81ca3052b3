"""More TIME_WAITs than tcp_max_tw_buckets allows."""

from tcptrace.analysis.demo.evidence import CONDITIONS, Evidence, Findings
from tcptrace.analysis.demo.experiment import Experiment
from tcptrace.analysis.demo.sockets import counters, states
from tcptrace.analysis.demo.stage import Stage

PORT = 8000
ALLOWED, CLOSED = 5, 8


class TimeWaitOverflow(Experiment):
    """A limit of five, and eight closes."""

    name = "time-wait-overflow"
    summary = "over tcp_max_tw_buckets: TIME_WAIT is skipped, counted"
    claims = ("A1",)
    wire = False

    def play(self, stage: Stage) -> None:
        """Close eight connections, the client first."""
        client, server = stage.program("client", "left"), stage.program("server", "right")
        stage.left.set_sysctl("tcp_max_tw_buckets", ALLOWED)
        server.do("listen", name="l", port=PORT)
        before = counters(stage.left)["TCPTimeWaitOverflow"]
        for one in range(CLOSED):
            stage.connect(client, server, PORT, 40000 + one)
            # Not close(): an orphan in FIN_WAIT_2 would count against the limit too.
            stage.close_in_order(client, server)
        stage.wait_for_states("right", PORT, ["LISTEN"])
        self.counted = counters(stage.left)["TCPTimeWaitOverflow"] - before
        self.left = states(stage.left, PORT)

    def judge(self, evidence: Evidence, findings: Findings) -> None:
        """Count what was skipped."""
        rows = evidence.connections("left", PORT)
        skipped = int((rows["time_wait_end"] == "skipped").sum())
        began = int(rows["time_wait_began"].notna().sum())
        findings.expect(self.left == ["TIME_WAIT"] * ALLOWED, f"sockets left: {self.left}")
        findings.expect(self.counted == CLOSED - ALLOWED, f"TCPTimeWaitOverflow: {self.counted}")
        findings.expect(began == ALLOWED, f"{began} TIME_WAITs recorded")
        findings.expect(skipped == CLOSED - ALLOWED, f"{skipped} recorded as skipped")
        findings.measured |= {
            "limit": ALLOWED,
            "closes": CLOSED,
            "began": began,
            "skipped": skipped,
            "counter": self.counted,
        }
        findings.say(
            "A1",
            CONDITIONS,
            f"{skipped} of {CLOSED} skipped: tcp_max_tw_buckets={ALLOWED}",
            f"only while there is room: with tcp_max_tw_buckets={ALLOWED}, {CLOSED} active closes "
            f"gave {began} TIME_WAITs; {skipped} went from FIN_WAIT_2 straight to CLOSED, counted "
            f"in TCPTimeWaitOverflow ({self.counted})",
        )
        findings.ladders += [
            ("The last close with a TIME_WAIT", evidence.ladder(40000 + ALLOWED - 1)),
            ("The first close without", evidence.ladder(40000 + ALLOWED)),
        ]
