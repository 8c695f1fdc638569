"""A contender in a process of its own: `python -m simulations.benchmarks.peers.child ACT` does one turn for each line it reads.

What it answers are lines that begin with `@`: whatever libraries print is between them.
"""

import json
import sys
from dataclasses import asdict
from importlib import import_module

from simulations.benchmarks.peers.turns import Contend


def main() -> None:
    """Get ready, do one turn that does not count, say so, and then one for each line of input."""
    module, act = sys.argv[1].split(".")
    contend: Contend = getattr(import_module(f"simulations.benchmarks.peers.{module}"), act)()
    contend()
    _say({})
    for _ in sys.stdin:
        _say(asdict(contend()))


def _say(answer: dict[str, float]) -> None:
    sys.stdout.write(f"\n@{json.dumps(answer)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
