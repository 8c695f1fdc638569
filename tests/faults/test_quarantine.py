"""Training goes on where what is broken cannot be set aside."""

from pathlib import Path

import pytest
from machines import machine_rows, small_task

from client.dataset import read_examples
from shared.contract import Contract, NumberRule
from shared.tasks import Window

TASK = small_task(contract=Contract(columns=(NumberRule(name="load", low=0.0, high=0.5),)))


@pytest.mark.parametrize("obstacle", ["read-only", "in the way", "full"])
def test_a_directory_that_takes_no_file_still_trains(
    tmp_path: Path, obstacle: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    data, aside = tmp_path / "a.parquet", tmp_path / "a.parquet.machines.quarantine.parquet"
    machine_rows(40).write_parquet(data)
    if obstacle == "in the way":
        aside.mkdir()
    elif obstacle == "read-only":
        tmp_path.chmod(0o500)
    else:
        monkeypatch.setattr("shared.files.os.fsync", full)
    try:
        found = read_examples(data, TASK, Window())
    finally:
        tmp_path.chmod(0o700)
    assert len(found.labels) == (machine_rows(40)["load"] <= 0.5).sum()
    if obstacle != "read-only" or not aside.exists():  # the superuser writes everywhere
        assert "cannot be written" in caplog.text
    assert {path.name for path in tmp_path.iterdir()} <= {data.name, aside.name}


def full(_: int) -> None:
    raise OSError(28, "No space left on device")
