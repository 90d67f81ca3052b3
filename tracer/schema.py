"""The recording, format 1: names, codes and Arrow types (an IPC stream)."""

import pyarrow as pa

FORMAT = 1
METADATA_KEY = b"tcptrace"

#: Index = ``enum event_kind`` of bpf/event.h.
KINDS = (
    "state",
    "timewait_start",
    "timewait_expire",
    "timewait_cancel",
    "timewait_reused",
    "reset_received",
    "reset_sent",
    "error",
    "existing",
)

#: Index = the kernel's number (include/net/tcp_states.h); RFC 9293 names.
#: 0 is no state; NEW_SYN_RECV is the kernel's own, a request socket.
STATES = (
    "UNKNOWN",
    "ESTABLISHED",
    "SYN_SENT",
    "SYN_RECV",
    "FIN_WAIT_1",
    "FIN_WAIT_2",
    "TIME_WAIT",
    "CLOSE",
    "CLOSE_WAIT",
    "LAST_ACK",
    "LISTEN",
    "CLOSING",
    "NEW_SYN_RECV",
)

KIND = {name: code for code, name in enumerate(KINDS)}
STATE = {name: code for code, name in enumerate(STATES)}

#: ``detail`` of a ``state`` row whose ``new_state`` is CLOSE (bpf/event.h): bits,
#: and from DETAIL_ERROR_SHIFT up the socket's error number (sk_err).
DETAIL_FIN_RECEIVED = 1
DETAIL_ORPHAN = 2
DETAIL_ERROR_SHIFT = 8

#: TCP_TIMEWAIT_LEN (include/net/tcp.h), seconds.
TIMEWAIT_SECONDS = 60

_WORD = pa.dictionary(pa.int8(), pa.string())

SCHEMA = pa.schema(
    [
        pa.field("time", pa.timestamp("ns", "UTC"), nullable=False),
        pa.field("kind", _WORD, nullable=False),
        pa.field("socket", pa.uint64(), nullable=False),
        pa.field("old_state", _WORD, nullable=False),
        pa.field("new_state", _WORD, nullable=False),
        pa.field("family", pa.uint8(), nullable=False),
        pa.field("local_address", pa.binary(16), nullable=False),
        pa.field("local_port", pa.uint16(), nullable=False),
        pa.field("remote_address", pa.binary(16), nullable=False),
        pa.field("remote_port", pa.uint16(), nullable=False),
        pa.field("netns", pa.uint32(), nullable=False),
        pa.field("cgroup", pa.uint64(), nullable=False),
        pa.field("pid", pa.uint32(), nullable=False),
        pa.field("comm", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("detail", pa.int64()),  # null: this kernel does not say
    ]
)
