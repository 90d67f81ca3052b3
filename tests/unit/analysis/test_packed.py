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


BITS = {"i2": 16, "u2": 16, "i4": 32, "u4": 32, "i8": 64, "u8": 64}


@st.composite
def near(draw: st.DrawFn) -> np.ndarray:
    """Draw numbers whose differences just fit into some bytes, or just do not; many alike."""
    dtype = np.dtype(draw(st.sampled_from(list(BITS))))
    least, most = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    span = (1 << draw(st.sampled_from([1, 8, 16, 32, 64]))) - draw(st.integers(0, 2))
    span = max(0, min(span, most - least))
    ends = {least, most - span, max(least, -(span // 2)), max(least, 0)}
    low = draw(st.sampled_from(sorted(end for end in ends if end + span <= most)))
    values = draw(st.lists(st.integers(low, low + span), max_size=40))
    values += [low, low + span]
    extreme = draw(st.sampled_from([low, least, most]))
    values += [extreme] * draw(st.sampled_from([0, 1, 100]))
    return np.array(draw(st.permutations(values)), dtype)


@given(near())
def test_numbers_at_the_bounds_of_what_bytes_tell_come_back(values: np.ndarray) -> None:
    back = unpack(Packer().pack(values))
    np.testing.assert_array_equal(back, values)
    assert back.dtype == values.dtype


def test_what_is_near_or_the_same_takes_little_memory() -> None:
    random, count = np.random.default_rng(1), 1 << 16
    times = 1_700_000_000_000_000_000 + random.integers(0, 100 * 10**9, count)
    ports, clients = random.integers(32768, 60999, count), random.integers(0, 200, count)
    rare = np.where(random.random(count) < 0.05, times, np.iinfo(np.int64).min)
    for values, most in ((times, 5), (ports, 2), (clients, 1), (rare, 0.7), (times * 0 + 7, 0)):
        packed = Packer().pack(values)
        assert packed.end - packed.start <= most * count
        np.testing.assert_array_equal(unpack(packed), values)


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
