"""A wire of our own: TUN devices on both hosts, joined by this program.

It carries packets between them one by one: an experiment says which
segments it drops, holds up or repeats, so that nothing depends on luck.
"""

from collections.abc import Callable, Mapping
from functools import partial
from threading import Lock

from tcptrace.analysis.demo.capture import Capture, Fate, Match, Side, Sighting, now, other
from tcptrace.analysis.demo.link import KEPT, give_address
from tcptrace.analysis.demo.packet import parse
from tcptrace.analysis.demo.place import Place
from tcptrace.analysis.demo.tun import DEVICE, LinkEnd

#: Makes one end of the link; what the host there sends goes to the function given.
MakeEnd = Callable[[Side, Callable[[bytes], None]], LinkEnd]


class Rule:
    """What the wire does to the segments that match, until it is lifted.

    ``caught``: the sightings this rule dropped or held, oldest first.
    """

    def __init__(self, wire: "Wire", match: Match, fate: Fate, times: int | None) -> None:
        self._wire = wire
        self.match = match
        self.fate = fate
        self.left = times
        self.caught: list[Sighting] = []

    def wait(self, count: int = 1) -> Sighting:
        """Wait until the rule has caught ``count`` segments; return the last of them."""
        caught = self.caught
        self._wire.wait_for(
            lambda sighting: any(sighting is one for one in caught),
            f"segment to be {self.fate}",
            count,
        )
        return caught[count - 1]

    def lift(self) -> None:
        """Leave later segments alone."""
        self._wire.remove(self)


class Wire(Capture):
    """A link whose every segment is carried by this program.

    ``mtu``: of both devices; up to 65535, for experiments that need speed.
    ``patient``: the hosts wait 2 s before they send a segment again, instead of 0.2 or
    less, so that a busy machine's delays do not look like loss.
    """

    def __init__(
        self,
        hosts: Mapping[Side, Place],
        make_end: MakeEnd,
        mtu: int = 1500,
        *,
        patient: bool = False,
    ) -> None:
        super().__init__()
        self._rules: list[Rule] = []
        #: Held from a segment's arrival until it is told of.
        self._arriving = Lock()
        self._ends: dict[Side, LinkEnd] = {}
        try:
            for side, host in hosts.items():
                self._ends[side] = make_end(side, partial(self._carry, side))
                host.set_sysctl(f"conf/{DEVICE}/rp_filter", 0)
                host.run("ip", "link", "set", DEVICE, "mtu", str(mtu))
                give_address(host, side, DEVICE, patient=patient)
            for end in self._ends.values():
                end.start()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove the devices; nothing may be carried any more."""
        for end in self._ends.values():
            end.close()

    def find(self, match: Match) -> list[Sighting]:
        """Give what matches of all segments that a program can know of."""
        with self._arriving:
            return super().find(match)

    def drop(self, match: Match, times: int | None = None) -> Rule:
        """Lose the segments that match: the first ``times`` of them, or all."""
        return self._add(Rule(self, match, "dropped", times))

    def hold(self, match: Match, times: int | None = None) -> Rule:
        """Hold up the segments that match until :meth:`release`."""
        return self._add(Rule(self, match, "held", times))

    def _add(self, rule: Rule) -> Rule:
        with self.changed:
            self._rules.append(rule)
        return rule

    def remove(self, rule: Rule) -> None:
        """Forget a rule."""
        with self.changed:
            self._rules = [one for one in self._rules if one is not rule]

    def release(self, *held: Sighting) -> None:
        """Let held segments go on, in this order."""
        # One step: no answer to the first may overtake the last.
        with self.changed:
            for sighting in held:
                sighting.arrived = now()
                self._write(other(sighting.side), sighting.segment.packet)

    def inject(self, side: Side, packet: bytes, fate: Fate = "injected") -> Sighting:
        """Send a packet as if it came from the host on ``side``."""
        segment = parse(packet)
        assert segment is not None  # noqa: S101  experiments build TCP segments only
        time = now()
        sighting = Sighting(time, side, segment, fate, time)
        self.add(sighting)
        self._write(other(side), packet)
        return sighting

    def repeat(self, sighting: Sighting) -> Sighting:
        """Send a segment seen before once more: an old duplicate."""
        return self.inject(sighting.side, sighting.segment.packet, "repeated")

    def _carry(self, side: Side, packet: bytes) -> None:
        time = now()
        segment = parse(packet, KEPT)
        if segment is None:
            return
        sighting = Sighting(time, side, segment)
        with self.changed:
            rule = next((one for one in self._rules if one.match(sighting)), None)
            if rule is not None:
                self._catch(rule, sighting, packet)
            else:
                sighting.arrived = time
        with self._arriving:
            if rule is None:
                self._write(other(side), packet)
            # Only now: whoever waits for it may rely on its having arrived.
            self.add(sighting)

    def _catch(self, rule: Rule, sighting: Sighting, packet: bytes) -> None:
        sighting.fate = rule.fate
        # The whole packet: it is to be sent on some day.
        whole = parse(packet)
        assert whole is not None  # noqa: S101  it was parsed before
        sighting.segment = whole
        rule.caught.append(sighting)
        if rule.left is not None:
            rule.left -= 1
            if rule.left == 0:
                self._rules.remove(rule)

    def _write(self, side: Side, packet: bytes) -> None:
        self._ends[side].write(packet)
