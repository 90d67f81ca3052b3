"""The files of a rotated recording: RUN.arrows is RUN.0001.arrows, RUN.0002.arrows, ..."""

import os
import re
from pathlib import Path

#: Why a file that is not the last of its set ended.
ROTATED = "the next file goes on"


def part_path(path: Path, number: int) -> Path:
    """Name a rotated recording's file; ``number`` counts from 1."""
    return path.with_name(f"{path.stem}.{number:04}{path.suffix}")


def parts_beside(path: Path) -> list[Path]:
    """Find the files there are of the rotated recording ``path``, in order.

    Raises ``OSError``.
    """
    pattern = re.compile(rf"{re.escape(path.stem)}\.(\d{{4,}}){re.escape(path.suffix)}")
    found = {}
    for entry in os.scandir(path.parent):
        if match := pattern.fullmatch(entry.name):
            found[int(match[1])] = path.with_name(entry.name)
    return [found[number] for number in sorted(found)]


def base_path(part: Path) -> Path:
    """Name the rotated recording that a file is part of."""
    return part.with_name(f"{part.stem.rpartition('.')[0] or part.stem}{part.suffix}")
