"""Sizes as users type and read them."""

from __future__ import annotations

import click
import pytest

from tcptrace.tracer.sizes import Size, check_buffer_size, human_size


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
