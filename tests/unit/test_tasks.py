"""A task file is read whole or refused in one line that names the file and the field."""

from pathlib import Path

import pytest

from shared import wire
from shared.errors import InputError
from shared.tasks import Task, Threshold, read_task

TASK = """
name = "flights"
revision = 1
title = "Late arrivals"

[[features]]
kind = "number"
name = "distance"
low = 0.0
high = 3000.0
missing = 1000.0

[[features]]
kind = "cycle"
name = "hour"
period = 24.0

[[features]]
kind = "bucket"
name = "hour"
edges = [6.0, 12.0, 18.0]

[[features]]
kind = "category"
name = "carrier"
values = ["AA", "UA"]

[label]
kind = "threshold"
column = "delay"
above = 15.0
classes = ["on time", "late"]

[architecture]
kind = "mlp"
hidden = [8]

[training]
rounds = 20
sample_rate = 0.03125
steps = 16
normalizer = 128.0
learning_rate = 0.5
max_grad_norm = 1.0
noise_multiplier = 1.2
max_update_norm = 1.0

[privacy]
epsilon = 8.0
delta = 1e-5
min_noise_multiplier = 1.2
max_sample_rate = 0.03125
max_steps = 16
max_grad_norm = 1.0

[drift]
score_bins = 10
feature_bins = 10
score_noise_multiplier = 10.0
feature_noise_multiplier = 14.0
alarm_psi = 0.2
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "flights.toml"


def test_a_good_file_is_read(path: Path) -> None:
    path.write_text(TASK)
    task = read_task(path)
    assert (task.name, task.revision, task.timestamp) == ("flights", 1, None)
    assert isinstance(task.label, Threshold)
    assert (task.numbers, task.texts) == (("distance", "hour"), ("carrier",))
    assert task.inputs == 1 + 2 + 4 + 2


def test_a_task_survives_its_own_canonical_json(path: Path) -> None:
    path.write_text(TASK)
    task = read_task(path)
    assert wire.from_json(Task, wire.to_json(task)) == task
    assert b"timestamp" not in wire.to_json(task)


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ('name = "flights"\n', "", "name"),
        ('name = "flights"', 'name = "Flights"', "name"),
        ('name = "flights"', 'name = "../flights"', "name"),
        ('name = "flights"', 'name = "vö"', "name"),
        ('name = "flights"', 'name = "--help"', "name"),
        ('name = "flights"', "name = 7", "task.name"),
        ("revision = 1", "revision = 0", "revision"),
        ("revision = 1", "revision = true", "task.revision"),
        ("revision = 1", "revision = 1.5", "task.revision"),
        ('title = "Late arrivals"', "colour = 1", "colour"),
        ("high = 3000.0", "high = -1.0", "task.features[0]: low"),
        ("high = 3000.0", "high = inf", "task.features[0].high"),
        ("high = 3000.0", "high = nan", "task.features[0].high"),
        ("high = 3000.0", f"high = {'9' * 400}", "task.features[0].high"),
        ("missing = 1000.0", "missing = 5000.0", "task.features[0]: missing"),
        ("missing = 1000.0", "", "task.features[0]"),
        ('kind = "number"', 'kind = "numeral"', "task.features[0].kind"),
        ('kind = "number"', 'kind = ["number"]', "task.features[0].kind"),
        ("period = 24.0", 'period = "a day"', "task.features[1].period"),
        ("period = 24.0", "period = 0", "task.features[1]: period"),
        ("edges = [6.0, 12.0, 18.0]", "edges = [6.0, 6.0]", "task.features[2]: edges"),
        ("edges = [6.0, 12.0, 18.0]", "edges = 6.0", "task.features[2].edges"),
        ('values = ["AA", "UA"]', 'values = ["AA", "AA"]', "task.features[3]: values"),
        ('values = ["AA", "UA"]', 'values = ["AA", 3]', "task.features[3].values[1]"),
        ('name = "carrier"', 'name = "hour"', "hour"),
        (
            'kind = "bucket"\nname = "hour"\nedges = [6.0, 12.0, 18.0]',
            'kind = "cycle"\nname = "hour"\nperiod = 7',
            "hour",
        ),
        ('column = "delay"', 'column = "distance"', "distance"),
        ('classes = ["on time", "late"]', 'classes = ["late"]', "task.label: classes"),
        ('kind = "threshold"', 'kind = "regression"', "task.label.kind"),
        ("hidden = [8]", "hidden = []", "task.architecture"),
        ("hidden = [8]", "hidden = [100_000]", "task.architecture"),
        ('kind = "mlp"', 'kind = "transformer"', "task.architecture.kind"),
        ("rounds = 20", "rounds = 0", "task.training: rounds"),
        ("steps = 16\n", "steps = 0\n", "task.training"),
        ("normalizer = 128.0", "normalizer = 0.0", "task.training: normalizer"),
        ("sample_rate = 0.03125\nsteps", "sample_rate = 1.5\nsteps", "task.training: sample_rate"),
        ("noise_multiplier = 1.2\nmax_update", "noise_multiplier = 0.5\nmax_update", "training.noise_multiplier"),
        ("steps = 16\nnorm", "steps = 17\nnorm", "training.steps"),
        ("max_sample_rate = 0.03125", "max_sample_rate = 0.01", "training.sample_rate"),
        ("delta = 1e-5", "delta = 1.0", "task.privacy"),
        ("max_steps = 16", "max_steps = 0", "task.privacy: max_sample_rate"),
        ("[privacy]", "[secrecy]", "secrecy"),
        ("score_bins = 10", "score_bins = 1", "task.drift: score_bins"),
        ("alarm_psi = 0.2", "alarm_psi = 0", "task.drift"),
        ("[drift]", "drift = [", "not TOML"),
        ('title = "Late arrivals"', f"title = {'9' * 5000}", "not TOML"),
        ('title = "Late arrivals"', f"title = {'[' * 5000}", "not TOML"),
    ],
)
def test_a_malformed_file_is_refused_by_field(path: Path, old: str, new: str, field: str) -> None:
    assert TASK.count(old) >= 1
    path.write_text(TASK.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        read_task(path)
    text = str(caught.value)
    assert text.startswith(f"task file {path}")
    assert field in text
    assert "\n" not in text
    assert len(text) < 400 + len(str(path))


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\x00", b"name = '\xed\xa0\x80'"])
def test_a_file_that_is_no_text_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(InputError, match="not TOML"):
        read_task(path)


def test_a_missing_file_is_refused(path: Path) -> None:
    with pytest.raises(InputError, match=r"flights\.toml cannot be read: No such file"):
        read_task(path)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_task(tmp_path)
