"""Sizes as users type and read them."""

from __future__ import annotations

import click
import pytest

from tcptrace.tracer.sizes import Size, SizeOrTime, at_least, check_buffer_size, human_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("4096", 4096),
        ("64K", 64 << 10),
        ("64k", 64 << 10),
        ("64KB", 64 << 10),
        ("64KiB", 64 << 10),
        ("500M", 500 << 20),
        ("2G", 2 << 30),
        ("10B", 10),
    ],
)
def test_size_has_an_optional_unit(text: str, size: int) -> None:
    assert Size().convert(text, None, None) == size


@pytest.mark.parametrize("text", ["", "0", "0K", "-1", "1.5G", "K", "1T", "1KK", "²", "1 M", "ten"])
def test_anything_else_is_wrong_usage(text: str) -> None:
    with pytest.raises(click.BadParameter, match="no size such as 64M"):
        Size().convert(text, None, None)


@pytest.mark.parametrize("size", [1 << 16, 64 << 20, 1 << 31])
def test_buffer_is_a_power_of_two(size: int) -> None:
    option = click.Option(["--buffer-size"])
    context = click.Context(click.Command("record"))
    assert check_buffer_size(context, option, size) == size
    for wrong in (size + 1, 3 * size, 1, 1 << 32):
        with pytest.raises(click.BadParameter, match="power of two"):
            check_buffer_size(context, option, wrong)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_234_567, "1.2 MB"), (5 * 10**12, "5.0 TB")],
)
def test_size_is_read_with_a_unit(size: int, text: str) -> None:
    assert human_size(size) == text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("100M", 100 << 20), ("5m", 5 << 20), ("60s", 60.0), ("15min", 900.0), ("2h", 7200.0)],
)
def test_files_end_by_size_or_by_time(text: str, wanted: float) -> None:
    found = SizeOrTime().convert(text, None, None)
    assert found == wanted
    assert type(found) is type(wanted)


@pytest.mark.parametrize("text", ["", "s", "0s", "1.5h", "-1s", "5ms", "10mins", "1w", "²s"])
def test_what_is_neither_size_nor_time_is_wrong_usage(text: str) -> None:
    with pytest.raises(click.BadParameter, match="neither a size such as 100M nor a time"):
        SizeOrTime().convert(text, None, None)


def test_sizes_too_small_are_refused_and_times_are_not() -> None:
    context, parameter = click.Context(click.Command("record")), click.Option(["--rotate"])
    check = at_least(1 << 20)
    assert [check(context, parameter, value) for value in (None, 1.0, 1 << 20)] == [
        None,
        1.0,
        1 << 20,
    ]
    with pytest.raises(click.BadParameter, match="at least 1024K"):
        check(context, parameter, (1 << 20) - 1)
