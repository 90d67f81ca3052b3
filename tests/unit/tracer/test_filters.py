"""Which events a filter lets through."""

import numpy as np

from tcptrace.tracer.filters import ConnectionFilter
from tcptrace.tracer.layout import EVENT
from tcptrace.tracer.schema import KIND, STATE
from tcptrace.tracer.selection import Selection

WANTED, OTHER = 4026531840, 4026531841


def timewait(kind: str, netns: int, socket: int = 0xFFFF888000000000) -> np.ndarray:
    rows = np.zeros(1, EVENT)
    rows["kind"] = KIND[kind]
    rows["socket"], rows["netns"] = socket, netns
    rows["old_state"] = rows["new_state"] = STATE["TIME_WAIT"]
    rows["local_port"], rows["remote_port"] = 40000, 8000
    return rows


def test_a_timewait_socket_at_an_address_another_namespace_had_is_judged_anew() -> None:
    chosen = ConnectionFilter(Selection(netns=(WANTED,)))
    assert len(chosen.push(timewait("timewait_start", OTHER))) == 0
    assert len(chosen.push(timewait("timewait_expire", OTHER))) == 0
    assert len(chosen.push(timewait("timewait_start", WANTED))) == 1
    assert len(chosen.push(timewait("timewait_expire", WANTED))) == 1
    assert len(chosen.push(timewait("timewait_start", OTHER))) == 0


def test_a_start_after_another_namespaces_cancel_is_no_rearm() -> None:
    chosen = ConnectionFilter(Selection(netns=(WANTED,)))
    batch = [
        timewait("timewait_start", OTHER),
        timewait("timewait_cancel", OTHER),
        timewait("timewait_start", WANTED),
        timewait("timewait_cancel", WANTED),
        timewait("timewait_start", OTHER),
    ]
    assert chosen.push(np.concatenate(batch))["netns"].tolist() == [WANTED, WANTED]
