"""docs/install.md quotes what `check` says, and asks for the rights that SECURITY.md measures."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/install.md").read_text()
SECURITY = (ROOT / "SECURITY.md").read_text()

#: Words that are the kernel's own.
KERNELS = ("No such file or directory", "Operation not permitted")


def said() -> list[str]:
    """Every text in the tracer's code, those of f-strings in parts; blanks made one."""
    trees = [ast.parse(path.read_text()) for path in (ROOT / "tracer").glob("*.py")]
    texts = [
        node.value
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    return [" ".join(text.split()) for text in texts if len(text) > 3]


def quoted() -> list[str]:
    """What the page quotes: each line of `check` after its label, wrapped ones joined."""
    blocks = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    joined = re.sub(r"\n {7,}", " ", "".join(blocks))
    return re.findall(r"(?:lost|fix): (.*)|^NO  \S+(?: \S+)*  +(.*)", joined, re.MULTILINE)


@pytest.mark.parametrize("line", [lost_or_fix or found for lost_or_fix, found in quoted()])
def test_what_the_page_quotes_is_what_the_code_says(line: str) -> None:
    rest = re.sub(r"(?<=which the virtual environment )\S+", "", line)
    for text in (*KERNELS, *sorted(said(), key=len, reverse=True)):
        rest = rest.replace(text, " ")
    # Left are numbers, and names of files and capabilities.
    left = re.findall(r"[a-z]{4,}", re.sub(r"/\S+", "", rest))
    assert left == [], left


def test_the_page_quotes_every_kind_of_thing_missing() -> None:
    assert len(quoted()) >= 20


def test_container_and_pod_ask_for_what_recording_needs() -> None:
    table = SECURITY[SECURITY.index("## Without full root") : SECURITY.index("So all of it is")]
    needed = set(re.findall(r"CAP_(\w+)", table.partition("|---|")[2]))
    assert needed >= {"BPF", "PERFMON", "SYSLOG"}
    command = PAGE[PAGE.index("docker run --rm") : PAGE.index("`--privileged`")]
    assert set(re.findall(r"--cap-add=(\w+)", command)) == needed
    (added,) = re.findall(r"add: \[(.*)\]", (ROOT / "docs/pod.yaml").read_text())
    assert set(added.split(", ")) == needed


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", PAGE)
    assert links
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
