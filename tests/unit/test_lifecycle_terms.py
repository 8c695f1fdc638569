"""What a task may say of its versions' later life, and what it may not."""

from collections.abc import Callable

import pytest
from machines import small_task

from shared.lifecycle import Evaluation, Gates, Retraining, Revision, RolloutTerms
from shared.rollout import Rollout


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: Evaluation(noise_multiplier=0.0), "noise_multiplier must be positive"),
        (lambda: Evaluation(noise_multiplier=float("nan")), "noise_multiplier must be positive"),
        (lambda: Evaluation(noise_multiplier=1.0, score_bins=1), "score_bins"),
        (lambda: Gates(min_auc=1.0), "min_auc must lie between 0 and 1"),
        (lambda: Gates(min_recall=float("nan")), "min_recall must lie between 0 and 1"),
        (lambda: Gates(alert_rate=0.0), "alert_rate must lie between 0 and 1"),
        (lambda: Gates(confidence=95.0), "confidence must lie between 0 and 1"),
        (lambda: Gates(max_group_gap=-0.1), r"max_group_gap must lie in \[0, 1\]"),
        (lambda: Gates(max_parity_gap=10.0), r"max_parity_gap must lie in \[0, 1\]"),
        (lambda: Gates(max_epsilon=0.0), "max_epsilon must be positive"),
        (lambda: Gates(max_score_drift=-1.0), "max_score_drift must be positive"),
        (lambda: Gates(max_bytes=0), "max_bytes must be positive"),
        (lambda: RolloutTerms(stages=()), "stages must rise"),
        (lambda: RolloutTerms(stages=(10.0, 10.0, 100.0)), "stages must rise"),
        (lambda: RolloutTerms(stages=(10.0, 90.0)), "to 100 percent"),
        (lambda: RolloutTerms(stages=(0.0, 100.0)), "from above 0"),
        (lambda: RolloutTerms(period_hours=0.0), "period_hours"),
        (lambda: RolloutTerms(max_failing=1.0), "max_failing"),
        (lambda: Retraining(alarms=()), "alarms must name"),
        (lambda: Retraining(alarms=("psi", "psi")), "alarms must name"),
        (lambda: Retraining(max_epsilon=-1.0), "max_epsilon"),
        (lambda: Revision(revision=0), "revision must be at least 1"),
        (lambda: Revision(revision=1, classes={"late": ()}), "became one class"),
        (lambda: Revision(revision=1, since="soon"), "isoformat"),
        (lambda: Rollout(number=1, task="t", release=1, share_bp=10_001), "basis points"),
        (lambda: Rollout(number=1, task="t", release=1, share_bp=5, state="halted"), "no share"),
        (lambda: small_task(retraining=Retraining(alarms=("cusum",))), "outcome_noise_multiplier"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Callable[[], object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        make()
