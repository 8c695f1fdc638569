"""The one way to open and ask a model: ONNX Runtime on one thread of the processor, never spinning."""

import ctypes
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import ReleaseError
from shared.feeds import SCORES, Feeds

Scores = NDArray[np.float32]

CPU = "CPUExecutionProvider"
LOCAL_PROVIDERS = (
    "TensorrtExecutionProvider", "CUDAExecutionProvider", "MIGraphXExecutionProvider", "CoreMLExecutionProvider",
    "DmlExecutionProvider", "QNNExecutionProvider", "OpenVINOExecutionProvider", "XnnpackExecutionProvider",
)  # fmt: skip
"""Those that compute on this machine: Azure's, which every build offers, would send records to another."""


def open_model(model: bytes, *, optimized: bool = False, provider: str = CPU) -> Any:
    """An `onnxruntime.InferenceSession` over a checked file, or `ReleaseError`.

    `optimized` says that the graph was optimized before, so that a start does not do it again.
    """
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # an application may have imported it before Covey could (`shared/__init__.py`)
    options = _options()
    if optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(model, options, providers=[provider])
    except Exception as error:
        raise ReleaseError(f"the model does not open: {_first_line(error)}") from error


def optimize(model: bytes, file: Path) -> None:
    """Write the graph to `file` as ONNX Runtime runs it on this processor, or raise `ReleaseError`."""
    import onnxruntime

    options = _options()
    options.optimized_model_filepath = str(file)
    try:
        onnxruntime.InferenceSession(model, options, providers=[CPU])
    except Exception as error:
        raise ReleaseError(f"the model cannot be optimized: {_first_line(error)}") from error


def providers() -> tuple[str, ...]:
    """What ONNX Runtime can compute with on this machine, the fastest first, the processor last."""
    import onnxruntime

    there = set(onnxruntime.get_available_providers())
    return (*(name for name in LOCAL_PROVIDERS if name in there), CPU)


class Desk:
    """One record at a time through memory that is bound once; each thread needs one of its own.

    `numbers` is float32 of shape `(1, numbers)`, and `row` the same memory as a flat C array, the fastest to fill
    from Python's floats. Fill either, then `ask`.
    """

    def __init__(self, session: Any, *, numbers: int, texts: int, classes: int) -> None:
        """Lay out for so many numbers and words in, and scores out; words cannot be bound, so they go the slow way."""
        self.row: Any = (ctypes.c_float * numbers)()
        self.numbers: Scores = np.frombuffer(self.row, dtype=np.float32).reshape(1, numbers)
        self._scores = np.zeros((1, classes), dtype=np.float32)
        self._session, self._run, self._outputs = session, session.run_with_iobinding, [SCORES]
        self._binding = session.io_binding()
        if texts:
            return
        self._binding.bind_input("numbers", "cpu", 0, np.float32, (1, numbers), self.numbers.ctypes.data)
        self._binding.bind_output(SCORES, "cpu", 0, np.float32, (1, classes), self._scores.ctypes.data)

    def ask(self, words: list[str] | None = None) -> list[float]:
        """Each class's probability for the record that lies here, or `ReleaseError`; `words` are its texts."""
        try:
            if words is None:
                self._run(self._binding)
                return self._scores.tolist()[0]
            texts = np.array([words], dtype=object)
            return self._session.run(self._outputs, {"numbers": self.numbers, "texts": texts})[0].tolist()[0]
        except Exception as error:
            raise ReleaseError(f"the model does not answer: {_first_line(error)}") from error


def ask(session: Any, feeds: Feeds) -> Scores:
    """Probabilities of shape `(rows, classes)`, or `ReleaseError` if the model does not take such records."""
    try:
        scores: Scores = session.run([SCORES], feeds)[0]
    except Exception as error:
        raise ReleaseError(f"the model does not answer: {_first_line(error)}") from error
    return scores


def median_us(session: Any, feeds: Feeds, *, calls: int) -> float:
    """The median time of one record alone, in microseconds, over the first `calls` records."""
    return statistics.median(_times(session, feeds, calls)) * 1e6


def quantiles_us(session: Any, feeds: Feeds, shares: Sequence[float], *, calls: int) -> tuple[float, ...]:
    """For each share of the first `calls` records, how long they take at most, each alone, in microseconds."""
    found = np.quantile(_times(session, feeds, calls), shares, method="inverted_cdf")
    return tuple(float(each) * 1e6 for each in found)


def _times(session: Any, feeds: Feeds, calls: int) -> list[float]:
    times: list[float] = []
    for row in range(calls):
        record = {name: table[row : row + 1] for name, table in feeds.items()}
        started = time.perf_counter()
        ask(session, record)
        times.append(time.perf_counter() - started)
    return times


def _options() -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    return options


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
