"""What is written down of a version beside its round: which code made it, and who released it by which command."""

import getpass
from dataclasses import replace

from server.records import Lineage
from server.store import Store


def record_promotion(store: Store, version: int, *, command: str = "") -> None:
    """Keep who released a version last and by which command line.

    The code and the contract that made it are kept with the version itself, by the store.
    """
    before = store.lineages().get(version, Lineage(version=version, code=""))
    store.set_lineage(replace(before, promoted_by=operator(), command=command))


def operator() -> str:
    """The account that acts, as this machine's system calls it; `operator` where it has no name for it."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "operator"
