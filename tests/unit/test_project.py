"""What the project promises about itself: its rooms, its package, its README."""

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TRACER = sorted((ROOT / "tracer").rglob("*.py"))
ANALYSIS = sorted((ROOT / "analysis").rglob("*.py"))


def module_name(path: Path) -> str:
    """``tracer/commands/record.py`` -> ``tcptrace.tracer.commands.record``."""
    parts = ["tcptrace", *path.relative_to(ROOT).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path) -> set[str]:
    """Every module a file imports, anywhere in it, also inside functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def loaded_after_importing(paths: list[Path]) -> set[str]:
    """Import modules in a new interpreter; the top-level modules it then holds."""
    modules = [module_name(path) for path in paths if path.name != "__main__.py"]
    program = (
        "import importlib, sys\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names in a wheel built from a copy, so that nothing old gets into it."""
    source = tmp_path_factory.mktemp("source")
    for name in ("LICENSE", "README.md", "pyproject.toml", "analysis", "bpf", "tracer"):
        subprocess.run(["cp", "-r", str(ROOT / name), str(source)], check=True)
    build = "import sys, setuptools.build_meta as b; print(b.build_wheel(sys.argv[1]))"
    target = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-c", build, str(target)], cwd=source, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (path,) = target.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def test_recording_never_loads_pandas() -> None:
    loaded = loaded_after_importing(TRACER)
    assert "pyarrow" in loaded
    assert "pandas" not in loaded


def test_reporting_never_loads_bcc() -> None:
    loaded = loaded_after_importing(ANALYSIS)
    assert "pandas" in loaded
    assert "bcc" not in loaded


def test_recording_knows_nothing_of_pandas_or_of_the_analysis() -> None:
    for path in TRACER:
        forbidden = {
            name
            for name in imported(path)
            if name.split(".")[0] == "pandas" or name.startswith("tcptrace.analysis")
        }
        assert not forbidden, path


def test_bcc_is_imported_in_one_file_only() -> None:
    users = [
        path.relative_to(ROOT).as_posix()
        for path in TRACER + ANALYSIS
        if any(name.split(".")[0] == "bcc" for name in imported(path))
    ]
    assert users == ["tracer/compiled.py"]


def test_wheel_holds_every_module(wheel: set[str]) -> None:
    modules = {f"tcptrace/{path.relative_to(ROOT)}" for path in TRACER + ANALYSIS}
    assert modules - wheel == set()


def test_wheel_holds_every_bpf_source(wheel: set[str]) -> None:
    sources = {
        f"tcptrace/{path.relative_to(ROOT)}"
        for path in (ROOT / "bpf").rglob("*")
        if path.suffix in {".c", ".h"}
    }
    assert "tcptrace/bpf/event.h" in sources
    assert sources - wheel == set()


def test_wheel_holds_both_licences(wheel: set[str]) -> None:
    licences = {name.partition("/licenses/")[2] for name in wheel if "/licenses/" in name}
    assert licences == {"LICENSE", "bpf/LICENSE"}


def test_every_bpf_source_names_its_licence() -> None:
    for path in (ROOT / "bpf").rglob("*.[ch]"):
        assert "SPDX-License-Identifier: GPL-2.0" in path.read_text().splitlines()[0], path


def test_every_dependency_has_its_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    project = tomllib.loads(text)["project"]
    for name in project["dependencies"] + project["optional-dependencies"]["test"]:
        assert re.search(rf'^ +"{re.escape(name)}", +# \S', text, re.MULTILINE), name


def test_modules_are_short_enough_to_read_at_once() -> None:
    too_long = {
        path.relative_to(ROOT).as_posix(): lines
        for path in TRACER + ANALYSIS
        if (lines := len(path.read_text().splitlines())) > 260
    }
    assert not too_long


def test_readme_names_only_targets_that_the_makefile_has() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    readme = (ROOT / "README.md").read_text()
    named = set(re.findall(r"(?:`|^ *|&& )make ([a-z-]+)", readme, re.MULTILINE))
    assert {"demo", "test", "install"} <= named
    assert named <= targets


def test_readme_links_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", (ROOT / "README.md").read_text())
    assert [link for link in links if not (ROOT / link).exists()] == []
