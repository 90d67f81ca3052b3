"""What was recorded, and what is wrong with it, before anything else."""

from typing import Any

from rich.text import Text

from tcptrace.analysis.filters import View
from tcptrace.analysis.text.layout import duration, heading, line, number, wrapped


def section(view: View, summary: dict[str, Any]) -> list[Text]:
    """Name the recording; say first if it is empty, cut off or lossy."""
    recording, about = view.recording, summary["recording"]
    lines = [heading(line(f"tcptrace report: {recording.path.name}", indent=0).plain)]
    if about["started"] is not None:
        lines.append(
            line(
                f"{about['host'] or 'unknown host'}, "
                f"Linux {about['kernel'] or '(version unknown)'}; "
                f"{about['started'][:19].replace('T', ' ')} UTC, "
                f"{duration(about['duration_s'])}",
                indent=0,
            )
        )
    lost = f"{number(about['lost'])} LOST" if about["lost"] else "none lost"
    ended = "" if about["complete"] else ", CUT OFF"
    lines.append(line(f"{number(about['events'])} events, {lost}{ended}", indent=0))
    if view.filters:
        lines += wrapped(f"Only: {view.filters}", indent=0)
    lines += _warnings(view, summary)
    return lines


def _warnings(view: View, summary: dict[str, Any]) -> list[Text]:
    recording, about = view.recording, summary["recording"]
    said = []
    if not about["complete"]:
        said.append(
            f"This recording was cut off ({recording.problem or 'no end mark'}): what is "
            "there is used, what came after is not known."
        )
    if about["lost"]:
        whole = about["lost"] + about["events"]
        said.append(
            f"{number(about['lost'])} of {number(whole)} events were lost "
            f"({about['lost'] / whole:.2%}): counts are lower bounds."
        )
    if not about["events"]:
        said.append("This recording is empty: it holds no events at all.")
    elif not len(recording.connections):
        said.append("No connection was seen.")
    elif not summary["connections"]["total"]:
        total = number(len(recording.connections))
        said.append(f"None of its {total} connections passes the filters.")
    return [text for each in said for text in wrapped(each, "bold red", 0, label="! ")]
