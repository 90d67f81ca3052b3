"""TCP's state diagram (RFC 9293, figure 5) with what was measured on it."""

import math
from typing import Any

from tcptrace.analysis.html.markup import Html, tag
from tcptrace.analysis.html.tables import section, table
from tcptrace.analysis.text.layout import NOT_REACHED, duration, number
from tcptrace.analysis.transitions import BEGIN, END, transitions
from tcptrace.analysis.values import rows
from tcptrace.analysis.view import View

_WIDTH, _HEIGHT = 156, 56

#: State -> the middle of its box.
_PLACES = {
    BEGIN: (450, 34),
    "SYN_RECV": (270, 130),
    "SYN_SENT": (630, 130),
    "ESTABLISHED": (450, 240),
    "FIN_WAIT_1": (270, 350),
    "CLOSE_WAIT": (690, 350),
    "FIN_WAIT_2": (110, 470),
    "CLOSING": (430, 470),
    "LAST_ACK": (690, 470),
    "TIME_WAIT": (270, 590),
    END: (560, 640),
}

#: The diagram's arrows; any other transition is named in the table below it.
_ARROWS = (
    (BEGIN, "SYN_RECV"),
    (BEGIN, "SYN_SENT"),
    ("SYN_SENT", "SYN_RECV"),
    ("SYN_RECV", "ESTABLISHED"),
    ("SYN_SENT", "ESTABLISHED"),
    ("ESTABLISHED", "FIN_WAIT_1"),
    ("ESTABLISHED", "CLOSE_WAIT"),
    ("FIN_WAIT_1", "FIN_WAIT_2"),
    ("FIN_WAIT_1", "CLOSING"),
    ("FIN_WAIT_1", "TIME_WAIT"),
    ("FIN_WAIT_2", "TIME_WAIT"),
    ("CLOSING", "TIME_WAIT"),
    ("CLOSE_WAIT", "LAST_ACK"),
    ("LAST_ACK", END),
    ("TIME_WAIT", END),
)


def diagram(view: View, summary: dict[str, Any]) -> Html:
    """Draw the diagram: counts and medians on every arrow and in every state."""
    # `count` is a method of every tuple.
    found = transitions(view.connections).rename(columns={"count": "times"})
    measured = {(row.old, row.new): (int(row.times), row.median_s) for row in rows(found)}
    return section(
        "states",
        "The states they went through",
        tag(
            "svg",
            tag("title", "TCP state diagram with measured counts and median times"),
            _arrowhead(),
            [_arrow(old, new, measured.get((old, new))) for old, new in _ARROWS],
            [_box(state, summary, measured) for state in _PLACES],
            viewBox="0 0 780 680",
            role="img",
            class_="chart diagram",
        ),
        tag(
            "details",
            tag("summary", "All transitions as a table"),
            table(
                ("From", "To", "Times", "Median time before it"),
                [
                    (_shown(old), _shown(new), number(count), _median(median))
                    for (old, new), (count, median) in measured.items()
                ],
                left=2,
            ),
        ),
        note="On an arrow: how often it was taken, and the median time spent in the state "
        "before. Dashed: never. Each end of a connection counts.",
    )


def _shown(state: str) -> str:
    return "CLOSED" if state == BEGIN else state


def _median(seconds: float) -> str:
    return NOT_REACHED if math.isnan(seconds) else duration(seconds)


def _arrowhead() -> Html:
    return tag(
        "defs",
        tag(
            "marker",
            tag("path", d="M0 0L8 4L0 8z", class_="arrowhead"),
            id="arrowhead",
            viewBox="0 0 8 8",
            refX=7,
            refY=4,
            markerWidth=9,
            markerHeight=9,
            markerUnits="userSpaceOnUse",
            orient="auto",
        ),
    )


def _arrow(old: str, new: str, measured: tuple[int, float] | None) -> Html:
    x1, y1 = _edge(old, new)
    x2, y2 = _edge(new, old)
    count = measured[0] if measured else 0
    lines = [number(count)] if measured else []
    if measured and not math.isnan(measured[1]):
        lines.append(duration(measured[1]))
    # Beside the line, on the side away from the middle of the diagram.
    length = math.hypot(x2 - x1, y2 - y1) or 1
    side = 28 if (y2 - y1) * ((x1 + x2) / 2 - _PLACES[BEGIN][0]) > 0 else -28
    x = (x1 + x2) / 2 + side * (y2 - y1) / length
    y = (y1 + y2) / 2 - side * (x2 - x1) / length * 0.6 - 7 * (len(lines) - 1) + 4
    return tag(
        "g",
        tag(
            "path",
            d=f"M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}",
            class_="arrow" if count else "arrow never",
            stroke_width=1 + math.log10(count) if count else 1,
            marker_end="url(#arrowhead)" if count else None,
        ),
        [
            tag("text", text, x=x, y=y + 14 * place, text_anchor="middle", class_="arrow-text")
            for place, text in enumerate(lines)
        ],
    )


def _edge(state: str, towards: str) -> tuple[float, float]:
    """Find where the line to another box leaves this one."""
    (x, y), (to_x, to_y) = _PLACES[state], _PLACES[towards]
    half_width, half_height = _size(state)
    across, down = to_x - x, to_y - y
    reach = min(
        half_width / abs(across) if across else math.inf,
        half_height / abs(down) if down else math.inf,
    )
    return x + across * reach, y + down * reach


def _size(state: str) -> tuple[float, float]:
    return (44, 14) if state in (BEGIN, END) else (_WIDTH / 2, _HEIGHT / 2)


def _box(
    state: str, summary: dict[str, Any], measured: dict[tuple[str, str], tuple[int, float]]
) -> Html:
    (x, y), (half_width, half_height) = _PLACES[state], _size(state)
    lines = [("state-name", _shown(state))]
    found = summary["states"].get(state)
    if found:
        lines.append(("state-text", f"{number(found['count'])} · {duration(found['p50_s'])}"))
        early = measured.get((state, END), (0, 0.0))[0]
        if early and (state, END) not in _ARROWS:
            lines.append(("state-text", f"{number(early)} closed from here"))
    top = y - 8 * (len(lines) - 1) + 4
    return tag(
        "g",
        tag(
            "rect",
            x=x - half_width,
            y=y - half_height,
            width=2 * half_width,
            height=2 * half_height,
            rx=8,
            class_="state" if found or state in (BEGIN, END) else "state never",
        ),
        [
            tag("text", text, x=x, y=top + 16 * place, text_anchor="middle", class_=class_)
            for place, (class_, text) in enumerate(lines)
        ],
    )
