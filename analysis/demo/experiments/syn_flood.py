"""Half-open connections fill a listener's queue; SYN cookies keep it open."""

from tcptrace.analysis.demo.evidence import CONDITIONS, Evidence, Findings
from tcptrace.analysis.demo.experiment import Experiment
from tcptrace.analysis.demo.packet import SYN, build
from tcptrace.analysis.demo.sockets import counters, states
from tcptrace.analysis.demo.stage import Stage

#: tcp_syncookies -> port.
PORTS = {0: 8000, 1: 8001}
BACKLOG = 8
#: SYNs per port: bounded, and only inside the experiment's own namespaces.
FLOOD = 64
#: TEST-NET-2 (RFC 5737): nobody answers from there.
SPOOFED = "198.51.100."
#: Long enough for the real client's SYN to be sent twice, seconds.
CONNECT_TIMEOUT = 2.5


class SynFlood(Experiment):
    """The same small flood without and with SYN cookies."""

    name = "syn-flood"
    summary = "half-open connections fill the queue; SYN cookies help"
    claims = ("D2",)

    def play(self, stage: Stage) -> None:
        """Flood, look, and try a real client; twice."""
        client, server = stage.program("client", "left"), stage.program("server", "right")
        stage.wire.drop(lambda one: one.segment.target.startswith(SPOOFED))
        self.half_open: dict[int, int] = {}
        self.outcomes: dict[int, str] = {}
        self.seconds: dict[int, float] = {}
        before = counters(stage.right)
        for cookies, port in PORTS.items():
            stage.right.set_sysctl("tcp_syncookies", cookies)
            server.do("listen", name=f"l{port}", port=port, backlog=BACKLOG)
            for one in range(FLOOD):
                packet = build(
                    f"{SPOOFED}{one + 1}",
                    50000 + one,
                    stage.address("right"),
                    port,
                    seq=one << 16,
                    flags=SYN,
                )
                stage.wire.inject("left", packet)
            self.half_open[cookies] = states(stage.right, port).count("SYN_RECV")
            reply = client.ask(
                "connect",
                name="c",
                address=stage.address("right"),
                port=port,
                local_port=40000 + cookies,
                timeout=CONNECT_TIMEOUT,
            )
            self.outcomes[cookies], self.seconds[cookies] = reply.outcome, reply.seconds
        server.do("accept", name="c", listener=f"l{PORTS[1]}")
        after = counters(stage.right)
        self.counted = {
            name: after[name] - before[name]
            for name in (
                "TCPReqQFullDrop",
                "TCPReqQFullDoCookies",
                "SyncookiesSent",
                "SyncookiesRecv",
            )
        }

    def judge(self, evidence: Evidence, findings: Findings) -> None:
        """Compare what the real client met."""
        flood = {
            cookies: sum(one.fate == "injected" for one in evidence.segments(port))
            for cookies, port in PORTS.items()
        }
        established = {
            cookies: "ESTABLISHED" in evidence.visited("left", port)
            for cookies, port in PORTS.items()
        }
        findings.expect(set(flood.values()) == {FLOOD}, f"SYNs injected: {flood}")
        findings.expect(self.outcomes[0] == "ETIMEDOUT", f"without cookies: {self.outcomes[0]}")
        findings.expect(self.outcomes[1] == "ok", f"with cookies: {self.outcomes[1]}")
        findings.expect(
            established == {0: False, 1: True}, f"ESTABLISHED in the recording: {established}"
        )
        findings.expect(
            all(0 < count <= BACKLOG + 1 for count in self.half_open.values()),
            f"half-open: {self.half_open}",
        )
        findings.expect(self.counted["SyncookiesRecv"] >= 1, "no cookie came back")
        findings.measured |= {
            "flood": FLOOD,
            "backlog": BACKLOG,
            "half_open": self.half_open,
            "outcomes": self.outcomes,
            "seconds": {cookies: round(took, 3) for cookies, took in self.seconds.items()},
            "counters": self.counted,
        }
        findings.say(
            "D2",
            CONDITIONS,
            f"{self.outcomes[0]}; with SYN cookies in: {self.seconds[1] * 1000:.0f} ms",
            f"with tcp_syncookies=0 and a backlog of {BACKLOG}, {FLOOD} SYNs from nowhere left "
            f"{self.half_open[0]} half-open connections and a real client got {self.outcomes[0]}; "
            f"with tcp_syncookies=1, the default, it was in after {self.seconds[1] * 1000:.0f} ms: "
            "the full queue keeps nothing, the SYN+ACK carries a cookie "
            f"({self.counted['SyncookiesSent']} sent)",
        )
        findings.ladders += [
            (f"tcp_syncookies={cookies}: the real client", evidence.ladder(40000 + cookies))
            for cookies in PORTS
        ]
