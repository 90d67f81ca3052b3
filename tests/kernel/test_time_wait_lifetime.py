"""TIME_WAITs followed to their real end: all begun at once, one wait of a minute for all."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from .cable import Cable
from .capture import Capture
from .duo import Duo
from .lab import Lab
from .net import Namespace
from .oracle import CLIENT, SERVER, Conversation
from .rows import Row, Rows
from .scenarios import REPEATS, orderly
from .traffic import Socket

TIMEWAIT_LEN = 60.0  # TCP_TIMEWAIT_LEN (include/net/tcp.h)
NEAR = 20e6  # ns
LATE = 250e6  # ns: a busy machine may deal this late with what has come, or is due
LOST_ACKS = 4


def wheel_granularity(hz: int) -> float:
    """How late a timer of 60 s may fire, in seconds (LVL_GRAN of kernel/time/timer.c).

    Level n holds timers up to 63 * 8**n jiffies ahead, in buckets of 8**n.
    """
    level = 0
    while TIMEWAIT_LEN * hz >= 63 * 8**level:
        level += 1
    return float(8**level / hz)


#: Which sides keep a TIME_WAIT for its ordinary time.
ORDINARY = {
    "mid_life": [CLIENT],
    "client": [CLIENT],
    "server": [SERVER],
    "ipv6": [CLIENT],
    "dual": [CLIENT],
    "crossed": [CLIENT, SERVER],
    "fin_1_s": [CLIENT],
    "fin_5_s": [CLIENT],
}
CABLES = ("crossed", "last_ack_lost", "orphans_last_ack_lost")
SIDES = {**ORDINARY, "before": [CLIENT], CABLES[1]: [CLIENT], CABLES[2]: [CLIENT]}


@dataclass
class Group:
    """Connections made in namespaces of their own, and what captures saw of them."""

    duo: Duo
    captures: dict[str, Capture]  # by side: each sees what that side sees, when it does
    before: dict[str, Counter[str]] = field(default_factory=dict)
    after: dict[str, Counter[str]] = field(default_factory=dict)
    seen: dict[str, list[Conversation]] = field(default_factory=dict)

    @property
    def spaces(self) -> dict[str, Namespace]:
        return {CLIENT: self.duo.pair.client, SERVER: self.duo.pair.server}

    def count(self) -> dict[str, Counter[str]]:
        return {side: Counter(space.counters()) for side, space in self.spaces.items()}

    def started(self, side: str) -> int:
        """Timewait sockets that the kernel says it started, mini-sockets included."""
        return sum(self.after[side][name] - self.before[side][name] for name in ("TW", "TWKilled"))


@dataclass(frozen=True)
class Run:
    groups: dict[str, Group]
    rows: Rows
    granularity: float

    def waits(self, name: str, side: str) -> list[Row]:
        return self.rows.time_wait(self.groups[name].spaces[side])

    def of(self, name: str, side: str) -> list[tuple[Conversation, Row]]:
        group = self.groups[name]
        seen = group.seen.get(side) or group.seen[ORDINARY[name][0]]
        return [(one, self.rows.end(one, side, group.spaces[side])) for one in seen]


def close_all(ends: list[tuple[Socket, Socket]]) -> None:
    for first, second in ends:
        orderly(first, second)


def close_one_half(ends: list[tuple[Socket, Socket]]) -> None:
    """Close the client's side only: mini-sockets in FIN_WAIT_2 are left."""
    for near, far in ends:
        near.close()
        far.read_to_end()


def close_other_half(ends: list[tuple[Socket, Socket]]) -> None:
    for _, far in ends:
        far.close()


@pytest.fixture(scope="module")
def run(make_lab: Callable[[], Lab]) -> Iterator[Run]:
    with make_lab() as lab:
        cables = {name: lab.cable() for name in CABLES}
        duos = {
            name: Duo(
                lab,
                cables[name].pair if name in cables else None,
                family=6 if name == "ipv6" else 4,
                dual=name == "dual",
            )
            for name in SIDES
        }
        groups = {name: Group(duo, watch(lab, duo, SIDES[name])) for name, duo in duos.items()}
        close_all(duos["before"].connect_many(REPEATS))
        duos["before"].pair.client.wait_for(TIME_WAIT=REPEATS)
        old = duos["mid_life"].connect_many(REPEATS)
        recorder = lab.record()
        for group in groups.values():
            group.before = group.count()

        # The longest lives first: what follows takes less than these wait.
        late = {name: duos[name].connect_many(REPEATS) for name in ("fin_5_s", "fin_1_s")}
        begun = {}
        for name, ends in late.items():
            close_one_half(ends)
            begun[name] = time.monotonic()
        for name in ("last_ack_lost", "orphans_last_ack_lost"):
            lose_last_acks(cables[name], duos[name], orphans=name.startswith("orphans"))
        close_all(old)
        close_all(duos["client"].connect_many(REPEATS))
        close_all([(far, near) for near, far in duos["server"].connect_many(REPEATS)])
        close_all(duos["ipv6"].connect_many(REPEATS))
        close_all(duos["dual"].connect_many(REPEATS))
        for near, far in duos["crossed"].connect_many(REPEATS):
            cables["crossed"].hold("fin")
            near.close()
            far.close()
            cables["crossed"].wait_held(2)
            cables["crossed"].release()
        for name, delay in (("fin_1_s", 1), ("fin_5_s", 5)):
            # The delay is the experiment: this long the peer keeps its FIN back.
            time.sleep(max(0.0, begun[name] + delay - time.monotonic()))
            close_other_half(late[name])

        for duo in duos.values():
            for space in (duo.pair.client, duo.pair.server):
                space.wait_for(
                    80, 0.5, TIME_WAIT=0, FIN_WAIT_1=0, FIN_WAIT_2=0, LAST_ACK=0, CLOSING=0
                )
        for group in groups.values():
            group.after = group.count()
        recorder.stop()
        for group in groups.values():
            for side, capture in group.captures.items():
                capture.stop()
                group.seen[side] = capture.conversations()
        rows = Rows(recorder.read())
        yield Run(groups, rows, wheel_granularity(rows.recording.header["hz"]))


def watch(lab: Lab, duo: Duo, sides: list[str]) -> dict[str, Capture]:
    ends = {
        CLIENT: (duo.pair.client, duo.pair.server4),
        SERVER: (duo.pair.server, duo.pair.client4),
    }
    return {side: lab.capture(*ends[side]) for side in sides}


def lose_last_acks(cable: Cable, duo: Duo, *, orphans: bool) -> None:
    """Let the client's last ACKs be lost LOST_ACKS times, so that the FIN comes again.

    An orphan's FIN_WAIT_2 is a mini-socket already when the FIN comes.
    """
    for near, far in duo.connect_many(REPEATS):
        if orphans:
            near.close()
        else:
            near.shut()
        far.read_to_end()
        duo.pair.client.wait_for(FIN_WAIT_2=1, port=near.port)
        cable.drop("pure_ack", source="a", count=LOST_ACKS, port=near.port)
        far.close()


CASES = [(name, side) for name, sides in ORDINARY.items() for side in sides]


@pytest.mark.parametrize(("name", "side"), [*CASES, *((name, CLIENT) for name in CABLES[1:])])
def test_count_is_the_kernels(run: Run, name: str, side: str) -> None:
    assert run.groups[name].started(side) == REPEATS
    assert len(run.waits(name, side)) == REPEATS
    events = run.rows.recording.events
    own = events[events["netns"] == run.groups[name].spaces[side].inode]
    assert (own["kind"] == "timewait_expire").sum() == REPEATS


@pytest.mark.parametrize("name", [name for name, sides in ORDINARY.items() if len(sides) == 1])
def test_the_other_end_has_none(run: Run, name: str) -> None:
    (side,) = ORDINARY[name]
    other = SERVER if side == CLIENT else CLIENT
    assert run.groups[name].started(other) == 0
    assert not run.waits(name, other)
    assert {row["time_wait_end"] for _, row in run.of(name, other)} == {None}


@pytest.mark.parametrize(("name", "side"), CASES)
def test_each_lives_a_minute_and_what_the_timer_wheel_adds(run: Run, name: str, side: str) -> None:
    for wait in run.waits(name, side):
        assert wait["end"] == "expired"
        assert wait["censored"] == "none"
        assert wait["restarts"] == 0
        assert TIMEWAIT_LEN <= wait["lived_s"] <= TIMEWAIT_LEN + run.granularity + LATE / 1e9
        assert wait["lived_s"] == pytest.approx((wait["ended"] - wait["began"]).total_seconds())


@pytest.mark.parametrize(("name", "side"), [*CASES, ("last_ack_lost", CLIENT)])
def test_time_wait_begins_when_the_peers_fin_arrives(run: Run, name: str, side: str) -> None:
    far = SERVER if side == CLIENT else CLIENT
    for seen, row in run.of(name, side):
        fin = seen.fin(far)
        assert fin
        came, dealt_with = fin.time, seen.answer(fin).time
        if name == "crossed":
            # Then it begins with the ACK of one's own FIN, and nothing answers that.
            own = seen.fin(side)
            assert own
            came = seen.answer(own).time
            dealt_with = came + LATE
        assert came - NEAR < row["time_wait_began"].value < dealt_with + NEAR


@pytest.mark.parametrize(("name", "delay"), [("fin_1_s", 1.0), ("fin_5_s", 5.0)])
def test_waiting_for_the_peers_fin_is_fin_wait_2(run: Run, name: str, delay: float) -> None:
    for seen, row in run.of(name, CLIENT):
        own, far = seen.fin(CLIENT), seen.fin(SERVER)
        assert own
        assert far
        assert row["fin_wait_2_s"] > delay - LATE / 1e9
        longest = seen.answer(far).time - seen.answer(own).time
        assert row["fin_wait_2_s"] < (longest + NEAR) / 1e9


@pytest.mark.parametrize("name", CABLES[1:])
def test_lost_last_acks_restart_time_wait(run: Run, name: str) -> None:
    for seen, row in run.of(name, CLIENT):
        fins = seen.sent_by(SERVER, 1)
        assert len(fins) > LOST_ACKS / 2
        # A restart within one bucket of the timer wheel is silent: at least one shows.
        assert (name == "last_ack_lost") <= row["time_wait_restarts"] <= len(fins) - 1
        assert row["time_wait_end"] == "expired"
        wait = next(w for w in run.waits(name, CLIENT) if w["connection"] == row["connection"])
        after_last_fin = (wait["ended"].value - fins[-1].time) / 1e9
        assert TIMEWAIT_LEN - 0.02 <= after_last_fin <= TIMEWAIT_LEN + run.granularity + LATE / 1e9
        assert wait["lived_s"] == pytest.approx((wait["ended"] - wait["began"]).total_seconds())
        # An orphan's TIME_WAIT may begin and restart in silence: then the last is told.
        assert fins[0].time - NEAR < row["time_wait_began"].value < fins[-1].time + LATE


def test_one_begun_before_the_recording_is_left_censored(run: Run) -> None:
    waits = {wait["local_port"]: wait for wait in run.waits("before", CLIENT)}
    assert len(waits) == REPEATS
    for seen, row in run.of("before", CLIENT):
        wait, fin = waits[row["local_port"]], seen.fin(SERVER)
        assert fin
        assert (wait["end"], wait["censored"]) == ("expired", "left")
        # A lower bound. The timer tells more than was watched, but no more than there was.
        assert wait["lived_s"] < (wait["ended"].value - fin.time + NEAR) / 1e9
        assert (row["opened"], row["established"], row["censored"]) == (None, None, "left")
        assert row["established_s"] is None
