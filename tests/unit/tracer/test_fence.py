import os
import platform
import subprocess
import sys

import pytest

from tcptrace.tracer import fence
from tcptrace.tracer.errors import PreflightError

NUMBER = fence._SYSCALL.get(platform.machine())
GLOBAL_EXPEDITED_REGISTERED = 1 << 2
#: Prints which barriers its process may ask for, after it was given one: MEMBARRIER_CMD_
#: GET_REGISTRATIONS, Linux 6.3; less than 0 before.
PROGRAM = """
import ctypes, sys
from tcptrace.tracer.fence import membarrier
number = int(sys.argv[1])
membarrier(number)()
print(ctypes.CDLL(None).syscall(number, 1 << 9, 0, 0))
"""


@pytest.mark.skipif(NUMBER is None, reason="system call number unknown")
def test_barrier_is_of_the_kind_that_a_process_with_one_thread_gets_too() -> None:
    told = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(NUMBER)], check=True, capture_output=True, text=True
    )
    if int(told.stdout) < 0:
        pytest.skip(f"Linux {os.uname().release} does not tell")
    assert int(told.stdout) == GLOBAL_EXPEDITED_REGISTERED


def test_barrier_that_the_kernel_lacks_is_an_error_that_says_so() -> None:
    with pytest.raises(PreflightError, match=r"membarrier.*Function not implemented"):
        fence.membarrier(100_000)


def test_no_system_call_is_guessed_for_a_machine_that_may_need_a_barrier() -> None:
    with pytest.raises(PreflightError, match="armv7l"):
        fence.load_fence("armv7l")


@pytest.mark.parametrize("machine", ["x86_64", "s390x"])
def test_machines_that_load_in_order_make_no_system_call(
    machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(number: int) -> None:
        raise AssertionError(number)

    monkeypatch.setattr(fence, "membarrier", refuse)
    fence.load_fence(machine)()


def test_arm64_has_a_barrier(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers: list[int] = []
    monkeypatch.setattr(fence, "membarrier", lambda number: lambda: numbers.append(number))
    fence.load_fence("aarch64")()
    assert numbers == [283]  # include/uapi/asm-generic/unistd.h
