import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from tcptrace.analysis.survival import kaplan_meier


def survival(durations, ended, entered=None):
    return kaplan_meier(
        np.array(durations, float),
        np.array(ended, bool),
        None if entered is None else np.array(entered, float),
    )


def test_without_censoring_the_median_is_the_samples():
    assert survival([1, 2, 3, 4, 5], [True] * 5).quantile(0.5) == 3


def test_censored_lives_move_the_median_up():
    # Textbook example: deaths at 6 (3 of 10 at risk) and later; by hand.
    durations = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13]
    ended = [True, True, True, False, True, False, True, False, False, True]
    found = survival(durations, ended)
    assert dict(zip(found.times, found.alive.round(4), strict=True)) == {
        6: 0.7,
        7: 0.5833,
        9: 0.5833,
        10: 0.4375,
        11: 0.4375,
        13: 0.0,
    }
    assert found.quantile(0.5) == 10


def test_median_is_unknown_when_too_few_ended():
    found = survival([1, 5, 5, 5], [True, False, False, False])
    assert found.quantile(0.5) is None
    assert found.quantile(0.25) == 1


def test_all_censored_gives_no_quantile_but_counts_them():
    found = survival([1, 2], [False, False])
    assert (found.count, found.ended, found.quantile(0.01)) == (2, 0, None)


def test_no_lives_at_all():
    found = survival([], [])
    assert (found.count, found.quantile(0.5)) == (0, None)


def test_nan_durations_are_left_out():
    assert survival([np.nan, 2, np.nan], [True, True, False]).count == 1


def test_left_truncation_does_not_count_a_life_before_it_was_in_sight():
    # Two lives of 60 s seen only from age 50 on say nothing about the age of 10,
    # at which one of two ended: half, not a quarter, were gone by then.
    durations, ended = [10, 20, 60, 60], [True, False, True, True]
    entered = [0, 0, 50, 50]
    found = survival(durations, ended, entered)
    assert found.alive[found.times == 10] == pytest.approx(0.5)
    assert survival(durations, ended).alive[0] == pytest.approx(0.75)


def test_an_early_end_alone_at_risk_does_not_end_the_estimate():
    found = survival([3.5, 60, 61], [True, True, True], [3, 10, 10])
    assert found.quantile(0.5) == 60


@given(
    st.lists(
        st.tuples(st.integers(1, 50), st.booleans()),
        min_size=1,
        max_size=60,
    )
)
def test_an_estimate_with_nothing_truncated_is_scipys(lives):
    durations = np.array([life for life, _ in lives], float)
    ended = np.array([end for _, end in lives])
    assume(ended.any())
    found = survival(durations, ended, np.zeros(len(lives)))
    times, alive = found.times, found.alive
    sample = stats.CensoredData(uncensored=durations[ended], right=durations[~ended])
    expected = stats.ecdf(sample).sf
    np.testing.assert_allclose(alive, expected.evaluate(times), atol=1e-12)
