"""Every claim is measured, and told where readers look for it."""

import re
from pathlib import Path

import pytest

from tcptrace.analysis.demo.claims import CLAIMS
from tcptrace.analysis.demo.evidence import CONDITIONS, FAILS, HOLDS
from tcptrace.analysis.demo.experiment import Experiment
from tcptrace.analysis.demo.experiments import EXPERIMENTS

DOCUMENT = Path(__file__).parents[4] / "docs" / "claims.md"


def test_every_claim_has_an_experiment() -> None:
    measured = {claim for experiment in EXPERIMENTS.values() for claim in experiment.claims}
    assert measured == set(CLAIMS)


@pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=list(EXPERIMENTS))
def test_an_experiment_fits_a_line_of_the_list(experiment: type[Experiment]) -> None:
    assert len(experiment.name) <= 24
    assert 0 < len(experiment.summary) <= 55
    assert experiment.claims


def test_the_document_answers_every_claim_by_an_experiment_that_measures_it() -> None:
    rows = re.findall(r"^\| ([A-E]\d) \| (.+) \|$", DOCUMENT.read_text(), re.MULTILINE)
    assert [number for number, _ in rows] == list(CLAIMS)
    for number, row in rows:
        text, verdict, _, experiments = (cell.strip() for cell in row.split(" | "))
        assert text == CLAIMS[number]
        assert verdict in (HOLDS, CONDITIONS, FAILS)
        named = re.findall(r"`([a-z0-9-]+)`", experiments)
        assert named
        for name in named:
            assert number in EXPERIMENTS[name].claims
