"""The page in a real browser: no complaint on the console, no foreign script."""

import shutil
import subprocess

import pytest

from .pages import HOSTILE, hostile, tiny

CHROMIUM = shutil.which("chromium")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
]


def opened(text, tmp_path):
    """Give the page's DOM once its script has run, and what went to the console."""
    path = tmp_path / "page.html"
    path.write_text(text)
    done = subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", path.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return done.stdout, console


def test_a_tiny_recording_is_shown_without_complaint(tmp_path):
    dom, console = opened(tiny(), tmp_path)
    assert console == []
    assert dom.count('<tr class="row"') == 2
    assert " 2 match" in dom


def test_no_script_of_a_hostile_recording_runs(tmp_path):
    dom, console = opened(hostile(), tmp_path)
    assert console == []
    assert "<title>owned</title>" not in dom
    assert "<img" not in dom
    assert dom.count('<tr class="row"') == 4 * len(HOSTILE)
