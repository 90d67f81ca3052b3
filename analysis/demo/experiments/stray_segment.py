"""A segment of an old connection arrives late: during TIME_WAIT, and without it."""

import pandas as pd

from tcptrace.analysis.demo.capture import ExperimentError, Sighting, now
from tcptrace.analysis.demo.evidence import CONDITIONS, Evidence, Findings
from tcptrace.analysis.demo.experiment import Experiment
from tcptrace.analysis.demo.programs import Calls
from tcptrace.analysis.demo.sockets import counters, states
from tcptrace.analysis.demo.stage import Stage

GUARDED, TIMESTAMPS, SLOW, FAST = 8000, 8001, 8002, 8003
CLIENTS = {GUARDED: 40000, TIMESTAMPS: 40001, SLOW: 40002, FAST: 40003}
STRAY = "STRAY BYTES OF THE OLD CONNECTION. "
WRONG = "What the new program should read.  "
#: Initial sequence numbers follow a clock of 64 ns (secure_tcp_seq): bytes per second.
ISN_RATE = 1e9 / 64
#: How far ahead of that clock the fast connection gets before it closes, seconds.
AHEAD = 1.0
_CHUNK = 1 << 22
#: How long it may try to get there, seconds.
_TRIED = 10.0


class TooSlowError(ExperimentError):
    """The old connection cannot be made fast enough here."""


class StraySegment(Experiment):
    """The held-up original of a segment that was sent again in the meantime."""

    name = "stray-segment"
    summary = "a late old segment: during TIME_WAIT, and without it"
    claims = ("A2", "E5")
    mtu = 65535
    patient = False  # the held-up segment is to be sent again soon

    def play(self, stage: Stage) -> None:
        """Hold one segment up on each of four connections, release it after the end."""
        # Or the stray itself ends the TIME_WAIT: time-wait-assassination.
        stage.left.set_sysctl("tcp_rfc1337", 1)
        self.discarded: dict[int, bool] = {}
        self.read: dict[int, str] = {}

        client, server = stage.program("client", "left"), stage.program("server", "right")
        stray = self._old_connection(stage, client, server, GUARDED)
        stage.wire.release(stray)
        stage.wire.wait_for(
            lambda one: (
                one.side == "left"
                and GUARDED in one.segment.ports
                and one.segment.pure_ack
                and one.time > (stray.arrived or 0)
            ),
            "answer of TIME_WAIT",
        )
        self.guarded_after = states(stage.left, GUARDED)

        before = refused(stage)
        self._stray_meets_new(stage, client, server, TIMESTAMPS, fast=False)
        self.paws = refused(stage) - before
        for host in (stage.left, stage.right):
            host.set_sysctl("tcp_timestamps", 0)
        self._stray_meets_new(stage, client, server, SLOW, fast=False)
        try:
            self._stray_meets_new(stage, client, server, FAST, fast=True)
        except TooSlowError as error:
            stage.skipped.append(str(error))

    def _old_connection(
        self, stage: Stage, client: Calls, server: Calls, port: int, *, fast: bool = False
    ) -> Sighting:
        """Play the old connection to its end; return the segment that is still on its way."""
        server.do("listen", name="l", port=port)
        stage.connect(client, server, port, CLIENTS[port])
        if fast:
            self.sent, self.took = outrun(stage, client, server, port)
        held = stage.wire.hold(
            lambda one: (
                port in one.segment.ports and one.side == "right" and one.segment.length > 0
            ),
            times=1,
        )
        server.do("send_all", name="c", text=STRAY)
        stray = held.wait()
        # Sent again by the kernel: the client misses nothing.
        if client.do("receive_exactly", name="c", size=len(STRAY)) != STRAY:
            raise ExperimentError("the old connection did not recover its segment")
        stage.close_in_order(client, server)
        stage.wait_for_states("right", port, ["LISTEN"])
        stage.wait_for_states("left", port, ["TIME_WAIT"])
        return stray

    def _stray_meets_new(
        self, stage: Stage, client: Calls, server: Calls, port: int, *, fast: bool
    ) -> None:
        """Remove TIME_WAIT, connect another program, release the stray when its time comes."""
        stray = self._old_connection(stage, client, server, port, fast=fast)
        stage.kill_time_wait("left", CLIENTS[port])
        victim = stage.program("newcomer", "left")
        stage.connect(victim, server, port, CLIENTS[port])
        if fast:
            self.places = self._catch_up(stage, victim, server, stray)
        stage.wire.release(stray)
        server.do("send_all", name="c", text=WRONG)
        server.do("shutdown", name="c")
        self.read[port] = victim.do("receive_exactly", name="c", size=len(WRONG) * 2)
        victim.do("close", name="c")
        server.do("drain", name="c")

    def _catch_up(
        self, stage: Stage, victim: Calls, server: Calls, stray: Sighting
    ) -> tuple[int, int]:
        """Let both sides of the new connection send until the stray fits in.

        It fits where its sequence number is the next one expected and what it
        confirms has been sent (RFC 5961 section 5.2). Returns both distances.
        """
        port = stray.segment.source_port
        syn_ack = stage.wire.find(
            lambda one: one.side == "right" and port in one.segment.ports and one.segment.syn
        )[-1].segment
        places = (
            distance(syn_ack.end, stray.segment.seq),
            distance(syn_ack.ack, stray.segment.ack),
        )
        for size, sender, reader in ((places[0], server, victim), (places[1], victim, server)):
            if size < 0:
                raise ExperimentError("the clock of sequence numbers overtook the old connection")
            reader.start("receive_exactly", name="c", size=size)
            sender.do("send_all", name="c", size=size)
            reader.finish()
        return places

    def judge(self, evidence: Evidence, findings: Findings) -> None:
        """Say who read the stray."""
        guarded = evidence.connection("left", GUARDED)
        findings.expect(
            self.guarded_after == ["TIME_WAIT"], f"after the stray: {self.guarded_after}"
        )
        stray = next(one for one in evidence.segments(GUARDED) if one.fate == "held")
        # TIME_WAIT begins with the server's FIN.
        fin = next(
            one for one in evidence.segments(GUARDED) if one.side == "right" and one.segment.fin
        )
        findings.expect(
            (stray.arrived or 0) > (fin.arrived or 0) and guarded["time_wait_began"] is not pd.NaT,
            "the stray came before TIME_WAIT",
        )
        for port in (TIMESTAMPS, SLOW, *((FAST,) if FAST in self.read else ())):
            end = evidence.connection("left", port)["time_wait_end"]
            findings.expect(end == "killed", f"TIME_WAIT on port {port} ended by {end}")
        findings.expect(self.read[TIMESTAMPS] == WRONG, f"timestamps: {self.read[TIMESTAMPS]!r}")
        findings.expect(self.paws >= 1, "no segment was refused by its timestamp")
        findings.expect(self.read[SLOW] == WRONG, f"slow: {self.read[SLOW]!r}")
        findings.measured |= {
            "read_with_timestamps": self.read[TIMESTAMPS],
            "refused_by_timestamp": self.paws,
            "read_slow": self.read[SLOW],
        }
        findings.ladders += [
            ("During TIME_WAIT: discarded", evidence.ladder(GUARDED)),
            ("Without TIME_WAIT, with timestamps: refused", evidence.ladder(TIMESTAMPS)),
            ("Without TIME_WAIT, without timestamps: still refused", evidence.ladder(SLOW)),
        ]
        delivered = "(not tried here: see what was skipped)"
        if FAST in self.read:
            delivered = self._judge_fast(evidence, findings)
        findings.say(
            "A2",
            CONDITIONS,
            "refused by timestamp and number, mostly",
            "TIME_WAIT removed and another program on the same four-tuple: by default the stray "
            "was still refused, by its timestamp (PAWS, RFC 7323); with tcp_timestamps=0 by its "
            "sequence number, because a new connection starts ahead of the old one. It is "
            "delivered only if the old connection was also faster, both ways (RFC 5961), than "
            f"the clock that numbers connections, {ISN_RATE / 1e6:.1f} MB/s {delivered}",
        )
        findings.say(
            "E5",
            CONDITIONS,
            "discarded by TIME_WAIT",
            "the stray met TIME_WAIT, was answered by an ACK and reached nobody (with "
            "tcp_rfc1337=1; by default it may end the TIME_WAIT: see time-wait-assassination)",
        )

    def _judge_fast(self, evidence: Evidence, findings: Findings) -> str:
        """Say what the program after the fast connection read."""
        read, speed = self.read[FAST], self.sent / self.took / 1e6
        findings.expect(read.startswith(STRAY), f"fast: the program read {read!r}")
        findings.measured |= {
            "read_fast": read,
            "fast_bytes": self.sent,
            "fast_mb_per_s": round(speed, 1),
            "stray_at": self.places,
        }
        findings.ladders += [
            ("Without either, after a fast connection: delivered", evidence.ladder(FAST)),
            ("Corrupted data", [f"  the server sent  {WRONG!r}", f"  the program read {read!r}"]),
        ]
        return (
            f"(here {speed:.0f}): then the new program read {STRAY.strip()!r} "
            f"instead of {WRONG.strip()!r}"
        )


def refused(stage: Stage) -> int:
    """Count the segments that the client's host refused for their timestamps."""
    values = counters(stage.left)
    return sum(value for name, value in values.items() if name.startswith("PAWS"))


def distance(start: int, end: int) -> int:
    """Return how far ``end`` is after ``start``; sequence numbers wrap at 2**32."""
    return (end - start + 2**31) % 2**32 - 2**31


def outrun(stage: Stage, client: Calls, server: Calls, port: int) -> tuple[int, float]:
    """Send both ways until both sequence numbers are ahead of the clock of first ones.

    Returns bytes sent each way and the seconds it took.
    """
    began = stage.wire.find(lambda one: port in one.segment.ports and one.segment.syn)[0].time
    sent = 0
    while True:
        for sender, reader in ((server, client), (client, server)):
            reader.start("receive_exactly", name="c", size=_CHUNK)
            sender.do("send_all", name="c", size=_CHUNK)
            reader.finish()
        sent += _CHUNK
        took = (now() - began) / 1e9
        if sent > (took + AHEAD) * ISN_RATE:
            return sent, took
        if took > _TRIED:
            raise TooSlowError(
                "this machine is too slow for a connection that outruns the clock of sequence "
                f"numbers ({sent / took / 1e6:.0f} of {ISN_RATE / 1e6:.1f} MB/s)"
            )
