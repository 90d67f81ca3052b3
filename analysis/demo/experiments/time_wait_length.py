"""How long TIME_WAIT really lasts, many times over."""

import numpy as np

from tcptrace.analysis.demo.evidence import CONDITIONS, FAILS, Evidence, Findings
from tcptrace.analysis.demo.experiment import Experiment
from tcptrace.analysis.demo.stage import Stage

PORT = 8000
SAMPLES = 240
#: Spread over more than two turns of the timer wheel at its usual HZ, seconds.
SPREAD = 6.0
#: A time for FIN_WAIT_2 that many believe to be TIME_WAIT's, seconds.
FIN_TIMEOUT = 5
_BARS = 8
_BAR_WIDTH = 44
#: kernel/time/timer.c: buckets per level, and each level 8 times as coarse.
_LEVEL_BUCKETS = 64
_LEVEL_SHIFT = 3


class TimeWaitLength(Experiment):
    """Many TIME_WAITs, begun at different phases of the kernel's timer wheel."""

    name = "time-wait-length"
    summary = "the texts say 1 to 4 minutes: measured many times"
    claims = ("A1", "E3")
    wire = False

    def play(self, stage: Stage) -> None:
        """Open and close, again and again; then wait for every TIME_WAIT."""
        client, server = stage.program("client", "left"), stage.program("server", "right")
        stage.left.set_sysctl("tcp_fin_timeout", FIN_TIMEOUT)
        server.do("listen", name="l", port=PORT, backlog=64)
        for _ in range(SAMPLES):
            stage.connect(client, server, PORT, 0)
            stage.close_in_order(client, server)
            stage.pause(SPREAD / SAMPLES)
        stage.wait_for_time_wait_end("left", PORT)

    def judge(self, evidence: Evidence, findings: Findings) -> None:
        """Draw the lifetimes' histogram."""
        own = evidence.time_waits("left")
        lived = own.loc[own["end"] == "expired", "lived_s"].to_numpy(np.float64)
        if not findings.expect(len(lived) == SAMPLES, f"{len(lived)} of {SAMPLES} expired"):
            return
        hz = int(evidence.recordings["left"].header["hz"])
        turn = granularity(60 * hz) / hz
        low, middle, high = np.quantile(lived, (0, 0.5, 1))
        findings.expect(low >= 60, f"one lived {low:.3f} s")
        # The softirq that runs the timers may be late on a busy machine.
        findings.expect(high < 60 + turn + 1, f"one lived {high:.3f} s, timer wheel {turn:.3f} s")
        findings.measured |= {
            "samples": len(lived),
            "min_s": round(float(low), 3),
            "median_s": round(float(middle), 3),
            "max_s": round(float(high), 3),
            "timer_wheel_s": turn,
            "hz": hz,
        }
        measured = (
            f"{len(lived)} samples: {low:.2f} to {high:.2f} s, median {middle:.2f} s. "
            f"TCP_TIMEWAIT_LEN is 60 s, compiled in; the timer wheel (HZ={hz}) adds up to "
            f"{turn:.3f} s"
        )
        findings.say(
            "A1",
            CONDITIONS,
            f"{low:.2f} to {high:.2f} s; RFC 9293: 240 s",
            f"{measured}. RFC 9293 takes MSL as 2 minutes, which would be 240 s; no segment's "
            f"life is measured. tcp_fin_timeout was {FIN_TIMEOUT} s here and changed nothing: it "
            "is FIN_WAIT_2's. (With tcp_rfc1337=1: by default a late segment may end one early)",
        )
        findings.say(
            "E3",
            FAILS if high < 60 else CONDITIONS,
            f"the lower end: {low:.2f} to {high:.2f} s",
            f"about 1 minute, always: {measured}",
        )
        findings.ladders.append(("Lifetimes, seconds", histogram(lived)))


def granularity(jiffies: int) -> int:
    """Return what the timer wheel rounds a timeout up to, in jiffies (kernel/time/timer.c)."""
    level = 0
    while jiffies >= (_LEVEL_BUCKETS - 1) << (level * _LEVEL_SHIFT):
        level += 1
    return 1 << (level * _LEVEL_SHIFT)


def histogram(values: np.ndarray) -> list[str]:
    """Draw bars; one string a line, within 80 columns."""
    counts, edges = np.histogram(values, bins=_BARS)
    scale = _BAR_WIDTH / counts.max()
    return [
        f"{start:8.2f} to {end:6.2f} {'#' * round(count * scale):{_BAR_WIDTH}} {count:5}"
        for count, start, end in zip(counts, edges[:-1], edges[1:], strict=True)
    ]
