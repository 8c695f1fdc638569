"""One request about a task, as it is answered: the owner's policy, the signed task, the ledger, and the sealed reply."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeVar

from flwr.app import Message, RecordDict
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.message_pb2 import Message as MessageProto

from client import conditions, policy, sequence, whole
from client.campaigns import Part
from client.config import AgentHome, TaskHome
from client.ledger import Ledger
from client.store import AgentStore
from shared.drift import SurveyPlan
from shared.errors import NotEligible
from shared.evaluation import EvaluationPlan
from shared.privacy import Cost
from shared.rounds import RoundPlan

Plan = TypeVar("Plan", RoundPlan, SurveyPlan, EvaluationPlan)


class Desk:
    """What one request about a task is answered with: the owner's policy, the signed task and the ledger."""

    def __init__(self, home: AgentHome, task: str) -> None:
        """Open the agent's directory; raise `NotEligible` if this device does not learn `task`."""
        self.settings = home.settings()
        if task not in self.settings.tasks:
            raise NotEligible(f"this device does not learn {task!r}: agent.toml has no table for it")
        self.place: TaskHome = home.task(task)
        self.task = self.place.signed_task()
        self.store = AgentStore(home.database)
        self.ledger = Ledger(self.store, exact=whole.epsilon if whole.installed() else None)

    def admit(self) -> None:
        """Raise a `Refusal` unless the owner agrees, now is a time for it, and the federation's metadata is fresh."""
        agreed = self.store.agreed(self.task.name, policy.fingerprint(self.task))
        policy.check_consent(self.settings, self.task.name, agreed=agreed)
        sequence.check(self.store)
        conditions.check(self.settings.conditions)
        policy.check_freshness(self.place.home, datetime.now(UTC))

    def charge(self, message: Message, purpose: str, cost: Cost, part: Part | None = None) -> bytes | None:
        """Pay for the request, or return the reply that was sealed for it before."""
        return self.ledger.charge(
            message.metadata.message_id,
            task=self.task.name,
            purpose=purpose,
            cost=cost,
            limits=policy.limits(self.settings, self.task),
            part=part,
        )

    def of_charged_rows(self, message: Message, plan: Plan) -> Plan:
        """The plan over the rows that it was charged for, and no others; only what this returns may be computed.

        Raise `NotEligible` where they can no longer be told: a campaign goes on with the rows of its first round.
        """
        alive = self.ledger.alive(message.metadata.message_id)
        if alive is None:
            return plan
        if alive.column != self.task.timestamp:
            raise NotEligible(f"the rows were charged by {alive.column!r}, and the task dates them otherwise now")
        return replace(plan, window=alive.within(plan.window))

    def seal(self, message: Message, content: RecordDict) -> Message:
        """Make the reply durable before it leaves; it is dated as the request is, because time tells of the rows."""
        reply = Message(content, reply_to=message)
        reply.metadata.created_at, reply.metadata.ttl = message.metadata.created_at, message.metadata.ttl
        self.ledger.seal(message.metadata.message_id, message_to_proto(reply).SerializeToString())
        return reply


def read_sealed(sealed: bytes) -> Message:
    """The identical bytes that were sealed before, as the message that they are."""
    return message_from_proto(MessageProto.FromString(sealed))
