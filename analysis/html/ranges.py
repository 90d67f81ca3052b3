"""A chart of ranges on a log scale: from the median to the longest."""

import math
from collections.abc import Sequence

from tcptrace.analysis.html.markup import Child, Html, tag
from tcptrace.analysis.text.layout import duration


def ranges(rows: Sequence[tuple[str, float | None, float | None, float]]) -> Html:
    """Draw state, median, 95 % and longest on one log axis of seconds."""
    # A recording whose times contradict each other gives durations below 0.
    points = [value for row in rows for value in row[1:] if value and value > 0]
    low = math.floor(math.log10(min(points))) if points else -6
    high = max(math.ceil(math.log10(max(points))) if points else 0, low + 1)
    left, width, step = 110, 720, 30
    height = step * len(rows) + 44

    def place(value: float) -> float:
        exponent = math.log10(max(value, 10.0**low))
        return left + (exponent - low) / (high - low) * (width - left - 24)

    bottom = height - 34
    drawn: list[Child] = [
        (
            tag("path", d=f"M{place(10.0**power):.1f} 6V{bottom}", class_="grid"),
            tag(
                "text",
                duration(10.0**power).replace(".00", "").replace(".0", ""),
                x=place(10.0**power),
                y=bottom + 16,
                text_anchor="middle",
            ),
        )
        for power in range(low, high + 1)
    ]
    for line, (name, median, p95, longest) in enumerate(rows):
        up = 20 + line * step
        known = [value for value in (median, p95, longest) if value is not None]
        first, last = place(min(known)), place(max(known))
        dots = ((longest, "dot-max"), (p95, "dot-p95"), (median, "dot-median"))
        drawn.append(
            (
                tag("text", name, x=left - 10, y=up + 4, text_anchor="end"),
                tag("path", d=f"M{first:.1f} {up}H{last:.1f}", class_="range"),
                [
                    tag("circle", cx=place(value), cy=up, r=5, class_=class_)
                    for value, class_ in dots
                    if value is not None
                ],
            )
        )
    return tag(
        "svg",
        tag("title", "Time in each state"),
        drawn,
        viewBox=f"0 0 {width} {height}",
        role="img",
        class_="chart",
    )
