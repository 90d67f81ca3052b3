"""The results as one picture: what each tool captures and what it costs."""

from pathlib import Path
from typing import Any

from table import captured, median, nanoseconds, per_event

_LOADS = (("churn", "kernel_churn", "connection churn"), ("web", "kernel_web", "request and reply"))
_COLOURS = ("#1b6ca8", "#b0b7bf", "#8d969f", "#69727b")


def plot(results: dict[str, Any], path: Path) -> None:
    """Draw the tools side by side, a row of panels per load; SVG."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    mpl.rcParams.update({"svg.hashsalt": "tcptrace", "font.size": 9})
    loads = [load for load in _LOADS if load[0] in results and load[1] in results]
    if not loads:
        return
    figure, rows = pyplot.subplots(len(loads), 4, figsize=(11, 2.3 * len(loads)), squeeze=False)
    for axes, (load, kernel, title) in zip(rows, loads, strict=True):
        runs = results[load]
        tools = [name for name in runs if name != "none"]
        base = median(runs["none"], "rate")
        panels = (
            ("events captured, %", [captured(runs[tool]) * 100 for tool in tools], "{:.0f}"),
            (
                "connections/s, % of no tool",
                [median(runs[tool], "rate") / base * 100 for tool in tools],
                "{:.0f}",
            ),
            (
                "tracer CPU per event, us",
                [per_event(runs[tool], "cpu_s") * 1e6 for tool in tools],
                "{:.2f}",
            ),
            (
                "kernel cost per state event, ns",
                [nanoseconds(results[kernel][tool]) for tool in tools],
                "{:,.0f}",
            ),
        )
        for axis, (label, values, form) in zip(axes, panels, strict=True):
            bars = axis.barh(tools, values, color=_COLOURS[: len(tools)])
            axis.bar_label(bars, [form.format(value) for value in values], padding=3)
            axis.set_title(label, fontsize=9)
            axis.invert_yaxis()
            axis.margins(x=0.2)
            axis.spines[["top", "right"]].set_visible(False)
            if axis is not axes[0]:
                axis.set_yticklabels([])
        axes[0].set_ylabel(title)
    machine = results["machine"]
    figure.suptitle(
        f"{machine['cores']} cores, Linux {machine['kernel']}; medians of {results['repeats']}",
        fontsize=9,
    )
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
