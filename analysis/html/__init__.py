"""The HTML report: one file, no network, every byte of it ours or escaped.

Charts are SVG drawn here rather than by a plotting library: plotly.js alone weighs
4.5 MB in every file, needs scripts to show anything, and prints as a screenshot.
"""

from tcptrace.analysis.html.page import render_html

__all__ = ["render_html"]
