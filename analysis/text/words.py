"""Words that the text and the HTML report share."""

from typing import Any

from tcptrace.analysis.findings.finding import several
from tcptrace.analysis.findings.recording import share_lost
from tcptrace.analysis.text.layout import duration, number
from tcptrace.analysis.view import View

#: Counters of ``completeness`` in words.
COUNTERS = {
    "active_opens": "connections opened from here",
    "passive_opens": "connections accepted here",
    "estab_resets": "resets of established connections",
    "timewait_sockets": "timewait sockets",
    "time_wait_reused_connect": "TIME_WAITs reused by connect()",
    "time_wait_skipped": "TIME_WAITs skipped",
}


def warnings(view: View, summary: dict[str, Any]) -> list[str]:
    """Say what keeps the recording from being the whole truth; empty if nothing does."""
    recording, about = view.recording, summary["recording"]
    said = []
    if not about["complete"]:
        said.append(
            f"This recording was cut off ({recording.problem or 'no end mark'}): what is "
            "there is used, what came after is not known."
        )
    if about["lost"]:
        said.append(f"{share_lost(recording)}: counts are lower bounds.")
    if not about["events"]:
        said.append("This recording is empty: it holds no events at all.")
    elif not view.whole:
        said.append("No connection was seen.")
    elif not summary["connections"]["total"]:
        ends = several(view.whole, "end")
        said.append(f"No connection passes the filters; it holds {ends}.")
    return said


def settled(view: View) -> str | None:
    """Say what part of the recording followed only TIME_WAITs; None if none did."""
    observed = view.recording.observed
    only = (observed.ended - observed.settling) / 1e9
    if only <= 0:
        return None
    whole = (observed.settling - observed.started) / 1e9
    return (
        f"All was followed for {duration(whole)}; in the {duration(only)} after that only the "
        "TIME_WAITs begun by then (--settle). What was open then is shown as open."
    )


def failure(row: dict[str, Any]) -> str:
    """Name how a connect failed, or how an established connection was given up."""
    outcome = str(row["outcome"]).replace("_", " ")
    return f"{outcome} once open" if row["established"] else f"connect {outcome}"


def evidence(row: dict[str, Any]) -> str:
    """Write one row of a finding's evidence."""
    return ", ".join(_fact(name, value) for name, value in row.items() if value is not None)


def _fact(name: str, value: Any) -> str:
    if name.endswith("_s") and isinstance(value, int | float):
        return f"{name[:-2].replace('_', ' ')} {duration(value)}"
    # Those with an underscore that are names of settings stay as they are.
    words = name if name.startswith("tcp_") else name.replace("_", " ")
    if isinstance(value, int) and name not in ("pid", "netns", "port"):
        return f"{words} {number(value)}"
    return f"{words} {value}"
