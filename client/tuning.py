"""After a swap: which file, precision and execution provider answer fastest on this device, and well enough.

What is made here is kept beside the verified original, stamped with what it was made from, and never trusted over
it: a damaged or outdated file is made anew, and the original answers meanwhile.
"""

import hashlib
import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from client import hardware
from client.installed import EXPLANATION, SelfTest, Tuned, file_of, read_tuned, verified
from client.selftest import ROUNDING, batch_us, probabilities, trial_feeds
from shared import wire
from shared.errors import ReleaseError
from shared.feeds import Feeds
from shared.files import write_whole
from shared.models import Precision, Release
from shared.quantization import RECIPE, quantize
from shared.runtime import CPU, Scores, ask, median_us, open_model, optimize, providers
from shared.tasks import Task

log = logging.getLogger(__name__)

CALLS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One way to answer: median microseconds of a record and of a batch, and the largest difference of a score."""

    precision: Precision
    provider: str
    model: bytes
    one_us: float
    batch_us: float
    loss: float


def is_tuned(directory: Path) -> bool:
    """Whether what was made of this release is whole, and of this runtime and processor; raise `ReleaseError`."""
    release, _ = verified(directory)
    tuned = read_tuned(directory, release)
    wanted = (
        {tuned.file: tuned.sha256, **({EXPLANATION: tuned.explanation} if tuned.explanation else {})} if tuned else {}
    )
    return bool(wanted) and all(_hash(directory / name) == sha256 for name, sha256 in wanted.items())


def tune(directory: Path, *, available: tuple[str, ...] = ()) -> SelfTest:
    """Make and try what may answer faster, and let the fastest serve; raise `ReleaseError` if nothing answers.

    `available` are the execution providers to try, all local ones unless said; the processor is the last resort.
    """
    release, files = verified(directory)
    task = wire.from_json(Task, files["task"], what="task.json")
    found = list(_candidates(task, release, files, available or providers()))
    best = min(found, key=lambda one: one.one_us)
    tried = _summary(found, best)
    tuned = _keep(directory, release, task, files["fp32"], best, tried)
    write_whole(directory / "tuned.json", wire.to_json(tuned))
    _discard(directory, keep=tuned.file)
    return tried


def _candidates(
    task: Task, release: Release, files: dict[str, bytes], available: tuple[str, ...]
) -> Iterator[Candidate]:
    """Every way that answers as the original does on the processor; the others are named in the log."""
    feeds = trial_feeds(task)
    exact = probabilities(task, ask(open_model(files["fp32"]), feeds))
    for provider in available:
        yield from _tried(task, "fp32", provider, files["fp32"], feeds, exact)
    try:
        small = files.get("int8") or (quantize(task, files["fp32"]) if release.recipe == RECIPE else None)
    except ReleaseError as error:
        log.info("int8 is left out: %s", error)
        return
    if small is not None:
        yield from _tried(task, "int8", CPU, small, feeds, exact)


def _tried(
    task: Task, precision: Precision, provider: str, model: bytes, feeds: Feeds, exact: Scores
) -> Iterator[Candidate]:
    limit = task.gates.max_int8_loss if precision == "int8" else max(task.gates.max_parity_error, ROUNDING)
    try:
        session = open_model(model, provider=provider)
        _require_provider(session, provider)
        loss = _loss(probabilities(task, ask(session, feeds)), exact, limit)
    except ReleaseError as error:
        log.warning("%s on %s is left out: %s", precision, provider, error)
        return
    one, batch = median_us(session, feeds, calls=CALLS), batch_us(session, feeds)
    yield Candidate(precision=precision, provider=provider, model=model, one_us=one, batch_us=batch, loss=loss)


def _require_provider(session: Any, provider: str) -> None:
    if session.get_providers()[0] != provider:
        raise ReleaseError("ONNX Runtime answers with another provider instead")


def _loss(scores: Scores, exact: Scores, limit: float) -> float:
    loss = float(np.abs(scores - exact).max())
    if not loss <= limit:
        raise ReleaseError(f"scores differ by {loss:.4f}, expected at most {limit:g}")
    return loss


def _summary(found: list[Candidate], best: Candidate) -> SelfTest:
    exact = min((one for one in found if one.precision == "fp32"), key=lambda one: one.one_us)
    small = next((one for one in found if one.precision == "int8"), None)
    return SelfTest(
        precision=best.precision, provider=best.provider,
        fp32_us=exact.one_us, fp32_batch_us=exact.batch_us,
        int8_us=small.one_us if small else 0.0, int8_batch_us=small.batch_us if small else 0.0,
        int8_loss=small.loss if small else 0.0,
    )  # fmt: skip


def _keep(directory: Path, release: Release, task: Task, fp32: bytes, best: Candidate, tried: SelfTest) -> Tuned:
    """Write the file that is to answer, and the graph that explains; nothing points to them yet."""
    model = _optimized(directory, task, best) if best.provider == CPU else None
    served, original = model or best.model, best.precision == "fp32" and model is None
    sha256 = hashlib.sha256(served).hexdigest()
    name = file_of(directory, "fp32").name if original else f"served-{sha256[:16]}.onnx"
    if not original:
        write_whole(directory / name, served)
    return Tuned(
        source=release.artifacts["fp32"].sha256, runtime=hardware.runtime_version(), processor=hardware.processor(),
        tried=tried, file=name, sha256=sha256, optimized=model is not None,
        explanation=_explain(directory, task, fp32),
    )  # fmt: skip


def _optimized(directory: Path, task: Task, best: Candidate) -> bytes | None:
    """The graph as it runs here, if it still answers as before it was optimized."""
    draft, feeds = directory / ".optimized.onnx", trial_feeds(task)
    try:
        optimize(best.model, draft)
        model = draft.read_bytes()
        before, after = ask(open_model(best.model), feeds), ask(open_model(model, optimized=True), feeds)
        _loss(after, before, ROUNDING)
    except (ReleaseError, OSError) as error:
        log.warning("the optimized graph is left out: %s", error)
        return None
    else:
        return model
    finally:
        draft.unlink(missing_ok=True)


def _explain(directory: Path, task: Task, fp32: bytes) -> str:
    """Build the graph that attributes answers; return its hash, or nothing: a release serves without it."""
    try:
        from client.attributiongraph import build_graph

        graph = build_graph(task, fp32)
        write_whole(directory / EXPLANATION, graph)
    except Exception as error:  # noqa: BLE001 - whatever went wrong, only explanations are missing
        log.warning("no explanations for this release: %s", error)
        return ""
    return hashlib.sha256(graph).hexdigest()


def _discard(directory: Path, *, keep: str) -> None:
    """Remove what an earlier tuning left; whoever is reading it falls back to the original."""
    for file in directory.glob("served-*.onnx"):
        if file.name != keep:
            file.unlink(missing_ok=True)


def _hash(file: Path) -> str:
    with suppress(OSError):
        return hashlib.sha256(file.read_bytes()).hexdigest()
    return ""
