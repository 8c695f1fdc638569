"""The gates of a release, held against what a rehearsal ended with: the same export, the same tests, nothing signed."""

import numpy as np
from numpy.typing import NDArray

from server.records import GateVerdict
from shared.errors import CoveyError
from shared.tasks import Task

SHIPPED = {"linear", "mlp", "cnn"}
"""The networks that a release can be made of; one of a researcher's own has no graph yet."""


def verdicts(task: Task, weights: NDArray[np.float32]) -> tuple[GateVerdict, ...]:
    """What `covey promote` would say of weights of shape `(size,)` on this machine; nothing of a network of one's own."""
    if task.architecture.kind not in SHIPPED:
        return ()
    from server.export import export
    from server.gates import check
    from shared.quantization import quantize

    try:
        fp32 = export(task, weights, version=1)
        return check(task, weights, fp32, quantize(task, fp32))
    except CoveyError as error:
        return (GateVerdict(name="export", expected="a file that devices open", found=str(error), passed=False),)
