"""What was recorded, and what is wrong with it, before anything else."""

from typing import Any

from rich.text import Text

from tcptrace.analysis.text.layout import duration, heading, line, number, wrapped
from tcptrace.analysis.text.words import settled, warnings
from tcptrace.analysis.view import View


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
    if note := settled(view):
        lines += wrapped(note, "dim", indent=0)
    said = warnings(view, summary)
    return lines + [text for each in said for text in wrapped(each, "bold red", 0, label="! ")]
