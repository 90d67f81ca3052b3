"""The timer wheel's granularity, and the histogram."""

import numpy as np
import pytest

from tcptrace.analysis.demo.experiments.time_wait_length import granularity, histogram


@pytest.mark.parametrize(
    ("hz", "seconds"), [(1000, 4.096), (300, 512 / 300), (250, 2.048), (100, 5.12)]
)
def test_granularity_of_a_minute_on_the_timer_wheel(hz: int, seconds: float) -> None:
    assert granularity(60 * hz) / hz == pytest.approx(seconds)


def test_a_short_timeout_is_not_rounded() -> None:
    assert granularity(10) == 1
    assert granularity(62) == 1
    assert granularity(63) == 8


def test_every_sample_is_in_the_histogram_and_it_fits() -> None:
    samples = np.random.default_rng(1).uniform(60, 62, 1000)
    lines = histogram(samples)
    assert sum(int(line.split()[-1]) for line in lines) == 1000
    assert max(map(len, lines)) <= 80
