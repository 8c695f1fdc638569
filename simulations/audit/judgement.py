"""What canaries' scores say of a claim: the two-sided fit, and the lower bounds that the ledger's epsilon must exceed."""

from collections.abc import Iterator

from simulations.audit.bounds import Coins, Scores, by_clopper_pearson, by_fit, by_one_run, fit
from simulations.audit.canaries import DELTA
from simulations.audit.findings import Finding, at_most, near


def judge(scores: Scores, coins: Coins, *, mu: float, told: float, of: str = "") -> Iterator[Finding]:
    """Scores that theory says are two Gaussians, `mu` apart; `of` tells one set of canaries from another."""
    found = fit(scores, coins)
    yield near(f"{of}canaries", mu, found.mu, error=found.error)
    yield at_most(f"{of}epsilon by the fit", told, by_fit(found, delta=DELTA))
    yield from bounds(scores, coins, told=told, of=of)


def bounds(scores: Scores, coins: Coins, *, told: float, of: str = "") -> Iterator[Finding]:
    """Scores of whatever shape: the bounds that ask for none."""
    yield at_most(f"{of}epsilon by intervals", told, by_clopper_pearson(scores, coins, delta=DELTA))
    yield at_most(f"{of}epsilon in one run", told, by_one_run(scores, coins, delta=DELTA))
