"""Targets: the words of secure aggregation, as each side reads them in the middle of a round of five devices."""

import copy
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec

from client.secagg import Member
from client.secagg_checks import Floor
from server.secagg import Aggregation
from shared import wire
from shared.roster import Roster
from shared.secagg import words
from shared.secagg.packing import lane
from shared.secure import setting_of
from shared.sequence import device_fingerprint
from shared.signing import public_key_bytes
from simulations.fuzz import samples
from simulations.fuzz.documents import simple
from simulations.fuzz.target import Run, Target, pack, unpack

_ANSWERS: dict[str, type[Any]] = {
    "offer": words.KeyOffer, "shares": words.Shares, "masked": words.Masked, "agreement": words.Agreement,
    "reveal": words.Reveal,
}  # fmt: skip
_QUESTIONS: dict[str, type[Any]] = {
    "list": words.KeyList, "incoming": words.Incoming, "roll": words.Roll, "request": words.UnmaskRequest,
}  # fmt: skip


def targets() -> tuple[Target, ...]:
    """All of them."""
    return (
        simple("document.roster", ("json",), 20, lambda: [wire.to_json(_roster())], _read_roster),
        Target(name="secagg.device", parts=("text", "json"), share=15, seeds=_questions, open=_devices),
        Target(name="secagg.coordinator", parts=("text", "json", "bytes"), share=15, seeds=_answers, open=_coordinator),
    )


@dataclass(slots=True)
class Story:
    """One round that went well: what each side said, and both sides as they stood before each step."""

    questions: dict[str, Any] = field(default_factory=dict[str, Any])
    answers: dict[str, Any] = field(default_factory=dict[str, Any])
    members: dict[str, Member] = field(default_factory=dict[str, Member])
    sums: dict[str, Aggregation] = field(default_factory=dict[str, Aggregation])
    device: str = ""
    vector: Any = None
    data: bytes = b""


def _keys() -> list[ec.EllipticCurvePrivateKey]:
    return [ec.derive_private_key(number, ec.SECP256R1()) for number in range(1, 6)]


def _roster() -> Roster:
    names = {f"device-{n}": public_key_bytes(key.public_key()).decode() for n, key in enumerate(_keys())}
    return Roster(number=1, devices=names)


@lru_cache(maxsize=1)
def _story() -> Story:
    """Told by the first device, whose words are changed; the others keep to theirs."""
    plan = next(plan for plan in samples.round_plans() if plan.mode == "distributed")
    setting, roster, story = setting_of(plan, samples.TERMS), _roster().keys, Story()
    total = Aggregation(setting=setting, roster=roster)
    devices = {device_fingerprint(public_key_bytes(key.public_key())): key for key in _keys()}
    members = {
        name: Member(setting=setting, identity=key, roster=roster, floor=Floor()) for name, key in devices.items()
    }  # fmt: skip
    story.device = next(iter(members))
    story.vector = np.arange(setting.length).astype(lane(setting.bits))

    def step(
        answer: str, question: str | None, ask: Callable[[str], Any], act: Callable[[Member, Any], Any],
        take: Callable[[str, Any], None],
    ) -> None:  # fmt: skip
        for name, member in members.items():
            asked = ask(name) if question else None
            if name == story.device:
                story.members[question or answer], story.sums[answer] = _same(member), copy.deepcopy(total)
                story.questions |= {question: asked} if question else {}
            said = act(member, asked)
            if name == story.device:
                story.answers[answer] = said[0] if isinstance(said, tuple) else said
                story.data = said[1] if isinstance(said, tuple) else story.data
            take(name, said)

    step("offer", None, lambda _: None, lambda member, _: member.advertise(), total.take_offer)
    total.close_keys()
    step("shares", "list", total.key_list, lambda member, asked: member.share(asked), total.take_shares)
    total.close_shares()
    step(
        "masked", "incoming", total.incoming, lambda member, asked: member.mask(story.vector, asked),
        lambda name, said: total.take_masked(name, *said),
    )  # fmt: skip
    total.close_masked()
    step("agreement", "roll", total.roll, lambda member, asked: member.agree(asked), total.take_agreement)
    total.close_agree()
    step(
        "reveal", "request", lambda _: total.unmask_request(), lambda member, asked: member.unmask(asked),
        total.take_reveal,
    )  # fmt: skip
    total.finish()
    return story


def _same(member: Member) -> Member:
    """A member that stands where this one does; what it holds from now on is its own."""
    twin = copy.copy(member)
    for name, value in vars(twin).items():
        if isinstance(value, (dict, list)):
            setattr(twin, name, copy.copy(value))
    return twin


def _questions() -> Sequence[bytes]:
    return [pack(name.encode(), wire.to_json(_story().questions[name])) for name in _QUESTIONS]


def _answers() -> Sequence[bytes]:
    return [pack(name.encode(), wire.to_json(_story().answers[name]), _story().data) for name in _ANSWERS]


@contextmanager
def _devices() -> Generator[Run]:
    story = _story()
    acts: dict[str, Callable[[Member, Any], object]] = {
        "list": Member.share, "incoming": lambda member, asked: member.mask(story.vector, asked),
        "roll": Member.agree, "request": Member.unmask,
    }  # fmt: skip

    def run(data: bytes) -> str:
        name, document = unpack(data, 2)
        step = name.decode("utf-8", "replace")
        if step not in acts:
            return "no such step"
        asked = wire.from_json(_QUESTIONS[step], document)
        acts[step](_same(story.members[step]), asked)
        return step

    yield run


@contextmanager
def _coordinator() -> Generator[Run]:
    story = _story()

    def run(data: bytes) -> str:
        name, document, vector = unpack(data, 3)
        step = name.decode("utf-8", "replace")
        if step not in _ANSWERS:
            return "no such step"
        said, total = wire.from_json(_ANSWERS[step], document), copy.deepcopy(story.sums[step])
        take: dict[str, Callable[[], None]] = {
            "offer": lambda: total.take_offer(story.device, said),
            "shares": lambda: total.take_shares(story.device, said),
            "masked": lambda: total.take_masked(story.device, said, vector),
            "agreement": lambda: total.take_agreement(story.device, said),
            "reveal": lambda: total.take_reveal(story.device, said),
        }
        take[step]()
        return step

    yield run


def _read_roster(data: bytes) -> str:
    return f"{len(wire.from_json(Roster, data).keys) > 0}"
