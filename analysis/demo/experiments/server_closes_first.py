"""A server that writes one line and closes: TIME_WAIT is the server's."""

from tcptrace.analysis.demo.evidence import CONDITIONS, HOLDS, Evidence, Findings
from tcptrace.analysis.demo.experiment import Experiment
from tcptrace.analysis.demo.sockets import states
from tcptrace.analysis.demo.stage import Stage

PORT = 9000
FIRST_CLIENT = 40000
MANY = 50


class ServerClosesFirst(Experiment):
    """Port 9000 as in the text, then many clients, then one of them again."""

    name = "server-closes-first"
    summary = "port 9000 closes first: TIME_WAIT sits on the server"
    claims = ("E1", "D5")
    wire = False

    def play(self, stage: Stage) -> None:
        """Serve one client, fifty more, and the second of them once more."""
        client, server = stage.program("client", "left"), stage.program("server", "right")
        server.do("listen", name="l", port=PORT, backlog=32)

        def serve(client_port: int) -> None:
            stage.connect(client, server, PORT, client_port)
            server.do("send_all", name="c", text="hello\n")
            server.do("close", name="c")
            client.do("close_at_end", name="c")

        serve(FIRST_CLIENT)
        stage.wait_for_states("right", PORT, ["LISTEN", "TIME_WAIT"])
        self.seen = {"server": states(stage.right, PORT), "client": states(stage.left, PORT)}
        for one in range(1, MANY + 1):
            serve(FIRST_CLIENT + one)
        stage.wait_for_states("right", PORT, ["LISTEN"] + ["TIME_WAIT"] * (MANY + 1))
        serve(FIRST_CLIENT + 1)
        stage.wait_for_time_wait_end("right", PORT)

    def judge(self, evidence: Evidence, findings: Findings) -> None:
        """Find the TIME_WAITs and whose they are."""
        first = evidence.connection("right", FIRST_CLIENT)
        lived = float(first["time_wait_s"])
        servers, clients = (len(evidence.time_waits(side)) for side in ("right", "left"))
        again = evidence.connection("right", FIRST_CLIENT + 1)
        findings.expect(first["closed_by"] == "local", "the server did not close first")
        findings.expect(first["comm"] == "server", f"the owner is {first['comm']}")
        findings.expect(60 <= lived < 66, f"TIME_WAIT lived {lived:.3f} s")
        findings.expect(servers == MANY + 2, f"{servers} TIME_WAITs on the server")
        findings.expect(clients == 0, f"{clients} TIME_WAITs on the client")
        findings.expect(
            again["time_wait_end"] == "reused_syn", f"it ended by {again['time_wait_end']}"
        )
        findings.measured |= {
            "seen": self.seen,
            "time_waits_on_server": servers,
            "time_waits_on_client": clients,
            "time_wait_s": round(lived, 3),
        }
        findings.say(
            "E1",
            HOLDS,
            "server: LISTEN, TIME_WAIT; client: none",
            f"server's sockets on port {PORT}: {', '.join(self.seen['server'])}; the client's: "
            f"none. The TIME_WAIT lived {lived:.3f} s",
        )
        findings.say(
            "D5",
            CONDITIONS,
            f"{servers} TIME_WAITs; but a newer SYN gets in",
            f"{servers} closes, {servers} TIME_WAITs on the server, none on the client. But the "
            "client that came back with the same address and port did not collide: its SYN "
            "was newer than the old connection (RFC 6191) and took the TIME_WAIT's place",
        )
        findings.ladders += [
            ("The first client", evidence.ladder(FIRST_CLIENT)),
            ("A client that comes back with the same port", evidence.ladder(FIRST_CLIENT + 1)),
        ]
