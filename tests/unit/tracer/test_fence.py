import platform

import pytest

from tcptrace.tracer import fence


@pytest.mark.skipif(platform.machine() not in fence._SYSCALL, reason="system call number unknown")
def test_barrier_for_machines_that_need_one_works_on_this_kernel() -> None:
    barrier = fence.membarrier(fence._SYSCALL[platform.machine()])
    barrier()


def test_barrier_that_the_kernel_lacks_is_an_error() -> None:
    with pytest.raises(OSError, match="membarrier"):
        fence.membarrier(100_000)


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
