"""Recordings of any size that nobody had to record: for timing `report`.

``python tests/bench/synthesize.py OUT --events 10000000``. A server machine with
clients on it: 10,000 connections/s by 16 services and 24 client programs, IPv4;
the server closes first, the client does, or the client resets; every TIME_WAIT
expires 60.0 to 62.0 s later. Format 1, sorted by time, compressed as `record` does.
"""

import json
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow as pa

from tcptrace.tracer.convert import to_batch
from tcptrace.tracer.layout import EVENT
from tcptrace.tracer.schema import FORMAT, KIND, METADATA_KEY, SCHEMA, STATE

RATE = 10_000
BLOCK = 20_000
SERVICES = 16
PROGRAMS = 24
STARTED = 1_700_000_000_000_000_000
NETNS = 4026531840
#: Without those of the timers a report takes TIME_WAIT for unseen.
PROBES = (
    "sock:inet_sock_set_state",
    "timer:timer_start",
    "timer:timer_expire_entry",
    "timer:timer_cancel",
)
#: A connection: side (0 client, 1 server), kind, old state, new state, in order.
#: The one who closes first comes as "active", 0 or 1.
_OPENING = (
    (0, "state", "CLOSE", "SYN_SENT"),
    (1, "state", "LISTEN", "SYN_RECV"),
    (0, "state", "SYN_SENT", "ESTABLISHED"),
    (1, "state", "SYN_RECV", "ESTABLISHED"),
)
_RESET = (
    (0, "reset_sent", "ESTABLISHED", "ESTABLISHED"),
    (0, "state", "ESTABLISHED", "CLOSE"),
    (1, "reset_received", "ESTABLISHED", "ESTABLISHED"),
    (1, "state", "ESTABLISHED", "CLOSE"),
)


def _closing(active: int) -> tuple[tuple[int, str, str, str], ...]:
    passive = 1 - active
    return (
        (active, "state", "ESTABLISHED", "FIN_WAIT_1"),
        (passive, "state", "ESTABLISHED", "CLOSE_WAIT"),
        (active, "state", "FIN_WAIT_1", "FIN_WAIT_2"),
        (passive, "state", "CLOSE_WAIT", "LAST_ACK"),
        (active, "timewait_start", "TIME_WAIT", "TIME_WAIT"),
        (active, "state", "FIN_WAIT_2", "CLOSE"),
        (passive, "state", "LAST_ACK", "CLOSE"),
    )


_STORIES = (_OPENING + _closing(1), _OPENING + _closing(0), _OPENING + _RESET)
_SHARES = (0.55, 0.35, 0.10)


def _fill(events: np.ndarray, connection: np.ndarray, side: np.ndarray) -> None:
    """Set tuple and task of each row from its connection's number."""
    service = connection % SERVICES
    program = (connection * 7 + connection // 3) % PROGRAMS
    client = np.zeros((len(events), 16), np.uint8)
    client[:, 10:12] = 0xFF
    client[:, 12] = 10
    client[:, 14] = connection // 50_000 % 16
    client[:, 15] = program
    server = client.copy()
    server[:, 14] = 200
    server[:, 15] = service
    on_server = (side == 1)[:, None]
    events["local_address"] = np.where(on_server, server, client).view("V16")[:, 0]
    events["remote_address"] = np.where(on_server, client, server).view("V16")[:, 0]
    client_port = 10_000 + connection % 50_000
    server_port = 8000 + service
    events["local_port"] = np.where(side == 1, server_port, client_port)
    events["remote_port"] = np.where(side == 1, client_port, server_port)
    events["netns"] = NETNS
    events["family"] = 4
    events["cgroup"] = np.where(side == 1, 1000 + service, 2000 + program)
    events["pid"] = np.where(side == 1, 1000 + service, 2000 + program)
    names = np.array(
        [f"service-{n}" for n in range(SERVICES)] + [f"client-{n}" for n in range(PROGRAMS)],
        "S16",
    )
    events["comm"] = names[np.where(side == 1, service, SERVICES + program)]
    # A slab's addresses: few, and used again at once.
    events["socket"] = np.uint64(0xFFFF888100000000) + (
        (connection % 4096 * 2 + side) * 2496
    ).astype(np.uint64)


def _block(first: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Make the events of BLOCK connections, but for their TIME_WAITs' ends.

    Gives them sorted, and the rows that began a TIME_WAIT.
    """
    story: np.ndarray = random.choice(3, BLOCK, p=_SHARES)
    start = STARTED + np.int64(first) * 1_000_000_000 // RATE
    opened = start + np.sort(random.integers(0, BLOCK * 1_000_000_000 // RATE, BLOCK))
    parts = []
    for index, rows in enumerate(_STORIES):
        chosen = np.flatnonzero(story == index)
        events = np.zeros((len(chosen), len(rows)), EVENT)
        side = np.broadcast_to(np.array([row[0] for row in rows]), events.shape)
        steps = np.asarray(random.integers(1_000, 40_000, size=events.shape))
        steps[:, len(_OPENING)] = random.exponential(20e6, len(chosen)).astype(np.int64)
        events["time"] = opened[chosen][:, None] + np.cumsum(steps, axis=1)
        events["kind"] = [KIND[row[1]] for row in rows]
        events["old_state"] = [STATE[row[2]] for row in rows]
        events["new_state"] = [STATE[row[3]] for row in rows]
        numbers = np.broadcast_to((first + chosen)[:, None], events.shape)
        flat = events.reshape(-1)
        _fill(flat, numbers.reshape(-1), side.reshape(-1))
        began = flat["kind"] == KIND["timewait_start"]
        flat["detail"][began] = 15_000
        flat["socket"][began] = np.uint64(0xFFFF888200000000) + (
            numbers.reshape(-1)[began] * 256
        ).astype(np.uint64)
        finished = (flat["kind"] == KIND["state"]) & (flat["new_state"] == STATE["CLOSE"])
        flat["detail"][finished] = 1 if index < 2 else 0
        parts.append(flat)
    events = np.concatenate(parts)
    events = events[np.argsort(events["time"], kind="stable")]
    return events, events[events["kind"] == KIND["timewait_start"]]


def _ends(began: np.ndarray) -> np.ndarray:
    """Make cancel and expire of each TIME_WAIT: the wheel's granularity above 60 s."""
    tick = 2_048_000_000
    ends = np.repeat(began, 2)
    due = ends["time"].astype(np.int64) + 60_000_000_000
    fired = (due + tick) // tick * tick + np.arange(len(ends)) * 500
    ends["time"] = fired
    ends["detail"] = (due - fired) // 4_000_000  # jiffies until expiry, which is past
    ends["kind"] = np.tile([KIND["timewait_cancel"], KIND["timewait_expire"]], len(began))
    ends["pid"], ends["comm"] = 0, b"swapper/0"
    return ends


def blocks(count: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Give arrays of EVENT, sorted by time throughout, ``count`` rows in all."""
    random = np.random.default_rng(seed)
    waiting = np.zeros(0, EVENT)
    ends: deque[np.ndarray] = deque()
    first = made = 0
    while made < count:
        events, began = _block(first, random)
        ends.append(_ends(began))
        first += BLOCK
        until = STARTED + np.int64(first) * 1_000_000_000 // RATE
        pool = [waiting, events]
        while ends and ends[0]["time"][0] < until:
            pool.append(ends.popleft())
        together = np.concatenate(pool)
        together = together[np.argsort(together["time"], kind="stable")]
        ready = int(np.searchsorted(together["time"], until))
        waiting = together[ready:]
        block = together[: min(ready, count - made)]
        made += len(block)
        yield block


def synthesize(out: Path, count: int) -> None:
    """Write a recording of ``count`` events."""
    header = {
        "format": FORMAT,
        "version": "synthetic",
        "host": "synthetic",
        "boot_id": "",
        "kernel": "6.18",
        "arch": "x86_64",
        "hz": 250,
        "netns": NETNS,
        "started": np.datetime_as_string(np.datetime64(STARTED, "ns")) + "Z",
        "clock_offset_ns": 0,
        "command": [],
        "filters": {},
        "probes": {name: {"attached": True, "reason": None} for name in PROBES},
        "sysctl": {"ip_local_port_range": "10000 59999", "tcp_max_tw_buckets": 1_048_576},
        "mib": {},
    }
    schema = SCHEMA.with_metadata({METADATA_KEY: json.dumps(header).encode()})
    options = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", 3), emit_dictionary_deltas=True)
    made = 0
    with pa.OSFile(str(out), "wb") as file, pa.ipc.new_stream(file, schema, options=options) as to:
        batch = None
        for events in blocks(count):
            made += len(events)
            ended = np.datetime_as_string(events["time"][-1].view("M8[ns]")) + "Z"
            batch = to_batch(events, 0).replace_schema_metadata(schema.metadata)
            totals: dict[str, Any] = {"events": made, "lost": 0}
            if made >= count:
                totals |= {"final": True, "ended": ended, "reason": "synthetic", "mib": {}}
            to.write_batch(
                batch, {key.encode(): json.dumps(value).encode() for key, value in totals.items()}
            )


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--events", type=int, default=10_000_000, show_default=True)
def main(out: Path, events: int) -> None:
    """Write a recording of EVENTS events to OUT."""
    synthesize(out, events)


if __name__ == "__main__":
    main()
