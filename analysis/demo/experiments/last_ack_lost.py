"""What TIME_WAIT does for a peer whose FIN was not confirmed, and what happens without it."""

from tcptrace.analysis.demo.capture import Match
from tcptrace.analysis.demo.evidence import FAILS, HOLDS, Evidence, Findings
from tcptrace.analysis.demo.experiment import Experiment
from tcptrace.analysis.demo.programs import Calls
from tcptrace.analysis.demo.stage import Stage
from tcptrace.analysis.demo.wire import Rule, Wire

KEPT, KILLED, NEWCOMER = 8000, 8001, 8002
CLIENTS = {KEPT: 40000, KILLED: 40001, NEWCOMER: 40002}
#: Last ACKs lost in a row: the FIN comes again after about 0.2, 0.6, 1.4 and 3 s.
LOST = 4


class LastAckLost(Experiment):
    """The last ACK is dropped: with TIME_WAIT, without it, and with a new client."""

    name = "last-ack-lost"
    summary = "the FIN comes again: TIME_WAIT answers; else a reset"
    claims = ("A4", "A5", "E4")
    patient = False  # how soon the FIN comes again is the kernel's to say

    def play(self, stage: Stage) -> None:
        """Lose last ACKs on three connections."""
        client, server = stage.program("client", "left"), stage.program("server", "right")
        # Or one FIN too many ends TIME_WAIT by an RST: time-wait-assassination.
        stage.left.set_sysctl("tcp_rfc1337", 1)

        lost = stage.wire.drop(last_ack(stage.wire, KEPT), times=LOST)
        begin(stage, client, server, KEPT)
        lost.wait()

        held = self._without_time_wait(stage, client, server, KILLED)
        repeated = held.wait()
        stage.wire.release(repeated)
        stage.wait_for_states("right", KILLED, ["LISTEN"])
        self.server_error = server.do("error", name="c")
        server.do("close", name="l")

        held = self._without_time_wait(stage, client, server, NEWCOMER)
        newcomer = stage.program("newcomer", "left")
        server.start("accept", name="new", listener="l")
        reply = newcomer.ask(
            "connect",
            name="c",
            address=stage.address("right"),
            port=NEWCOMER,
            local_port=CLIENTS[NEWCOMER],
        )
        self.newcomer_outcome, self.newcomer_s = reply.outcome, reply.seconds
        server.finish()
        held.lift()
        newcomer.do("close", name="c")
        server.do("close", name="new")

        lost.wait(LOST)
        stage.wait_for_states("right", KEPT, [])
        stage.wait_for_time_wait_end("left", KEPT)

    def _without_time_wait(self, stage: Stage, client: Calls, server: Calls, port: int) -> Rule:
        """Lose the last ACK, kill the TIME_WAIT; the repeated FINs are held up."""
        # Every one of them: on a busy machine the FIN may come twice before the first is lost.
        lost = stage.wire.drop(last_ack(stage.wire, port))
        held = stage.wire.hold(
            lambda one: (
                one.side == "right"
                and port in one.segment.ports
                and one.segment.fin
                and bool(lost.caught)
            )
        )
        begin(stage, client, server, port)
        lost.wait()
        stage.kill_time_wait("left", CLIENTS[port])
        lost.lift()
        return held

    def judge(self, evidence: Evidence, findings: Findings) -> None:
        """Compare the three."""
        kept = evidence.connection("left", KEPT)
        lived = float(kept["time_wait_s"])
        fins = [one for one in evidence.segments(KEPT) if one.side == "right" and one.segment.fin]
        span = (fins[-1].time - fins[0].time) / 1e9
        restarts = int(kept["time_wait_restarts"])
        server = evidence.connection("right", KEPT)
        findings.expect(len(fins) > LOST, f"{len(fins)} FINs, {LOST} lost ACKs")
        findings.expect(restarts >= 1, "TIME_WAIT did not start anew")
        findings.expect(
            lived - span >= 60, f"TIME_WAIT lived {lived:.3f} s, the FINs took {span:.3f} s"
        )
        findings.expect(server["outcome"] == "finished", f"server: {server['outcome']}")

        killed = evidence.connection("left", KILLED)
        failed = evidence.connection("right", KILLED)
        resets = [one for one in evidence.segments(KILLED) if one.segment.rst]
        findings.expect(
            killed["time_wait_end"] == "killed", f"it ended by {killed['time_wait_end']}"
        )
        findings.expect(failed["outcome"] == "reset", f"server: {failed['outcome']}")
        findings.expect(
            resets and all(one.side == "left" for one in resets), "no RST from the client's host"
        )
        findings.expect(self.server_error == "ECONNRESET", f"SO_ERROR: {self.server_error}")

        old = evidence.connection("right", NEWCOMER)
        new = evidence.connection("right", NEWCOMER, 1)
        syns = [
            one for one in evidence.segments(NEWCOMER) if one.side == "left" and one.segment.syn
        ]
        findings.expect(self.newcomer_outcome == "ok", f"newcomer: {self.newcomer_outcome}")
        findings.expect(len(syns) >= 3, f"{len(syns)} SYNs")
        findings.expect(old["outcome"] == "reset", f"old connection: {old['outcome']}")
        findings.expect(new["role"] == "server", "the new connection is not in the recording")
        findings.measured |= {
            "fins": len(fins),
            "time_wait_s": round(lived, 3),
            "time_wait_restarts": restarts,
            "fins_span_s": round(span, 3),
            "server_error": self.server_error,
            "newcomer_outcome": self.newcomer_outcome,
            "newcomer_s": round(self.newcomer_s, 3),
            "newcomer_syns": len(syns) - 1,
        }
        findings.say(
            "A5",
            HOLDS,
            f"FIN {len(fins)} times, answered; {lived - span:.1f} s more",
            f"{LOST} last ACKs lost: the FIN came {len(fins)} times over {span:.2f} s, TIME_WAIT "
            f"answered each and started anew {restarts} times; it lived {lived:.2f} s in all, "
            f"{lived - span:.2f} s after the last FIN. The server closed in order",
        )
        findings.say(
            "E4",
            HOLDS,
            f"FIN answered by RST, {self.server_error}",
            "TIME_WAIT killed: the repeated FIN was answered by RST and the server's close "
            f"failed ({self.server_error})",
        )
        findings.say(
            "A4",
            FAILS,
            f"new client in after {self.newcomer_s * 1000:.0f} ms (RFC 5961)",
            f"in LAST_ACK still, but the newcomer was in after {self.newcomer_s * 1000:.0f} ms: "
            "its SYN got a challenge ACK (RFC 5961), its RST removed the old connection, and its "
            "second SYN opened the new one",
        )
        findings.ladders += [
            ("With TIME_WAIT", evidence.ladder(KEPT)),
            ("Without TIME_WAIT: the FIN again", evidence.ladder(KILLED)),
            ("Without TIME_WAIT: a newcomer on the same port", evidence.ladder(NEWCOMER)),
        ]


def begin(stage: Stage, client: Calls, server: Calls, port: int) -> None:
    """Connect, then close: the client first, the server by a FIN whose fate it can ask for."""
    server.do("listen", name="l", port=port)
    stage.connect(client, server, port, CLIENTS[port])
    # Not close(): a program that has let go is not told when TIME_WAIT begins.
    client.do("shutdown", name="c")
    server.do("drain", name="c")
    server.do("shutdown", name="c")
    client.do("close_at_end", name="c")


def last_ack(wire: Wire, port: int) -> Match:
    """Match the client's ACKs of the server's FIN."""
    return lambda one: (
        one.side == "left"
        and port in one.segment.ports
        and one.segment.pure_ack
        and any(
            fin.side == "right"
            and fin.segment.fin
            and port in fin.segment.ports
            and fin.segment.end == one.segment.ack
            for fin in wire.sightings
        )
    )
