"""The results as Markdown: a table of goals, and one of tools."""

import statistics
from typing import Any

from measure import STATE_TRACEPOINT

Results = dict[str, Any]
_OURS = "tcptrace"
_BCC = "bcc tcpstates"
_LIBBPF = "libbpf-tools tcpstates"
_TIMERS = ("timer_start", "timer_cancel", "timer_expire_entry")


def median(rows: list[dict[str, Any]], value: str) -> float:
    """Take the median of one value over the runs."""
    return float(statistics.median(row[value] for row in rows))


def per_event(rows: list[dict[str, Any]], value: str) -> float:
    """Take the median of a cost per event in the tool's output."""
    return float(statistics.median(row[value] / max(row["events"], 1) for row in rows))


def per_row(rows: list[dict[str, Any]]) -> float:
    """Take the median of the bytes that a row of the tool's output takes."""
    return float(statistics.median(row["bytes"] / max(row["rows"], 1) for row in rows))


def captured(rows: list[dict[str, Any]]) -> float:
    """Take the median share of state transitions that are in the output, 0 to 1."""
    return float(statistics.median(min(row["captured"] / row["made"], 1.0) for row in rows))


def nanoseconds(runs: list[dict[str, list[int]]], tracepoint: str = STATE_TRACEPOINT) -> float:
    """Take the median of a program's cost per run."""
    return float(statistics.median(run[tracepoint][1] / max(run[tracepoint][0], 1) for run in runs))


def slowdown(load: Results, tool: str) -> float:
    """Give the share of connections/s that a load loses under a tool."""
    return 1.0 - median(load[tool], "rate") / median(load["none"], "rate")


def memory(results: Results, tool: str) -> float:
    """Give the peak, bytes: starting (helpers that end included) or under load."""
    starting = [row["memory"] for row in results["start"][tool]]
    loaded = [row["memory"] for row in results["churn"][tool]]
    return float(max(statistics.median(starting), statistics.median(loaded)))


def _lines(results: Results) -> list[tuple[str, str, str]]:
    """Give figure, goal and measured value of each line whose runs were made."""
    lines: list[tuple[str, str, str]] = []
    for name, title in (("churn", "connection churn"), ("web", "request and reply")):
        if name in results:
            load = results[name]
            ours = load[_OURS]
            rate = median(load["none"], "rate")
            worst = min(row["captured"] / row["made"] for row in ours)
            ratio = per_event(ours, "cpu_s") / per_event(load[_LIBBPF], "cpu_s")
            lines += [
                (f"captured, {title} ({rate:,.0f}/s)", "100 %", f"{worst:.4%} in the worst run"),
                (
                    f"tracer CPU per event, {title}",
                    "1/10 of libbpf-tools'",
                    f"{per_event(ours, 'cpu_s') * 1e6:.2f} us: {_fraction(ratio)}",
                ),
                (
                    f"connections/s lost, {title}",
                    "5 %",
                    f"{slowdown(load, _OURS):.1%} "
                    f"(peers {min(slowdown(load, tool) for tool in _peers(load)):.0%} to "
                    f"{max(slowdown(load, tool) for tool in _peers(load)):.0%}"
                    f"{_nothing(results, name)})",
                ),
                (f"bytes per row, {title}", "8", f"{per_row(ours):.1f}"),
            ]
    for name, title in (("kernel_churn", "connection churn"), ("kernel_web", "request and reply")):
        if name in results:
            cost = nanoseconds(results[name][_OURS])
            ratio = cost / nanoseconds(results[name][_BCC])
            lines.append(
                (
                    f"kernel cost per state event, {title}",
                    "1/4 of bcc's",
                    f"{cost:.0f} ns: {_fraction(ratio)}",
                )
            )
    return lines + _more_lines(results)


def _nothing(results: Results, load: str) -> str:
    """Say what a load loses to programs that do nothing, where that was measured."""
    if load != "churn" or "floor" not in results:
        return ""
    return f"; programs that do nothing {slowdown(results['floor'], 'nothing'):.1%}"


def _more_lines(results: Results) -> list[tuple[str, str, str]]:
    lines: list[tuple[str, str, str]] = []
    if "mixed" in results:
        mixed = [row for row in results["mixed"] if row["mode"] == "mixed"]
        lines.append(("bytes per row, mixed load", "16", f"{per_row(mixed):.1f}"))
        made = sum(row["connections"] for row in results["mixed"])
        lines.append(
            ("connections of mixed loads reconstructed", "all", f"all of {made:,}, both ends")
        )
    if "timers" in results:
        timers = results["timers"]
        base = statistics.median(timers["without"])
        added = statistics.median(timers["with"]) - base
        nothing = statistics.median(timers["nothing"]) - base
        programs = ", ".join(
            f"{name} {nanoseconds(timers['programs'], name):.0f}"
            for name in _TIMERS
            if all(name in run for run in timers["programs"])
        )
        lines.append(
            (
                "added per unrelated timer event",
                "40 ns",
                f"{added:.0f} ns (programs that do nothing {nothing:.0f}; bpf_stats: {programs})",
            )
        )
    if "burst" in results:
        burst = results["burst"]
        lines.append(
            (
                f"{burst['made']:,} TIME_WAITs ending together",
                "none lost",
                f"{burst['expired']:,} recorded, {burst['lost']} lost; "
                f"{burst['same_tick']:,} within 4 ms",
            )
        )
    if "held_up" in results:
        held = results["held_up"]
        lines.append(
            (
                "lost count when the ring is full",
                "exact",
                f"{held['made']:,} made = {held['recorded']:,} recorded + {held['lost']:,} lost "
                f"{-held['difference']:+,}",
            )
        )
    if "idle" in results:
        lines.append(("CPU when idle", "0.2 %", f"{results['idle'][_OURS]:.2%}"))
    if "start" in results:
        start = results["start"]
        lines.append(
            (
                "start to first event",
                "bcc's",
                f"{median(start[_OURS], 'seconds'):.2f} s "
                f"(bcc {median(start[_BCC], 'seconds'):.2f})",
            )
        )
        if "churn" in results:
            lines.append(
                (
                    "peak memory of record",
                    "bcc's",
                    f"{memory(results, _OURS) / 1e6:.0f} MB "
                    f"(bcc {memory(results, _BCC) / 1e6:.0f})",
                )
            )
    return lines + _report_lines(results)


def _report_lines(results: Results) -> list[tuple[str, str, str]]:
    lines: list[tuple[str, str, str]] = []
    small, large = results.get("report"), results.get("report_large")
    if small:
        cpu = {name: median(small[name], "cpu_s") for name in (_OURS, "pandas", "duckdb")}
        lines += [
            (
                f"report on {small['events']:,} events",
                "2,000,000 events/s",
                f"{small['events'] / cpu[_OURS]:,.0f} events/s, "
                f"{median(small[_OURS], 'memory') / 2**30:.2f} GiB",
            ),
            (
                "the same questions, plain",
                "stated",
                f"tcptrace {cpu[_OURS]:.1f} s, pandas groupby {cpu['pandas']:.1f} s, "
                f"DuckDB {cpu['duckdb']:.1f} s",
            ),
        ]
    if large:
        times = median(large[_OURS], "cpu_s") / median(large["tenth"], "cpu_s")
        lines.append(
            (
                f"report on {large['events']:,} events",
                "10x the time, 4 GiB",
                f"{times:.1f}x, {median(large[_OURS], 'memory') / 2**30:.2f} GiB",
            )
        )
    return lines


def _peers(load: Results) -> list[str]:
    return [name for name in load if name not in ("none", _OURS)]


def _fraction(ratio: float) -> str:
    return f"1/{1 / ratio:.1f}" if 0 < ratio < 1 else f"{ratio:.1f} times"


def _tools(results: Results, load: str, kernel: str) -> list[str]:
    rows = [
        "| | captured | connections/s | CPU per event | kernel, per event | bytes per row |",
        "|---|---|---|---|---|---|",
        f"| no tool | | {median(results[load]['none'], 'rate'):,.0f} | | | |",
    ]
    for tool in [_OURS, *_peers(results[load])]:
        runs = results[load][tool]
        cost = f"{nanoseconds(results[kernel][tool]):,.0f} ns" if kernel in results else ""
        rows.append(
            f"| {tool} | {captured(runs):.1%} | {median(runs, 'rate'):,.0f} | "
            f"{per_event(runs, 'cpu_s') * 1e6:.2f} us | {cost} | "
            f"{per_row(runs):.1f} |"
        )
    return rows


def _when(results: Results) -> str:
    """Say when, and on which commit, which figures were measured."""
    runs: dict[tuple[str, str], list[str]] = {}
    for figure, measured in results["measured"].items():
        runs.setdefault((measured["date"][:10], measured["commit"]), []).append(figure)
    told = [(f"{date}, commit {commit}", names) for (date, commit), names in runs.items()]
    if len(told) == 1:
        return told[0][0]
    return "; ".join(f"{run} ({', '.join(names)})" for run, names in told)


def table(results: Results) -> str:
    """Write the results as Markdown."""
    on = results["machine"]
    text = [
        f"{_when(results)}: {on['cores']} cores of {on['cpu']}, {on['memory_gib']} GiB, "
        f"{on['system']}, Linux {on['kernel']}. "
        f"Medians of {results['repeats']} runs of {results['seconds']:g} s, "
        "tools taking turns.",
        "",
        "| figure | goal | measured |",
        "|---|---|---|",
        *(f"| {figure} | {goal} | {value} |" for figure, goal, value in _lines(results)),
    ]
    for load, kernel, title in (
        ("churn", "kernel_churn", "Connections opened and closed, nothing else"),
        ("web", "kernel_web", "Connections with a request and a reply"),
    ):
        if load in results:
            text += ["", f"{title}:", "", *_tools(results, load, kernel)]
    return "\n".join(text) + "\n"
