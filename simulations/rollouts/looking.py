"""A device's own child that looks at a repository on disk and is killed, as a memory killer would, once it tries a release.

`python -m simulations.rollouts.looking REPOSITORY HOME`. No graph of the operators that a release may hold takes ONNX
Runtime down, so the kill is ours.
"""

import os
import signal
import sys
from pathlib import Path

from client.updates import main
from shared import failpoints
from simulations.faults.world import Local


def end_while_trying(moment: str) -> None:
    """End this process where a release that was fetched is about to be tried."""
    if moment == "update.downloaded":
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    repository, home = sys.argv[1:]
    failpoints.hook = end_while_trying
    main(home, fetcher=Local(Path(repository)))
