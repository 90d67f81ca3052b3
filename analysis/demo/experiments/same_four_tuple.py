"""What a TIME_WAIT keeps others from: the port, or only the four-tuple."""

from tcptrace.analysis.demo.evidence import CONDITIONS, Evidence, Findings
from tcptrace.analysis.demo.experiment import Experiment
from tcptrace.analysis.demo.stage import Stage

#: A client that binds its port itself, with SO_REUSEADDR.
BOUND, BOUND_ELSEWHERE, BOUND_CLIENT = 8000, 8001, 40000
#: A client that lets the kernel choose its port, from a range of one.
CHOSEN, CHOSEN_ELSEWHERE, CHOSEN_CLIENT = 8002, 8003, 40001
#: A client that binds, on a connection without timestamps.
PLAIN, PLAIN_CLIENT = 8004, 40002

EXPECTED = {
    "bind, same destination": "EADDRINUSE",
    "bind, elsewhere": "EADDRINUSE",
    "bind with SO_REUSEADDR, elsewhere": "ok",
    "bind with SO_REUSEADDR, same destination": "ok",
    "the same without timestamps": "EADDRNOTAVAIL",
    "no bind, same destination": "EADDRNOTAVAIL",
    "no bind, elsewhere": "ok",
    "after TIME_WAIT: no bind, same destination": "ok",
    "after TIME_WAIT: bind, same destination": "ok",
}


class SameFourTuple(Experiment):
    """A second client on the same port: to the same server, and elsewhere."""

    name = "same-four-tuple"
    summary = "TIME_WAIT holds a four-tuple, not the port"
    claims = ("A3",)
    wire = False

    def play(self, stage: Stage) -> None:
        """Try to follow clients whose TIME_WAITs stand."""
        first, second = stage.program("first", "left"), stage.program("second", "left")
        server = stage.program("server", "right")
        address = stage.address("right")
        for port in (BOUND, BOUND_ELSEWHERE, CHOSEN, CHOSEN_ELSEWHERE, PLAIN):
            server.do("listen", name=f"l{port}", port=port)
        stage.left.set_sysctl("ip_local_port_range", f"{CHOSEN_CLIENT} {CHOSEN_CLIENT}")
        stage.left.set_sysctl("tcp_tw_reuse", 0)
        self.outcomes: dict[str, str] = {}

        def used(port: int, **options: object) -> None:
            first.do("connect", name="c", address=address, port=port, **options)
            server.do("accept", name="c", listener=f"l{port}")
            stage.close_in_order(first, server)
            stage.wait_for_states("left", port, ["TIME_WAIT"])

        def attempt(what: str, port: int, **options: object) -> None:
            name = f"{len(self.outcomes)}"
            self.outcomes[what] = second.ask(
                "connect", name=name, address=address, port=port, **options
            ).outcome

        used(BOUND, local_port=BOUND_CLIENT, reuse=True)
        used(CHOSEN)
        stage.left.set_sysctl("tcp_timestamps", 0)
        used(PLAIN, local_port=PLAIN_CLIENT, reuse=True)
        stage.left.set_sysctl("tcp_timestamps", 1)

        bound = {"local_port": BOUND_CLIENT}
        attempt("bind, same destination", BOUND, **bound)
        attempt("bind, elsewhere", BOUND_ELSEWHERE, **bound)
        attempt("bind with SO_REUSEADDR, elsewhere", BOUND_ELSEWHERE, reuse=True, **bound)
        attempt("bind with SO_REUSEADDR, same destination", BOUND, reuse=True, **bound)
        attempt("the same without timestamps", PLAIN, reuse=True, local_port=PLAIN_CLIENT)
        attempt("no bind, same destination", CHOSEN)
        attempt("no bind, elsewhere", CHOSEN_ELSEWHERE)
        for port in (CHOSEN, PLAIN):
            stage.wait_for_time_wait_end("left", port)
        attempt("after TIME_WAIT: no bind, same destination", CHOSEN)
        attempt("after TIME_WAIT: bind, same destination", PLAIN, local_port=PLAIN_CLIENT)

    def judge(self, evidence: Evidence, findings: Findings) -> None:
        """Compare the outcomes, and when the four-tuples were free again."""
        for what, outcome in EXPECTED.items():
            findings.expect(self.outcomes[what] == outcome, f"{what}: {self.outcomes[what]}")
        lived = {}
        for port, end in ((BOUND, "reused_connect"), (CHOSEN, "expired"), (PLAIN, "expired")):
            before = evidence.connection("left", port)
            after = evidence.connection("left", port, -1)
            lived[port] = float(before["time_wait_s"])
            gap = (after["established"] - before["time_wait_began"]).total_seconds()
            findings.expect(
                before["time_wait_end"] == end, f"port {port} ended by {before['time_wait_end']}"
            )
            findings.expect(
                gap >= lived[port],
                f"port {port}: reopened after {gap:.3f} s, TIME_WAIT {lived[port]:.3f} s",
            )
        findings.expect(lived[CHOSEN] >= 60, f"TIME_WAIT lived {lived[CHOSEN]:.3f} s")
        findings.measured |= {
            "outcomes": self.outcomes,
            "time_wait_s": round(lived[CHOSEN], 3),
            "taken_over_after_s": round(lived[BOUND], 3),
        }
        findings.say(
            "A3",
            CONDITIONS,
            "held for connect(), not for SO_REUSEADDR",
            "connect() from the same port to the same destination: EADDRNOTAVAIL until TIME_WAIT "
            f"ended after {lived[CHOSEN]:.1f} s; to another one: ok at once. bind() without "
            "SO_REUSEADDR on both sockets knows no destination yet and fails for every one "
            "(EADDRINUSE). And a client that did bind with SO_REUSEADDR took the very four-tuple "
            f"over after {lived[BOUND]:.2f} s, with tcp_tw_reuse=0: with timestamps Linux "
            "holds that safe (tcp_twsk_unique); without, EADDRNOTAVAIL",
        )
        table = [f"  {what:44} {outcome}" for what, outcome in self.outcomes.items()]
        findings.ladders += [
            ("connect() of the second client", table),
            ("Taken over by bind() with SO_REUSEADDR", evidence.ladder(BOUND)),
            ("Free after TIME_WAIT", evidence.ladder(CHOSEN)),
        ]
