"""Recording to tables to reports. Never imports bcc, needs no root."""

from tcptrace.analysis.recording import Recording, read

__all__ = ["Recording", "read"]
