"""What an experiment is: claims, a play with real sockets, a judge."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from tcptrace.analysis.demo.evidence import Evidence, Findings

if TYPE_CHECKING:
    from tcptrace.analysis.demo.stage import Stage


class Experiment(ABC):
    """One experiment; an instance serves one run and carries notes from play to judge.

    ``wire``: segments travel through this program, else over a veth pair; ``mtu`` is the
    wire's; ``patient``: no segment is sent again, and no TIME_WAIT ends, just because
    the machine is busy.
    ``judge`` reads the recording and the capture; what only the programs could see
    (an errno, bytes read) it has from the play.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    claims: ClassVar[tuple[str, ...]] = ()
    wire: ClassVar[bool] = True
    mtu: ClassVar[int] = 1500
    patient: ClassVar[bool] = True

    @abstractmethod
    def play(self, stage: "Stage") -> None:
        """Make it happen; raise ExperimentError if the kernel does not play along."""

    @abstractmethod
    def judge(self, evidence: Evidence, findings: Findings) -> None:
        """Say what was measured."""
