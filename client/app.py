"""The ClientApp: what an agent answers when the federation asks.

The same app runs under the embedded node, under a stock SuperNode and in process. It trusts nothing in the
message but its bytes: the task is the signed one on this device, the limits are the owner's, and no error's
text ever leaves (privacy rules 15 and 18).
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.message_pb2 import Message as MessageProto

from client import conditions, policy, sequence
from client.config import AgentHome, TaskHome
from client.ledger import Ledger
from client.store import AgentStore
from client.work import InProcess, Work
from shared import messages
from shared.architecture import size
from shared.drift import SurveyPlan
from shared.errors import CoveyError, NotEligible, Refusal
from shared.privacy import Cost
from shared.rounds import RefusalReport, RoundPlan, TrainReport

log = logging.getLogger(__name__)

Plan = TypeVar("Plan", RoundPlan, SurveyPlan)


class Desk:
    """What one request about a task is answered with: the owner's policy, the signed task and the ledger."""

    def __init__(self, home: AgentHome, task: str) -> None:
        """Open the agent's directory; raise `NotEligible` if this device does not learn `task`."""
        self.settings = home.settings()
        if task not in self.settings.tasks:
            raise NotEligible(f"this device does not learn {task!r}")
        self.place: TaskHome = home.task(task)
        self.task = self.place.signed_task()
        self.store = AgentStore(home.database)
        self.ledger = Ledger(self.store)

    def admit(self) -> None:
        """Raise a `Refusal` unless the owner agrees, now is a time for it, and the federation's metadata is fresh."""
        agreed = self.store.agreed(self.task.name, policy.fingerprint(self.task))
        policy.check_consent(self.settings, self.task.name, agreed=agreed)
        sequence.check(self.store)
        conditions.check(self.settings.conditions)
        policy.check_freshness(self.place.home, datetime.now(UTC))

    def charge(self, message: Message, purpose: str, cost: Cost) -> bytes | None:
        """Pay for the request, or return the reply that was sealed for it before."""
        return self.ledger.charge(
            message.metadata.message_id,
            task=self.task.name,
            purpose=purpose,
            cost=cost,
            limits=policy.limits(self.settings, self.task),
        )

    def seal(self, message: Message, content: RecordDict) -> Message:
        """Make the reply durable before it leaves; it is dated as the request is, because time tells of the rows."""
        reply = Message(content, reply_to=message)
        reply.metadata.created_at, reply.metadata.ttl = message.metadata.created_at, message.metadata.ttl
        self.ledger.seal(message.metadata.message_id, message_to_proto(reply).SerializeToString())
        return reply


def build_app(work: Work) -> ClientApp:
    """An app whose rounds and surveys are computed by `work`."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        return _answer(message, context, ("plan", RoundPlan), lambda desk, plan: _train(desk, message, plan, work))

    @app.query("drift")
    def survey(message: Message, context: Context) -> Message:
        return _answer(message, context, ("survey", SurveyPlan), lambda desk, plan: _survey(desk, message, plan, work))

    _ = train, survey
    return app


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


def _train(desk: Desk, message: Message, plan: RoundPlan, work: Work) -> Message:
    """Answer a round: charge, train, seal, return the update."""
    policy.check_round(plan, desk.task, desk.settings)
    desk.admit()
    weights = messages.unpack_array(message.content, size=size(desk.task))
    if sealed := desk.charge(message, f"training, round {plan.number}", plan.cost):
        return _again(sealed)
    update = work.train(plan, desk.task, desk.place, weights, request=message.metadata.message_id)
    report = TrainReport(run_id=plan.run_id, round_number=plan.number, base_version=plan.base_version)
    return desk.seal(message, messages.pack("report", report, array=update))


def _survey(desk: Desk, message: Message, plan: SurveyPlan, work: Work) -> Message:
    """Answer a drift survey: charge, count with noise, seal, return the histograms."""
    from client.installed import current_release

    policy.check_survey(plan, desk.task, desk.settings, release=current_release(desk.place))
    desk.admit()
    if sealed := desk.charge(message, f"drift survey, {plan.window}", Cost(record=plan.events)):
        return _again(sealed)
    return desk.seal(message, messages.pack("drift", work.survey(plan, desk.task, desk.place)))


def _again(sealed: bytes) -> Message:
    """Give the identical bytes that were sealed before."""
    return message_from_proto(MessageProto.FromString(sealed))
