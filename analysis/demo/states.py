"""State changes of one host's sockets, TIME_WAIT included, from a recording's events."""

from tcptrace.analysis.ladder import Side, StateChange
from tcptrace.analysis.recording import Recording

#: A cancelled timewait timer that starts again this soon was only re-armed, ns.
_REARMED_WITHIN = 1_000_000
#: The kernel cancels a timer before it expires, starts anew, or is handed over.
_CANCEL_IS_PART_OF = ("timewait_start", "timewait_expire", "timewait_reused")
_HOW_IT_ENDED = {"timewait_cancel": "ended early", "timewait_reused": "a SYN takes its place"}
#: What tells one beginning of a TIME_WAIT from another, ns: jiffies are coarse.
_SAME = 50_000_000


def state_changes(recording: Recording, netns: int, side: Side, port: int) -> list[StateChange]:
    """List the changes of the sockets in ``netns`` with ``port`` at either end, in order.

    Listeners are left out. The kernel says CLOSE when a connection becomes a
    timewait socket; here it enters FIN_WAIT_2 or TIME_WAIT instead, and CLOSE when
    that socket's timer ends.
    """
    events = recording.events
    mine = events[events["netns"] == netns]
    both = (mine["local_port"] > 0) & (mine["remote_port"] > 0)
    named = both & ((mine["local_port"] == port) | (mine["remote_port"] == port))
    # A socket's first event may still lack a port: an unbound client's, and before
    # Linux 6.15 an accepted socket's. Its next event has both.
    first = ~both & mine["new_state"].isin(["SYN_SENT", "SYN_RECV"])
    next_named = named.groupby(mine["socket"]).shift(-1, fill_value=False)
    mine = mine[named | (first & next_named)]

    times = mine["time"].astype("datetime64[ns, UTC]").astype("int64").to_list()
    kinds = mine["kind"].astype(object).to_list()
    states = mine["new_state"].astype(object).to_list()
    old_states = mine["old_state"].astype(object).to_list()
    sockets = mine["socket"].to_list()
    changes: list[StateChange] = []
    for index, (time, kind, state) in enumerate(zip(times, kinds, states, strict=True)):
        note = ""
        if kind == "timewait_start":
            again = bool(changes) and changes[-1].state == state
            if again and state == "FIN_WAIT_2":
                continue  # it only became a smaller socket
            note = "starts anew" if again else ""
        elif kind in ("timewait_expire", "timewait_cancel", "timewait_reused"):
            if kind == "timewait_cancel" and any(
                later in _CANCEL_IS_PART_OF and socket == sockets[index]
                for later, socket, at in zip(
                    kinds[index + 1 :], sockets[index + 1 :], times[index + 1 :], strict=True
                )
                if at - time < _REARMED_WITHIN
            ):
                continue
            note = _HOW_IT_ENDED.get(kind, "")
            state = "CLOSE"
        elif kind != "state":
            continue
        elif state == old_states[index]:
            continue  # close() of a socket that is in LAST_ACK already
        elif state == "CLOSE" and index and kinds[index - 1] == "timewait_start":
            continue  # the full socket goes, its timewait socket stays
        changes.append(StateChange(time, side, state, note))
    # Known from its timer, which counts in jiffies.
    precision = f"(to {1000 / int(recording.header['hz']):.0f} ms)"
    began = {change.time for change in changes if change.state == "TIME_WAIT"}
    changes += [
        StateChange(time, side, "TIME_WAIT", precision)
        for time in _time_waits(recording, netns, port)
        if not any(abs(time - known) < _SAME for known in began)
    ]
    return sorted(changes, key=lambda change: change.time)


def listens(recording: Recording, netns: int, port: int) -> bool:
    """Tell whether a listener in ``netns`` took the first connection with ``port``."""
    table = recording.connections
    mine = table[(table["netns"] == netns) & (table["role"] == "server")]
    ports = mine.loc[(mine["local_port"] == port) | (mine["remote_port"] == port), "local_port"]
    events = recording.events
    opened = (events["netns"] == netns) & (events["new_state"] == "LISTEN")
    return bool(events.loc[opened, "local_port"].isin([port, *ports]).any())


def _time_waits(recording: Recording, netns: int, port: int) -> list[int]:
    """List when TIME_WAITs began, as the analysis found out.

    The kernel does not say so when a FIN_WAIT_2 timewait socket becomes a
    TIME_WAIT within the same tick of the timer wheel.
    """
    table = recording.connections
    mine = (table["netns"] == netns) & (
        (table["local_port"] == port) | (table["remote_port"] == port)
    )
    began = table.loc[mine, "time_wait_began"].dropna()
    return [int(time) for time in began.astype("datetime64[ns, UTC]").astype("int64")]
