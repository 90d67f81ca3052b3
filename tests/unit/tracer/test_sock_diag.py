"""What the kernel answers, made by hand: every message found, whatever follows it."""

from __future__ import annotations

import errno
import struct
import time
from typing import Any

import numpy as np
import pytest

from tcptrace.tracer.sock_diag import SOCKET, dump

SOCK, DONE, ERROR = 18, 3, 2


class Kernel:
    """Stands in for a netlink socket: answers with what it was given."""

    def __init__(self, *buffers: bytes) -> None:
        self.buffers = list(buffers)
        self.read_at: list[int] = []

    def send(self, request: bytes) -> None:
        (length,) = struct.unpack_from("=I", request)
        assert length == len(request) == 16 + 60  # struct nlmsghdr, struct inet_diag_req
        self.asked_at = time.clock_gettime_ns(time.CLOCK_MONOTONIC)

    def recv_into(self, buffer: bytearray) -> int:
        data = self.buffers.pop(0)
        buffer[: len(data)] = data
        self.read_at.append(time.clock_gettime_ns(time.CLOCK_MONOTONIC))
        return len(data)


def message(kind: int, content: bytes) -> bytes:
    length = 16 + len(content)
    return struct.pack("=IHHII", length, kind, 2, 0, 0) + content.ljust(-(-length // 4) * 4 - 16)


def told(port: int, *, state: int = 1, inode: int = 7, attributes: int = 0) -> bytes:
    one = np.zeros(1, SOCKET)
    one["local_port"], one["state"], one["inode"], one["family"] = port, state, inode, 2
    return message(SOCK, one.tobytes() + b"\xff" * attributes)


def ports(kernel: Any) -> list[int]:
    return [int(port) for _, sockets in dump(kernel) for port in sockets["local_port"]]


def test_record_is_the_kernels() -> None:
    assert SOCKET.itemsize == 72  # sizeof(struct inet_diag_msg)


def test_every_socket_is_found_whatever_attributes_follow() -> None:
    kernel = Kernel(
        told(1) + told(2, attributes=5) + told(3, attributes=12),
        told(4, attributes=40) + told(5),
        message(DONE, struct.pack("=i", 0)),
    )
    assert ports(kernel) == [1, 2, 3, 4, 5]


def test_dump_ends_where_the_kernel_says_so_in_the_same_buffer() -> None:
    assert ports(Kernel(told(1) + message(DONE, struct.pack("=i", 0)))) == [1]


def test_half_open_request_is_left_out_and_a_socket_in_syn_recv_is_not() -> None:
    kernel = Kernel(told(1, state=3, inode=0) + told(2, state=3) + told(3, state=6, inode=0))
    kernel.buffers.append(message(DONE, b""))
    assert ports(kernel) == [2, 3]


@pytest.mark.parametrize("kind", [ERROR, DONE])
def test_refusal_is_an_error_even_at_the_end(kind: int) -> None:
    kernel = Kernel(told(1), message(kind, struct.pack("=i", -errno.ENOENT)))
    with pytest.raises(FileNotFoundError):
        ports(kernel)


def test_time_is_right_after_the_kernel_looked() -> None:
    # It fills the first buffer when asked, each other one while the one before is read.
    kernel = Kernel(told(1), told(2), told(3), message(DONE, b""))
    times = [looked for looked, _ in dump(kernel)]  # type: ignore[arg-type]
    assert kernel.asked_at <= times[0] <= kernel.read_at[0]
    assert kernel.read_at[0] <= times[1] <= kernel.read_at[1] <= times[2] <= kernel.read_at[2]
