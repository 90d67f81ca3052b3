"""What a run looks like in a terminal and as JSON."""

import json
from pathlib import Path

from tcptrace.analysis.demo.evidence import HOLDS, Verdict
from tcptrace.analysis.demo.experiments.simultaneous_close import SimultaneousClose
from tcptrace.analysis.demo.present import as_json, summary, text
from tcptrace.analysis.demo.runner import Run


def run() -> Run:
    made = Run(SimultaneousClose(), Path("/nowhere"))
    made.findings.verdicts.append(
        Verdict("C3", HOLDS, "61.5 s", "a long sentence with numbers " * 9)
    )
    made.findings.measured["seconds"] = {"lived": 61.5, "unknown": float("nan")}
    made.findings.ladders.append(("A title", ["a line"]))
    return made


def test_the_text_has_claim_ladder_and_verdict_within_80_columns() -> None:
    lines = text(run()).splitlines()
    assert max(map(len, lines)) <= 80
    assert (
        "  C3  Only the active closer has TIME_WAIT; after 2 MSL it closes by itself; the" in lines
    )
    assert lines.index("A title") + 1 == lines.index("a line")
    assert "  C3  HOLDS" in lines


def test_what_was_not_shown_is_said_everywhere() -> None:
    failed = run()
    failed.findings.expect(False, "CLOSING was never seen")
    assert not failed.shown
    assert "  NOT SHOWN: CLOSING was never seen" in text(failed)
    assert "NOT SHOWN: CLOSING was never seen" in summary([failed])
    assert "0 of 1 experiments" in summary([failed])
    assert as_json(failed)["shown"] is False


def test_an_experiment_that_broke_off_is_told_from_one_that_failed() -> None:
    broken = run()
    broken.error = "no FIN on the wire within 30 s"
    assert "  FAILED: no FIN on the wire within 30 s" in text(broken)
    assert as_json(broken)["error"] == "no FIN on the wire within 30 s"


def test_skipped_steps_are_said() -> None:
    skipping = run()
    skipping.skipped.append("net.ipv4.tcp_tw_reuse_delay does not exist on this kernel")
    assert skipping.shown
    assert "Skipped: net.ipv4.tcp_tw_reuse_delay" in text(skipping)
    assert "tcp_tw_reuse_delay" in summary([skipping])


def test_the_table_has_a_line_for_every_verdict() -> None:
    lines = summary([run()]).splitlines()
    assert lines[1] == "simultaneous-close      C3 holds       61.5 s"
    assert lines[-1] == "1 of 1 experiments showed what they are for"


def test_json_has_null_for_what_is_not_known() -> None:
    measured = json.loads(json.dumps(as_json(run()), allow_nan=False))["measured"]
    assert measured == {"seconds": {"lived": 61.5, "unknown": None}}
