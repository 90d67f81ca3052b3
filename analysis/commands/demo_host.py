"""``tcptrace demo-host``: what `tcptrace demo --hosts` starts on each machine."""

import click

from tcptrace.analysis.demo.agent import main


@click.command("demo-host", hidden=True)
def command() -> None:
    """Do what `tcptrace demo --hosts` asks for on stdin; undo it all when that ends."""
    main()
