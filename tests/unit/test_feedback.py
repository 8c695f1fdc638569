"""What compression cuts goes into the next update, on one device, for a bounded time, and only if the plan says so."""

import ast
import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from client.feedback import MOST_APART, Feedback, compress
from shared.compression import Compression, Noised, decode, public_seed
from shared.errors import InputError
from shared.noise import CipherStream
from shared.rounds import RoundPlan
from shared.tasks import Window

ROOT = Path(__file__).parents[2]
SIZE = 118
ONE_BIT = Compression(kind="eden", bits=1, feedback=True)
SCHEMES = [
    ONE_BIT,
    Compression(kind="eden", bits=3, feedback=True),
    Compression(kind="rand-k", fraction=0.25, feedback=True),
]


def plan_of(number: int, spec: Compression | None = ONE_BIT, run_id: int = 1) -> RoundPlan:
    return RoundPlan(
        run_id=run_id, number=number, task="flights", revision=1, base_version=number, window=Window(), sample_rate=0.03,
        steps=16, normalizer=128.0, learning_rate=0.5, max_grad_norm=1.0, noise_multiplier=1.2, max_update_norm=1.0,
        compression=spec,
    )  # fmt: skip


def update_of(number: int, length: float = 0.2) -> np.ndarray:
    drawn = CipherStream(hashlib.sha256(f"update {number}".encode()).digest()).normals(SIZE)
    return (drawn * length / np.linalg.norm(drawn)).astype(np.float32)


def travel(update: np.ndarray, plan: RoundPlan, kept: Feedback, device: str = "device") -> np.ndarray:
    noised = Noised(values=update, cost=plan.cost)
    data = compress(noised, plan, device=device, kept=kept, words=CipherStream(bytes(32)).words)
    seed = public_seed(plan.run_id, plan.number, device)
    return decode(data, plan.compression, size=SIZE, seed=seed)


@pytest.fixture(params=["memory", "file"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Feedback:
    return Feedback(tmp_path / "tasks" / "flights" / "feedback") if request.param == "file" else Feedback()


@pytest.mark.parametrize("spec", SCHEMES, ids=str)
def test_all_that_was_sent_and_what_is_kept_is_all_that_there_was(spec: Compression, kept: Feedback) -> None:
    sent, wanted = np.zeros(SIZE), np.zeros(SIZE)
    for number in range(1, 21):
        wanted += update_of(number)
        sent += travel(update_of(number), plan_of(number, spec), kept)
    rest = kept.rest(plan_of(21, spec), SIZE)
    assert np.linalg.norm(rest) > 0.01
    assert np.abs(sent + rest - wanted).max() < 1e-5


@pytest.mark.parametrize("spec", SCHEMES, ids=str)
def test_the_error_of_a_sum_is_smaller_with_feedback(spec: Compression) -> None:
    """Of the same least-error scheme: without it a shrunken update stays shrunken in every round."""
    steady, kept = update_of(0), Feedback()
    fed = sum(travel(steady, plan_of(number, spec), kept) for number in range(1, 31))
    alone = sum(travel(steady, plan_of(number, spec), Feedback()) for number in range(1, 31))
    true = 30 * steady
    assert np.linalg.norm(fed - true) < 0.75 * np.linalg.norm(alone - true)


def test_a_file_outlives_the_process(tmp_path: Path) -> None:
    path = tmp_path / "feedback"
    travel(update_of(1), plan_of(1), Feedback(path))
    in_memory = Feedback()
    travel(update_of(1), plan_of(1), in_memory)
    assert np.array_equal(Feedback(path).rest(plan_of(2), SIZE), in_memory.rest(plan_of(2), SIZE))
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["feedback"]


@pytest.mark.parametrize(
    ("plan", "size"),
    [
        (plan_of(2, run_id=2), SIZE), (plan_of(1), SIZE), (plan_of(2 + MOST_APART), SIZE), (plan_of(2), SIZE - 1),
        (plan_of(2, SCHEMES[1]), SIZE),
    ],
    ids=["another run", "the same round", "long ago", "another size", "another scheme"],
)  # fmt: skip
def test_what_does_not_fit_is_not_fed_back(plan: RoundPlan, size: int, kept: Feedback) -> None:
    travel(update_of(1), plan_of(1), kept)
    assert not kept.rest(plan, size).any()
    assert kept.rest(plan_of(1 + MOST_APART), SIZE).any()


@pytest.mark.parametrize("damage", [b"", b"short", None, b"nan"])
def test_a_damaged_file_holds_nothing(damage: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "feedback"
    kept = Feedback(path)
    travel(update_of(1), plan_of(1), kept)
    whole = path.read_bytes()
    nan = whole[:-4] + np.float32(np.nan).tobytes()
    path.write_bytes(whole[:-1] if damage is None else nan if damage == b"nan" else damage)
    assert not kept.rest(plan_of(2), SIZE).any()
    assert np.isfinite(travel(update_of(2), plan_of(2), kept)).all()


def test_an_update_with_feedback_stays_within_the_plan(kept: Feedback) -> None:
    """A device cannot save up: what arrives is never longer than one update may be, and neither is what is kept."""
    for number in range(1, 15):
        arrived = travel(update_of(number % 2, length=1.0), plan_of(number), kept)
        assert np.linalg.norm(arrived) <= 1.0 + 1e-5
        assert np.linalg.norm(kept.rest(plan_of(number + 1), SIZE)) <= 1.0 + 1e-5


def test_without_feedback_nothing_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "feedback"
    travel(update_of(1), plan_of(1, Compression(kind="eden", bits=1)), Feedback(path))
    assert not path.exists()


def test_a_disk_that_is_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "tasks").write_text("a file where a folder should be")
    with pytest.raises(InputError, match="cannot be written"):
        travel(update_of(1), plan_of(1), Feedback(tmp_path / "tasks" / "feedback"))


def test_a_plan_without_compression_is_not_compressed() -> None:
    plan = plan_of(1, None)
    with pytest.raises(ValueError, match="compresses nothing"):
        compress(
            Noised(values=update_of(1), cost=plan.cost), plan, device="device", kept=Feedback(),
            words=CipherStream(bytes(32)).words,
        )  # fmt: skip


def test_what_is_sent_depends_on_noised_updates_alone() -> None:
    """Equal noised updates give equal bytes and an equal rest, whatever else is on the device."""
    kepts = Feedback(), Feedback()
    for number in range(1, 6):
        first, second = (travel(update_of(number), plan_of(number), kept) for kept in kepts)
        assert np.array_equal(first, second)
    assert np.array_equal(*(kept.rest(plan_of(6), SIZE) for kept in kepts))


def calls(path: Path) -> set[str]:
    """The names that a module calls."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {
        node.id if isinstance(node, ast.Name) else node.attr
        for node in called
        if isinstance(node, ast.Name | ast.Attribute)
    }


def test_only_the_answer_to_a_charged_round_says_that_an_update_is_noised() -> None:
    """No trainer, survey or statistic on a device may call something noised: `Noised` is made in two places."""
    makers = {path.relative_to(ROOT).as_posix() for path in (ROOT / "client").rglob("*.py") if "Noised" in calls(path)}
    assert makers <= {"client/app.py", "client/feedback.py"}
    assert "client/feedback.py" in makers


def test_a_longer_rest_is_cut_to_what_the_plan_allows() -> None:
    kept = Feedback()
    generous = replace(plan_of(1), max_update_norm=10.0)
    travel(update_of(1, length=10.0), generous, kept)
    assert np.linalg.norm(kept.rest(plan_of(2), SIZE)) > 1.0
    assert np.linalg.norm(travel(update_of(2), plan_of(2), kept)) <= 1.0 + 1e-5
