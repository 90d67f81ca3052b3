"""The section BOTH SIDES of the text report."""

from rich.text import Text

from tcptrace.analysis.hosts.pairing import Clock, Pairing
from tcptrace.analysis.hosts.summary import as_json, services
from tcptrace.analysis.sanitize import for_terminal
from tcptrace.analysis.text.layout import (
    UNKNOWN,
    duration,
    fit,
    heading,
    line,
    more,
    number,
    table,
    wrapped,
)

_ROWS, _ROWS_VERBOSE = 5, 50
#: Of a longer name the beginning is shown, columns.
_NAME = 20


def both_sides(pairing: Pairing, *, verbose: bool = False) -> list[Text]:
    """Show what was seen from both sides, who closed, and how the clocks differ."""
    one, two = names_of(pairing)
    found = as_json(pairing)
    count = found["connections"]
    word = "connection" if count == 1 else "connections"
    lines = [heading(f"BOTH SIDES: {one} and {two}", f"{number(count)} {word}")]
    if count:
        lines += _closed(found["closed_by"], one, two)
        waits = found["time_wait"]
        lines.append(
            line(
                f"TIME_WAIT    on {one} {number(waits['here'])}, on {two} {number(waits['there'])}"
            )
        )
        lines += _services(pairing, verbose=verbose)
    if any(pairing.ambiguous):
        here, there = (number(count) for count in pairing.ambiguous)
        lines += wrapped(
            f"Ambiguous: {here} of {one} and {there} of {two}. Their four-tuples were used again "
            "sooner than the clocks can be compared, or fit several times equally well: not "
            "paired, and not in the numbers above."
        )
    for host, other, alone, outside in (
        (one, two, pairing.alone[0], pairing.outside[0]),
        (two, one, pairing.alone[1], pairing.outside[1]),
    ):
        if alone:
            when = f", {number(outside)} of them outside the other recording" if outside else ""
            lines += wrapped(
                f"Seen on {host} only: {number(alone)} with addresses of {other}{when}."
            )
    if not count and not any(pairing.ambiguous):
        lines.append(line("no connection between them was seen from both sides"))
    return lines + wrapped(clock_words(pairing.clock, one, two))


def clock_words(clock: Clock | None, one: str, two: str) -> str:
    """Say how far the clocks are apart, as far as the connections tell."""
    if clock is None:
        return f"Clocks: no connection tells how those of {one} and {two} differ."
    if not clock.constant:
        low, high = sorted((clock.low or 0, clock.high or 0))
        return (
            f"Clocks: that of {two} is not ahead of that of {one} by the same all the time: it "
            f"moved by {duration((high - low) / 1e9)} at least, between {_ahead(low)} and "
            f"{_ahead(high)}."
        )
    if clock.low is None or clock.high is None:
        word = "at most" if clock.low is None else "at least"
        known = clock.high if clock.low is None else clock.low
        return f"Clocks: that of {two} is {word} {_ahead(known or 0)} of that of {one}."
    if clock.low < 0 < clock.high:
        return (
            f"Clocks: that of {two} is between {_ahead(clock.low)} and {_ahead(clock.high)} of "
            f"that of {one}."
        )
    near, far = sorted((abs(clock.low), abs(clock.high)))
    word = "ahead" if clock.low >= 0 else "behind"
    return f"Clocks: that of {two} is {_span(near)} to {_span(far)} {word} of that of {one}."


def _span(ns: int) -> str:
    """Write a difference so that both ends of a narrow interval differ: in us up to 1 s."""
    return f"{ns / 1e3:,.1f} us" if ns < 1_000_000_000 else f"{ns / 1e9:,.6f} s"


def _ahead(ns: int) -> str:
    return f"{_span(abs(ns))} {'ahead' if ns >= 0 else 'behind'}"


def _closed(counts: dict[str, int], one: str, two: str) -> list[Text]:
    words = [f"by {one} {number(counts['here'])}", f"by {two} {number(counts['there'])}"]
    words += [f"by both at once {number(counts['both'])}"] if counts["both"] else []
    words += [f"not known {number(counts['unknown'])}"] if counts["unknown"] else []
    lines = wrapped("; ".join(words), label="closed       ")
    if counts["disagree"]:
        return lines + wrapped(
            f"the ends disagree on who closed {number(counts['disagree'])}", label=" " * 13
        )
    known = counts["here"] + counts["there"] + counts["both"]
    return lines + wrapped("what both ends tell agrees", label=" " * 13) if known else lines


def _services(pairing: Pairing, *, verbose: bool) -> list[Text]:
    found = services(pairing)
    most = _ROWS_VERBOSE if verbose else _ROWS
    rows = [
        (
            *(_word(row["client"]), row["client_host"]),
            *(_word(row["server"]), row["server_host"]),
            UNKNOWN if row["port"] is None else str(row["port"]),
            *(number(row[name]) for name in ("connections", "by_client", "by_server")),
        )
        for row in found.head(most).to_dict("records")
    ]
    names = ("client", "on", "server", "on", "port", "connections", "by client", "by server")
    return [*table(names, rows, left=4), *more(len(found) - len(rows), "services")]


def _word(comm: object) -> str:
    return comm if isinstance(comm, str) else UNKNOWN


def names_of(pairing: Pairing) -> tuple[str, str]:
    """Call the hosts by their names, or by their files if they have the same one."""
    names = pairing.one.host, pairing.two.host
    if names[0] == names[1]:
        names = pairing.one.path.name, pairing.two.path.name
    one, two = (fit(for_terminal(name), _NAME) for name in names)
    return one, two
