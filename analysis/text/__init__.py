"""The text report: sections of lines, at most 80 columns wide."""

from tcptrace.analysis.text.report import render

__all__ = ["render"]
