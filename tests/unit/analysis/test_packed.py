"""What is packed comes back as it was, and what is forgotten takes no memory."""

import mmap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tcptrace.analysis.packed import Packer, forget, unpack

TYPES = st.sampled_from(["?", "i1", "u2", "i4", "u4", "i8", "u8", "f8"])
SHAPES = st.one_of(st.tuples(st.integers(0, 50)), st.tuples(st.integers(1, 3), st.integers(0, 9)))


@given(st.lists(st.tuples(TYPES, SHAPES).flatmap(lambda of: arrays.arrays(*of)), max_size=4))
def test_arrays_come_back_as_they_were(given_away: list[np.ndarray]) -> None:
    packer = Packer()
    packed = [packer.pack(values) for values in given_away]
    for values, each in zip(given_away, packed, strict=True):
        back = unpack(each)
        np.testing.assert_array_equal(back, values)
        assert back.dtype == values.dtype
        assert back.flags.writeable


def test_one_that_is_larger_than_all_others_finds_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tcptrace.analysis.packed._MAP", mmap.PAGESIZE)
    packer, random = Packer(), np.random.default_rng(1)
    given_away = [random.integers(0, 1 << 60, size) for size in (100, 5000, 200, 200)]
    packed = [packer.pack(values) for values in given_away]
    assert len({each.memory for each in packed}) == 3
    for values, each in zip(given_away, packed, strict=True):
        np.testing.assert_array_equal(unpack(each), values)


def resident() -> int:
    """Bytes of memory this process has of its own."""
    _, pages, shared, *_ = Path("/proc/self/statm").read_text().split()
    return (int(pages) - int(shared)) * mmap.PAGESIZE


def test_what_is_forgotten_gives_its_memory_back_and_leaves_its_neighbours() -> None:
    packer, random = Packer(), np.random.default_rng(1)
    given_away = [random.integers(0, 1 << 60, 1 << 20) for _ in range(3)]
    packed = [packer.pack(values) for values in given_away]
    before = resident()
    forget([packed[1]])
    assert before - resident() > 7 << 20
    for place in (0, 2):
        np.testing.assert_array_equal(unpack(packed[place]), given_away[place])
