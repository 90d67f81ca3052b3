"""The page: head, sections in the order of a person's questions, and what guards it."""

import base64
import hashlib
from importlib import resources
from typing import Any

from tcptrace.analysis.findings import Finding
from tcptrace.analysis.html import closing, overview, time_wait
from tcptrace.analysis.html.connections import connection_table
from tcptrace.analysis.html.diagram import diagram
from tcptrace.analysis.html.markup import Html, tag
from tcptrace.analysis.view import View

_SECTIONS = (
    ("findings", "Findings"),
    ("closers", "Who closes"),
    ("time-wait", "TIME_WAIT"),
    ("close-wait", "CLOSE_WAIT"),
    ("states", "States"),
    ("dwell", "Times"),
    ("failures", "Failures"),
    ("connections", "Connections"),
    ("completeness", "Completeness"),
)


def render_html(view: View, summary: dict[str, Any], findings: list[Finding]) -> str:
    """Write the report as one HTML document that needs nothing else.

    ``summary``: of :func:`tcptrace.analysis.summary.summarise` for the same view.
    """
    content: list[Html] = [
        overview.header(view, summary),
        tag("nav", [tag("a", text, href=f"#{name}") for name, text in _SECTIONS]),
        overview.tiles(view, summary),
        overview.findings(findings),
        closing.active_closers(view, summary),
        time_wait.time_wait(view, summary),
        closing.close_wait(view, summary),
        diagram(view, summary),
        overview.dwell(summary),
        closing.failures(view),
        connection_table(view),
        overview.completeness(summary),
    ]
    return document(f"tcptrace report: {view.recording.path.name}", content)


def document(title: str, content: list[Html]) -> str:
    """Write a whole document around ``content``, with our style and script in it."""
    style, script = _file("style.css"), _file("script.js")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(style, script)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Html(style)),
    )
    body = tag("body", tag("main", content), tag("script", Html(script)))
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def _file(name: str) -> str:
    return resources.files("tcptrace.analysis.html").joinpath(name).read_text("utf-8")


def _policy(style: str, script: str) -> str:
    """Allow our own style and script by their hashes, and nothing else whatever."""
    hashes = [
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for text in (style, script)
    ]
    return (
        f"default-src 'none'; style-src 'sha256-{hashes[0]}'; "
        f"script-src 'sha256-{hashes[1]}'; base-uri 'none'; form-action 'none'"
    )
