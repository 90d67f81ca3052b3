"""How many connections were in TIME_WAIT at a time."""

import pandas as pd

from tcptrace.analysis.population import population
from tcptrace.analysis.states import time_waits
from tcptrace.analysis.view import View


def waiting_at_once(view: View) -> pd.Series:
    """Count the TIME_WAITs there were; see :func:`tcptrace.analysis.population.population`."""

    def count() -> pd.Series:
        table = time_waits(view)
        started, stopped = view.recording.started, view.recording.ended
        return population(table["began"], table["ended"], started, stopped)

    return view.once("waiting_at_once", count)
