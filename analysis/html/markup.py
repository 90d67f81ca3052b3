"""Build HTML and SVG so that nothing from outside is ever taken for markup."""

import html
from collections.abc import Iterable

from tcptrace.analysis.sanitize import for_terminal


class Html(str):
    """Markup that is safe as it is: made by :func:`tag` or written by us."""

    __slots__ = ()


Child = str | int | float | None | Iterable["Child"]

_VOID = frozenset({"meta", "input", "br"})


def escape(text: str) -> Html:
    """Make a text safe as content and attribute; characters nobody can see are named."""
    if isinstance(text, Html):
        return text
    return Html(html.escape(for_terminal(text)))


def tag(name: str, /, *children: Child, **attributes: str | int | float | None) -> Html:
    """Make an element. Plain strings in it are escaped, ``Html`` is not.

    ``class_`` becomes ``class``, ``stroke_width`` ``stroke-width``; None leaves out.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_attribute(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{join(children)}</{name}>")


def join(children: Child) -> Html:
    """Write children one after the other."""
    if children is None:
        return Html("")
    if isinstance(children, str):
        return escape(children)
    if isinstance(children, int | float):
        return escape(str(children))
    return Html("".join(join(child) for child in children))


def with_code(text: str) -> list[Child]:
    """Set the `commands` of a text as code."""
    return [tag("code", part) if place % 2 else part for place, part in enumerate(text.split("`"))]


def _attribute(value: str | int | float) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return escape(str(value))
