"""`make test-kernels`: the kernel tests, and a few demos, on Debian's kernels in QEMU.

    .venv/bin/python tests/vm/run.py [-k 6.1 -k newest] [--all] [--arch amd64]
    .venv/bin/python tests/vm/run.py -k 6.1 --command 'tcptrace check'

What is needed is made once and kept in build/vm: a root file system (rootfs.py) and the
kernels (kernels.py), for each architecture (architecture.py; another one needs an entry
there). Two guests run at a time (guest.py says how time passes in them). A command runs in the
guest as root, by bash, with this working tree in /tcptrace and the package installed. What it
leaves in /results is afterwards in build/vm/runs/KERNEL-ARCHITECTURE/files, its words in
.../output, the kernel's in .../console.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import click
from architecture import ARCHITECTURES, Architecture
from cache import CACHE, ROOT, say
from guest import Machine, Outcome, boot, payload
from kernels import PACKAGES, SUITES, Kernel, kernel
from rootfs import root_image
from suite import DEMOS, FAST, SEVERAL_CPUS, Result, command, result

#: Moves: what fails there is told, and fails nothing.
ADVISORY = "newest"
USUAL = tuple(name for name in SUITES if name not in PACKAGES)


@click.command()
@click.option("-k", "--kernel", "names", multiple=True, type=click.Choice(list(SUITES)))
@click.option("--all", "everything", is_flag=True, help="Every kernel test, not the fast ones.")
@click.option("--test", "tests", multiple=True, help="Only these files of tests/kernel.")
@click.option("--arch", default="amd64", type=click.Choice(list(ARCHITECTURES)))
@click.option("--fresh", is_flag=True, help="Fetch the kernels anew.")
@click.option("--command", "script", help="Run this instead of tests, and show what it says.")
@click.option("--cpus", default=Machine.cpus, show_default=True, help="Several: in host time.")
@click.option("--memory", default=Machine.memory, show_default=True, help="MB for each guest.")
@click.option("--host-time", is_flag=True, help="Let the guests have the host's time.")
@click.option("--jobs", default=2, show_default=True, help="Guests at a time.")
@click.option("--limit", default=3600.0, show_default=True, help="Seconds for each guest.")
def main(
    names: tuple[str, ...],
    everything: bool,
    tests: tuple[str, ...],
    arch: str,
    fresh: bool,
    script: str | None,
    cpus: int,
    memory: int,
    host_time: bool,
    jobs: int,
    limit: float,
) -> None:
    """Run the kernel tests, or a command, on Debian's kernels in QEMU."""
    architecture = ARCHITECTURES[arch]
    several = cpus > 1  # which stand still at times in a time of their own
    machine = Machine(cpus, memory, None if host_time or several else Machine.shift)
    chosen = tests or (() if everything else SEVERAL_CPUS if several else FAST)
    demos = () if several else DEMOS
    words = script if script is not None else command(chosen, demos)
    kernels = [kernel(name, architecture, fresh=fresh) for name in names or USUAL]
    outcomes = _boot_all(kernels, architecture, machine, words, jobs, limit)
    if script is not None:
        sys.exit(_show(outcomes))
    results = {
        each: result(outcome.files, outcome.status, demos) for each, outcome in outcomes.items()
    }
    _tell(results, outcomes)
    needed = [each for kernel, each in results.items() if kernel.name != ADVISORY]
    sys.exit(not all(each.good for each in needed))


def _boot_all(
    kernels: list[Kernel],
    architecture: Architecture,
    machine: Machine,
    words: str,
    jobs: int,
    limit: float,
) -> dict[Kernel, Outcome]:
    root = root_image(architecture)
    packed = CACHE / f"payload-{architecture.name}.tar"
    payload(packed, words, architecture)

    def one(each: Kernel) -> Outcome:
        say(f"{each.release}: begun")
        outcome = boot(architecture, each, root, packed, machine, limit)
        say(f"{each.release}: ended after {outcome.seconds / 60:.1f} minutes")
        return outcome

    with ThreadPoolExecutor(jobs) as pool:
        return dict(zip(kernels, pool.map(one, kernels), strict=True))


def _show(outcomes: dict[Kernel, Outcome]) -> int:
    for each, outcome in outcomes.items():
        say(f"== {each.release}: exit status {outcome.status}")
        say(outcome.output.read_text(errors="replace"))
        if outcome.status is None:
            say(outcome.console.read_text(errors="replace")[-3000:])
    return int(any(outcome.status != 0 for outcome in outcomes.values()))


def _tell(results: dict[Kernel, Result], outcomes: dict[Kernel, Outcome]) -> None:
    """Print why something failed or was skipped, then a line for each kernel."""
    for each, found in results.items():
        for name, reason in found.failed.items():
            say(f"{each.release}: FAILED {name}: {reason}")
        for reason, count in found.reasons.items():
            say(f"{each.release}: skipped {count}: {reason}")
        if found.failed:
            say(f"{each.release}: more in {outcomes[each].output.relative_to(ROOT)}")
    say(f"{'kernel':<32} {'passed':>7} {'failed':>7} {'skipped':>8} {'minutes':>8}")
    for each, found in results.items():
        counts = f"{found.passed:>7} {len(found.failed):>7} {len(found.skipped):>8}"
        note = "  (advisory)" if each.name == ADVISORY else ""
        say(f"{each.release:<32} {counts} {outcomes[each].seconds / 60:>8.1f}{note}")
    needed = [found for each, found in results.items() if each.name != ADVISORY]
    passed, failed, skipped = (
        sum(found.passed for found in needed),
        sum(len(found.failed) for found in needed),
        sum(len(found.skipped) for found in needed),
    )
    say(f"{passed} passed, {failed} failed, {skipped} skipped")


if __name__ == "__main__":
    main()
