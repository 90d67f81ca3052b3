"""Kernel to recording: probes, ring buffer, the file. Never imports pandas."""
