"""Charts as SVG: steps over an axis, bars."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tcptrace.analysis.html.markup import Html, tag
from tcptrace.analysis.text.layout import number

_LEFT, _RIGHT, _TOP, _BOTTOM = 78, 16, 14, 40

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Frame:
    """The plotting area and its scales: data to pixels."""

    width: int
    height: int
    x_top: float
    y_top: float
    x_from: float = 0.0

    def x(self, value: float) -> float:
        """Place a value on the x axis; what lies before its beginning goes there."""
        part = (max(value, self.x_from) - self.x_from) / ((self.x_top - self.x_from) or 1)
        return _LEFT + part * (self.width - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        """Place a value on the y axis, which begins at 0."""
        return self.height - _BOTTOM - value / (self.y_top or 1) * (self.height - _TOP - _BOTTOM)


def ticks(top: float, about: int = 5, low: float = 0.0) -> list[float]:
    """Choose round numbers from ``low`` to ``top``."""
    if top <= low:
        return [low]
    rough = (top - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough)
    places = range(math.ceil(low / step - 1e-9), int(top / step + 1e-9) + 1)
    return [step * place for place in places]


def thin(x: Floats, y: Floats, most: int = 500) -> tuple[Floats, Floats]:
    """Keep a step line's shape in fewer points: each bin's first, highest and last."""
    if len(x) <= most:
        return x, y
    edges = np.linspace(x[0], x[-1], most // 3)
    bins = np.searchsorted(edges, x, side="right")
    starts = np.flatnonzero(np.diff(bins, prepend=-1))
    ends = np.append(starts[1:], len(x)) - 1
    order = np.lexsort((y, bins))
    highest = order[ends]
    keep = np.unique(np.concatenate([starts, highest, ends]))
    return x[keep], y[keep]


def steps(
    x: Floats,
    y: Floats,
    *,
    title: str,
    x_title: str,
    y_format: Callable[[float], str] = lambda value: number(round(value)),
    x_top: float | None = None,
    x_from: float = 0.0,
    known_to: float | None = None,
    y_top: float | None = None,
    limit: tuple[float, str] | None = None,
    divide: tuple[float, str] | None = None,
    marks: Sequence[tuple[float, float]] = (),
    guides: Sequence[tuple[float, float, str]] = (),
) -> Html:
    """Draw a step line: ``y[i]`` holds from ``x[i]`` on, until ``known_to`` or ``x_top``.

    ``limit``: a horizontal line and its label; ``divide``: a vertical one. ``marks``:
    small ticks on the line (censored lives). ``guides``: points with a label (medians).
    ``x_from``: where the axis begins; what lies before it is left out.
    """
    right = float(x_top if x_top is not None else (x[-1] if len(x) else 1))
    high = float(y_top if y_top is not None else max([*y.tolist(), limit[0] if limit else 0, 1]))
    frame = Frame(720, 240, right or 1.0, high, x_from)
    middle = x_from + 0.7 * (right - x_from)
    start = max(int(np.searchsorted(x, x_from, side="right")) - 1, 0)
    # Thinned by what is drawn: else a short stretch would be coarse.
    x, y = thin(np.maximum(x[start:], x_from), y[start:])
    path = []
    for place, (across, up) in enumerate(zip(x.tolist(), y.tolist(), strict=True)):
        path.append(f"{'H' if place else 'M'}{frame.x(across):.1f}")
        path[-1] += f"V{frame.y(up):.1f}" if place else f" {frame.y(up):.1f}"
    path.append(f"H{frame.x(right if known_to is None else known_to):.1f}")
    return tag(
        "svg",
        tag("title", title),
        _axes(frame, x_title, y_format),
        tag("path", d="".join(path), class_="line") if len(x) else None,
        [
            tag(
                "path",
                d=f"M{frame.x(across):.1f} {frame.y(up) - 4:.1f}v8",
                class_="mark",
            )
            for across, up in marks
            if across >= x_from
        ],
        [
            (
                tag("circle", cx=frame.x(across), cy=frame.y(up), r=3.5, class_="guide"),
                tag(
                    "text",
                    label,
                    x=frame.x(across) + (8 if across < middle else -8),
                    y=frame.y(up) - 6,
                    text_anchor="start" if across < middle else "end",
                ),
            )
            for across, up, label in guides
            if across >= x_from
        ],
        _limit(frame, limit) if limit else None,
        _divide(frame, divide) if divide else None,
        viewBox=f"0 0 {frame.width} {frame.height}",
        role="img",
        class_="chart",
    )


def _limit(frame: Frame, limit: tuple[float, str]) -> Html:
    up = frame.y(limit[0])
    return tag(
        "g",
        tag("path", d=f"M{_LEFT} {up:.1f}H{frame.width - _RIGHT}", class_="limit"),
        tag("text", limit[1], x=_LEFT + 6, y=up + 14, class_="limit-text"),
    )


def _divide(frame: Frame, divide: tuple[float, str]) -> Html:
    across, low = frame.x(divide[0]), frame.height - _BOTTOM
    before = across > frame.width / 2
    return tag(
        "g",
        tag("path", d=f"M{across:.1f} {_TOP}V{low}", class_="divide"),
        tag(
            "text",
            divide[1],
            x=across + (-8 if before else 8),
            y=low - 10,
            text_anchor="end" if before else "start",
            class_="divide-text",
        ),
    )


def _axes(frame: Frame, x_title: str, y_format: Callable[[float], str]) -> Html:
    bottom = frame.height - _BOTTOM
    return tag(
        "g",
        [
            (
                tag(
                    "path",
                    d=f"M{_LEFT} {frame.y(value):.1f}H{frame.width - _RIGHT}",
                    class_="grid",
                ),
                tag(
                    "text",
                    y_format(value),
                    x=_LEFT - 8,
                    y=frame.y(value) + 4,
                    text_anchor="end",
                ),
            )
            for value in ticks(frame.y_top, 4)
        ],
        [
            tag("text", f"{value:g}", x=frame.x(value), y=bottom + 16, text_anchor="middle")
            for value in ticks(frame.x_top, 8, frame.x_from)
        ],
        tag("path", d=f"M{_LEFT} {bottom}H{frame.width - _RIGHT}", class_="axis"),
        tag(
            "text",
            x_title,
            x=(frame.width + _LEFT - _RIGHT) / 2,
            y=frame.height - 6,
            text_anchor="middle",
            class_="axis-title",
        ),
        class_="axes",
    )


def bar(part: float, whole: float, class_: str = "bar", width: int = 160) -> Html:
    """Draw a part of a whole as a bar for a table's cell; something is never nothing."""
    filled = part / whole * width if whole else 0
    return tag(
        "svg",
        tag("rect", width=width, height=10, rx=2, class_="bar-back"),
        tag("rect", width=max(filled, 1.5), height=10, rx=2, class_=class_) if part else None,
        viewBox=f"0 0 {width} 10",
        class_="bar-cell",
    )
