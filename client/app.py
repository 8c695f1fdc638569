"""The ClientApp: what an agent answers when the federation asks.

The same app runs under the embedded node, under a stock SuperNode and in process. It trusts nothing in the
message but its bytes: the task is the signed one on this device, the limits are the owner's, and no error's
text ever leaves (privacy rules 15 and 18).
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from numpy.typing import NDArray

from client import policy
from client.campaigns import part_of
from client.config import AgentHome
from client.desk import Desk, read_sealed
from client.secure import SecureRounds
from client.work import InProcess, Work
from shared import messages
from shared.architecture import size
from shared.compression import Noised
from shared.drift import SurveyPlan
from shared.errors import CoveyError, NotEligible, Refusal, WireError
from shared.evaluation import EvaluationPlan
from shared.privacy import Cost
from shared.rounds import RefusalReport, RoundPlan, TrainReport
from shared.updates import is_within

log = logging.getLogger(__name__)

Plan = TypeVar("Plan", RoundPlan, SurveyPlan, EvaluationPlan)


def build_app(work: Work) -> ClientApp:
    """An app whose rounds, surveys and evaluations are computed by `work`."""
    app, rounds = ClientApp(), SecureRounds()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        return _answer(
            message, context, ("plan", RoundPlan), lambda desk, plan: _train(desk, message, plan, work, rounds)
        )

    for name, act in {
        "keys": rounds.keys,
        "shares": rounds.shares,
        "agree": rounds.agree,
        "unmask": rounds.unmask,
    }.items():
        app.query(name)(_step(act))

    @app.query("drift")
    def survey(message: Message, context: Context) -> Message:
        return _answer(message, context, ("survey", SurveyPlan), lambda desk, plan: _survey(desk, message, plan, work))

    @app.query("evaluate")
    def evaluate(message: Message, context: Context) -> Message:
        return _answer(
            message, context, ("evaluation", EvaluationPlan), lambda desk, plan: _evaluate(desk, message, plan, work)
        )

    _ = train, survey, evaluate
    return app


def _step(act: Callable[[Desk, Message, RoundPlan], RecordDict]) -> Callable[[Message, Context], Message]:
    """A step of secure aggregation that costs nothing, because nothing is computed from a row."""

    def answer(desk: Desk, message: Message, plan: RoundPlan) -> Message:
        policy.check_round(plan, desk.task, desk.settings)
        if plan.mode != "distributed":
            raise WireError(f"a {plan.mode} round has no such step")
        desk.admit()
        return Message(act(desk, message, plan), reply_to=message)

    return lambda message, context: _answer(
        message, context, ("plan", RoundPlan), lambda desk, plan: answer(desk, message, plan)
    )


app = build_app(InProcess())


def _answer(
    message: Message, context: Context, asked: tuple[str, type[Plan]], act: Callable[[Desk, Plan], Message]
) -> Message:
    """Let `act` answer; whatever goes wrong becomes a refusal that names a category and nothing else."""
    home = AgentHome(Path(str(context.node_config["agent"])))
    try:
        plan = messages.unpack(message.content, *asked)
    except CoveyError as error:
        return _refuse(message, "malformed", error)
    try:
        desk = Desk(home, plan.task)
    except CoveyError as error:
        return _refuse(message, NotEligible.category, error)
    try:
        return act(desk, plan)
    except Refusal as refusal:
        desk.store.add_refusal(desk.task.name, refusal.category, str(refusal))
        return _refuse(message, refusal.category, refusal)
    except CoveyError as error:
        return _refuse(message, "malformed", error)
    except Exception:
        log.exception("request %s failed", message.metadata.message_id)
        return _refuse(message, "failed", None)
    finally:
        desk.store.close()


def _refuse(message: Message, category: str, reason: CoveyError | None) -> Message:
    log.info("declined %s: %s (%s)", message.metadata.message_type, category, reason)
    return Message(messages.pack("refusal", RefusalReport(category=category)), reply_to=message)


def _train(desk: Desk, message: Message, plan: RoundPlan, work: Work, rounds: SecureRounds) -> Message:
    """Answer a round: charge, train, seal, return the update."""
    policy.check_round(plan, desk.task, desk.settings)
    desk.admit()
    if plan.mode == "distributed":
        rounds.expect(desk, plan, message)
    weights = messages.unpack_array(message.content, size=size(desk.task))
    if sealed := desk.charge(message, f"training, round {plan.number}", plan.cost, part_of(plan)):
        return read_sealed(sealed)
    request, paid = message.metadata.message_id, desk.of_charged_rows(message, plan)
    if plan.mode == "distributed":
        total = work.contribute(paid, desk.task, desk.place, weights, request=request)
        return desk.seal(message, rounds.masked(desk, message, plan, total))
    if plan.mode == "central":
        report, update = _bounded(plan, work.contribute(paid, desk.task, desk.place, weights, request=request))
        return desk.seal(message, messages.pack("report", report, array=update))
    update = work.train(paid, desk.task, desk.place, weights, request=request)
    return desk.seal(message, _compressed(desk, plan, update))


def _bounded(plan: RoundPlan, update: NDArray[np.float64]) -> tuple[TrainReport, NDArray[np.float32]]:
    """An update that the coordinator adds its noise to, and, if it asks, whether it stayed below the bound."""
    below = is_within(update, plan.max_update_norm)
    asked = plan.central is not None and plan.central.count_noise is not None
    return _report(plan, within=below if asked else None), update.astype(np.float32)


def _compressed(desk: Desk, plan: RoundPlan, update: NDArray[np.float32]) -> RecordDict:
    """An update that carries its whole noise, in as few bytes as the plan says."""
    if plan.compression is None:
        return messages.pack("report", _report(plan), array=update)
    from client.feedback import Feedback, compress
    from shared.noise import system_stream

    data = compress(
        Noised(values=update, cost=plan.cost), plan, device=desk.settings.name, kept=Feedback(desk.place.feedback),
        words=system_stream().words,
    )  # fmt: skip
    return messages.pack("report", _report(plan), data=data)


def _report(plan: RoundPlan, *, within: bool | None = None) -> TrainReport:
    return TrainReport(run_id=plan.run_id, round_number=plan.number, base_version=plan.base_version, within=within)


def _survey(desk: Desk, message: Message, plan: SurveyPlan, work: Work) -> Message:
    """Answer a drift survey: charge, count with noise, seal, return the histograms."""
    from client.installed import current_release

    policy.check_survey(plan, desk.task, desk.settings, release=current_release(desk.place))
    desk.admit()
    if sealed := desk.charge(message, f"drift survey, {plan.window}", Cost(record=plan.events)):
        return read_sealed(sealed)
    return desk.seal(
        message, messages.pack("drift", work.survey(desk.of_charged_rows(message, plan), desk.task, desk.place))
    )


def _evaluate(desk: Desk, message: Message, plan: EvaluationPlan, work: Work) -> Message:
    """Answer an evaluation: charge, score and count with noise, seal, return the cells."""
    policy.check_evaluation(plan, desk.task, desk.settings)
    desk.admit()
    weights = messages.unpack_array(message.content, size=size(desk.task))
    if sealed := desk.charge(
        message, f"evaluation of version {plan.version}, {plan.window}", Cost(record=(plan.event,))
    ):
        return read_sealed(sealed)
    report = work.evaluate(desk.of_charged_rows(message, plan), desk.task, desk.place, weights)
    return desk.seal(message, messages.pack("cells", report))
