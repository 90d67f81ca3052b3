"""Sizes in bytes, as users type and read them."""

import mmap
from collections.abc import Callable
from typing import Any

import click

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
#: What bpf(2) can be asked for: a power of two in 32 bits.
_LARGEST_BUFFER = 1 << 31


class Size(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on
    """Bytes, with an optional K, M or G (powers of 1024)."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read a size such as 64M."""
        if isinstance(value, int):
            return value
        number = value.upper().removesuffix("B").removesuffix("I").rstrip("KMG")
        unit = value.upper()[len(number) :].removesuffix("B").removesuffix("I")
        if not (number.isascii() and number.isdigit()) or unit not in _UNITS or not int(number):
            self.fail(f"{value!r} is no size such as 64M", param, ctx)
        return int(number) * _UNITS[unit]


_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400}


class SizeOrTime(click.ParamType):  # type: ignore[type-arg]
    """Bytes such as 100M, or a time such as 60s, 15min, 2h or 1d.

    Gives an int for bytes, a float for seconds.
    """

    name = "size|time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | float:
        """Read a size or a time."""
        number = value.rstrip("smindh")
        seconds = _SECONDS.get(value[len(number) :])
        if seconds and number.isascii() and number.isdigit() and int(number):
            return float(int(number) * seconds)
        try:
            return Size().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(
                f"{value!r} is neither a size such as 100M nor a time such as 60s", param, ctx
            )


def at_least(smallest: int) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """Make the check that a size is not too small; a time may be any."""

    def check(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
        if isinstance(value, int) and value < smallest:
            raise click.BadParameter(f"must be at least {smallest >> 10}K", ctx, param)
        return value

    return check


def check_buffer_size(ctx: click.Context, param: click.Parameter, value: int) -> int:
    """Refuse sizes that a ring buffer cannot have."""
    if value & (value - 1) or not mmap.PAGESIZE <= value <= _LARGEST_BUFFER:
        raise click.BadParameter(
            f"must be a power of two from {mmap.PAGESIZE >> 10}K to 2G", ctx, param
        )
    return value


def human_size(size: int) -> str:
    """Write bytes with a unit: 512 B, 1.2 MB (powers of 1000)."""
    value, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{size} B" if unit == "B" else f"{value:.1f} {unit}"
