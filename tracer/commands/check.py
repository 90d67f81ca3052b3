"""`tcptrace check`: what this machine offers, what is lost without it, the fix."""

import sys
import textwrap

import click

from tcptrace.tracer.preflight import Check, checks

_WIDTH = 78


def _show(check: Check) -> None:
    mark = "ok" if check.ok else ("NO" if check.required else "no")
    click.echo(f"{mark:3} {check.name:26} {check.found}"[:_WIDTH])
    if check.ok:
        return
    for label, text in (("lost", check.lost), ("fix", check.fix)):
        click.echo(
            textwrap.fill(
                text, _WIDTH, initial_indent=f"      {label}: ", subsequent_indent=" " * 12
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
