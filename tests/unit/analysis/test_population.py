import pandas as pd

from tcptrace.analysis.population import peaks, population

from .tables import START, at

END = at(100)


def series(*seconds):
    return pd.Series([at(each) for each in seconds], dtype="datetime64[ns, UTC]")


def test_overlapping_intervals_are_counted_together():
    steps = population(series(1, 2, 3), series(4, 5, 6), START, END)
    assert steps.to_dict() == {at(1): 1, at(2): 2, at(3): 3, at(4): 2, at(5): 1, at(6): 0}


def test_what_began_before_the_recording_is_there_from_its_start():
    steps = population(series(-30, None), series(10, 20), START, END)
    assert steps.iloc[0] == 2
    assert steps.index[0] == START


def test_what_never_ended_is_there_to_the_last():
    steps = population(series(1), series(None), START, END)
    assert steps.iloc[-1] == 1


def test_an_end_and_a_start_at_one_instant_are_not_two_at_once():
    steps = population(series(1, 2), series(2, 3), START, END)
    assert steps.max() == 1


def test_nothing_gives_no_steps():
    assert population(series(), series(), START, END).empty


def test_peaks_keep_groups_apart():
    found = peaks(
        pd.Series([0, 0, 0, 1, 1]), series(1, 2, 9, 1, 2), series(5, 6, None, 2, 3), START
    )
    assert found.to_dict() == {0: 2, 1: 1}
