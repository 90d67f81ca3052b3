"""`tcptrace check`: what this machine offers, what is lost without it, the fix."""

import sys
import textwrap

import click

from tcptrace.tracer.preflight import Check, checks

_WIDTH = 78


def _show(check: Check) -> None:
    mark = "ok" if check.ok else ("NO" if check.required else "no")
    lines = [(f"{mark:3} {check.name:25} ", check.found)]
    if not check.ok:
        said = {"lost": check.lost, "fix": check.fix}
        lines += [(f"      {label}: ", text) for label, text in said.items() if text]
    for label, text in lines:
        click.echo(
            textwrap.fill(
                text,
                _WIDTH,
                initial_indent=label,
                subsequent_indent=" " * len(label),
                break_on_hyphens=False,
            )
        )


@click.command("check")
def command() -> None:
    """Say what this machine offers, what is lost without it, and the fix.

    Exits with 0 only if `tcptrace record` would work.
    """
    results = []
    for check in checks():
        _show(check)
        results.append(check)
    if all(check.ok for check in results if check.required):
        click.echo("tcptrace record works here.")
        return
    click.echo("tcptrace record does not work here yet.")
    sys.exit(1)
