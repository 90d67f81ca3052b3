"""BPF C sources, as package data."""

from pathlib import Path

SOURCES = Path(__file__).parent
