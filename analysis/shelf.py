"""Many rows of many columns in little memory: sorted into compartments, packed until wanted."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

#: A quarter of the size for a tenth of the time that reading an event takes.
_CODEC = pa.Codec("lz4_raw")


@dataclass(frozen=True)
class Packed:
    """An array; ``data``: packed, None where all values are ``first``."""

    dtype: np.dtype
    shape: tuple[int, ...]
    first: object
    data: pa.Buffer | None


def pack(values: np.ndarray) -> Packed:
    """Take an array into little memory."""
    first = values.flat[0] if values.size else None
    if not values.size or bool((values == first).all()):
        return Packed(values.dtype, values.shape, first, None)
    # Byte by byte, the high ones of all first: those hardly differ.
    planes = values.reshape(-1).view(np.uint8).reshape(values.size, -1).T
    data = _CODEC.compress(np.ascontiguousarray(planes))
    return Packed(values.dtype, values.shape, first, data)


def unpack(packed: Packed) -> np.ndarray:
    """Give the array again."""
    if packed.data is None:
        return np.full(packed.shape, packed.first if packed.first is not None else 0, packed.dtype)
    size = int(np.prod(packed.shape))
    planes = _CODEC.decompress(packed.data, size * packed.dtype.itemsize)
    flat = np.frombuffer(planes, np.uint8).reshape(-1, size).T
    return np.ascontiguousarray(flat).view(packed.dtype).reshape(packed.shape)


Columns = dict[str, np.ndarray]


class Shelf:
    """Rows of columns (arrays whose last axis is rows) by compartment, in the order given."""

    def __init__(self, compartments: int) -> None:
        self._packed: list[list[dict[str, Packed]]] = [[] for _ in range(compartments)]
        #: Rows in each compartment.
        self.sizes = np.zeros(compartments, np.int64)

    def add(self, columns: Columns, compartment: np.ndarray) -> None:
        """Put rows away; ``compartment``: of each row, uint16."""
        order = np.argsort(compartment, kind="stable")
        sizes = np.bincount(compartment, minlength=len(self.sizes))
        starts = np.cumsum(sizes) - sizes
        self.sizes += sizes
        in_order = {name: values[..., order] for name, values in columns.items()}
        for place, (start, size) in enumerate(zip(starts, sizes, strict=True)):
            rows = {name: pack(all_[..., start : start + size]) for name, all_ in in_order.items()}
            self._packed[place].append(rows)

    def take(self, first: int, end: int) -> Columns:
        """Give the rows of the compartments from ``first`` to before ``end``."""
        portions = [rows for each in self._packed[first:end] for rows in each]
        return {
            name: np.concatenate([unpack(rows[name]) for rows in portions], -1)
            for name in portions[0]
        }
