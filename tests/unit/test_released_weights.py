"""The weights that a release was exported from can be read back from its verified file."""

import numpy as np
import pytest
from machines import small_task
from releasing import some_weights

from client.attributiongraph import released_weights
from server.export import export
from shared.errors import ReleaseError
from shared.tasks import Architecture


@pytest.mark.parametrize("architecture", [Architecture(kind="linear"), Architecture(kind="mlp", hidden=(5, 3))])
def test_weights_come_back_as_they_went_in(architecture: Architecture) -> None:
    task = small_task(architecture=architecture)
    weights = some_weights(task, seed=3)
    assert np.array_equal(released_weights(task, export(task, weights, version=1)), weights)


def test_a_file_of_another_form_is_refused() -> None:
    task, other = small_task(), small_task(architecture=Architecture(kind="mlp", hidden=(5,)))
    with pytest.raises(ReleaseError, match="unknown form"):
        released_weights(task, export(other, some_weights(other, seed=1), version=1))
