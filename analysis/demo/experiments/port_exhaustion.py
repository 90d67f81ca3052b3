"""A small ephemeral port range runs out of ports that are all in TIME_WAIT."""

from tcptrace.analysis.demo.evidence import CONDITIONS, Evidence, Findings
from tcptrace.analysis.demo.experiment import Experiment
from tcptrace.analysis.demo.sockets import states
from tcptrace.analysis.demo.stage import Stage

BUSY, ELSEWHERE, KEPT = 8000, 8001, 8002
FIRST, LAST = 40000, 40019
PORTS = LAST - FIRST + 1
REQUESTS = 100


class PortExhaustion(Experiment):
    """One connection a request, against one connection for all of them."""

    name = "port-exhaustion"
    summary = "ports run out in TIME_WAIT; kept connections need none"
    claims = ("D5",)
    wire = False

    def play(self, stage: Stage) -> None:
        """Use up the range, then serve a hundred requests on one connection."""
        client, server = stage.program("client", "left"), stage.program("server", "right")
        address = stage.address("right")
        stage.left.set_sysctl("ip_local_port_range", f"{FIRST} {LAST}")
        for port in (BUSY, ELSEWHERE, KEPT):
            server.do("listen", name=f"l{port}", port=port)
        self.done = 0
        while True:
            reply = client.ask("connect", name="c", address=address, port=BUSY)
            if reply.error or self.done > PORTS:
                break
            server.do("accept", name="c", listener=f"l{BUSY}")
            stage.close_in_order(client, server)
            self.done += 1
        self.error = reply.outcome
        self.holding = states(stage.left, BUSY)
        self.elsewhere = client.ask("connect", name="e", address=address, port=ELSEWHERE).outcome
        client.do("connect", name="k", address=address, port=KEPT)
        server.do("accept", name="k", listener=f"l{KEPT}")
        self.requests = 0
        for _ in range(REQUESTS):
            client.do("send_all", name="k", text="request")
            server.do("receive", name="k")
            server.do("send_all", name="k", text="response")
            self.requests += client.do("receive", name="k") == "response"

    def judge(self, evidence: Evidence, findings: Findings) -> None:
        """Count ports and TIME_WAITs."""
        rows = evidence.connections("left", BUSY)
        waiting = rows[rows["time_wait_began"].notna()]
        findings.expect(self.error == "EADDRNOTAVAIL", f"connect() gave {self.error}")
        findings.expect(self.done == PORTS, f"{self.done} connections from {PORTS} ports")
        findings.expect(
            waiting["local_port"].nunique() == PORTS, f"{len(waiting)} TIME_WAITs recorded"
        )
        findings.expect(self.holding == ["TIME_WAIT"] * PORTS, "not all ports are in TIME_WAIT")
        findings.expect(self.elsewhere == "ok", f"another destination: {self.elsewhere}")
        findings.expect(self.requests == REQUESTS, f"{self.requests} requests answered")
        findings.expect(
            len(evidence.connections("left", KEPT)) == 1, "keep-alive took more than one connection"
        )
        findings.measured |= {
            "ports": PORTS,
            "connections": self.done,
            "error": self.error,
            "another_destination": self.elsewhere,
            "keep_alive_requests": self.requests,
        }
        findings.say(
            "D5",
            CONDITIONS,
            f"client: {self.done} connections, {self.error}",
            f"a client that closes first is hit harder: {PORTS} ports, {self.done} connections, "
            f"then {self.error}, with every port in TIME_WAIT. Another destination was reached at "
            f"once, and {self.requests} requests over one kept connection took one port. The "
            "default range of 28,232 ports allows about 470 new connections a second to "
            "one destination",
        )
        findings.ladders.append(
            ("One of the ports", evidence.ladder(int(rows["local_port"].iloc[0])))
        )
