"""What each compression costs and keeps: `python -m simulations.compression`, as rows in `reports/compression.json`.

The flights task in process: the eight largest stations learn January and February in the task's rounds with the light
trainer and local noise, and the model is tested on their March. A seed gives every scheme the same samples and the
same noise, so that runs differ by their compression alone. Bands are over seeds.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.architecture import size
from shared.compression import Compression, Noised, decode, encode, most_bytes, public_seed
from shared.compression.lloyd import distortion
from shared.files import write_whole
from shared.privacy import Cost, SampledGaussian
from shared.rounds import TrainReport
from shared.tasks import read_task
from simulations.compressed import Outcome, campaign, read_flights, stream

TASK_FILE = Path("tasks/flights.toml")
REPORT = Path("reports/compression.json")
SEEDS = 8
LARGE = 100_000
PUBLISHED = {1: 0.5708, 2: 0.1331, 3: 0.0358, 4: 0.0096}
"""EDEN's unbiased errors on full power-of-two vectors, over the squared norm."""

SCHEMES: dict[str, Compression] = {
    "int8": Compression(kind="int8"),
    "eden-4": Compression(kind="eden", bits=4),
    "eden-3": Compression(kind="eden", bits=3),
    "eden-2": Compression(kind="eden", bits=2),
    "eden-1": Compression(kind="eden", bits=1),
    "eden-3-feedback": Compression(kind="eden", bits=3, feedback=True),
    "eden-2-feedback": Compression(kind="eden", bits=2, feedback=True),
    "eden-1-feedback": Compression(kind="eden", bits=1, feedback=True),
    "rand-k": Compression(kind="rand-k", fraction=0.12),
    "rand-k-feedback": Compression(kind="rand-k", fraction=0.12, feedback=True),
}
Row = dict[str, str | float | bool]
Say = Callable[[str], None]


def measure(*, seeds: int = SEEDS, say: Say = lambda _: None) -> list[Row]:
    """All rows: `wire.SCHEME.WHAT`. Takes about a minute of a core with eight seeds."""
    count = size(read_task(TASK_FILE))
    return [*_errors(), *_campaigns(seeds, say), *_costs(count, say), *_messages(count)]


def _campaigns(seeds: int, say: Say) -> list[Row]:
    """Bytes and accuracy of every scheme on flights, beside the same runs uncompressed."""
    say("reading flights")
    task = read_task(TASK_FILE)
    devices, test = read_flights(task)
    plain = [campaign(task, devices, test, None, seed=seed) for seed in range(seeds)]
    rows = _named("none", {"bytes": (plain[0].bytes_up, "bytes"), "auc": (_mean(plain), "AUC")})
    rows.append(_row("none", "auc.deviation", float(np.std([run.auc for run in plain], ddof=1)), "AUC"))
    for name, spec in SCHEMES.items():
        say(f"{name}, {seeds} seeds")
        runs = [campaign(task, devices, test, spec, seed=seed) for seed in range(seeds)]
        rows += _compared(name, runs, plain)
    return rows


def _compared(name: str, runs: list[Outcome], plain: list[Outcome]) -> list[Row]:
    """One scheme beside the uncompressed runs of the same seeds.

    `lift` is (AUC - 0.5) over the uncompressed one, its mean over seeds; the band is where that mean lies (two
    standard errors), and `worst` is the seed that lost most.
    """
    lifts = np.array([(run.auc - 0.5) / (other.auc - 0.5) for run, other in zip(runs, plain, strict=True)])
    mean, error = float(lifts.mean()), float(lifts.std(ddof=1) / np.sqrt(len(lifts)))
    bytes_up = float(np.mean([run.bytes_up for run in runs]))
    ratio = plain[0].bytes_up / bytes_up
    numbers = {"bytes": (bytes_up, "bytes"), "auc": (_mean(runs), "AUC"), "lift.low": (mean - 2 * error, ""),
               "lift.high": (mean + 2 * error, ""), "lift.worst": (float(lifts.min()), "")}  # fmt: skip
    return [
        *_named(name, numbers),
        _row(name, "ratio", ratio, "x", target=">= 8", meets=ratio >= 8),
        _row(name, "lift", mean, "", target="band within 1 %", meets=abs(mean - 1) + 2 * error <= 0.01),
    ]


def _costs(small: int, say: Say) -> list[Row]:
    """Milliseconds each way, bytes and squared error of one update that is noise alone, small and large."""
    rows: list[Row] = []
    for count in (small, LARGE):
        say(f"{count} values each way")
        noise = stream("cost", count).normals(count).astype(np.float32) * np.float32(0.01)
        update = Noised(values=noise, cost=Cost(record=(SampledGaussian(noise_multiplier=1, sample_rate=1, steps=1),)))
        for name, spec in SCHEMES.items():
            if not spec.feedback:
                rows += _cost(f"{name}.{count}", update, spec)
    return rows


def _cost(name: str, update: Noised, spec: Compression) -> list[Row]:
    """The medians of fifteen in processor time, after one that fills the caches."""
    words, count, data = stream("words").words, len(update.values), b""
    there, back, errors = list[float](), list[float](), list[float]()
    for index in range(16):
        seed, began = public_seed(0, index, ""), time.process_time()
        data = encode(update, spec, seed=seed, words=words)
        sent = time.process_time()
        found = decode(data, spec, size=count, seed=seed)
        there.append(sent - began)
        back.append(time.process_time() - sent)
        errors.append(_error(found, update.values))
    numbers = {
        "encode": (1000 * float(np.median(there[1:])), "ms"), "decode": (1000 * float(np.median(back[1:])), "ms"),
        "bytes": (float(len(data)), "bytes"), "nmse": (float(np.mean(errors)), ""),
    }  # fmt: skip
    return _named(name, numbers)


def _messages(count: int) -> list[Row]:
    """The bytes of a whole reply as Flower serializes it, with one update of `count` values in it."""
    from flwr.common.serde import recorddict_to_proto

    from shared import messages

    report = TrainReport(run_id=1, round_number=1, base_version=1)
    lengths = {"none": messages.pack("report", report, array=np.zeros(count, np.float32))}
    for name, spec in SCHEMES.items():
        lengths[name] = messages.pack("report", report, data=bytes(most_bytes(spec, count)))
    return [
        _row(name, f"message.{count}", float(recorddict_to_proto(content).ByteSize()), "bytes")
        for name, content in lengths.items()
    ]


def _errors() -> list[Row]:
    """EDEN's error on full vectors of 2^16 values, beside the published one and the one that theory gives."""
    rows: list[Row] = []
    for bits, published in PUBLISHED.items():
        spec, found = Compression(kind="eden", bits=bits), list[float]()
        for index in range(8):
            values = np.exp(stream("log-normal", index).normals(1 << 16)).astype(np.float32)
            update = Noised(
                values=values, cost=Cost(record=(SampledGaussian(noise_multiplier=1, sample_rate=1, steps=1),))
            )
            seed = public_seed(bits, index, "")
            data = encode(update, spec, seed=seed, words=stream("words").words)
            found.append(_error(decode(data, spec, size=len(values), seed=seed), values))
        nmse, close = float(np.mean(found)), 0.02 * published
        target = f"{published} within 2 %"
        rows.append(_row(f"eden-{bits}", "nmse", nmse, "", target=target, meets=abs(nmse - published) <= close))
        rows.append(_row(f"eden-{bits}", "nmse.theory", distortion(bits) / (1 - distortion(bits)), ""))
    return rows


def _error(found: NDArray[np.float32], true: NDArray[np.float32]) -> float:
    """The squared error over the squared norm."""
    exact = true.astype(np.float64)
    return float(np.sum((found - exact) ** 2) / np.sum(exact**2))


def _mean(runs: list[Outcome]) -> float:
    return float(np.mean([run.auc for run in runs]))


def _named(scheme: str, numbers: dict[str, tuple[float, str]]) -> list[Row]:
    return [_row(scheme, what, value, unit) for what, (value, unit) in numbers.items()]


def _row(scheme: str, what: str, value: float, unit: str, **verdict: str | bool) -> Row:
    return {"name": f"wire.{scheme}.{what}", "value": value, "unit": unit, **verdict}


def table(rows: list[Row]) -> str:
    """The rows as a person reads them: a line a scheme, then what it costs each way, then EDEN beside its paper."""
    values = {str(row["name"]).removeprefix("wire."): row for row in rows}

    def cell(key: str, form: str) -> str:
        return format(float(values[key]["value"]), form) if key in values else ""

    lines = [f"{'scheme':<17}{'bytes up':>9}{'ratio':>7}{'AUC':>8}{'lift':>8}   {'band of the mean':<16} {'worst':>6}"]
    for name in ("none", *SCHEMES):
        band = f"{cell(f'{name}.lift.low', '.4f')}..{cell(f'{name}.lift.high', '.4f')}" if name != "none" else ""
        both = [values[key]["meets"] for key in (f"{name}.ratio", f"{name}.lift") if key in values]
        lines.append(
            f"{name:<17}{cell(f'{name}.bytes', '.1f'):>9}{cell(f'{name}.ratio', '.2f'):>7}{cell(f'{name}.auc', '.4f'):>8}"
            f"{cell(f'{name}.lift', '.4f'):>8}   {band:<16} {cell(f'{name}.lift.worst', '.4f'):>6}"
            + ("   meets both targets" if both and all(both) else "")
        )
    lines += ["", f"{'one noised update':<24}{'bytes':>8}{'NMSE':>11}{'encode ms':>11}{'decode ms':>11}"]
    for key in [key.removesuffix(".encode") for key in values if key.endswith(".encode")]:
        cells = [
            cell(f"{key}.{what}", form)
            for what, form in (("bytes", ".0f"), ("nmse", ".3g"), ("encode", ".3f"), ("decode", ".3f"))
        ]
        lines.append(f"{key:<24}{cells[0]:>8}{cells[1]:>11}{cells[2]:>11}{cells[3]:>11}")
    lines += ["", f"{'EDEN on 2^16 values':<24}{'NMSE':>9}{'theory':>9}   published"]
    for bits in PUBLISHED:
        row = values[f"eden-{bits}.nmse"]
        verdict = f"{row['target']}: {'met' if row['meets'] else 'missed'}"
        lines.append(
            f"{f'{bits} bits':<24}{cell(f'eden-{bits}.nmse', '.4f'):>9}{cell(f'eden-{bits}.nmse.theory', '.4f'):>9}   {verdict}"
        )
    return "\n".join(lines) + "\n"


def _say(text: str) -> None:
    sys.stderr.write(f"{text} ...\n")
    sys.stderr.flush()


def main() -> None:
    """Measure, print the table or the rows, and write the report."""
    options = argparse.ArgumentParser(prog="python -m simulations.compression", description=__doc__)
    options.add_argument("--seeds", type=int, default=SEEDS, help=f"how many campaigns a scheme (default {SEEDS})")
    options.add_argument("--json", action="store_true", help="print the rows instead of the table")
    chosen = options.parse_args()
    if chosen.seeds < 2:
        options.error("a band needs two seeds or more")
    run(seeds=chosen.seeds, as_json=chosen.json)


def run(*, seeds: int = SEEDS, as_json: bool = False) -> None:
    """Measure, write the report, and print the table or the rows."""
    rows = measure(seeds=seeds, say=_say)
    REPORT.parent.mkdir(exist_ok=True)
    write_whole(REPORT, json.dumps(rows, indent=2).encode())
    sys.stdout.write(json.dumps(rows, indent=2) + "\n" if as_json else table(rows))


if __name__ == "__main__":
    main()
