"""What came of a seed's campaign, as the tables that a report is made of."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from server.rounds import read_weights
from shared import accounting
from shared.rounds import RoundResult
from simulations.campaign import Campaign, level_of
from simulations.evaluation import Evaluation, evaluate, group_rows
from simulations.rehearsal import Settings
from simulations.report.tables import DeviceRow, GroupRow, RoundRow, schema
from simulations.scene import Scene

Compared = tuple[Evaluation, Evaluation]
"""What the weights before a campaign and its last ones are worth."""


def round_rows(campaign: Campaign, settings: Settings, scene: Scene) -> Iterator[RoundRow]:
    """A row a round, with what its weights were worth on the test rows."""
    made = {each.round_number: each.number for each in campaign.store.versions() if each.run_id == campaign.run.id}
    for paid, (result, facts) in enumerate(zip(campaign.rounds, campaign.facts, strict=True), start=1):
        found = None
        if result.outcome == "committed" and scene.test is not None:
            weights = read_weights(campaign.store, made[result.plan.number])
            found = evaluate(settings.task, weights, scene.test, scene.tested_on).total
        yield RoundRow(
            seed=campaign.seed, round=result.plan.number, outcome=result.outcome, cohort=facts.asked,
            returned=facts.returned, refused=facts.refused, failed=facts.failed, bytes_up=facts.up, bytes_down=facts.down,
            virtual_seconds=facts.seconds, seconds=result.finished_at - result.started_at,
            epsilon=_epsilon(result, paid, settings), auc=found and found.auc, loss=found and found.loss,
        )  # fmt: skip


def device_rows(campaign: Campaign, scene: Scene, found: Compared | None) -> pl.DataFrame:
    """A row a device: what it held, what it paid, and its own test rows before and after."""
    count, paid = len(scene.names), campaign.paid
    columns: dict[str, object] = {
        "seed": np.full(count, campaign.seed), "device": list(scene.names), "rows": scene.rows,
        "rounds_paid": paid.rounds, "epsilon": paid.epsilon, "refusals": paid.refusals,
        "test_rows": np.zeros(count, np.int64),
    }  # fmt: skip
    if found and not scene.apart:
        before, after = (each.devices for each in found)
        columns |= {
            "test_rows": after.rows, "loss_before": before.loss, "loss_after": after.loss,
            "accuracy_before": before.accuracy, "accuracy_after": after.accuracy,
        }  # fmt: skip
    return pl.DataFrame({name: columns.get(name, np.full(count, np.nan)) for name in schema(DeviceRow)})


def groups(campaign: Campaign, scene: Scene, found: Compared | None) -> list[GroupRow]:
    """A row a group of test rows: the first weights against the last."""
    if found is None or scene.test is None:
        return []
    return list(group_rows(campaign.seed, scene.test, *found))


def evaluations(campaign: Campaign, settings: Settings, scene: Scene) -> Compared | None:
    """What the weights before the campaign and its last ones are worth on the test rows; None where there are none."""
    if scene.test is None:
        return None
    versions = campaign.store.versions(settings.task.name)
    first, last = (read_weights(campaign.store, version.number) for version in (versions[0], versions[-1]))
    task, window = settings.task, scene.tested_on
    return evaluate(task, first, scene.test, window), evaluate(task, last, scene.test, window)


def _epsilon(result: RoundResult, paid: int, settings: Settings) -> float:
    """What a device has spent that paid for so many rounds like this one."""
    plan = result.plan
    cost = plan.cost if plan.reserved else plan.cost.times(paid)
    return accounting.epsilon(cost.at(level_of(cost)), delta=settings.task.privacy.delta)
