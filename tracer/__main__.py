"""``python -m tcptrace.tracer``: the same as the ``tcptrace`` command."""

from tcptrace.tracer.cli import main

main()
