"""The page's source: safe, self-contained, and honest about what it leaves out."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from tcptrace.analysis.html.charts import steps, thin, ticks
from tcptrace.analysis.html.connections import telling
from tcptrace.analysis.html.markup import Html, tag
from tcptrace.analysis.transitions import transitions

from ..tables import CLIENT, SERVER, connections, events
from .pages import HOSTILE, LEAK, hostile, page, tiny


class Elements(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.names, self.attributes = [], []
        self.feed(text)

    def handle_starttag(self, name, attributes):
        self.names.append(name)
        self.attributes += attributes


def policy(found):
    return next(value for name, value in found.attributes if "default-src" in str(value))


def test_text_is_escaped_and_markup_is_not():
    made = tag("p", "<b>", tag("i", 'a"b'), class_='"><script>')
    assert made == ('<p class="&quot;&gt;&lt;script&gt;">&lt;b&gt;<i>a&quot;b</i></p>')
    assert tag("p", Html("<b>")) == "<p><b></p>"
    assert tag("p", None, ["\x1b", 1], id=None) == "<p>\\x1b1</p>"


def test_hostile_names_add_no_element_and_no_attribute():
    quiet, loud = Elements(tiny()), Elements(hostile())
    assert set(loud.names) <= set(quiet.names) | {"article", "ul", "li", "strong", "span", "code"}
    assert loud.names.count("script") == quiet.names.count("script")
    assert not any(name.startswith("on") for name, _ in loud.attributes)


def test_no_invisible_character_reaches_the_page():
    assert not any(mark in hostile() for mark in ("\x1b", "\x07", "\u202e", "\u2028"))


def test_names_are_shown_as_they_are():
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', hostile())[1]
    names = {row["cells"][1] for row in json.loads(data)["rows"]}
    assert HOSTILE[0] in names
    assert "\\x1b[31mred\\x07" in names


def test_the_page_asks_the_network_for_nothing():
    found = Elements(tiny())
    assert not {"link", "img", "iframe", "object"} & set(found.names)
    assert not [value for name, value in found.attributes if name == "src"]
    assert all(value.startswith("#") for name, value in found.attributes if name == "href")
    assert policy(found).startswith("default-src 'none'; ")


@pytest.mark.parametrize("element", ["style", "script"])
def test_the_policy_allows_exactly_our_own_code(element):
    text = re.findall(rf"<{element}>(.*?)</{element}>", tiny(), re.DOTALL)[-1]
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    assert f"{element}-src 'sha256-{digest}'" in policy(Elements(tiny()))


def test_every_section_is_there_in_order():
    ids = re.findall(r'<section id="([a-z-]+)"', tiny())
    assert ids == [
        "findings",
        "closers",
        "time-wait",
        "close-wait",
        "states",
        "dwell",
        "failures",
        "connections",
        "completeness",
    ]


def test_an_empty_recording_makes_a_page_that_says_so():
    assert "This recording is empty" in page(events=events(0))


def test_a_cut_off_recording_is_said_first():
    assert "cut off (disk full)" in page(CLIENT, complete=False, problem="disk full")


def test_the_table_keeps_the_telling_rows_with_their_other_ends():
    dull = [{**CLIENT, "conversation": place} for place in range(50)]
    dull += [{**SERVER, "conversation": place} for place in range(50)]
    chosen = telling(connections(*dull, LEAK), most=10)
    assert chosen["close_wait_s"].iloc[0] == 70
    pairs = chosen["conversation"].dropna()
    assert pairs.duplicated(keep=False).all()
    assert len(chosen) <= 20


def test_one_kind_does_not_push_out_all_others():
    many = [{**CLIENT, "outcome": "refused"}] * 100
    chosen = telling(connections(*many, *[{**CLIENT, "outcome": "reset"}] * 3), most=16)
    assert (chosen["outcome"] == "reset").sum() >= 2


def test_transitions_count_every_arrow_with_the_time_before_it():
    found = transitions(connections(CLIENT, SERVER, LEAK)).set_index(["old", "new"])
    assert found.loc[("BEGIN", "SYN_SENT"), "count"] == 1
    assert found.loc[("BEGIN", "SYN_RECV"), "count"] == 2
    assert found.loc[("ESTABLISHED", "FIN_WAIT_1"), "median_s"] == 0.9
    assert found.loc[("ESTABLISHED", "CLOSE_WAIT"), "count"] == 2
    assert found.loc[("TIME_WAIT", "CLOSED"), "median_s"] == 60.8
    assert found.loc[("LAST_ACK", "CLOSED"), "count"] == 1
    assert ("CLOSE_WAIT", "CLOSED") not in found.index


def test_an_older_connections_first_state_has_no_beginning_and_no_time():
    found = transitions(connections({**CLIENT, "syn_sent_s": None, "censored": "left"}))
    found = found.set_index(["old", "new"])
    assert ("BEGIN", "ESTABLISHED") not in found.index
    assert np.isnan(found.loc[("ESTABLISHED", "FIN_WAIT_1"), "median_s"])


def test_thinning_keeps_the_peak_and_both_ends():
    x = np.arange(100_000, dtype=float)
    y = np.zeros(100_000)
    y[54_321] = 7
    few_x, few_y = thin(x, y)
    assert len(few_x) <= 500
    assert few_y.max() == 7
    assert (few_x[0], few_x[-1]) == (x[0], x[-1])
    assert (pd.Series(few_x).diff().dropna() > 0).all()


@pytest.mark.parametrize(
    ("top", "expected"), [(1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (7, [0, 2, 4, 6]), (0, [0])]
)
def test_ticks_are_round(top, expected):
    assert ticks(top) == pytest.approx(expected)


def test_ticks_of_an_axis_that_begins_late_are_round_too():
    assert ticks(62.2, 4, 59.8) == pytest.approx([60, 61, 62])
    assert ticks(3, 4, 3) == [3]


def test_a_part_of_a_curve_is_drawn_in_full():
    x = np.concatenate([[0.0], np.linspace(60, 62, 4000)])
    whole = steps(x, np.arange(4001.0), title="", x_title="")
    part = steps(x, np.arange(4001.0), title="", x_title="", x_from=59.8)
    assert part.count("V") > 10 * whole.count("V")


def test_no_line_is_drawn_beyond_what_was_seen():
    x, y = np.array([0.0, 8.0]), np.array([1.0, 1.0])
    whole = steps(x, y, title="", x_title="", x_top=10.0)
    known = steps(x, y, title="", x_title="", x_top=10.0, known_to=8.0)
    ends = [float(re.search(r'H([\d.]+)" class="line"', drawn)[1]) for drawn in (whole, known)]
    assert ends[1] == pytest.approx(ends[0] - 0.2 * (ends[0] - 78))


def test_lives_that_end_together_are_also_drawn_close_up():
    assert "The same, from 59.6 s on" in tiny()
    early = {**CLIENT, "time_wait_s": 10.0, "time_wait_end": "reused_syn"}
    assert "The same, from" not in page(CLIENT, early)


def test_what_was_not_followed_while_settling_is_marked_in_the_picture():
    assert "from here on none that begins" in page(CLIENT, settling_s=10.0)
    assert "from here on none that begins" not in page(CLIENT)


def test_late_closes_are_counted_beside_the_leaks():
    late = {**SERVER, "close_wait_s": 6.0}
    assert "Closed late, after 5 s or longer in it: 1." in page(late, LEAK)
    assert "Closed late" not in page(SERVER, LEAK)
