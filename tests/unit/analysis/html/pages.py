"""Pages made from hand-made tables: tiny, hostile, busy."""

from pathlib import Path

from tcptrace.analysis.findings import find
from tcptrace.analysis.html import render_html
from tcptrace.analysis.summary import summarise

from ..tables import CLIENT, HEADER, SERVER, view

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</script><script>document.title='owned'</script>",
    "<!--<script>",
    "'; DROP TABLE",
    "\x1b[31mred\x07",
    "\u202egnp.exe",
    "a\nb\u2028c",
    "{{7*7}}",
    "&lt;b&gt;",
)

LEAK = {
    **SERVER,
    "outcome": "open",
    "state": "CLOSE_WAIT",
    "close_wait_s": 70.0,
    "closed": None,
    "censored": "right",
    "last_ack_s": None,
}


def page(*rows, **about):
    seen = view(*rows, **about)
    found = find(seen)
    return render_html(seen, summarise(seen, found), found)


def tiny():
    return page({**CLIENT, "conversation": 0}, {**SERVER, "conversation": 0})


def hostile():
    rows = []
    for place, name in enumerate(HOSTILE):
        pair = {"comm": name, "conversation": place, "error": name}
        rows.append({**CLIENT, **pair, "local_port": 40000 + place, "reset_reason": name})
        rows.append({**SERVER, **pair, "remote_port": 40000 + place})
        rows.append({**LEAK, "comm": name})
        rows.append({**CLIENT, "outcome": "refused", "error": name, "comm": name})
    header = {**HEADER, "host": HOSTILE[0], "kernel": HOSTILE[1]}
    return page(*rows, header=header, path=Path(HOSTILE[2].replace("/", "")))
