"""Everything that can go wrong in a way the user can do something about.

::

    TcptraceError            one line: what is wrong, what to do. Exit code 1
    |-- PreflightError       this machine cannot record (yet)
    |-- OutputError          a file cannot be written
    `-- RecordingError       a file cannot be read as a recording

Wrong usage is click's own ``UsageError`` (exit code 2). Anything else is a bug.
"""


class TcptraceError(Exception):
    """Base: its text is the line the user sees after ``tcptrace: ``."""


class PreflightError(TcptraceError):
    """The machine lacks something ``record`` cannot do without."""


class OutputError(TcptraceError):
    """A file cannot be created or written: exists, no rights, disk full."""


class RecordingError(TcptraceError):
    """A file is not a recording this version can read."""
