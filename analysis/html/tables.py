"""Tables of the HTML report."""

from collections.abc import Iterable, Sequence

from tcptrace.analysis.html.markup import Child, Html, tag
from tcptrace.analysis.text.layout import number

#: What stands where something is not known.
UNKNOWN = "unknown"


def table(header: Sequence[str], rows: Iterable[Sequence[Child]], left: int = 1) -> Html:
    """Make a table; the first ``left`` columns to the left, the others to the right."""
    return tag(
        "div",
        tag(
            "table",
            tag(
                "thead",
                tag(
                    "tr",
                    [
                        tag("th", name, class_=None if place < left else "number")
                        for place, name in enumerate(header)
                    ],
                ),
            ),
            tag(
                "tbody",
                [
                    tag(
                        "tr",
                        [
                            tag("td", cell, class_=None if place < left else "number")
                            for place, cell in enumerate(row)
                        ],
                    )
                    for row in rows
                ],
            ),
        ),
        class_="scroll",
    )


def left_out(shown: int, whole: int, what: str) -> Html | None:
    """Say how many rows are not shown; None if all are."""
    if shown >= whole:
        return None
    return tag("p", f"{number(whole - shown)} more {what} are not shown.", class_="note")


def section(name: str, title: str, *content: Child, note: str | None = None) -> Html:
    """Make a section with its heading."""
    return tag(
        "section",
        tag("h2", title),
        tag("p", note, class_="note") if note else None,
        content,
        id=name,
    )
