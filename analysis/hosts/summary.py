"""What a pairing tells, as numbers: for the text, and for JSON."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from tcptrace.analysis.hosts.ends import Ends
from tcptrace.analysis.hosts.pairing import Clock, Pairing

#: What an end calls itself and its peer -> which host that is, seen from the first one.
_CLOSER = (
    {"local": "one", "remote": "two", "both": "both"},
    {"local": "two", "remote": "one", "both": "both"},
)


def turned(pairing: Pairing) -> Pairing:
    """See a pairing from the second host."""
    clock = pairing.clock
    if clock is not None:
        low, high = (None if value is None else -value for value in (clock.high, clock.low))
        clock = Clock(low, high, clock.constant)
    names = {
        f"{column}_{one}": f"{column}_{other}"
        for column in pairing.one.frame
        for one, other in (("one", "two"), ("two", "one"))
    }
    return replace(
        pairing,
        one=pairing.two,
        two=pairing.one,
        pairs=pairing.pairs.rename(columns=names),
        ambiguous=pairing.ambiguous[::-1],
        alone=pairing.alone[::-1],
        outside=pairing.outside[::-1],
        clock=clock,
    )


def closers(pairing: Pairing) -> pd.DataFrame:
    """Say who closed each pair's connection: ``one``, ``two``, ``both``, ``unknown``.

    ``closer``: as both ends tell it, or the only one that knows; ``disagree`` where they
    tell different things.
    """
    pairs = pairing.pairs
    told = [
        pairs[f"closed_by_{side}"].astype(object).map(names).astype(object)
        for side, names in zip(("one", "two"), _CLOSER, strict=True)
    ]
    # Not fillna(): before pandas 3 it guesses another type from what objects are left.
    closer = told[0].where(told[0].notna(), told[1])
    closer = closer.where(closer.notna(), "unknown")
    differ = told[0].notna() & told[1].notna() & (told[0] != told[1])
    return pd.DataFrame({"closer": closer.mask(differ, "disagree"), "told_by_one": told[0]})


def services(pairing: Pairing) -> pd.DataFrame:
    """Count the pairs per client, server and service, with who closed; the most first.

    ``client`` and ``server``: program and host; where no end is known as the server's, the
    first host's end is taken for the client's.
    """
    pairs = pairing.pairs
    closer = closers(pairing)["closer"]
    swap = (pairs["role_one"] == "server") | (pairs["role_two"] == "client")
    frame = pd.DataFrame(
        {
            "client": pairs["comm_one"].astype(object).mask(swap, pairs["comm_two"].astype(object)),
            "client_host": pd.Series(pairing.one.host, pairs.index).mask(swap, pairing.two.host),
            "server": pairs["comm_two"].astype(object).mask(swap, pairs["comm_one"].astype(object)),
            "server_host": pd.Series(pairing.two.host, pairs.index).mask(swap, pairing.one.host),
            "port": pairs["remote_port_one"].mask(swap, pairs["local_port_one"]),
        }
    )
    by_client = closer == swap.map({False: "one", True: "two"})
    by_server = closer == swap.map({False: "two", True: "one"})
    names = list(frame)
    frame = frame.assign(
        connections=1,
        by_client=by_client.astype(int),
        by_server=by_server.astype(int),
        by_both=(closer == "both").astype(int),
    )
    counted = frame.groupby(names, dropna=False, sort=False).sum().reset_index()
    return counted.sort_values("connections", ascending=False, kind="stable")


def clock_seconds(clock: Clock | None) -> dict[str, Any] | None:
    """Give how far the other clock is ahead, in seconds."""
    if clock is None:
        return None
    low, high = (None if value is None else value / 1e9 for value in (clock.low, clock.high))
    return {"low": low, "high": high, "constant": clock.constant}


def as_json(pairing: Pairing) -> dict[str, Any]:
    """Give what the first host's JSON object says of the second: ``here`` and ``there``."""
    found = closers(pairing)["closer"].value_counts()
    here_there = {"one": "here", "two": "there"}
    counts = {
        here_there.get(name, name): int(found.get(name, 0))
        for name in ("one", "two", "both", "unknown", "disagree")
    }

    def both(numbers: tuple[int, int]) -> dict[str, int]:
        return dict(zip(("here", "there"), numbers, strict=True))

    pairs = pairing.pairs
    return {
        "host": pairing.two.host,
        "boot_id": pairing.two.boot_id,
        "file": str(pairing.two.path),
        "connections": len(pairs),
        "ambiguous": both(pairing.ambiguous),
        "one_side_only": both(pairing.alone),
        "outside": both(pairing.outside),
        "closed_by": counts,
        "time_wait": both((int(pairs["waited_one"].sum()), int(pairs["waited_two"].sum()))),
        "clock_ahead_s": clock_seconds(pairing.clock),
    }


def add_pairs(
    summaries: Sequence[dict[str, Any]], hosts: Sequence[Ends], found: Iterable[Pairing]
) -> None:
    """Give each recording's summary ``pairs``, if there are several recordings."""
    of = {id(host): summary for host, summary in zip(hosts, summaries, strict=False)}
    for summary in of.values():
        summary["pairs"] = []
    for pairing in found:
        for seen in (pairing, turned(pairing)):
            of[id(seen.one)]["pairs"].append(as_json(seen))
