"""Ask the kernel for a namespace's TCP sockets: NETLINK_SOCK_DIAG, parsed in bulk.

Source: sock_diag(7); net/ipv4/inet_diag.c, inet_sk_diag_fill(), inet_twsk_diag_fill().
"""

import os
import socket
import struct
from collections.abc import Iterator

import numpy as np

from tcptrace.tracer.clock import monotonic_ns

_NETLINK_SOCK_DIAG = 4
_TCPDIAG_GETSOCK = 18
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_REQUEST_DUMP = 0x1 | 0x300  # NLM_F_REQUEST | NLM_F_DUMP

#: States 1 to 11 of include/net/tcp_states.h; CLOSE is in no table to be dumped from.
_EVERY_STATE = (1 << 12) - 2
_SYN_RECV = 3

#: ``idiag_timer`` of a timewait socket; its state is then the sub-state.
TIMER_TIMEWAIT = 3

#: struct inet_diag_msg (linux/inet_diag.h).
SOCKET = np.dtype(
    [
        ("family", "u1"),
        ("state", "u1"),
        ("timer", "u1"),
        ("retransmits", "u1"),
        ("local_port", ">u2"),
        ("remote_port", ">u2"),
        ("local_address", "u4", 4),
        ("remote_address", "u4", 4),
        ("interface", "u4"),
        ("cookie", "u4", 2),
        ("expires_ms", "u4"),
        ("receive_queue", "u4"),
        ("send_queue", "u4"),
        ("uid", "u4"),
        ("inode", "u4"),
    ]
)

_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
_ERROR = struct.Struct("=i")
# Small: what one holds was looked up in one go, and has one time. That a busy machine
# makes the kernel pause in it, so that the time is wrong by as much, then touches few.
_BUFFER = 8 << 10


def open_socket() -> socket.socket:
    """Open a sock_diag socket; it keeps the caller's network namespace."""
    return socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_SOCK_DIAG)


def dump(netlink: socket.socket) -> Iterator[tuple[int, np.ndarray]]:
    """Give all TCP sockets of the socket's network namespace, a buffer at a time.

    Each with a CLOCK_MONOTONIC time, ns, right after the kernel looked: what is told was so
    just before, and may have ended by then; nothing begun later is told. Request sockets
    (half-open connections to a listener) are left out. Raises ``OSError``: ENOENT where
    the kernel has no sock_diag for TCP.
    """
    # struct inet_diag_req, not _v2, as ss(8) does: only the former takes both families in
    # one go over the kernel's table, which holds the sockets of all namespaces.
    request = struct.pack("=BBBB48xII", socket.AF_UNSPEC, 0, 0, 0, _EVERY_STATE, 0)
    length = _HEADER.size + len(request)
    netlink.send(_HEADER.pack(length, _TCPDIAG_GETSOCK, _REQUEST_DUMP, 0, 0) + request)
    looked = monotonic_ns()
    buffer = bytearray(_BUFFER)
    # A socket at each place; attributes of any length follow each.
    every_place = np.lib.stride_tricks.sliding_window_view(
        np.frombuffer(buffer, np.uint8), SOCKET.itemsize
    )
    done = False
    while not done:
        size = netlink.recv_into(buffer)
        # In the same call, after it gave this buffer, the kernel filled the next one.
        next_looked = monotonic_ns()
        places, done = _messages(buffer, size)
        if places:
            yield looked, _full(every_place[places].view(SOCKET)[:, 0])
        looked = next_looked


def _messages(buffer: bytearray, size: int) -> tuple[list[int], bool]:
    """Find where each message's content begins; tell whether the dump is over."""
    places = []
    position = 0
    while position < size:
        length, kind, _, _, _ = _HEADER.unpack_from(buffer, position)
        content = position + _HEADER.size
        if kind == _TCPDIAG_GETSOCK:
            places.append(content)
        elif kind in (_NLMSG_ERROR, _NLMSG_DONE):
            # A dump that fails half-way says so in the message that ends it.
            code = -_ERROR.unpack_from(buffer, content)[0] if length > _HEADER.size else 0
            if code > 0:
                raise OSError(code, os.strerror(code))
            return places, True
        position += (length + 3) & ~3
    return places, False


def _full(sockets: np.ndarray) -> np.ndarray:
    """Drop request sockets: SYN_RECV that no program can hold."""
    request = (sockets["state"] == _SYN_RECV) & (sockets["inode"] == 0)
    return sockets[~request] if request.any() else sockets
