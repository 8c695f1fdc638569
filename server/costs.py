"""What a whole campaign costs a device that takes part in all of it, in each mode."""

from server.plans import plan_round
from server.records import CampaignRequest
from server.spending import campaign_event
from shared.modes import Mode
from shared.privacy import Cost, SampledGaussian
from shared.tasks import Task, Window
from shared.training import Training


def campaign_cost(task: Task, mode: Mode, training: Training) -> Cost:
    """The cost of all rounds, as devices charge it.

    Under secure aggregation what a device as a whole pays depends on its cohort and is left out here; a row pays at most
    for the plan's noise, whoever takes part.
    """
    if mode == "local":
        return Cost(record=(campaign_event(training),))
    if mode == "distributed":
        noise = training.noise_multiplier
        event = SampledGaussian(noise_multiplier=noise, sample_rate=1.0, steps=training.rounds)
        return Cost(record=(event,), trust="sums")
    request = CampaignRequest(
        task=task.name, window=Window(), training=training, base_version=1, quorum=1, cohort=1, deadline_seconds=1.0,
        mode=mode,
    )  # fmt: skip
    plan = plan_round(1, 1, task, 1, request)
    return plan.cost if plan.reserved else plan.cost.times(training.rounds)
