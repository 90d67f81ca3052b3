"""The page in a real browser: tiny, hostile and busy."""

import subprocess
import sys
from pathlib import Path

import pytest

from .browser import CHROMIUM, Browser
from .pages import HOSTILE, hostile, page, tiny

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")

SYNTHESIZE = Path(__file__).parents[3] / "bench" / "synthesize.py"

#: About 10.7 events make a connection, until its TIME_WAIT ends after a minute.
CONNECTIONS = 200_000
EVENTS = 2_200_000

FIND = """(words) => {
  const search = document.getElementById("search");
  search.value = words;
  search.dispatchEvent(new Event("input"));
  return document.querySelectorAll("#rows tr.row").length;
}"""
PRESS = """(place) => {
  document.querySelectorAll("#rows tr.row")[place].click();
  const opened = document.querySelector("#rows tr.opened");
  return opened ? opened.innerText : null;
}"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture
def show(browser, tmp_path):
    """Open a page; afterwards nothing may have been complained of or asked for."""

    def show(text):
        path = tmp_path / "page.html"
        path.write_text(text)
        browser.complaints.clear()
        browser.requests.clear()
        browser.open(path)
        return browser

    yield show
    assert browser.complaints == []
    assert browser.requests == [(tmp_path / "page.html").as_uri()]


def test_the_browser_would_complain(browser, tmp_path):
    path = tmp_path / "bad.html"
    path.write_text("<script>console.log('seen'); missing()</script><img src='no.png'>")
    browser.open(path)
    found = " ".join(browser.complaints)
    assert "seen" in found
    assert "missing is not defined" in found
    assert browser.requests[-1].endswith("/no.png")


def test_a_tiny_recording_shows_its_rows(show):
    shown = show(tiny())
    assert shown.run("document.querySelectorAll('#rows tr.row').length") == 2
    assert shown.run("document.getElementById('matches').textContent") == " 2 match"


def test_a_row_opens_the_ladder_of_both_ends_and_closes_it(show):
    shown = show(tiny())
    opened = shown.run(f"({PRESS})(1)")
    assert opened.splitlines()[0].split("\t") == [
        "seconds in",
        "curl (client) 10.0.0.1:40001",
        "nginx (server) 10.0.0.2:80",
    ]
    assert "1.000000\tTIME_WAIT 60.8 s" in opened
    assert shown.run(f"({PRESS})(1)") is None


def test_a_row_opens_from_the_keyboard(show):
    shown = show(tiny())
    shown.run(
        "document.querySelector('#rows tr.row')"
        ".dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter'}))"
    )
    assert shown.run("document.querySelectorAll('#rows tr.opened').length") == 1


@pytest.mark.parametrize(("words", "rows"), [("NGINX", 1), ("10.0.0.2:80", 2), ("curl nginx", 0)])
def test_the_search_looks_for_all_words_in_all_cells(show, words, rows):
    assert show(tiny()).run(f"({FIND})({words!r})") == rows


def test_no_script_of_a_hostile_recording_runs(show):
    shown = show(hostile())
    assert shown.run(f"({FIND})('')") == 4 * len(HOSTILE)
    for place in range(4 * len(HOSTILE)):
        assert shown.run(f"({PRESS})({place})")
    assert "owned" in shown.run("document.title")  # the file's name, as text
    assert shown.run("document.title").startswith("tcptrace report: ")
    assert (
        shown.run("document.images.length + document.querySelectorAll('#rows script').length") == 0
    )
    assert shown.run("document.scripts.length") == 2


def test_the_page_follows_the_readers_colours(show):
    shown = show(tiny())
    back = "getComputedStyle(document.body).backgroundColor"
    light = shown.run(back)
    shown.media(dark=True)
    dark = shown.run(back)
    shown.media()
    assert (light, dark) == ("rgb(255, 255, 255)", "rgb(20, 23, 28)")


@pytest.mark.parametrize("width", [360, 800, 1400])
def test_the_page_itself_never_scrolls_sideways(show, width):
    shown = show(hostile())
    shown.size(width)
    assert shown.run("document.documentElement.scrollWidth") <= width


def test_the_page_prints(show):
    shown = show(tiny())
    shown.media(printed=True)
    hidden = shown.run("getComputedStyle(document.querySelector('nav')).display")
    shown.media()
    assert hidden == "none"
    assert shown.pdf().startswith(b"%PDF")


def test_an_empty_recording_is_shown(show):
    assert show(page()).run(f"({FIND})('')") == 0


def test_two_hundred_thousand_connections_stay_small_and_searchable(show, tmp_path):
    recording, out = tmp_path / "busy.arrows", tmp_path / "busy.html"
    make = [sys.executable, str(SYNTHESIZE), str(recording), "--events", str(EVENTS)]
    report = [sys.executable, "-m", "tcptrace.tracer", "report", str(recording), "--html", str(out)]
    for command in (make, report):
        subprocess.run(command, check=True, capture_output=True)
    assert out.stat().st_size < 8_000_000
    shown = show(out.read_text())
    ends = shown.run("document.querySelector('.tile .value').textContent")
    assert int(ends.replace(",", "")) >= 2 * CONNECTIONS
    assert "are left out" in shown.run("document.getElementById('connections').innerText")
    assert 0 < shown.run(f"({FIND})('service-3 finished')") <= 200
    assert "ESTABLISHED" in shown.run(f"({PRESS})(0)")
