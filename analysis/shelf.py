"""Many rows of many columns in little memory: sorted into compartments, packed until wanted."""

import numpy as np

from tcptrace.analysis.packed import Packed, Packer, forget, unpack

Columns = dict[str, np.ndarray]


class Shelf:
    """Rows of columns (arrays whose last axis is rows) by compartment, in the order given."""

    def __init__(self, compartments: int) -> None:
        #: As they came, sorted by compartment, and where each compartment begins.
        self._loose: list[tuple[Columns, np.ndarray]] = []
        self._packed: list[list[dict[str, Packed]]] = [[] for _ in range(compartments)]
        self._packer = Packer()
        #: Rows in each compartment; the rows that are not packed.
        self.sizes = np.zeros(compartments, np.int64)
        self.loose = 0

    def add(self, columns: Columns, sizes: np.ndarray) -> None:
        """Put rows away, sorted by compartment; ``sizes``: how many go into each."""
        self._loose.append((columns, np.append(0, np.cumsum(sizes))))
        self.sizes += sizes
        self.loose += int(sizes.sum())

    def pack(self) -> None:
        """Pack what is not packed."""
        for place, packed in enumerate(self._packed):
            rows = self._unpacked(place, place + 1)
            packed.append({name: self._packer.pack(values) for name, values in rows.items()})
        self._loose, self.loose = [], 0

    def take(self, first: int, end: int, *, last: bool = False) -> Columns:
        """Give the rows of the compartments from ``first`` to before ``end``.

        ``last``: they will not be asked for again; what was packed gives its memory back.
        """
        portions = [
            {name: unpack(column) for name, column in rows.items()}
            for each in self._packed[first:end]
            for rows in each
        ]
        if last:
            for each in self._packed[first:end]:
                for rows in each:
                    forget(rows.values())
            self._packed[first:end] = [[] for _ in range(first, end)]
        if self._loose:
            portions.append(self._unpacked(first, end))
        if len(portions) == 1:
            return portions[0]
        return {name: np.concatenate([rows[name] for rows in portions], -1) for name in portions[0]}

    def forget(self) -> None:
        """Give all memory back: nothing will be asked for again."""
        self._loose, self._packed = [], []

    def _unpacked(self, first: int, end: int) -> Columns:
        return {
            name: np.concatenate(
                [columns[name][..., at[first] : at[end]] for columns, at in self._loose], -1
            )
            for name in self._loose[0][0]
        }
