"""The one way to open and ask a model: ONNX Runtime on one thread of the processor, never spinning."""

import statistics
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import ReleaseError
from shared.feeds import SCORES, Feeds

Scores = NDArray[np.float32]


def open_model(model: bytes) -> Any:
    """An `onnxruntime.InferenceSession` over a checked file, or `ReleaseError`."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ReleaseError(f"the model does not open: {_first_line(error)}") from error


def ask(session: Any, feeds: Feeds) -> Scores:
    """Probabilities of shape `(rows, classes)`, or `ReleaseError` if the model does not take such records."""
    try:
        scores: Scores = session.run([SCORES], feeds)[0]
    except Exception as error:
        raise ReleaseError(f"the model does not answer: {_first_line(error)}") from error
    return scores


def median_us(session: Any, feeds: Feeds, *, calls: int) -> float:
    """The median time of one record alone, in microseconds, over the first `calls` records."""
    times: list[float] = []
    for row in range(calls):
        record = {name: table[row : row + 1] for name, table in feeds.items()}
        started = time.perf_counter()
        ask(session, record)
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e6


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
