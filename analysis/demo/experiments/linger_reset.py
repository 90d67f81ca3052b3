"""close() with SO_LINGER of 0 seconds, against an ordinary close()."""

from typing import Any

from tcptrace.analysis.demo.evidence import CONDITIONS, Evidence, Findings
from tcptrace.analysis.demo.experiment import Experiment
from tcptrace.analysis.demo.stage import Stage

RESET, ORDERLY = 8000, 8001
#: More than send() takes at once, bytes.
SIZE = 8 << 20


class LingerReset(Experiment):
    """The same data, closed in both ways."""

    name = "linger-reset"
    summary = "linger 0: RST, no TIME_WAIT, data lost"
    claims = ("C3",)
    wire = False

    def play(self, stage: Stage) -> None:
        """Send more than is being read, close, and read what comes."""
        client, server = stage.program("client", "left"), stage.program("server", "right")
        # Less than the sender may take: some data is always left on the sender's side.
        stage.right.set_sysctl("tcp_rmem", "4096 16384 16384")
        self.sent: dict[int, int] = {}
        self.read: dict[int, dict[str, Any]] = {}
        for index, port in enumerate((RESET, ORDERLY)):
            server.do("listen", name="l", port=port)
            stage.connect(client, server, port, 40000 + index)
            self.sent[port] = client.do("send", name="c", size=SIZE)
            if port == RESET:
                client.do("linger", name="c", seconds=0)
            client.do("close", name="c")
            if port == RESET:
                stage.link.wait_for(lambda one: one.segment.rst, "RST")
            self.read[port] = server.do("drain", name="c")
            server.do("close", name="c")
        stage.wait_for_states("left", ORDERLY, ["TIME_WAIT"])

    def judge(self, evidence: Evidence, findings: Findings) -> None:
        """Count bytes, segments and TIME_WAITs."""
        reset, orderly = evidence.connection("left", RESET), evidence.visited("left", ORDERLY)
        segments = evidence.segments(RESET)
        lost = self.sent[RESET] - int(self.read[RESET]["bytes"])
        error = self.read[RESET]["error"]
        findings.expect(reset["outcome"] == "reset", f"outcome: {reset['outcome']}")
        findings.expect(reset["closed_by"] == "local", f"reset by {reset['closed_by']}")
        findings.expect(reset["time_wait_end"] != reset["time_wait_end"], "there was a TIME_WAIT")
        findings.expect(not any(one.segment.fin for one in segments), "there was a FIN")
        findings.expect(any(one.segment.rst for one in segments), "there was no RST")
        findings.expect(lost > 0, "no data was lost")
        findings.expect(error == "ECONNRESET", f"the reader got {error}")
        findings.expect(
            self.read[ORDERLY] == {"bytes": self.sent[ORDERLY], "error": None},
            f"orderly: sent {self.sent[ORDERLY]}, read {self.read[ORDERLY]}",
        )
        findings.expect("FIN_WAIT_1" in orderly, f"orderly: {orderly}")
        fins = {one.side for one in evidence.segments(ORDERLY) if one.segment.fin}
        findings.expect(fins == {"left", "right"}, f"orderly: FINs from {sorted(fins)}")
        findings.measured |= {
            "sent": self.sent[RESET],
            "read": self.read[RESET]["bytes"],
            "lost": lost,
            "reader_error": error,
            "orderly_sent": self.sent[ORDERLY],
            "orderly_read": self.read[ORDERLY]["bytes"],
        }
        findings.say(
            "C3",
            CONDITIONS,
            f"linger 0: no TIME_WAIT, {lost:,} bytes lost",
            "not with SO_LINGER 0: close() sent RST instead of FIN and there was no TIME_WAIT, "
            f"but {lost:,} of {self.sent[RESET]:,} bytes that send() had taken were lost, and the "
            f"reader got {error}. The ordinary close delivered all {self.sent[ORDERLY]:,} bytes",
        )
        findings.ladders.append(("The end by RST", evidence.ladder(RESET)))
