"""Every check of every trainer, as it ships and with each mutant in it."""

from collections.abc import Callable, Iterable, Iterator

from simulations.audit import membership, properties
from simulations.audit.canaries import Effort
from simulations.audit.findings import Case, Finding
from simulations.audit.mutants import MUTANTS
from simulations.audit.trainers import Trainer

Check = Callable[[Trainer, Effort], Iterable[Finding]]

CHECKS: tuple[Check, ...] = (
    membership.whole_batches,
    membership.sampled_batches,
    properties.samples,
    properties.noise_alone,
    properties.one_row,
    properties.keys,
    properties.releases,
)


def cases(trainer: Trainer, effort: Effort) -> Iterator[Case]:
    """The trainer, then each mutant of it."""
    yield examine(trainer, effort)
    for name, spoil in MUTANTS.items():
        yield examine(spoil(trainer), effort.half, mutant=name)


def examine(trainer: Trainer, effort: Effort, *, mutant: str = "") -> Case:
    """All checks of one trainer."""
    findings = tuple(finding for check in CHECKS for finding in check(trainer, effort))
    return Case(target=trainer.name, mutant=mutant, findings=findings)
