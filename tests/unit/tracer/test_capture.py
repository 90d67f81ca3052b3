import mmap
from typing import Any, cast

from tcptrace.tracer.capture import Capture
from tcptrace.tracer.rings import Rings

ANSWER: dict[str, Any] = {"probes": {}, "lacks": {}, "reset_reasons": {}, "tracepoints": 1}


def test_lost_is_the_sum_over_all_cpus() -> None:
    lost = mmap.mmap(-1, mmap.PAGESIZE)
    # Of each CPU, one behind the other: lost, done by second programs.
    lost[:32] = b"".join(number.to_bytes(8, "little") for number in (5, 7, 40, 8))
    assert Capture(ANSWER, [-1], cast(Rings, None), lost).lost() == 45
