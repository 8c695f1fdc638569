"""All benchmark tables: `python -m simulations.benchmarks [NAME …]`; the same as rows in `reports/bench.json`.

Each benchmark has a process of its own, so that none pays for what another has imported. A missed target is a row
that says so; only a benchmark that could not run makes this fail.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from shared.files import write_whole

NAMES = (
    "fleet_engine",
    "serving",
    "delivery",
    "data",
    "light_training",
    "bookkeeping",
    "explanation",
    "labelling",
    "accounting",
    "compression",
    "noise_shares",
    "secagg",
    "tui",
)
REPORT = Path("reports/bench.json")

Row = dict[str, Any]

_PROGRAM = "import json, sys; from simulations.benchmarks.{} import measure; print('@' + json.dumps(measure()))"


def main() -> None:
    """Run the named benchmarks, or all, one after another."""
    options = argparse.ArgumentParser(prog="python -m simulations.benchmarks", description=__doc__)
    options.add_argument("names", nargs="*", metavar="NAME", help=f"which ones: {', '.join(NAMES)} (default: all)")
    names: list[str] = options.parse_args().names or list(NAMES)
    if unknown := set(names) - set(NAMES):
        options.error(f"there is no benchmark {sorted(unknown)}; choose from {list(NAMES)}")
    rows: list[Row] = []
    failed: list[str] = []
    for name in names:
        started = time.monotonic()
        sys.stdout.write(f"{name} ...\n")
        sys.stdout.flush()
        found = _measure(name)
        rows += found
        failed += [name] * (not found)
        _show(found)
        sys.stdout.write(f"  ({time.monotonic() - started:.0f} s)\n\n")
    REPORT.parent.mkdir(exist_ok=True)
    write_whole(REPORT, json.dumps(rows, indent=2).encode())
    if failed:
        raise SystemExit(f"these could not run: {failed}")


def _measure(name: str) -> list[Row]:
    """Run one in a process of its own; no rows if it could not run, and then it has said why on stderr."""
    done = subprocess.run(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-c", _PROGRAM.format(name)], stdout=subprocess.PIPE, text=True, check=False
    )
    marked = [line for line in done.stdout.splitlines() if line.startswith("@")]
    return json.loads(marked[-1][1:]) if done.returncode == 0 and marked else []


def _show(rows: list[Row]) -> None:
    for row in rows:
        meets = row.get("meets")
        verdict = "" if meets is None else ("meets" if meets else "MISSES") + f" {row.get('target')}"
        value = row["value"]
        text = f"{value:>12,.3f}" if isinstance(value, float) else f"{value!s:>12}"
        sys.stdout.write(f"  {row['name']:<58}{text} {row.get('unit', ''):<10} {verdict}\n")


if __name__ == "__main__":
    main()
