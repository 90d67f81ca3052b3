"""Two thousand connections at once: none lost, none missing, none twice."""

from __future__ import annotations

from collections import Counter

from .lab import Lab
from .perf_counter import PerfCounter
from .rows import Rows

MANY = 2000
# No other test's: perf counts the events of all namespaces.
ADDRESS, PORT = "127.0.0.1", 9077


def test_two_thousand_at_once_are_all_told(lab: Lab) -> None:
    space = lab.namespace()
    server = lab.program("tt-server", space)
    client = lab.program("tt-client", space)
    before = Counter(space.counters())
    counter = PerfCounter("sock/inet_sock_set_state", f"sport == {PORT} || dport == {PORT}")
    recorder = lab.record()
    listener = server.listen(ADDRESS, PORT, backlog=4096)
    near = client.connect_many(ADDRESS, PORT, MANY)
    far = listener.accept_many(MANY)
    assert space.states()["ESTABLISHED"] == 2 * MANY
    server.close_many(far)
    client.read_to_end_many(near)
    client.close_many(near)
    space.wait_for(TIME_WAIT=MANY, FIN_WAIT_1=0, FIN_WAIT_2=0, LAST_ACK=0)
    after = space.counters()
    counted = counter.read()
    recorder.stop()
    counter.close()

    rows = Rows(recorder.read())
    assert rows.recording.lost == 0
    assert rows.recording.complete
    events = rows.recording.events
    of_port = (events["local_port"] == PORT) | (events["remote_port"] == PORT)
    assert (of_port & (events["kind"] == "state")).sum() == counted
    own = rows.of(space)
    ports = sorted(one.port for one in near)
    told = {side: [r for r in own if r["role"] == side] for side in ("client", "server")}
    assert sorted(row["local_port"] for row in told["client"]) == ports
    assert sorted(row["remote_port"] for row in told["server"]) == ports
    assert len(own) == 2 * MANY
    assert Counter((r["role"], r["closed_by"], r["outcome"], r["pid"]) for r in own) == {
        ("client", "remote", "finished", client.pid): MANY,
        ("server", "local", "finished", server.pid): MANY,
    }
    assert Counter(row["conversation"] for row in own) == {
        row["conversation"]: 2 for row in told["client"]
    }
    assert None not in {row["conversation"] for row in own}
    waits = rows.time_wait(space)
    assert len(waits) == MANY
    if "timewait_counters" not in rows.recording.header["lacks"]:  # /proc said so already
        assert sum(after[name] - before[name] for name in ("TW", "TWKilled")) == MANY
