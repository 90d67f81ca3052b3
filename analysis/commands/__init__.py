"""The commands that read recordings: each parses, calls, and returns."""
