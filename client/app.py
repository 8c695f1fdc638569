"""The ClientApp: what an agent answers when the federation asks.

The same `app` runs under the embedded node, under a stock SuperNode and in process. It trusts nothing in the
message but its bytes: the task is the signed one on this device, the limits are the owner's, and no error's
text ever leaves (privacy rules 15 and 18).
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.message_pb2 import Message as MessageProto
from numpy.typing import NDArray

from client import policy
from client.config import AgentHome, AgentSettings
from client.ledger import Ledger
from client.store import AgentStore
from shared import messages, wire
from shared.architecture import size
from shared.drift import SurveyPlan
from shared.errors import CoveyError, InputError, NotEligible, Refusal
from shared.privacy import SampledGaussian
from shared.rounds import RefusalReport, RoundPlan, TrainReport
from shared.tasks import Task

log = logging.getLogger(__name__)

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Answer a round: charge, train, seal, return the update."""
    return _answer(message, context, _train)


@app.query("drift")
def survey(message: Message, context: Context) -> Message:
    """Answer a drift survey: charge, count with noise, seal, return the histograms."""
    return _answer(message, context, _survey)


class Desk:
    """What one request is answered with: the owner's settings, the signed task and the ledger."""

    def __init__(self, home: AgentHome) -> None:
        """Open the agent's directory."""
        self.home = home
        self.settings: AgentSettings = home.settings()
        self.store = AgentStore(home.database)
        self.ledger = Ledger(self.store)
        self.task = _signed_task(home)

    def admit(self) -> None:
        """Raise a `Refusal` unless the owner agrees and the federation's metadata is fresh."""
        policy.check_consent(self.settings, agreed=self.store.agreed(self.task.name, policy.fingerprint(self.task)))
        policy.check_freshness(self.home, datetime.now(UTC))

    def charge(self, message: Message, purpose: str, events: tuple[SampledGaussian, ...]) -> bytes | None:
        """Pay for the request, or return the reply that was sealed for it before."""
        return self.ledger.charge(
            message.metadata.message_id,
            task=self.task.name,
            purpose=purpose,
            events=events,
            budget=policy.effective_budget(self.settings, self.task),
        )

    def seal(self, message: Message, content: RecordDict) -> Message:
        """Make the reply durable before it leaves; it is dated as the request is, because time tells of the rows."""
        reply = Message(content, reply_to=message)
        reply.metadata.created_at, reply.metadata.ttl = message.metadata.created_at, message.metadata.ttl
        self.ledger.seal(message.metadata.message_id, message_to_proto(reply).SerializeToString())
        return reply


def _answer(message: Message, context: Context, act: Callable[[Desk, Message], Message]) -> Message:
    """Let `act` answer; whatever goes wrong becomes a refusal that names a category and nothing else."""
    home = AgentHome(Path(str(context.node_config["agent"])))
    try:
        desk = Desk(home)
    except CoveyError as error:
        return _refuse(message, "not-eligible", error)
    try:
        return act(desk, message)
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


def _train(desk: Desk, message: Message) -> Message:
    plan = messages.unpack(message.content, "plan", RoundPlan)
    policy.check_round(plan, desk.task, desk.settings)
    desk.admit()
    weights = messages.unpack_array(message.content, size=size(desk.task))
    if sealed := desk.charge(message, f"training, round {plan.number}", (plan.event,)):
        return _again(sealed)
    update = _update(plan, desk, weights)
    report = TrainReport(run_id=plan.run_id, round_number=plan.number, base_version=plan.base_version)
    return desk.seal(message, messages.pack("report", report, array=update))


def _update(plan: RoundPlan, desk: Desk, weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Train on the window's rows; whatever is wrong with them, nobody learns that: noise alone is the answer."""
    from client.dataset import no_examples, read_examples
    from client.noise import system_stream
    from client.training import train as descend

    try:
        examples = read_examples(Path(desk.settings.data), desk.task, plan.window)
        return descend(plan, desk.task, weights, examples, system_stream())
    except Exception as error:  # noqa: BLE001 - rows decided it, so no kind of it may become a refusal (rule 4)
        log.warning("training on noise alone: %s", error)
        return descend(plan, desk.task, weights, no_examples(desk.task), system_stream())


def _survey(desk: Desk, message: Message) -> Message:
    from client.drift import answer
    from client.installed import current_release

    plan = messages.unpack(message.content, "survey", SurveyPlan)
    policy.check_survey(plan, desk.task, desk.settings, release=current_release(desk.home))
    desk.admit()
    if sealed := desk.charge(message, f"drift survey, {plan.window}", plan.events):
        return _again(sealed)
    report = answer(plan, desk.task, desk.home, Path(desk.settings.data))
    return desk.seal(message, messages.pack("drift", report))


def _again(sealed: bytes) -> Message:
    """Give the identical bytes that were sealed before."""
    return message_from_proto(MessageProto.FromString(sealed))


def _signed_task(home: AgentHome) -> Task:
    try:
        return wire.from_json(Task, home.task_file.read_bytes(), what="signed task")
    except FileNotFoundError:
        raise NotEligible("this device holds no signed task yet") from None
    except OSError as error:
        raise InputError(f"{home.task_file} cannot be read: {error.strerror}") from None
