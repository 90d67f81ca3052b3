"""A recording that ends before its file is larger than wanted (``--max-size``)."""

from typing import Any

import numpy as np

from tcptrace.tracer.recording import RecordingWriter


def row_times(batch: Any) -> np.ndarray:
    """Give a batch's times, ns since 1970."""
    column = batch["time"]
    values: np.ndarray = np.frombuffer(column.buffers()[1] or b"", np.int64)
    return values[column.offset : column.offset + len(column)]


class LimitedWriter(RecordingWriter):
    """Writes as much as fits into ``limit`` bytes; what comes after is not of the recording.

    ``until``: the time of the last row written, ns since 1970: all before it is there.
    """

    def __init__(self, descriptor: int, name: str, header: dict[str, Any], limit: int) -> None:
        self.until: int | None = None
        super().__init__(descriptor, name, header)
        self._limit = limit

    def write(self, batch: Any, seen: int, lost: int, more: dict[str, Any] | None = None) -> None:
        """Add a batch, or its beginning if there is no room for all: then this is ``full``."""
        if len(batch):
            fitting = self.fitting(batch, self._limit)
            self.full = self.full or fitting < len(batch)
            if not fitting:
                return
            batch = batch.slice(0, fitting)
            self.until = max(self.until or 0, int(row_times(batch).max()))
        super().write(batch, seen, lost, more)
