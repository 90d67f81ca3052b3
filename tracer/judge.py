"""What single events say about a selection: yes, no, or maybe."""

from collections.abc import Sequence

import numpy as np

from tcptrace.tracer.schema import KIND, STATE
from tcptrace.tracer.selection import Network, Selection, kernel_comm

NO, MAYBE, YES = np.int8(-1), np.int8(0), np.int8(1)

_MAPPED = 0xFFFF << 32  # ::ffff:0:0, the low half of a mapped address


def _halves(column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    words = np.ascontiguousarray(column).view(">u8").reshape(-1, 2)
    return words[:, 0].astype(np.uint64), words[:, 1].astype(np.uint64)


def _is_ipv4(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    mapped: np.ndarray = (high == 0) & (low >> np.uint64(32) == 0xFFFF)
    return mapped


def _inside(column: np.ndarray, networks: Sequence[Network]) -> np.ndarray:
    high, low = _halves(column)
    result = np.zeros(len(column), bool)
    for network in networks:
        first, mask = int(network.network_address), int(network.netmask)
        if network.version == 4:
            first, mask = _MAPPED | first, (1 << 96) - 1 << 32 | mask
        result |= (high & np.uint64(mask >> 64) == first >> 64) & (
            low & np.uint64(mask & (1 << 64) - 1) == first & (1 << 64) - 1
        )
    return result


def by_tuple(rows: np.ndarray, wanted: Selection) -> np.ndarray:
    """Judge events (dtype ``EVENT``) by namespace, family, ports and addresses.

    MAYBE while a port that matters is still 0 or, of a client that speaks IPv4 through
    an IPv6 socket, the local address still ``::``.
    """
    local, remote = rows["local_port"], rows["remote_port"]
    listening = (rows["new_state"] == STATE["LISTEN"]) | (
        (rows["old_state"] == STATE["LISTEN"]) & (rows["new_state"] == STATE["CLOSE"])
    )
    complete = (local != 0) & ((remote != 0) | listening)
    certain_no = np.zeros(len(rows), bool)
    passes = np.ones(len(rows), bool)
    if wanted.netns:
        certain_no |= ~np.isin(rows["netns"], wanted.netns) & (rows["netns"] != 0)
    if wanted.port:
        passes &= np.isin(local, wanted.port) | np.isin(remote, wanted.port)
    if wanted.local_port:
        passes &= np.isin(local, wanted.local_port)
    if wanted.remote_port:
        passes &= np.isin(remote, wanted.remote_port)
    if wanted.address:
        passes &= _inside(rows["local_address"], wanted.address) | _inside(
            rows["remote_address"], wanted.address
        )
    if wanted.family:
        ipv4 = _is_ipv4(*_halves(rows["remote_address"]))
        # An IPv6 listener may yet get IPv4 connections: its own family stands.
        version = np.where(ipv4 & ~listening, 4, rows["family"])
        passes &= np.isin(version, wanted.family)
    verdict = np.where(passes, YES, NO)
    verdict[~complete] = MAYBE
    verdict[certain_no] = NO
    return verdict


def _matches_owner(rows: np.ndarray, wanted: Selection) -> np.ndarray:
    passes = np.ones(len(rows), bool)
    if wanted.pid:
        passes &= np.isin(rows["pid"], wanted.pid)
    if wanted.comm:
        names = [kernel_comm(name).encode() for name in wanted.comm]
        passes &= np.isin(rows["comm"], np.array(names, rows.dtype["comm"]))
    return passes


def by_owner(rows: np.ndarray, wanted: Selection) -> np.ndarray:
    """Judge events by the owner, at the transitions its own system call makes."""
    old, new = rows["old_state"], rows["new_state"]
    owned = (rows["kind"] == KIND["state"]) & (
        ((old == STATE["CLOSE"]) & (new == STATE["SYN_SENT"]))
        | (new == STATE["LISTEN"])
        | (new == STATE["FIN_WAIT_1"])
        | ((old == STATE["CLOSE_WAIT"]) & (new == STATE["LAST_ACK"]))
        | ((old == STATE["LISTEN"]) & (new == STATE["CLOSE"]))
    )
    return np.where(owned, np.where(_matches_owner(rows, wanted), YES, NO), MAYBE)


def by_holder(rows: np.ndarray, wanted: Selection) -> np.ndarray:
    """Judge a snapshot's events by who holds the socket, others not at all."""
    if not wanted.pid and not wanted.comm:
        return np.full(len(rows), YES)
    known = (rows["kind"] == KIND["existing"]) & (rows["pid"] != 0)
    return np.where(known, np.where(_matches_owner(rows, wanted), YES, NO), MAYBE)


def tuple_keys(rows: np.ndarray) -> np.ndarray:
    """Hash namespace and four-tuple to 64 bits: equal tuples, equal keys."""
    ports = rows["local_port"].astype(np.uint64) << np.uint64(16) | rows["remote_port"]
    parts = [
        *_halves(rows["local_address"]),
        *_halves(rows["remote_address"]),
        rows["netns"].astype(np.uint64) << np.uint64(32) | ports,
    ]
    key = np.zeros(len(rows), np.uint64)
    for part in parts:  # a multiply-and-fold hash; wrapping is meant
        key = (key ^ part) * np.uint64(0x9E3779B97F4A7C15)
        key ^= key >> np.uint64(29)
    return key
