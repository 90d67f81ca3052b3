"""A program that never calls close()."""

from tcptrace.analysis.demo.evidence import CONDITIONS, Evidence, Findings
from tcptrace.analysis.demo.experiment import Experiment
from tcptrace.analysis.demo.sockets import states
from tcptrace.analysis.demo.stage import Stage

PORT, KEPT_ALIVE = 8000, 8001
#: How long the client's host remembers the connection, seconds.
FIN_TIMEOUT = 3
#: How long the leak is watched, seconds.
WATCHED = 20.0


class CloseWaitLeak(Experiment):
    """The peer closes; this program does not, then it exits."""

    name = "close-wait-leak"
    summary = "a program that never closes: CLOSE_WAIT until it exits"
    claims = ("B4",)
    wire = False
    patient = False  # FIN_WAIT_2 lasts 3.5 times the retransmission timeout at least

    def play(self, stage: Stage) -> None:
        """Leak one socket, and one with keep-alive; then end the process."""
        client, server = stage.program("client", "left"), stage.program("leaking", "right")
        stage.left.set_sysctl("tcp_fin_timeout", FIN_TIMEOUT)
        for index, port in enumerate((PORT, KEPT_ALIVE)):
            server.do("listen", name="l", port=port)
            stage.connect(client, server, port, 40000 + index, name=f"c{port}")
            if port == KEPT_ALIVE:
                server.do("keep_alive", name=f"c{port}", idle=1, interval=1)
            client.do("close", name=f"c{port}")
            server.do("drain", name=f"c{port}")
        stage.wait_for_states("right", KEPT_ALIVE, ["LISTEN"])
        self.kept_alive_error = server.do("error", name=f"c{KEPT_ALIVE}")
        stage.wait_for_states("left", PORT, [])
        stage.status = f"watching CLOSE_WAIT for {WATCHED:.0f} s"
        stage.pause(WATCHED)
        self.before_exit = states(stage.right, PORT)
        server.kill()
        stage.wait_for_states("right", PORT, [])

    def judge(self, evidence: Evidence, findings: Findings) -> None:
        """Say how long it stayed, and what ended it."""
        leak = evidence.connection("right", PORT)
        peer = evidence.connection("left", PORT)
        alive = evidence.connection("right", KEPT_ALIVE)
        stayed, peer_stayed = float(leak["close_wait_s"]), float(peer["fin_wait_2_s"])
        alive_stayed = float(alive["close_wait_s"])
        findings.expect(
            "CLOSE_WAIT" in self.before_exit, f"before the exit: {', '.join(self.before_exit)}"
        )
        findings.expect(stayed >= WATCHED, f"CLOSE_WAIT stayed {stayed:.3f} s")
        findings.expect(leak["comm"] == "leaking", f"the owner is {leak['comm']}")
        findings.expect(alive_stayed < WATCHED, f"with keep-alive: {alive_stayed:.3f} s")
        findings.measured |= {
            "close_wait_s": round(stayed, 3),
            "peer_fin_wait_2_s": round(peer_stayed, 3),
            "keep_alive_close_wait_s": round(alive_stayed, 3),
            "keep_alive_error": self.kept_alive_error,
        }
        findings.say(
            "B4",
            CONDITIONS,
            f"{stayed:.1f} s to the exit; keep-alive: {alive_stayed:.1f} s",
            f"CLOSE_WAIT stayed {stayed:.1f} s, until the process ended, though the peer had "
            f"forgotten it after {peer_stayed:.1f} s (tcp_fin_timeout {FIN_TIMEOUT} s): "
            "no timer of TCP ends it. SO_KEEPALIVE does: the probe is answered by RST and the "
            f"same leak was gone after {alive_stayed:.1f} s",
        )
        findings.ladders += [
            ("The leak", evidence.ladder(PORT, ("client", "leaking"))),
            ("With SO_KEEPALIVE", evidence.ladder(KEPT_ALIVE, ("client", "leaking"))),
        ]
