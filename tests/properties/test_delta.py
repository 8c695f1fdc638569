"""A delta makes the very file that it was made for, and of any other bytes nothing that passes for it."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import small_task
from releasing import some_weights

from server.export import export
from shared.delta import apply_delta, make_delta
from shared.errors import ReleaseError
from shared.tasks import Architecture


@given(old=st.binary(max_size=300), new=st.binary(min_size=1, max_size=300))
def test_a_delta_restores_the_new_file(old: bytes, new: bytes) -> None:
    assert apply_delta(old, make_delta(old, new), size=len(new)) == new


@given(delta=st.binary(max_size=200), size=st.integers(1, 1000))
def test_any_bytes_make_a_file_of_the_asked_size_or_an_error(delta: bytes, size: int) -> None:
    with suppress(ReleaseError):
        assert len(apply_delta(b"old", delta, size=size)) == size


@pytest.mark.parametrize(("moved", "share"), [(0.0, 0.01), (0.001, 0.6), (0.05, 0.8)])
def test_the_less_the_weights_move_the_less_travels(moved: float, share: float) -> None:
    """Versions 9 and 10: the file's length changes too."""
    task = small_task(architecture=Architecture(kind="mlp", hidden=(128, 64)))
    before = some_weights(task, seed=1)
    after = before + moved * some_weights(task, seed=2)
    old, new = (export(task, weights, version=v) for weights, v in ((before, 9), (after.astype(np.float32), 10)))
    assert len(make_delta(old, new)) < share * len(new)
