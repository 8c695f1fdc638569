"""Plan files: what was rehearsed is what `covey start --plan` queues, or one sentence says why not."""

import json
import tomllib
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machines import small_task

from client import policy
from server import __main__ as covey_main
from server import planfile, planning
from server.config import Federation
from server.planfile import PlanFile, read_plan, write_plan
from server.records import CampaignRequest
from server.store import Store
from shared import wire
from shared.aggregation import Aggregation
from shared.compression import Compression
from shared.errors import InputError
from shared.rounds import RoundPlan, RoundResult
from shared.tasks import Task, Window
from shared.training import Training

DEVICES = ("ada", "ben", "cyd")
TASK = small_task()

positive = st.floats(min_value=1e-9, max_value=1e12)
dates = st.dates().map(str)
compressions = st.sampled_from(
    [None, Compression(kind="int8"), Compression(kind="eden", bits=3, feedback=True), Compression(kind="rand-k", fraction=0.1)]
)  # fmt: skip
aggregations = st.sampled_from(
    [None, Aggregation(), Aggregation(kind="trimmed-mean", assumed_byzantine=2, by_owner=True),
     Aggregation(kind="norm-bound", max_norm=0.25)]
)  # fmt: skip
trainings = st.builds(
    Training, rounds=st.integers(1, 10**6), sample_rate=st.floats(1e-9, 1.0), steps=st.integers(1, 10**6),
    normalizer=positive, learning_rate=positive, max_grad_norm=positive, noise_multiplier=positive,
    max_update_norm=positive, server_learning_rate=positive, server_momentum=st.floats(0, 0.999),
    compression=compressions, aggregation=aggregations,
)  # fmt: skip
windows = st.one_of(
    st.just(Window()), dates.map(lambda day: Window(start=day)), dates.map(lambda day: Window(end=day)),
    st.lists(dates, min_size=2, max_size=2, unique=True).map(sorted).map(lambda two: Window(start=two[0], end=two[1])),
    st.just(Window(start="2013-01-01T00:00:00+02:00")), st.just(Window(start='2013-01-01"00:00')),
    st.just(Window(start="2013-01-01\x7f00:00")), st.just(Window(start="2013-01-01é00:00")),
)  # fmt: skip
cohorts = st.integers(1, 10**6).flatmap(lambda most: st.tuples(st.just(most), st.integers(1, most)))
plans = st.builds(
    lambda sizes, **others: PlanFile(cohort=sizes[0], quorum=sizes[1], **others),
    cohorts, task=st.from_regex("[a-z0-9][a-z0-9-]{0,9}", fullmatch=True), revision=st.integers(1, 10**6),
    fingerprint=st.binary(min_size=32, max_size=32).map(bytes.hex),
    mode=st.sampled_from(["local", "distributed", "central"]), deadline_seconds=positive, reserve=st.booleans(),
    window=windows, training=trainings,
)  # fmt: skip


def a_plan(task: Task = TASK, **changes: Any) -> PlanFile:
    made = PlanFile(
        task=task.name, revision=task.revision, fingerprint=planfile.fingerprint(task), mode="local", cohort=3, quorum=2,
        deadline_seconds=60.0, reserve=False, window=Window(start="2026-01-01", end="2026-01-20"),
        training=replace(task.training, rounds=7, learning_rate=0.25),
    )  # fmt: skip
    return replace(made, **changes)


@settings(max_examples=60)
@given(plan=plans)
def test_a_file_reads_back_to_the_same_plan_and_hash(plan: PlanFile) -> None:
    read = wire.from_toml(PlanFile, planfile.render(plan).encode())
    assert read == plan
    assert read.sha256 == plan.sha256
    assert planfile.render(read) == planfile.render(plan)
    assert plan.sha256 in planfile.render(plan)


@settings(max_examples=30)
@given(one=plans, other=plans)
def test_different_plans_have_different_hashes(one: PlanFile, other: PlanFile) -> None:
    assert (one == other) == (one.sha256 == other.sha256)


def test_every_field_of_a_plan_counts_in_its_hash() -> None:
    plan = a_plan()
    changed: dict[str, Any] = {
        "task": "others", "revision": 2, "fingerprint": "0" * 64, "mode": "central", "cohort": 4, "quorum": 1,
        "deadline_seconds": 61.0, "reserve": True, "window": Window(), "training": TASK.training,
    }  # fmt: skip
    assert changed.keys() == {field.name for field in fields(PlanFile)}
    assert len({plan.sha256, *(replace(plan, **{name: value}).sha256 for name, value in changed.items())}) == 11


def test_whole_numbers_in_place_of_floats_are_the_same_plan(tmp_path: Path) -> None:
    plan = a_plan(deadline_seconds=60)
    write_plan(tmp_path / "plan.toml", plan)
    assert read_plan(tmp_path / "plan.toml").sha256 == plan.sha256 == a_plan(deadline_seconds=60.0).sha256


def test_a_plan_has_what_a_request_has_but_the_version_to_start_from() -> None:
    own = {"revision", "fingerprint"}
    assert {field.name for field in fields(PlanFile)} - own == {field.name for field in fields(CampaignRequest)} - {
        "base_version", "plan",
    }  # fmt: skip
    plan = a_plan(reserve=True)
    request = plan.request(base_version=9)
    assert (request.base_version, request.plan) == (9, plan.sha256)
    assert planfile.plan_of(TASK, request) == plan


def test_the_fingerprint_is_what_owners_agree_to() -> None:
    assert planfile.fingerprint(TASK) == policy.fingerprint(TASK)


def test_a_person_reads_what_each_line_is(tmp_path: Path) -> None:
    write_plan(tmp_path / "plan.toml", a_plan())
    text = (tmp_path / "plan.toml").read_text(encoding="utf-8")
    assert text.startswith("# A campaign as it was rehearsed.")
    for line in text.split("\n[window]")[0].splitlines():
        assert line.startswith(("#", "task", "revision")) or "=" not in line or "  # " in line
    assert tomllib.loads(text)["window"] == {"start": "2026-01-01", "end": "2026-01-20"}


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("cohort = 3", "cohort = 3\ncolour = 1", "unknown fields ['colour']"),
        ("quorum = 2", "", "lacks the fields ['quorum']"),
        ("quorum = 2", "quorum = 4", "quorum must lie between 1 and the cohort of 3"),
        ("quorum = 2", "quorum = true", "plan.quorum must be int"),
        ("deadline_seconds = 60.0", "deadline_seconds = 0.0", "deadline_seconds must be positive"),
        ("deadline_seconds = 60.0", "deadline_seconds = inf", "must be finite"),
        ('task = "machines"', 'task = "Machines!"', "a plan names its task"),
        ('fingerprint = "', 'fingerprint = "x', "64 hexadecimal digits"),
        ('mode = "local"', 'mode = "remote"', "plan.mode must be one of"),
        ("steps = 4", "steps = 0", "plan.training: rounds and steps must be at least 1"),
        ('start = "2026-01-01"', 'start = "January"', "plan.window"),
        ("[window]", "[window", "is not TOML"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_plan_is_named_with_its_field(tmp_path: Path, old: str, new: str, says: str) -> None:
    text = planfile.render(a_plan())
    assert text.count(old) == 1
    (tmp_path / "plan.toml").write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError) as found:
        read_plan(tmp_path / "plan.toml")
    assert str(tmp_path / "plan.toml") in str(found.value)
    assert says in str(found.value)


def test_what_cannot_be_read_or_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.toml cannot be read"):
        read_plan(tmp_path / "none.toml")
    with pytest.raises(InputError, match="cannot be written"):
        write_plan(tmp_path / "nowhere" / "plan.toml", a_plan())


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A federation with the small task, three devices and an untrained version; no keys."""
    federation = tmp_path / "federation"
    federation.mkdir()
    Federation(federation).settings_file.write_text('name = "machines"\n', encoding="utf-8")
    store = opened(federation)
    for name in DEVICES:
        store.add_invitation(name, 2e10)
        store.enrol(name, name, name.encode())
        store.set_device_state(name, "approved")
    store.add_task(TASK)
    store.add_initial_version(TASK.name, TASK.revision, b"")
    store.close()
    return federation


def opened(home: Path) -> Store:
    return Store(Federation(home).database)


def run(home: Path, *words: str) -> int:
    """Run `covey`, return its exit status."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["covey", "--home", str(home), *words])
        with pytest.raises(SystemExit) as left:
            covey_main.main()
    return int(left.value.code or 0)


def saved(home: Path, plan: PlanFile) -> str:
    path = home.parent / "plan.toml"
    write_plan(path, plan)
    return str(path)


def queued(home: Path) -> CampaignRequest:
    store = opened(home)
    [only] = store.runs()
    store.close()
    return wire.from_json(CampaignRequest, only.request.encode())


def test_start_queues_exactly_what_was_rehearsed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = a_plan()
    assert run(home, "start", "--plan", saved(home, plan), "--detach") == 0
    assert queued(home) == plan.request(base_version=1)
    assert plan.sha256 in capsys.readouterr().out


def test_the_record_names_the_plan_wherever_it_is_read(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = a_plan()
    assert run(home, "start", "machines", "--plan", saved(home, plan), "--json") == 0
    assert json.loads(json.loads(capsys.readouterr().out)["request"])["plan"] == plan.sha256
    store = opened(home)
    store.abandon_round(_round(plan))
    assert plan.sha256 in store.audit_log()[0].detail
    store.close()
    assert run(home, "rounds", "--json") == 0
    [told] = json.loads(capsys.readouterr().out)
    assert told.pop("plan_file") == plan.sha256
    assert wire.decode(RoundResult, told) == _round(plan)
    assert run(home, "rounds") == 0
    assert f"Run 1 follows plan {plan.sha256}." in capsys.readouterr().out


def test_rounds_of_no_plan_file_read_as_they_always_did(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(home, "start", "--detach") == 0
    assert "plan" not in json.loads(wire.to_json(queued(home)))
    store = opened(home)
    store.abandon_round(_round(a_plan()))
    store.close()
    capsys.readouterr()
    assert run(home, "rounds", "--json") == 0
    assert wire.decode(RoundResult, json.loads(capsys.readouterr().out)[0]) == _round(a_plan())


def test_own_numbers_replace_only_the_cohort_and_the_quorum_and_say_so(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = a_plan()
    assert run(home, "start", "--plan", saved(home, plan), "--cohort", "2", "--quorum", "1", "--detach") == 0
    changed = f"{plan.sha256} changed"
    assert queued(home) == replace(plan.request(base_version=1), cohort=2, quorum=1, plan=changed)
    assert f"plan {changed}." in capsys.readouterr().out


def test_the_same_numbers_change_nothing(home: Path) -> None:
    plan = a_plan()
    assert run(home, "start", "--plan", saved(home, plan), "--cohort", "3", "--quorum", "2", "--detach") == 0
    assert queued(home) == plan.request(base_version=1)


def test_it_starts_from_the_version_that_is_named(home: Path) -> None:
    store = opened(home)
    store.add_initial_version(TASK.name, TASK.revision, b"x")
    store.close()
    assert run(home, "start", "--plan", saved(home, a_plan()), "--from", "1", "--detach") == 0
    assert queued(home).base_version == 1


@pytest.mark.parametrize(
    ("plan", "words", "says"),
    [
        (a_plan(small_task(name="others")), (), "no task is called 'others'"),
        (a_plan(small_task(revision=2)), (), "revision 2, and revision 1 is published here"),
        (a_plan(small_task(title="Another")), (), "rehearsed with another 'machines', revision 1"),
        (a_plan(cohort=30, quorum=20), (), "asks 30 devices in a round, and 3 are approved here; `--cohort 3 --quorum 2`"),
        (a_plan(cohort=30, quorum=20), ("--cohort", "3"), "quorum must lie between 1 and the cohort of 3, got 20"),
        (a_plan(), ("--cohort", "1"), "quorum must lie between 1 and the cohort of 1, got 2"),
        (a_plan(mode="central"), (), "has no [central] table"),
        (a_plan(training=replace(TASK.training, steps=17)), (), "steps must be at most 16"),
        (a_plan(), ("--from", "8"), "version 8 is not one of"),
        (a_plan(), ("others",), "is of task 'machines', not 'others'"),
        (a_plan(), ("--set", "steps=2"), "so --set cannot stand beside it"),
        (a_plan(), ("--mode", "local"), "so --mode cannot stand beside it"),
        (a_plan(), ("--rounds", "7"), "so --rounds cannot stand beside it"),
        (a_plan(), ("--window", ".."), "so --window cannot stand beside it"),
        (a_plan(), ("--deadline", "60", "--reserve"), "so --deadline, --reserve cannot stand beside it"),
    ],
)  # fmt: skip
def test_what_cannot_start_is_one_line_that_says_why(
    home: Path, capsys: pytest.CaptureFixture[str], plan: PlanFile, words: tuple[str, ...], says: str
) -> None:
    assert run(home, "start", "--plan", saved(home, plan), *words) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert says in err
    store = opened(home)
    assert store.runs() == []
    store.close()


def test_what_is_told_to_do_about_a_small_fleet_works(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = saved(home, a_plan(cohort=30, quorum=20))
    assert run(home, "start", "--plan", file) == 1
    advice = capsys.readouterr().err.split("`")[1].split()
    assert run(home, "start", "--plan", file, *advice, "--detach") == 0
    assert (queued(home).cohort, queued(home).quorum) == (3, 2)


def test_no_device_is_no_fleet(home: Path) -> None:
    store = opened(home)
    for name in DEVICES:
        store.set_device_state(name, "revoked")
    with pytest.raises(InputError, match="no device is approved"):
        planning.from_plan(store, a_plan(), base_version=None)
    store.close()


def _round(plan: PlanFile) -> RoundResult:
    training = plan.training
    asked = RoundPlan(
        run_id=1, number=1, task=plan.task, revision=plan.revision, base_version=1, window=plan.window,
        sample_rate=training.sample_rate, steps=training.steps, normalizer=training.normalizer,
        learning_rate=training.learning_rate, max_grad_norm=training.max_grad_norm,
        noise_multiplier=training.noise_multiplier, max_update_norm=training.max_update_norm,
    )  # fmt: skip
    return RoundResult(plan=asked, cohort=DEVICES, returned=(), started_at=1.0, finished_at=2.0, outcome="abandoned")
