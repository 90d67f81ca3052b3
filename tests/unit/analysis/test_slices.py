"""A recording looked at slice by slice is told of as it is when looked at whole."""

import random
from pathlib import Path
from typing import Any

import pytest

from tcptrace.analysis.filters import Filters
from tcptrace.analysis.findings import find
from tcptrace.analysis.groups import GROUPINGS, grouped_by
from tcptrace.analysis.hosts import ends_of
from tcptrace.analysis.reconstruct import Reconstruction
from tcptrace.analysis.recording import Recording
from tcptrace.analysis.summary import summarise
from tcptrace.analysis.text import render
from tcptrace.analysis.view import View, choose

from .scenario import NGINX, SERVER_END, Story
from .simulator import simulate


def seen(kernel: Story, part: int, filters: Filters, piece: int = 1 << 19) -> View:
    reconstruction = Reconstruction(piece, part)
    for batch in kernel.table.to_batches(max_chunksize=100):
        reconstruction.add(batch)
    found = reconstruction.finish()
    recording = Recording(
        Path("run.arrows"), kernel.header, {}, (), found, kernel.observed, problem=None
    )
    return choose(recording, filters, sliced=True)


def told(view: View) -> dict[str, Any]:
    findings = find(view)
    summary = summarise(view, findings)
    lines = render(view, summary, findings, verbose=True)
    groups = {by: grouped_by(view, by) for by in GROUPINGS}
    return {"summary": summary, "by": groups, "text": [line.plain for line in lines]}


@pytest.mark.parametrize("lossy", [False, True])
@pytest.mark.parametrize("block", range(4))
def test_slices_of_any_size_tell_the_same(block: int, lossy: bool) -> None:
    parted = 0
    for seed in range(7000 + block * 10, 7003 + block * 10):
        chance = random.Random(seed)  # noqa: S311
        kernel = simulate(seed, kernels=5, lossy=lossy)
        filters = chance.choice([Filters(), Filters(port=(80,)), Filters(family=(4,))])
        whole = seen(kernel, 1 << 30, filters)
        slices = seen(kernel, chance.choice([1, 1, 3]), filters, chance.choice([7, 1000]))
        parted += slices.recording.several
        assert not whole.recording.several
        assert told(slices) == told(whole)
    assert parted


def test_there_are_several_slices_and_no_connection_is_in_two() -> None:
    kernel = simulate(7100, kernels=5)
    recording = seen(kernel, 2, Filters()).recording
    whole = len(recording.connections)
    sizes = [len(tables.connections) for _, tables in recording.parts()]
    assert len([size for size in sizes if size]) > 2
    assert sum(sizes) == whole


def test_leaks_have_the_recordings_own_numbers() -> None:
    story = Story()
    ends = [SERVER_END._replace(remote_port=40_000 + port) for port in range(30)]
    for end in ends[::3]:
        story.socket(end).accept().to("CLOSE_WAIT")
    for end in ends[1::3]:
        story.existing(end, "CLOSE_WAIT", by=NGINX)
        # All rows of a snapshot may have the same time.
        story.rows[-1]["time"] = story.rows[10]["time"]
    story.after(10)
    slices = seen(story, 1, Filters())
    assert slices.sliced
    leaks = summarise(slices)["close_wait"]["leaks"]
    assert len(leaks) == 20
    ports = seen(story, 1 << 30, Filters()).connections.set_index("connection")["remote_port"]
    for leak in leaks:
        assert leak["remote"].endswith(f":{ports[leak['connection']]}")


def test_what_was_given_away_slice_by_slice_is_not_told_of_as_nothing() -> None:
    recording = seen(simulate(7200, kernels=5), 1, Filters()).recording
    assert recording.several
    list(recording.parts())
    with pytest.raises(RuntimeError, match="given away"):
        recording.connections  # noqa: B018
    with pytest.raises(RuntimeError, match="given away"):
        list(recording.parts())


def test_pairing_a_large_recording_leaves_its_report_as_it_is() -> None:
    kernel = simulate(7200, kernels=5)
    recording = seen(kernel, 1, Filters()).recording
    assert recording.several
    view = choose(recording, Filters())
    assert len(ends_of(view).frame) == len(ends_of(seen(kernel, 1 << 30, Filters())).frame) > 0
    assert told(view) == told(seen(kernel, 1 << 30, Filters()))
