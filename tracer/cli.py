"""The command line: finds the command asked for and turns errors into exit codes."""

import contextlib
import gc
import importlib
import os
import sys
from collections.abc import Iterator
from typing import Any

import click

from tcptrace.tracer.errors import TcptraceError
from tcptrace.tracer.heap import keep_freed, without_huge_pages
from tcptrace.tracer.printable import for_terminal

#: Imported only when asked for: ``record`` must not pay for pandas.
COMMANDS = {
    "check": "tcptrace.tracer.commands.check",
    "record": "tcptrace.tracer.commands.record",
    "live": "tcptrace.tracer.commands.live",
    "report": "tcptrace.analysis.commands.report",
    "timeline": "tcptrace.analysis.commands.timeline",
    "export": "tcptrace.analysis.commands.export",
    "demo": "tcptrace.analysis.commands.demo",
    "demo-host": "tcptrace.analysis.commands.demo_host",
}

#: Bytes of freed memory that are kept. What a recorder takes ten times a second: 10 to 15 %
#: of its CPU; what a report of 100 million events takes at its end: 10 % of its time.
_KEPT_RECORDING = 64 << 20
_KEPT_READING = 1 << 30


@contextlib.contextmanager
def _memory_for(module: str) -> Iterator[None]:
    """Have this process, while it imports a command, deal with memory as that needs it."""
    if ".analysis." in module:
        without_huge_pages()
        keep_freed(_KEPT_READING)
    else:
        keep_freed(_KEPT_RECORDING)
    # Looking for garbage in what was just imported finds none, time and again.
    gc.disable()
    yield
    gc.freeze()
    gc.enable()


class LazyGroup(click.Group):
    """A group whose commands are imported when first used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands in the order a user meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command, or None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        module = COMMANDS[cmd_name]
        with _memory_for(module) if ctx.obj else contextlib.nullcontext():
            command = importlib.import_module(module).command
        assert isinstance(command, click.Command)  # noqa: S101
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tcptrace", message="tcptrace %(version)s")
def cli() -> None:
    """Record real TCP life cycles; report how long TIME_WAIT lasts and who closed."""


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line, by default that of this process.

    Exit codes: 0 fine; 1 it failed, one line on stderr says why; 2 wrong usage.
    """
    # The memory of a process that is ours alone may be dealt with as suits a command.
    alone = arguments is None
    try:
        cli.main(args=arguments, prog_name="tcptrace", standalone_mode=False, obj=alone)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as wrong:
        wrong.show()
        sys.exit(wrong.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(1)
    except BrokenPipeError:
        # Whoever read stdout has had enough; keep the interpreter from
        # complaining when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except TcptraceError as error:
        click.echo(f"tcptrace: {for_terminal(str(error))}", err=True)
        sys.exit(1)
    finally:
        _leave_nothing_unsaid()


def _leave_nothing_unsaid() -> None:
    """Drop what a terminal that is gone did not take.

    Python tries again when it ends, and says with exit code 120 that it failed.
    """
    try:
        sys.stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
