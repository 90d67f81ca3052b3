"""What textbooks and tutorials say about how TCP connections begin and end.

Each experiment names the claims it measures; ``docs/claims.md`` has the answers.
"""

CLAIMS = {
    "A1": "The side that closes actively enters TIME_WAIT; it lasts 2 MSL.",
    "A2": "Without TIME_WAIT, or with a short one, a held-up segment of the old "
    "connection reaches another program that uses the same port.",
    "A3": "While TIME_WAIT stands, a program on the same client port cannot start: the "
    "address is in use. Connections collide only if all four of source and "
    "destination address and port are equal.",
    "A4": "Without TIME_WAIT the passive side may never get the last ACK: it still "
    "thinks the connection exists, and a new client's handshake on that "
    "four-tuple is refused.",
    "A5": "With TIME_WAIT, if the last ACK is lost, the passive side sends its FIN "
    "again and gets a new ACK; after 2 MSL both ends are properly closed.",
    "B1": "FIN says: no more data from me; data sent before it is still retransmitted "
    "until confirmed.",
    "B2": "Active closer: FIN_WAIT_1, then on ACK FIN_WAIT_2; the other: CLOSE_WAIT, "
    "then on its own close LAST_ACK, then closed by the last ACK.",
    "B3": "The side that closes actively never shows CLOSE_WAIT; the other does.",
    "B4": "A passive side whose program never calls close() stays in CLOSE_WAIT for ever.",
    "C1": "Either side may start the close; both release their resources at the end.",
    "C2": "Each direction needs a FIN and an ACK, hence four segments; the passive side "
    "sends ACK and FIN apart because it may still have data to send.",
    "C3": "Only the active closer has TIME_WAIT; after 2 MSL it closes by itself; the "
    "passive side closes on the last ACK.",
    "D1": "Three is the least number of segments that shows both sides that both directions work.",
    "D2": "Every accepted connection costs the server a structure, so floods of SYNs can "
    "exhaust it.",
    "D3": "FIN_WAIT_1 -> FIN_WAIT_2 on the ACK; FIN_WAIT_2 -> TIME_WAIT on the FIN, "
    "sending the last ACK; TIME_WAIT -> CLOSED after 2 MSL.",
    "D4": "While its connection is in TIME_WAIT a program cannot listen on the same "
    "port again: bind fails.",
    "D5": "A server that closes many short connections first gathers many TIME_WAITs, "
    "each holding one four-tuple; a new client with the same address and port "
    "collides.",
    "D6": "SO_REUSEADDR set to 1 lets bind succeed.",
    "E1": "A server (listen backlog 32) that accepts, writes one line, and closes at "
    "once: after a client connects, the listening socket and one TIME_WAIT are seen.",
    "E2": "Stopped and started again at once, it fails in bind: address in use.",
    "E3": "TIME_WAIT lasts 1 to 4 minutes.",
    "E4": "Without TIME_WAIT (FIN_WAIT_2 straight to CLOSED) a lost last ACK could not "
    "be sent again when the FIN is repeated.",
    "E5": "Old duplicates die out during TIME_WAIT; even a peer that forges the same "
    "address and port gets none of them.",
    "E6": "setsockopt(SO_REUSEADDR) between socket() and bind() avoids the failing bind.",
}
