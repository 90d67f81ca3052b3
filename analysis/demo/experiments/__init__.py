"""The experiments by name, in the order a reader meets their subjects."""

from tcptrace.analysis.demo.experiment import Experiment
from tcptrace.analysis.demo.experiments.bind_in_use import BindInUse
from tcptrace.analysis.demo.experiments.close_wait_leak import CloseWaitLeak
from tcptrace.analysis.demo.experiments.four_way_close import FourWayClose
from tcptrace.analysis.demo.experiments.last_ack_lost import LastAckLost
from tcptrace.analysis.demo.experiments.linger_reset import LingerReset
from tcptrace.analysis.demo.experiments.port_exhaustion import PortExhaustion
from tcptrace.analysis.demo.experiments.same_four_tuple import SameFourTuple
from tcptrace.analysis.demo.experiments.server_closes_first import ServerClosesFirst
from tcptrace.analysis.demo.experiments.simultaneous_close import SimultaneousClose
from tcptrace.analysis.demo.experiments.stray_segment import StraySegment
from tcptrace.analysis.demo.experiments.syn_flood import SynFlood
from tcptrace.analysis.demo.experiments.three_way_handshake import ThreeWayHandshake
from tcptrace.analysis.demo.experiments.time_wait_assassination import TimeWaitAssassination
from tcptrace.analysis.demo.experiments.time_wait_length import TimeWaitLength
from tcptrace.analysis.demo.experiments.time_wait_overflow import TimeWaitOverflow
from tcptrace.analysis.demo.experiments.time_wait_reuse import TimeWaitReuse

EXPERIMENTS: dict[str, type[Experiment]] = {
    one.name: one
    for one in (
        ThreeWayHandshake,
        FourWayClose,
        ServerClosesFirst,
        BindInUse,
        SameFourTuple,
        TimeWaitLength,
        LastAckLost,
        StraySegment,
        CloseWaitLeak,
        SimultaneousClose,
        LingerReset,
        TimeWaitAssassination,
        TimeWaitReuse,
        PortExhaustion,
        TimeWaitOverflow,
        SynFlood,
    )
}
