"""Targets: the documents that cross a boundary, each read as where it arrives."""

import base64
import json
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from client import patience
from client.evaluation import answer_without_rows
from client.settings import AgentSettings
from client.updating import Answer, TaskUpdate, UpdateReport
from server import evaluations
from server.config import Settings
from server.drift import check
from server.pki import create_authority, create_sequence_certificate
from shared import wire
from shared.architecture import size
from shared.drift import DriftReport, Histogram, SurveyPlan, edges_of
from shared.enrolment import EnrolRequest, InstalledReport
from shared.errors import WireError
from shared.evaluation import EvaluationPlan, EvaluationReport, bins_of
from shared.invitations import parse_invitation
from shared.models import Release
from shared.rounds import RefusalReport, RoundPlan, TrainReport
from shared.sequence import (
    SEALED_BYTES,
    SequenceAnswer,
    SequenceReport,
    SequenceRequest,
    blob_digest,
    countersign,
    verify,
)
from shared.signing import load_public_key, public_key_bytes
from shared.tasks import Task
from simulations.fuzz import samples
from simulations.fuzz.target import Form, Run, Target, pack, unpack

_KEY = public_key_bytes(ec.derive_private_key(7, ec.SECP256R1()).public_key()).decode()


def targets() -> tuple[Target, ...]:
    """All of them."""
    return (
        _json("document.round-plan", 200, RoundPlan, samples.round_plans(), then=lambda plan: (plan.cost, plan.campaign)),
        _json("document.survey-plan", 60, SurveyPlan, (samples.survey_plan(),), then=_survey),
        _json("document.train-report", 30, TrainReport, (TrainReport(run_id=1, round_number=2, base_version=3),)),
        _json("document.refusal-report", 30, RefusalReport, (RefusalReport(category="budget"),)),
        _json("document.drift-report", 40, DriftReport, (_drift_report(),), then=_checked),
        _json("document.evaluation-plan", 30, EvaluationPlan, (samples.evaluation_plan(),),
              then=lambda plan: (plan.event, bins_of(samples.TASK, plan))),
        _json("document.evaluation-report", 30, EvaluationReport,
              (answer_without_rows(samples.evaluation_plan(), samples.TASK),),
              then=lambda report: evaluations.check(report, samples.TASK, samples.evaluation_plan())),
        _json("document.enrol-request", 40, EnrolRequest, (EnrolRequest(name="ada", public_key=_KEY, token="t" * 43),),
              then=lambda asked: load_public_key(asked.public_key.encode())),
        _json("document.installed-report", 30, InstalledReport, (InstalledReport(release=3, detail="fp32, 12 us"),)),
        _json("document.task", 70, Task, samples.tasks(), then=_used),
        _json("document.release", 50, Release, samples.releases()),
        _json("document.update-report", 20, Answer, (Answer(report=UpdateReport(tasks=(TaskUpdate(task="a", release=1),))),)),
        _toml("document.task-file", 40, Task, [file.read_bytes() for file in samples.TASK_FILES], then=_used),
        _toml("document.agent-toml", 50, AgentSettings, [_agent_toml()]),
        _toml("document.federation-toml", 30, Settings, [b'name = "works"\nhost = "127.0.0.1"\nport = 1\nadmin_port = 2\n']),
        simple("document.sequence-answer", ("json",), 30, _countersigned, _verified),
        _json("document.sequence-request", 20, SequenceRequest, (SequenceRequest(report=_report()), SequenceRequest())),
        simple("document.invitation", ("text",), 40, _invitations, lambda data: _invitation(data.decode("utf-8", "replace"))),
        simple("document.refusal-of-a-request", ("text", "json"), 15, _refusals, _verdict),
    )  # fmt: skip


def simple(
    name: str, parts: tuple[Form, ...], share: int, seeds: Callable[[], Sequence[bytes]], run: Run
) -> Target:  # fmt: skip
    """A target that needs nothing but the input."""

    @contextmanager
    def opened() -> Generator[Run]:
        yield run

    return Target(name=name, parts=parts, share=share, seeds=seeds, open=opened)


def _json(
    name: str, share: int, cls: type[Any], seeds: Sequence[object], then: Callable[[Any], object] = lambda _: None
) -> Target:
    """A document in JSON; `then` is what is done with one that holds."""

    def run(data: bytes) -> str:
        then(wire.from_json(cls, data))
        return "read"

    return simple(name, ("json",), share, lambda: [wire.to_json(seed) for seed in seeds], run)


def _toml(
    name: str, share: int, cls: type[Any], seeds: Sequence[bytes], then: Callable[[Any], object] = lambda _: None
) -> Target:
    def run(data: bytes) -> str:
        then(wire.from_toml(cls, data))
        return "read"

    return simple(name, ("toml",), share, lambda: seeds, run)


def _survey(plan: SurveyPlan) -> None:
    _ = plan.events
    edges_of(samples.TASK, plan)


def _used(task: Task) -> None:
    """What a device does first with a task that holds."""
    size(task)
    wire.to_json(task)
    edges_of(task, samples.survey_plan(score_bins=task.drift.score_bins, feature_bins=task.drift.feature_bins))


def _drift_report() -> DriftReport:
    bins = edges_of(samples.TASK, samples.survey_plan())
    found = (Histogram(name=one.name, edges=one.edges, counts=(2.5,) * one.size, noise=one.noise) for one in bins)
    return DriftReport(run_id=8, release=samples.RELEASE, histograms=tuple(found))


def _checked(report: DriftReport) -> None:
    check(report, samples.TASK, samples.survey_plan())


def _agent_toml() -> bytes:
    from client.policyfile import render

    return render(samples.settings()).encode()


def _invitations() -> Sequence[bytes]:
    ends = f"?ca={'0a' * 32}&root={'1b' * 32}&expires=1800000000&token={'t' * 43}"
    hosts = ("coordinator.example:8443", "127.0.0.1:1", "[::1]:8443", "[fe80::1%25eth0]:1")
    return [f"covey://{host}/my%20works{ends}".encode() for host in hosts]


def _invitation(text: str) -> str:
    """What is read says the same again."""
    invitation = parse_invitation(text)
    if parse_invitation(str(invitation)) != invitation:
        raise WireError("the invitation reads otherwise the second time")
    return "read"


def _report() -> SequenceReport:
    blob = base64.b64encode(bytes(SEALED_BYTES)).decode()
    return SequenceReport(number=4, head="0a" * 32, blob=blob)


@lru_cache(maxsize=1)
def _federation() -> tuple[bytes, bytes]:
    """An authority's certificate, and what it countersigned for a device."""
    with tempfile.TemporaryDirectory(prefix="covey-") as name:
        folder, report = Path(name), _report()
        create_authority(folder, name="works")
        create_sequence_certificate(folder)
        whole = (folder / "sequence.key").read_bytes()
        key = load_pem_private_key(whole, password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        certificate = whole[whole.index(b"-----BEGIN CERTIFICATE") :]
        receipt = countersign(report, device="0b" * 32, key=key, certificate=certificate)
        answer = wire.to_json(SequenceAnswer(receipt=receipt, blob=report.blob))
        return (folder / "ca.crt").read_bytes(), answer


def _countersigned() -> Sequence[bytes]:
    return [_federation()[1], wire.to_json(SequenceAnswer())]


def _verified(data: bytes) -> str:
    """What a device does with a countersignature: it holds for this very device, number, head and totals, or not at all."""
    answer = wire.from_json(SequenceAnswer, data)
    if answer.receipt is None:
        return "none"
    verify(answer.receipt, device="0b" * 32, authority=_federation()[0])
    said = (answer.receipt.number, answer.receipt.head, answer.receipt.blob_sha256)
    if said != (4, "0a" * 32, blob_digest(_report().blob)):
        raise ValueError(f"a countersignature held that nobody made: {said}")
    return "countersigned"


def _refusals() -> Sequence[bytes]:
    bodies: tuple[dict[str, object], ...] = (
        {"reason": "pending", "detail": "wait"}, {"code": 2004, "message": "busy"}, {"reason": "revoked"}, {},
    )  # fmt: skip
    return [pack(b"%d" % status, json.dumps(body).encode()) for status in (401, 403, 404, 413, 503) for body in bodies]


def _verdict(data: bytes) -> str:
    """What a device makes of an answer that is none, and what of it a person may read."""
    from client.coordinator import _detail  # pyright: ignore[reportPrivateUsage]

    status, body = unpack(data, 2)
    _detail(body)
    number = int(status) if status.isdigit() and len(status) < 6 else 500
    return patience.verdict(number, body)
