"""An agent's child that looks at a repository on disk, and may die on the way: `looking.py REPOSITORY HOME [HOW]`.

HOW is `die:MOMENT` or `hang:MOMENT`, a moment that the code names for `shared/failpoints.py`.
"""

import os
import signal
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from releasing import DirectoryFetcher  # noqa: E402 - found by the line above

from client.updates import main  # noqa: E402 - the same
from shared import failpoints  # noqa: E402 - the same


def arrange(how: str) -> None:
    """Let the process die or hang at a moment."""
    act, _, moment = how.partition(":")

    def hook(name: str) -> None:
        if name == moment:
            os.kill(os.getpid(), signal.SIGKILL) if act == "die" else time.sleep(3600)

    failpoints.hook = hook


if __name__ == "__main__":
    repository, home, *how = sys.argv[1:]
    for one in how:
        arrange(one)
    main(home, fetcher=DirectoryFetcher(Path(repository)))
