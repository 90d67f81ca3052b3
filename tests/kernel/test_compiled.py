"""What is compiled once and kept: only what is whole, ours, and of these very sources."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tcptrace.tracer import compiled as module
from tcptrace.tracer.btf import Btf
from tcptrace.tracer.compiled import MAPS, compiled, with_maps
from tcptrace.tracer.offsets import kernel_facts

NAMES = ("set_state", "set_state_again")


@pytest.fixture(scope="module")
def defines() -> dict[str, int]:
    return kernel_facts(Btf()).defines


@pytest.fixture(scope="module")
def once(defines: dict[str, int], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the programs in it."""
    kept = tmp_path_factory.mktemp("run") / "kept"
    assert set(compiled(defines, NAMES, kept)) == set(NAMES)
    return kept


@pytest.fixture
def kept(once: Path, tmp_path: Path) -> Path:
    return shutil.copytree(once, tmp_path / "kept")


class CompiledError(Exception):
    """Instead of compiling."""


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: list[str]) -> None:
        raise CompiledError

    monkeypatch.setattr(module, "_compile", refuse)


@pytest.mark.usefixtures("no_compiler")
def test_nothing_is_compiled_twice(kept: Path, defines: dict[str, int]) -> None:
    assert set(compiled(defines, NAMES, kept)) == set(NAMES)


@pytest.mark.usefixtures("no_compiler")
@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"set_state": 5}', '{"set_state": "00"}'])
def test_damaged_it_is_compiled_anew(kept: Path, defines: dict[str, int], damage: str) -> None:
    (file,) = kept.iterdir()
    file.write_text(damage)
    with pytest.raises(CompiledError):
        compiled(defines, NAMES, kept)


@pytest.mark.usefixtures("no_compiler")
@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_others_may_write_is_not_loaded(
    kept: Path, defines: dict[str, int], what: str
) -> None:
    (file,) = kept.iterdir()
    (file if what == "file" else kept).chmod(0o777)
    with pytest.raises(CompiledError):
        compiled(defines, NAMES, kept)


@pytest.mark.usefixtures("no_compiler")
@pytest.mark.parametrize("change", [{"TYPED": 1}, {"TIMEWAIT_HANDLER": 1}])
def test_another_kernel_has_programs_of_its_own(
    kept: Path, defines: dict[str, int], change: dict[str, int]
) -> None:
    with pytest.raises(CompiledError):
        compiled(defines | change, NAMES, kept)


@pytest.mark.usefixtures("no_compiler")
def test_other_sources_are_compiled(
    kept: Path, defines: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = shutil.copytree(module.SOURCES, tmp_path / "bpf")
    with (sources / "state.h").open("a") as file:
        file.write("/* changed */\n")
    monkeypatch.setattr(module, "SOURCES", sources)
    with pytest.raises(CompiledError):
        compiled(defines, NAMES, kept)


def test_where_nothing_can_be_kept_it_is_compiled_each_time(defines: dict[str, int]) -> None:
    assert set(compiled(defines, NAMES, Path("/proc/tcptrace"))) == set(NAMES)


def test_no_placeholder_is_left(once: Path, defines: dict[str, int]) -> None:
    code = compiled(defines, NAMES, once)["set_state"]
    maps = {name: 900 + number for number, name in enumerate(MAPS)}
    placeholders = {name: value.to_bytes(4, sys.byteorder) for name, value in MAPS.items()}
    used = {name for name, value in placeholders.items() if value in code}
    assert used == {"MAP_EVENTS", "MAP_COUNTS", "MAP_MARKS"}
    ready = with_maps(code, maps)
    assert not any(value in ready for value in placeholders.values())
    for name in used:
        assert ready.count(maps[name].to_bytes(4, sys.byteorder)) >= code.count(placeholders[name])
