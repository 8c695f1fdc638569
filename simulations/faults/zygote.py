"""A process that has everything imported and forks one child a task, because imports take longer than the tasks.

`python -m simulations.faults.zygote` reads a line of JSON each, `{"call", "spec", "out"}`; the child calls
`simulations.faults.lives.CALL(SPEC)` and writes what it returns, as JSON, to the file OUT. The answer is a line with
its exit status.
"""

import json
import os
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any, Self

ERRORS = "errors"


class Zygote:
    """Starts children; used by one thread."""

    def __init__(self, log: Path) -> None:
        """What children print goes to `log`."""
        environment = os.environ | {
            "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
        }  # fmt: skip
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "simulations.faults.zygote"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=output, env=environment,
            )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def run(self, call: str, spec: dict[str, Any], out: Path) -> tuple[int, dict[str, Any]]:
        """Let a child do one thing: its exit status, negative for a signal, and what it wrote."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        out.unlink(missing_ok=True)
        task = {"call": call, "spec": spec, "out": str(out)}
        self._process.stdin.write(json.dumps(task).encode() + b"\n")
        self._process.stdin.flush()
        status = int(self._process.stdout.readline())
        return status, json.loads(out.read_bytes()) if out.exists() else {}


def main() -> None:
    """Serve until the input ends."""
    from simulations.faults import lives

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        task = json.loads(line)
        child = os.fork()
        if child == 0:
            _do(getattr(lives, task["call"]), task["spec"], Path(task["out"]))
        answers.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        answers.flush()


def _do(call: Any, spec: dict[str, Any], out: Path) -> None:
    """The child's whole life after the fork; it leaves without the zygote's own clearing up."""
    try:
        found = call(spec)
    except BaseException:  # noqa: BLE001 - whatever it was, the table shows it
        found = {ERRORS: traceback.format_exc()}
    out.write_text(json.dumps(found), encoding="utf-8")
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
