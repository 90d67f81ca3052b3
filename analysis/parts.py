"""A rotated recording: several files, read as one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa

from tcptrace.analysis.header import check_header, nanoseconds
from tcptrace.analysis.load import load
from tcptrace.analysis.observed import ALWAYS, Observed
from tcptrace.analysis.reconstruct import Reconstruction
from tcptrace.tracer.errors import RecordingError
from tcptrace.tracer.parts import ROTATED, base_path, parts_beside


@dataclass(frozen=True)
class Parts:
    """The files of one recording, in order; nearly always a single one.

    ``name``: what to call it. ``rotated``: whether these are files of a set. ``unreadable``:
    files that by their names are of it, too, but are cut off within their headers.
    """

    name: Path
    paths: tuple[Path, ...]
    rotated: bool = False
    unreadable: tuple[Path, ...] = ()


def find_parts(paths: Iterable[Path]) -> list[Parts]:
    """Tell which files are one recording: those of a rotated set, wherever they are given.

    A name that no file has stands for the rotated files made from it. Raises
    :class:`RecordingError`.
    """
    files = dict.fromkeys(file for path in paths for file in _expand(path))
    sets: dict[str, dict[int, Path]] = {}
    alone = []
    for file in files:
        part = _set_of(file)
        if part is None:
            alone.append(file)
            continue
        other = sets.setdefault(part["id"], {}).setdefault(part["number"], file)
        if other != file:
            raise RecordingError(f"{file}: the same part of its set as {other}: leave one out")
    result = []
    for numbered in sets.values():
        parts = tuple(numbered[number] for number in sorted(numbered))
        base = base_path(parts[0])
        unreadable = tuple(file for file in alone if file != base and base_path(file) == base)
        alone = [file for file in alone if file not in unreadable]
        whole = len(parts) + len(unreadable) > 1
        result.append(Parts(base if whole else parts[0], parts, True, unreadable))
    result += [Parts(file, (file,)) for file in alone]
    places = {file: place for place, file in enumerate(files)}
    return sorted(result, key=lambda parts: min(places[file] for file in parts.paths))


def one_recording(paths: Iterable[Path]) -> Parts:
    """Find the files of what must be one recording. Raises :class:`RecordingError`."""
    found = find_parts(paths)
    if len(found) != 1:
        raise RecordingError(
            f"{found[1].name}: not of the same recording as {found[0].name}: read one at a time"
            if found
            else "no file given"
        )
    return found[0]


def _expand(path: Path) -> Sequence[Path]:
    if path.exists() or path.is_symlink():
        return [path]
    try:
        return parts_beside(path) or [path]
    except OSError:
        return [path]


def _set_of(path: Path) -> dict[str, Any] | None:
    """Read what a file says of the set it is part of; None if it is of none, or unreadable."""
    try:
        with pa.memory_map(str(path)) as source:
            return check_header(path, pa.ipc.open_stream(source).schema).get("set")
    except (pa.ArrowException, OSError, EOFError, RecordingError):
        return None  # reading it will say what is wrong


def load_parts(parts: Parts) -> dict[str, Any]:
    """Read a recording's files: the parts of a :class:`Recording`, as ``load`` gives them.

    Raises :class:`RecordingError`.
    """
    reconstruction = Reconstruction()
    loaded = [load(path, reconstruction) for path in parts.paths]
    counts = tuple(each.pop("count") for each in loaded)
    read = {"files": tuple(zip(parts.paths, counts, strict=True)), "found": reconstruction.finish()}
    if not parts.rotated:
        return loaded[0] | read
    return read | {
        "header": loaded[0]["header"] | _names(loaded),
        "final": {} if parts.unreadable else loaded[-1]["final"],
        "observed": _observed(loaded, counts),
        "problem": _problem(loaded, parts.unreadable),
    }


def _names(loaded: list[dict[str, Any]]) -> dict[str, Any]:
    """Put together what the files say namespaces and control groups are called."""
    names: dict[str, dict[str, str]] = {}
    for each in loaded:
        for kind, named in each["header"].get("names", {}).items():
            names[kind] = names.get(kind, {}) | named
    return {"names": names} if names else {}


def _number(loaded: dict[str, Any]) -> int:
    number: int = loaded["header"]["set"]["number"]
    return number


def _between(one: dict[str, Any], other: dict[str, Any], count: int) -> int:
    """Count the events between two files of a set, which are in neither; 0: none are missing.

    ``count``: those in the first.
    """
    if one["problem"] is None and _number(other) == _number(one) + 1:
        return 0
    before, after = one["header"]["set"], other["header"]["set"]
    recorded = one["final"].get("events", count)
    made = after["events"] + after["lost"] - before["events"] - before["lost"]
    missing: int = made - recorded - one["observed"].lost
    return max(1, missing)


def _observed(loaded: list[dict[str, Any]], counts: tuple[int, ...]) -> Observed:
    spans = [each["observed"] for each in loaded]
    lost, lost_until = spans[0].lost, spans[0].lost_until
    for (one, other), count in zip(pairwise(loaded), counts, strict=False):
        missing, part = _between(one, other, count), other["observed"]
        # What had been lost when the next file began was lost before that.
        began = nanoseconds(other["header"].get("started"))
        began = part.started if began is None else began
        if missing or lost_until == ALWAYS:
            lost_until = began
        lost += missing + part.lost
        lost_until = max(lost_until, part.lost_until)
    ended = settling = max(span.ended for span in spans)
    for span in reversed(spans):
        if span.settling >= span.ended > span.started:
            break  # it was followed to its end
        settling = min(settling, span.settling)
    return Observed(spans[0].started, settling, ended, lost, lost_until)


def _problem(loaded: list[dict[str, Any]], unreadable: tuple[Path, ...]) -> str | None:
    """Say what is missing of a set, or wrong with its files; None if nothing is."""
    said = []
    for one, other in pairwise(loaded):
        number, following = _number(one), _number(other)
        if one["problem"] is not None:
            said.append(f"file {number} of the set: {one['problem']}")
        if following == number + 2:
            said.append(f"file {number + 1} of the set is missing")
        elif following > number + 2:
            said.append(f"files {number + 1} to {following - 1} of the set are missing")
    last = loaded[-1]
    if last["problem"] is not None:
        said.append(last["problem"])
    elif last["final"].get("reason") == ROTATED and not unreadable:
        said.append(f"the set goes on after file {_number(last)}, which is the last one here")
    said += [f"{path.name} is cut off within its header" for path in unreadable]
    return "; ".join(said) or None
