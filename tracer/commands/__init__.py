"""The commands that talk to the kernel: each parses, calls, and returns."""
