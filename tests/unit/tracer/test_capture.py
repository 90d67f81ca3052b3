import mmap
from typing import Any, cast

from tcptrace.tracer.capture import Capture
from tcptrace.tracer.rings import Rings

ANSWER: dict[str, Any] = {"probes": {}, "lacks": {}, "reset_reasons": {}}


def test_lost_is_the_sum_over_all_cpus() -> None:
    lost = mmap.mmap(-1, mmap.PAGESIZE)
    lost[:16] = (5).to_bytes(8, "little") + (40).to_bytes(8, "little")
    assert Capture(ANSWER, [-1], cast(Rings, None), lost).lost() == 45
