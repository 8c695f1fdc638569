"""Keeps the online rollout role to what this coordinator itself signed, as its store knows it.

Whoever once held the role's key may have left a document, or a role of their own, that goes on counting. A document that
was signed before a crash, and could not be written down, is the one that comes next and speaks of the release on its way;
any other was not signed here, and gives way to the store's.
"""

import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from server.config import Federation
from server.records import RolloutStep
from server.repository import Repository
from server.rollout_role import is_illegible, sign_anew, signed_rollout, strays
from server.store import Store
from shared.models import Release
from shared.rollout import Rollout

Whose = Literal["known", "lost", "strange"]


def newest(steps: Iterable[RolloutStep]) -> Rollout | None:
    """The newest document that this coordinator signed, by its number; None where there is none."""
    return max((step.rollout for step in steps), key=lambda rollout: rollout.number, default=None)


def known_documents(store: Store) -> list[Rollout]:
    """The newest document of each task that has one."""
    documents = (newest(store.rollouts(task.name)) for task in store.tasks())
    return [document for document in documents if document is not None]


def whose(signed: Rollout | None, known: Rollout | None, release: Release | None) -> Whose:
    """Whether the document in force is the newest `known` one, one that a crash kept from being known, or neither.

    `release` is the task's newest one.
    """
    if signed == known:
        return "known"
    follows = signed is not None and signed.number == (known.number if known else 0) + 1
    fits = signed is not None and release is not None and release.staged and signed.release == release.number
    return "lost" if follows and fits else "strange"


def keep(federation: Federation, store: Store, task: str) -> Rollout | None:
    """Let the role say of a task what the store knows and nothing else; return a document that a crash kept from it.

    The rollouts' lock is held: nothing is between being signed and being written down. What is replaced is in the audit.
    """
    if Repository(federation).rollout() is None:
        return None
    steps, signed, releases = store.rollouts(task), signed_rollout(federation, task), store.releases(task)
    known = newest(steps)
    found = whose(signed, known, releases[-1] if releases else None)
    wrong = [*strays(federation)]
    if found == "strange" or is_illegible(federation, task):
        wrong.insert(0, _strange(signed, steps))
    if wrong:
        _replace(federation, store, task, signed if found == "lost" else known, why="; ".join(wrong))
    return signed if found == "lost" else None


def _strange(signed: Rollout | None, steps: Iterable[RolloutStep]) -> str:
    if signed is None:
        return "no document that can be read is in force"
    if any(step.rollout == signed for step in steps):
        return f"document {signed.number} in force is an older one"
    return f"document {signed.number} in force was not signed by this coordinator"


def _replace(federation: Federation, store: Store, task: str, own: Rollout | None, *, why: str) -> None:
    """Sign the coordinator's own word again, under a number of its own, and write both down."""
    again = replace(own, number=own.number + 1) if own else None
    sign_anew(federation, task, again)
    if again is not None:
        store.add_rollout(again, why=f"signed anew: {why}", at=time.time())
    now = f"document {again.number} is" if again else "nothing is"
    store.audit("coordinator", "replace", f"{task}: {why}; {now} signed in its place")
