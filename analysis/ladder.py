"""A connection as a ladder: both ends' states left and right, segments between.

Plain ASCII, so that it reads the same in every terminal, file and mail.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

Side = Literal["left", "right"]

#: A pause this long is worth a line of its own, ns.
_PAUSE = 1_000_000_000
_TIME = 11
_STATE = 11
#: A dwell time is shown from here on, ns: below, the times on the left say enough.
_DWELL = 1_000_000
_WITHOUT_DWELL = ("CLOSE", "LISTEN")


@dataclass(frozen=True)
class StateChange:
    """One end enters a state at ``time`` (ns); ``note`` explains, if need be."""

    time: int
    side: Side
    state: str
    note: str = ""


@dataclass(frozen=True)
class Arrow:
    """A segment leaves ``side`` at ``time`` (ns).

    ``fate``: ``delivered`` at once; ``late`` (drawn twice: held up, and on
    arrival at ``arrived``); ``lost``; a ``duplicate`` out of the network; or ``forged``
    by a third party.
    """

    time: int
    side: Side
    text: str
    fate: Literal["delivered", "late", "lost", "duplicate", "forged"] = "delivered"
    arrived: int | None = None


@dataclass(frozen=True)
class _Row:
    time: int
    #: At one time: what made a state change comes before it.
    rank: int
    middle: str
    side: Side | None = None
    state: str = ""


def seconds(duration: int) -> str:
    """Write a duration in ns as a person would."""
    if duration >= 1_000_000_000:
        return f"{duration / 1e9:.3f} s"
    if duration >= 1_000_000:
        return f"{duration / 1e6:.1f} ms"
    return f"{duration / 1e3:.0f} us"


def ladder(
    left: str,
    right: str | None,
    changes: Iterable[StateChange],
    arrows: Sequence[Arrow] = (),
    *,
    width: int = 80,
    start: int | None = None,
    most: int | None = None,
) -> list[str]:
    """Draw a ladder; one string a line, none longer than ``width``.

    ``left`` and ``right`` name the hosts; ``right`` is None where only one end was
    recorded. Times are seconds since ``start``, by default the first row's.
    A state's dwell time stands on the line where it ends. Of more than ``most``
    segments in a row, those in the middle are only counted.
    """
    ordered = sorted(changes, key=lambda change: change.time)
    inner = width - _TIME - 2 * (_STATE + 3)
    rows = sorted(
        [*_state_rows(ordered, inner), *_arrow_rows(arrows, inner)],
        key=lambda row: (row.time, row.rank),
    )
    if not rows:
        return []
    if most is not None:
        rows = _abridged(rows, most, inner)
    origin = rows[0].time if start is None else start
    lines = [_line("seconds", left[:_STATE], "", (right or "")[:_STATE], inner, rails=False)]
    before = rows[0].time
    for row in rows:
        if row.time - before > _PAUSE:
            lines.append(_line("", ":", "", ":" if right else "", inner, rails=True))
        before = row.time
        lines.append(
            _line(
                f"{(row.time - origin) / 1e9:.6f}",
                row.state if row.side == "left" else "",
                row.middle,
                row.state if row.side == "right" else "",
                inner,
                rails=True,
            )
        )
    return lines


def _abridged(rows: list[_Row], most: int, inner: int) -> list[_Row]:
    kept: list[_Row] = []
    for arrows, group in groupby(rows, key=lambda row: row.side is None):
        run = list(group)
        if arrows and len(run) > most:
            head, tail = most // 2, most - most // 2
            left_out = f"({len(run) - most:,} more segments)"
            middle = _Row(run[-tail].time, 0, left_out.center(inner))
            run = [*run[:head], middle, *run[-tail:]]
        kept += run
    return kept


def _line(time: str, left: str, middle: str, right: str, inner: int, *, rails: bool) -> str:
    rail = "|" if rails else " "
    return f"{time:>{_TIME}} {left:>{_STATE}} {rail}{middle:{inner}.{inner}}{rail} {right}".rstrip()


def _state_rows(changes: list[StateChange], inner: int) -> list[_Row]:
    rows = []
    entered: dict[Side, StateChange] = {}
    for change in changes:
        previous = entered.get(change.side)
        note = change.note
        if (
            previous is not None
            and previous.state not in _WITHOUT_DWELL
            and change.time - previous.time >= _DWELL
        ):
            dwell = f"{previous.state} {seconds(change.time - previous.time)}"
            note = f"{dwell}: {note}" if note else dwell
        entered[change.side] = change
        middle = f" {note}" if change.side == "left" else f"{note} ".rjust(inner)
        rows.append(_Row(change.time, 1, middle if note else "", change.side, change.state))
    return rows


def _arrow_rows(arrows: Sequence[Arrow], inner: int) -> list[_Row]:
    rows = []
    for arrow in arrows:
        text, tail, head = arrow.text, "---", ">"
        if arrow.fate == "late":
            head = "...   "
        elif arrow.fate == "lost":
            head = "X     "
        elif arrow.fate in ("duplicate", "forged"):
            text += f" ({arrow.fate})"
        rows.append(_Row(arrow.time, 0, _shaft(arrow.side, inner, text, tail, head)))
        if arrow.fate == "late" and arrow.arrived is not None:
            late = _shaft(arrow.side, inner, f"{text} (late)", "   ...", ">")
            rows.append(_Row(arrow.arrived, 0, late))
    return rows


def _shaft(side: Side, inner: int, text: str, tail: str, head: str) -> str:
    """Draw an arrow from tail to head, turned round if it goes from right to left."""
    room = inner - len(tail) - len(head) - 3
    while len(text) > room - 2:
        # Half a number would be a wrong one.
        text = text.rpartition(" ")[0] or text[: room - 2]
    label = f" {text} "
    tail, head = f" {tail}", "-" * (room - len(label) + 1) + head + " "
    if side == "left":
        return tail + label + head
    return head[::-1].replace(">", "<") + label + tail[::-1]
