"""What a model's file must show before it is signed, on made-up records alone."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from server.gates.verdicts import exact
from server.records import GateVerdict
from shared.errors import ReleaseError
from shared.features import encode_columns
from shared.feeds import Feeds, to_feeds
from shared.hostile import check_model_file
from shared.runtime import Scores, ask, median_us, open_model
from shared.synthetic import make_columns
from shared.tasks import Task

RECORDS = 4096
CALLS = 500


def check(task: Task, weights: NDArray[np.float32], fp32: bytes, int8: bytes) -> tuple[GateVerdict, ...]:
    """Hold both files against PyTorch and the task's gates, on made-up records: tame, missing and wild values.

    `int8` is what a device will make of `fp32` by the signed recipe; it never travels. A file of a hostile form is
    not opened at all: its verdict is then the only one.
    """
    if not (form := _form(fp32)).passed:
        return (form,)
    columns = make_columns(task, RECORDS, seed=task.revision, wild=True)
    feeds = to_feeds(task, columns)
    expected = _torch_scores(task, weights, columns)
    first, second = (ask(open_model(data), feeds) for data in (fp32, int8))
    return (
        form,
        _parity(task, first, expected),
        _int8_loss(task, second, expected),
        _bytes(task, fp32, int8),
        _latency(task, fp32, feeds),
    )


def _form(fp32: bytes) -> GateVerdict:
    try:
        check_model_file(fp32, what="fp32.onnx")
    except ReleaseError as error:
        return GateVerdict(name="form", expected="standard operators, nothing outside", found=str(error), passed=False)
    return GateVerdict(name="form", expected="standard operators, nothing outside", found="as expected", passed=True)


def _parity(task: Task, found: Scores, expected: Scores) -> GateVerdict:
    return exact("parity with torch", "at most", task.gates.max_parity_error, _distance(found, expected))


def _int8_loss(task: Task, found: Scores, expected: Scores) -> GateVerdict:
    return exact("int8 loss", "at most", task.gates.max_int8_loss, _distance(found, expected))


def _bytes(task: Task, fp32: bytes, int8: bytes) -> GateVerdict:
    return exact("size", "at most", task.gates.max_bytes, max(len(fp32), len(int8)), unit=" bytes")


def _latency(task: Task, fp32: bytes, feeds: Feeds) -> GateVerdict:
    """The fp32 file's median: int8 serves only where it is faster."""
    found = median_us(open_model(fp32), feeds, calls=CALLS)
    return exact("latency", "at most", task.gates.max_latency_us, found, unit=" us")


def _distance(found: Scores, expected: Scores) -> float:
    """The largest difference of any score; infinite if one is not finite, so that no NaN passes."""
    difference = float(np.abs(found - expected).max())
    return difference if np.isfinite(difference) else float("inf")


def _torch_scores(task: Task, weights: NDArray[np.float32], columns: dict[str, NDArray[Any]]) -> Scores:
    import torch

    from shared.network import build, load

    network = build(task)
    load(network, weights, task)
    with torch.no_grad():
        logits = network(torch.from_numpy(encode_columns(task.features, columns)))
        scores: Scores = logits.softmax(dim=1).numpy()
    return scores
