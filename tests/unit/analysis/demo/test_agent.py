"""The helper on another machine: requests and answers, and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tcptrace.analysis.demo import agent, connection
from tcptrace.analysis.demo.agent import Agent
from tcptrace.analysis.demo.capture import ExperimentError
from tcptrace.analysis.demo.connection import Connection
from tcptrace.tracer.errors import PreflightError, TcptraceError


class Line:
    """An agent in a thread, and this side of both pipes."""

    def __init__(self) -> None:
        requests, self.to = os.pipe()
        self.back, answers = os.pipe()
        self.agent = Agent(requests, answers)
        self.thread = threading.Thread(target=self.agent.serve)
        self.answers = os.fdopen(self.back, "rb")

    def ask(self, **request: Any) -> dict[str, Any]:
        os.write(self.to, json.dumps({"id": 1, **request}).encode() + b"\n")
        answer: dict[str, Any] = json.loads(self.answers.readline())
        return answer


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    # Signals are the main thread's.
    monkeypatch.setattr(agent.signal, "signal", lambda number, handler: None)
    made = Line()
    yield made
    if made.thread.ident is not None:
        made.thread.join(10)
    assert not made.thread.is_alive()
    made.answers.close()


def test_a_request_is_answered_and_the_end_of_stdin_ends_it(line: Line) -> None:
    line.thread.start()
    answer = line.ask(on=0, do="clock")
    assert answer["id"] == 1
    assert answer["value"] > 1e18
    os.close(line.to)


def test_what_fails_is_said_with_its_kind(line: Line) -> None:
    line.thread.start()
    assert line.ask(on=7, do="run") == {
        "id": 1,
        "error": "nothing has the number 7",
        "kind": "TcptraceError",
    }
    answer = line.ask(on=0, do="resolve", **{"with": ["no-such-host.invalid"]})
    assert answer["kind"] == "PreflightError"
    assert "no IPv4 address for no-such-host.invalid" in answer["error"]
    os.close(line.to)


def test_it_ends_when_nobody_is_heard(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "SILENCE", 0.1)
    closed = threading.Event()
    monkeypatch.setattr(line.agent._machine, "close", closed.set)
    line.thread.start()
    assert closed.wait(10)
    line.thread.join(10)
    os.close(line.to)


def test_typed_by_a_person_it_says_what_it_is_for() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tcptrace.tracer", "demo-host"],
        input="hello\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "tcptrace: demo-host is for `tcptrace demo --hosts` to use\n"


@pytest.fixture
def other_command(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Have something else started than ssh."""

    def use(script: str) -> None:
        monkeypatch.setattr(connection, "_SSH", ("sh", "-c", script))

    return use


def test_the_last_words_of_ssh_are_passed_on(other_command: Any) -> None:
    other_command("echo 'Permission denied (publickey).' >&2; exit 255")
    made = Connection("server")
    with pytest.raises(ExperimentError, match=r"^server: Permission denied \(publickey\)\. "):
        made.call(0, "hello")
    made.close()


def test_a_greeting_before_the_answers_is_passed_over(other_command: Any) -> None:
    answer = json.dumps({"id": 1, "value": 5})
    other_command(f"echo 'Welcome to Debian'; read line; echo '{answer}'; cat >/dev/null")
    made = Connection("server")
    assert made.call(0, "clock") == 5
    made.close()


@pytest.mark.parametrize("kind", [PreflightError, ExperimentError, TcptraceError])
def test_an_error_there_is_the_same_error_here(other_command: Any, kind: type) -> None:
    answer = json.dumps({"id": 1, "error": "it is so", "kind": kind.__name__})
    other_command(f"read line; echo '{answer}'; cat >/dev/null")
    made = Connection("server")
    with pytest.raises(kind, match="server: it is so"):
        made.call(0, "hello")
    made.close()


def test_what_a_machine_says_cannot_hold_escapes_or_end_the_reader(other_command: Any) -> None:
    lines = [json.dumps({"from": 9}), "[]", "7", json.dumps({"id": 99, "value": 1})]
    lines.append(json.dumps({"id": 1, "error": "red \x1b[31m", "kind": "SystemExit"}))
    said = "; ".join(f"echo '{line}'" for line in lines)
    other_command(f"read line; {said}; cat >/dev/null")
    made = Connection("server")
    with pytest.raises(TcptraceError, match=r"red \\x1b\[31m"):
        made.call(0, "hello")
    made.close()


def test_what_is_out_of_reach_is_closed_without_us(other_command: Any) -> None:
    other_command("exit 0")
    made = Connection("server")
    assert made.forget(3) is None
    with pytest.raises(ExperimentError, match="the connection to it was lost"):
        made.call(0, "hello")
    made.close()
