"""The orderly close: four segments, or three."""

from tcptrace.analysis.demo.capture import Sighting
from tcptrace.analysis.demo.evidence import CONDITIONS, HOLDS, Evidence, Findings
from tcptrace.analysis.demo.experiment import Experiment
from tcptrace.analysis.demo.stage import Stage

FOUR, SERVER_FIRST, HALF_CLOSED, LOST_DATA, MERGED = 8000, 8001, 8002, 8003, 8004
#: How many times the close that may merge is tried.
TRIES = 20
ACTIVE = ["SYN_SENT", "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "TIME_WAIT", "CLOSE"]
PASSIVE = ["SYN_RECV", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK", "CLOSE"]


class FourWayClose(Experiment):
    """Who closes first, data after a FIN, data lost before it, FIN and ACK in one."""

    name = "four-way-close"
    summary = "all states of both sides; four segments, or three"
    claims = ("B1", "B2", "B3", "C1", "C2", "C3", "D3")

    def play(self, stage: Stage) -> None:
        """Close in five ways, then wait for TIME_WAIT."""
        client, server = stage.program("client", "left"), stage.program("server", "right")

        server.do("listen", name="l", port=FOUR)
        stage.connect(client, server, FOUR, 40000)
        # Not close(): a program that has let go is not told when TIME_WAIT begins.
        client.do("shutdown", name="c")
        confirmed(stage, FOUR)
        server.do("close", name="c")
        client.do("close_at_end", name="c")

        server.do("listen", name="l", port=SERVER_FIRST)
        stage.connect(client, server, SERVER_FIRST, 40001)
        server.do("close", name="c")
        confirmed(stage, SERVER_FIRST)
        client.do("close", name="c")

        server.do("listen", name="l", port=HALF_CLOSED)
        stage.connect(client, server, HALF_CLOSED, 40002)
        client.do("shutdown", name="c")
        confirmed(stage, HALF_CLOSED)
        server.do("send_all", name="c", text="still talking\n")
        self.after_fin = client.do("receive", name="c")
        server.do("close", name="c")
        client.do("close_at_end", name="c")

        server.do("listen", name="l", port=LOST_DATA)
        stage.connect(client, server, LOST_DATA, 40003)
        lost = stage.wire.drop(
            lambda one: LOST_DATA in one.segment.ports and one.segment.length > 0, times=1
        )
        client.do("send_all", name="c", text="lost at first\n")
        lost.wait()
        client.do("close", name="c")
        self.recovered = server.do("receive_exactly", name="c", size=1000)
        server.do("close", name="c")

        server.do("listen", name="l", port=MERGED)
        for one in range(TRIES):
            stage.connect(client, server, MERGED, 40010 + one)
            server.start("close_at_end", name="c")
            client.do("close", name="c")
            server.finish()
        stage.wait_for_time_wait_end("left", FOUR)

    def judge(self, evidence: Evidence, findings: Findings) -> None:
        """Count segments; compare states."""
        left, right = evidence.visited("left", FOUR), evidence.visited("right", FOUR)
        findings.expect(left == ACTIVE, f"active closer's states: {left}")
        findings.expect(right == PASSIVE, f"passive closer's states: {right}")
        closing = [describe(one) for one in closing_segments(evidence, FOUR, 40000)]
        findings.expect(
            closing == ["left FIN,ACK", "right ACK", "right FIN,ACK", "left ACK"],
            f"closing segments: {closing}",
        )
        fin, ack = closing_segments(evidence, FOUR, 40000)[:2]
        delay = (ack.time - fin.time) / 1e6
        active = evidence.connection("left", FOUR)
        passive = evidence.connection("right", FOUR)
        lived = float(active["time_wait_s"])
        findings.expect(60 <= lived < 66, f"TIME_WAIT lived {lived:.3f} s")
        findings.expect(active["closed_by"] == "local", "the client is not the active closer")
        findings.expect(passive["closed_by"] == "remote", "the server is not the passive closer")

        swapped = evidence.connection("right", SERVER_FIRST)
        swapped_states = evidence.visited("left", SERVER_FIRST)
        findings.expect(swapped["closed_by"] == "local", "the server did not close first")
        findings.expect(
            swapped_states[2:] == ["CLOSE_WAIT", "LAST_ACK", "CLOSE"],
            f"passive client's states: {swapped_states}",
        )
        findings.expect(self.after_fin == "still talking\n", f"after the FIN: {self.after_fin!r}")
        findings.expect(self.recovered == "lost at first\n", f"recovered: {self.recovered!r}")
        again = [one for one in evidence.segments(LOST_DATA) if one.segment.length]
        findings.expect(len(again) >= 2, "the lost data was not sent again")
        merged = sum(
            len(closing_segments(evidence, MERGED, 40010 + one)) == 3 for one in range(TRIES)
        )
        findings.expect(merged, "FIN and ACK never came in one segment")
        findings.measured |= {
            "closing_segments": closing,
            "ack_delay_ms": round(delay, 3),
            "merged": merged,
            "tries": TRIES,
            "time_wait_s": round(lived, 3),
        }
        both = f"client {' > '.join(ACTIVE[2:])}; server {' > '.join(PASSIVE[2:])}"
        findings.say(
            "B1",
            HOLDS,
            "sent again after the FIN, read in order",
            "a segment lost before the FIN was sent again after it and read in order",
        )
        findings.say("B2", HOLDS, "every state recorded, in order", both)
        findings.say(
            "B3",
            HOLDS,
            "CLOSE_WAIT on the passive side only",
            "CLOSE_WAIT was on the passive side only, whichever side it was",
        )
        findings.say(
            "C1",
            HOLDS,
            "client first, and server first",
            f"client first and server first; the active side only after {lived:.1f} s",
        )
        findings.say(
            "C2",
            CONDITIONS,
            f"4 segments, or 3 ({merged} of {TRIES}) if at once",
            f"four when the server waits before it closes; when it closes at once, {merged} of "
            f"{TRIES} closes took three: Linux delays the ACK of a FIN (up to 40 ms; above "
            f"{delay:.1f} ms) and the server's FIN carries it. Half-closed, the server's data "
            "still arrived",
        )
        findings.say(
            "C3",
            HOLDS,
            f"TIME_WAIT {lived:.1f} s on the active side only",
            f"TIME_WAIT on the active side only, {lived:.3f} s; the passive side closed "
            "on the last ACK",
        )
        findings.say(
            "D3",
            HOLDS,
            f"every state, the last for {lived:.1f} s",
            f"in this order, the last step after {lived:.3f} s",
        )
        findings.ladders += [
            ("The client closes, the server later: four segments", evidence.ladder(FOUR)),
            ("The server closes at once: three segments", evidence.ladder(40010)),
            ("Data lost before the FIN", evidence.ladder(LOST_DATA)),
        ]


def confirmed(stage: Stage, port: int) -> None:
    """Wait until the first FIN on ``port`` was confirmed by an ACK of its own."""
    fin = stage.wire.wait_for(lambda one: port in one.segment.ports and one.segment.fin, "FIN")
    stage.wire.wait_for(
        lambda one: (
            port in one.segment.ports
            and one.side != fin.side
            and one.segment.pure_ack
            and one.segment.ack == fin.segment.end
        ),
        "ACK of the FIN",
    )


def closing_segments(evidence: Evidence, port: int, client_port: int) -> list[Sighting]:
    """Return the segments of one connection from its first FIN on."""
    own = [one for one in evidence.segments(port) if client_port in one.segment.ports]
    first = next((index for index, one in enumerate(own) if one.segment.fin), len(own))
    return own[first:]


def describe(sighting: Sighting) -> str:
    """Write a segment as its sender and its control bits."""
    return f"{sighting.side} {sighting.segment.names}"
