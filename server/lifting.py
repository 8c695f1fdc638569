"""After a backup was restored: numbers rise above all that devices may have seen since it was made.

A device accepts no signed list older than the last one that it saw, or nobody could hold it back; so a coordinator that
comes back as it was yesterday is refused until its versions lie above today's (TUF specification 1.0, section 5). Runs,
versions and releases must not bear a number twice either: a device knows a campaign that it paid for by its run.
"""

from dataclasses import dataclass

from server.config import Federation
from server.releases import LIFTED, current_release_number
from server.repository import Repository
from server.role_keys import ROLE_KEYS, ROLLOUT_KEY
from server.store import Store
from shared.errors import InputError

ROLE_STEP, ROOT_STEP, NUMBER_STEP = 1_000_000, 8, 1000
"""Online roles are signed some times a day, a root once a year; each publication takes one version.

A root's versions are walked one by one, so they rise by few: as many roots may have been signed since the backup.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifted:
    """Where the numbers go on: the timestamp's version, the root's, and the number above which releases and runs lie."""

    timestamp: int
    root: int
    releases: int
    roots_lifted: bool


def lift(federation: Federation, store: Store, *, command: str = "") -> Lifted:
    """Sign every role anew, far above the backup's versions; raise `InputError`, and sign nothing, where a key is not here."""
    if away := keys_away(federation):
        raise InputError(f"put {', '.join(away)} back into {federation.keys} first; then `covey renew --lift`")
    repository = Repository(federation, step=ROLE_STEP)
    with repository.locked():
        lifted = _lift_root(repository)
        targets = repository.targets()
        above = max(current_release_number(federation), targets.unrecognized_fields.get(LIFTED, 0)) + NUMBER_STEP
        targets.unrecognized_fields[LIFTED] = above
        repository.commit(targets)
        if (rollout := repository.own_rollout()) is not None:
            repository.commit_rollout(rollout)
    store.lift_numbers(NUMBER_STEP)
    done = Lifted(
        timestamp=repository.timestamp().version, root=repository.root().version, releases=above, roots_lifted=lifted
    )
    store.audit("operator", "lift", f"timestamp {done.timestamp}, root {done.root}", command=command)
    return done


def keys_away(federation: Federation) -> tuple[str, ...]:
    """The keys that must sign for a lift and are not here; the root's may be kept elsewhere."""
    names = (*ROLE_KEYS, ROLLOUT_KEY)
    return tuple(f"{name}.key" for name in names if not (federation.keys / f"{name}.key").exists())


def _lift_root(repository: Repository) -> bool:
    """Sign some roots in a row, unless the root keys are kept elsewhere."""
    if not repository.has_root_keys():
        return False
    for _ in range(ROOT_STEP):
        repository.renew_root()
    return True
