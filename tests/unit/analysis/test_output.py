import os
import signal

import pytest

from tcptrace.analysis.output import new_file
from tcptrace.tracer.errors import OutputError


def write(path, data=b"new", **options):
    with new_file(path, **options) as stream:
        stream.write(data)


def test_a_new_file_is_written(tmp_path):
    write(tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"new"


def test_an_existing_file_is_kept_unless_forced(tmp_path):
    path = tmp_path / "out"
    path.write_bytes(b"old")
    with pytest.raises(OutputError, match="--force"):
        write(path)
    assert path.read_bytes() == b"old"
    write(path, force=True)
    assert path.read_bytes() == b"new"


def test_a_symbolic_link_is_not_followed(tmp_path):
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "out").symlink_to(tmp_path / "target")
    for force in (False, True):
        with pytest.raises(OutputError, match="symbolic link"):
            write(tmp_path / "out", force=force)
    assert (tmp_path / "target").read_bytes() == b"old"


@pytest.mark.parametrize("force", [False, True])
def test_nothing_half_written_stays(tmp_path, force):
    def fail():
        with new_file(tmp_path / "out", force=force) as stream:
            stream.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_failed_overwrite_keeps_the_old_file(tmp_path):
    path = tmp_path / "out"
    path.write_bytes(b"old")

    def fail():
        with new_file(path, force=True):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_bytes() == b"old"


def test_places_that_cannot_be_written_are_one_clear_line(tmp_path):
    with pytest.raises(OutputError, match="No such file or directory"):
        write(tmp_path / "no" / "out")
    with pytest.raises(OutputError, match="directory"):
        write(tmp_path)


def test_a_full_disk_is_one_clear_line(tmp_path):
    def fail():
        with new_file(tmp_path / "out") as stream:
            stream.write(b"x")
            raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left on device"):
        fail()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def number(request):
    """A signal, handled as it is in a terminal: in the background it may be ignored."""
    ctrl_c = request.param == signal.SIGINT
    handler = signal.default_int_handler if ctrl_c else signal.SIG_DFL
    old = signal.signal(request.param, handler)
    yield request.param
    signal.signal(request.param, old)


@pytest.mark.parametrize("force", [False, True])
def test_a_signal_leaves_nothing_half_written(tmp_path, number, force):
    before = signal.getsignal(number)

    def interrupted():
        with new_file(tmp_path / "out", force=force) as stream:
            stream.write(b"half")
            os.kill(os.getpid(), number)

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("force", [False, True])
def test_nothing_stands_under_the_name_before_it_is_whole(tmp_path, force):
    with new_file(tmp_path / "out", force=force) as stream:
        stream.write(b"half")
        stream.flush()
        assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_file_that_somebody_made_meanwhile_is_kept(tmp_path):
    def overtaken():
        with new_file(tmp_path / "out") as stream:
            stream.write(b"new")
            (tmp_path / "out").write_bytes(b"other")

    with pytest.raises(OutputError, match="exists: use --force"):
        overtaken()
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"other"]
