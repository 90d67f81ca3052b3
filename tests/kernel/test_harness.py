"""The instruments themselves, without tcptrace: programs, cable and capture agree."""

from __future__ import annotations

import pytest

from .lab import Lab


@pytest.mark.parametrize("family", [4, 6])
def test_capture_says_who_sent_the_first_fin(lab: Lab, family: int) -> None:
    pair = lab.pair()
    client, server = lab.program("tt-c", pair.client), lab.program("tt-s", pair.server)
    capture = lab.capture(pair.client, pair.server4)
    address = pair.address_of_server(family)
    listener = server.listen(address, 9000)
    for first in ("client", "server") * 5:
        near = client.connect(address, 9000)
        far = listener.accept()
        first_end, second_end = (near, far) if first == "client" else (far, near)
        first_end.close()
        second_end.read_to_end()
        second_end.close()
    pair.wait_quiet()
    capture.stop()
    seen = capture.conversations()
    assert [one.first_fin for one in seen] == ["client", "server"] * 5
    assert {one.outcome for one in seen} == {"finished"}


@pytest.mark.parametrize("family", [4, 6])
def test_cable_makes_fins_cross_every_time(lab: Lab, family: int) -> None:
    cable = lab.cable()
    pair = cable.pair
    client, server = lab.program("tt-c", pair.client), lab.program("tt-s", pair.server)
    capture = lab.capture(pair.client, pair.server4)
    address = pair.address_of_server(family)
    listener = server.listen(address, 9000)
    for _ in range(5):
        near = client.connect(address, 9000)
        far = listener.accept()
        cable.hold("fin")
        near.close()
        far.close()
        cable.wait_held(2)
        assert pair.client.states()["FIN_WAIT_1"] == pair.server.states()["FIN_WAIT_1"] == 1
        cable.release()
        pair.wait_quiet()
    capture.stop()
    assert [one.first_fin for one in capture.conversations()] == ["both"] * 5
    # Both went through CLOSING, so both keep a TIME_WAIT.
    assert pair.client.states()["TIME_WAIT"] == pair.server.states()["TIME_WAIT"] == 5
