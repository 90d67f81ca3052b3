"""Print lines: styled on a terminal, plain into a pipe."""

import sys
from collections.abc import Iterable

import click
from rich.console import Console
from rich.text import Text


def show(lines: Iterable[Text]) -> None:
    """Print to stdout. Rich honours NO_COLOR; a pipe gets no escapes at all."""
    if sys.stdout.isatty():
        console = Console(highlight=False, markup=False)
        for line in lines:
            console.print(line, soft_wrap=True)
    else:
        for line in lines:
            click.echo(line.plain)
