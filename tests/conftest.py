"""What every test runs under, and the two fixtures that many share."""

import os

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("FLWR_DISABLE_UPDATE_CHECK", "1")
os.environ.setdefault("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")

from pathlib import Path

import pytest
from machines import machine_rows, small_task

from shared.tasks import Task


@pytest.fixture
def task() -> Task:
    return small_task()


@pytest.fixture
def data_file(tmp_path: Path) -> Path:
    path = tmp_path / "machines.parquet"
    machine_rows(400).write_parquet(path)
    return path
