"""Try inputs that nobody would write on everything that parses, and print what held: `make fuzz`."""

import argparse
import hashlib
import json
import os
import sys
import time
from fnmatch import fnmatch
from pathlib import Path

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")

from rich.console import Console
from rich.table import Table

from shared.endings import one_line
from shared.errors import InputError
from shared.files import write_whole
from simulations.fuzz.corpus import read_corpus
from simulations.fuzz.engine import Finding, Tally
from simulations.fuzz.registry import spread, targets
from simulations.fuzz.report import rows
from simulations.fuzz.target import KINDS, Target
from simulations.fuzz.trial import Trials
from simulations.fuzz.workers import Job, run

DEFAULT_INPUTS, DEFAULT_REPORT, DEFAULT_FOUND = 1_000_000, Path("reports/fuzz.json"), Path("reports/fuzz")
MOST_SHOWN = 250
"""Bytes of an input that are printed; all of it is kept under `--found`."""

LARGEST_JOB = 25_000
"""Inputs after which a target begins again from its seeds, under another seed, so that two processes have work."""


def main() -> None:
    """Fuzz, print the table, write the report; or repeat one input."""
    parser = argparse.ArgumentParser(prog="python -m simulations.fuzz", description=__doc__)
    parser.add_argument(
        "--inputs", type=int, default=DEFAULT_INPUTS, help="how many in all, spread by each target's share"
    )
    parser.add_argument("--only", default="*", metavar="PATTERN", help="only targets whose name matches, as `device.*`")
    parser.add_argument("--seed", default="1", help="the same seed makes the same inputs")
    parser.add_argument("--processes", type=int, default=2, help="how many side by side")
    parser.add_argument("--report", type=Path, default=DEFAULT_REPORT, help="where the report goes, as JSON")
    parser.add_argument("--found", type=Path, default=DEFAULT_FOUND, help="where inputs go that broke something")
    parser.add_argument("--json", action="store_true", help="print the report instead of the table")
    parser.add_argument(
        "--repeat",
        nargs=2,
        metavar=("TARGET", "INPUT"),
        help="try one input again: a file, or its bytes in hexadecimal",
    )
    arguments = parser.parse_args()
    if min(arguments.inputs, arguments.processes) < 1:
        parser.error("--inputs and --processes must be at least 1")
    if arguments.repeat:
        _repeat(*arguments.repeat)
        return
    chosen = tuple(target for target in targets() if fnmatch(target.name, arguments.only))
    if not chosen:
        raise InputError(f"no target matches {arguments.only!r}; there are {[target.name for target in targets()]}")
    started = time.monotonic()
    tallies = _all(chosen, arguments.inputs, arguments.seed, arguments.processes)
    document = rows(tallies, chosen, seconds=time.monotonic() - started)
    write_report(arguments.report, document)
    findings = [finding for tally in tallies.values() for finding in tally.findings]
    _keep(findings, arguments.found)
    if arguments.json:
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        _show(tallies, findings, document)


def _all(chosen: tuple[Target, ...], inputs: int, seed: str, processes: int) -> dict[str, Tally]:
    """Every target's inputs, the costly ones first, with a line on stderr for each that is done."""
    tallies = {target.name: Tally(target=target.name) for target in chosen}
    wanted, console = spread(chosen, inputs), Console(stderr=True)
    jobs = [job for target in chosen for job in _jobs(target, wanted[target.name], seed)]
    jobs.sort(key=lambda job: not job.target.pays)
    with console.status("") as status:

        def told(tally: Tally) -> None:
            tallies[tally.target].add(tally)
            done = sum(one.inputs for one in tallies.values())
            status.update(f"{done:,} of {sum(wanted.values()):,} inputs; {tally.target}")

        run(jobs, processes=processes, told=told)
    return tallies


def _jobs(target: Target, inputs: int, seed: str) -> list[Job]:
    corpus = read_corpus(target)
    count = -(-inputs // LARGEST_JOB)
    sizes = [inputs // count + (index < inputs % count) for index in range(count)]
    return [Job(target=target, inputs=size, seed=f"{seed}.{index}", corpus=corpus) for index, size in enumerate(sizes)]


def write_report(file: Path, document: list[dict[str, str | float | bool]]) -> None:
    """Write the rows."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, json.dumps(document, indent=2).encode() + b"\n")


def _keep(findings: list[Finding], folder: Path) -> None:
    for finding in findings:
        folder.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(finding.data).hexdigest()[:8]
        (folder / f"{finding.target}-{finding.kind}-{digest}.bin").write_bytes(finding.data)


def _show(tallies: dict[str, Tally], findings: list[Finding], document: list[dict[str, str | float | bool]]) -> None:
    console = Console(width=max(Console().width, 115))
    table = Table("target", "inputs", "taken", "places", *KINDS, title="Fuzzing")
    for tally in tallies.values():
        counts = [str(count) if not count else f"[red]{count}[/]" for count in tally.broken.values()]
        table.add_row(tally.target, f"{tally.inputs:,}", f"{tally.accepted:,}", str(len(tally.places)), *counts)
    console.print(table)
    for finding in findings:
        console.print(f"[red]{finding.kind}[/] {finding.target} (seed {finding.seed}): {finding.text}", highlight=False)
        shown = finding.data[:MOST_SHOWN].hex() + (
            "" if len(finding.data) <= MOST_SHOWN else f"... {len(finding.data)} bytes"
        )
        console.print(f"    {shown}", highlight=False, soft_wrap=True)
    total = {str(row["name"]): row["value"] for row in document}
    console.print(f"{total['fuzz.inputs']:,.0f} inputs in {total['fuzz.seconds']:,.0f} s")


def _repeat(name: str, given: str) -> None:
    """Try one input again, and print what came of it."""
    target = next((target for target in targets() if target.name == name), None)
    if target is None:
        raise InputError(f"there is no target {name!r}; there are {[target.name for target in targets()]}")
    try:
        data = Path(given).read_bytes() if Path(given).is_file() else bytes.fromhex(given)
    except (OSError, ValueError):
        raise InputError(f"{given[:80]!r} is neither a file nor bytes in hexadecimal") from None
    with target.open() as opened:
        trials = Trials(opened)
        with trials.watched():
            came = trials(data)
    sys.stdout.write(f"{came.broken or ('taken' if came.accepted else 'refused')}: {came.text or came.place}\n")
    if came.broken:
        raise SystemExit(1)


if __name__ == "__main__":
    with one_line("covey fuzz"):
        main()
