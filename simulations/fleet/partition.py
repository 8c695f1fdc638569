"""How one table becomes many devices: by a key of its own, or by a draw that makes them differ as much as is asked.

The draws protect nobody, so they come from a seeded generator; the same seed gives the same devices.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shared.errors import InputError
from simulations.fleet.streams import generator

Devices = NDArray[np.int64]

NOBODY = -1
"""The number of the device that a row belongs to where it belongs to none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """Each row's device, shape `(rows,)`, numbers into `names` or `NOBODY`; a device may be left without rows."""

    names: tuple[str, ...]
    devices: Devices


def by_key(frame: pl.DataFrame, column: str, *, most: int | None = None) -> Partition:
    """One device a word in a column, such as a tail number: the natural partition; most rows first, then by name.

    Rows without a word belong to nobody, nor do those of devices beyond the first `most`. Raises `InputError` if there
    is no such column, or fewer devices in it.
    """
    if column not in frame.columns:
        raise InputError(f"the table has no column {column!r} to split by; it has {frame.columns}")
    keys = frame.get_column(column).cast(pl.String)
    counted = keys.drop_nulls().value_counts(name="rows").sort(["rows", column], descending=[True, False])
    names: list[str] = counted[column].head(most).to_list() if most else counted[column].to_list()
    if not names or len(names) < (most or 1):
        raise InputError(f"column {column!r} tells {len(names)} devices apart, and {most or 1} are asked for")
    numbers = keys.replace_strict(names, list(range(len(names))), default=NOBODY, return_dtype=pl.Int64)
    return Partition(names=tuple(names), devices=numbers.fill_null(NOBODY).to_numpy())


def evenly(rows: int, devices: int, seed: int) -> Partition:
    """Rows dealt out at random, as many to each device as to any other, or one more: what no fleet looks like."""
    _require(devices, rows)
    dealt = generator(seed, "evenly").permutation(rows) % devices
    return Partition(names=numbered(devices), devices=dealt.astype(np.int64))


def dirichlet(labels: NDArray[np.int64], devices: int, alpha: float, seed: int) -> Partition:
    """Devices of about equal size whose mixes of labels, shape `(rows,)`, are draws of a Dirichlet distribution.

    A device's mix is a draw around the table's own: alike for a large `alpha`, of one label for a small one; it then
    draws its rows one by one, each label with its share of the mix, without putting any back (Hsu, Qi & Brown, 2019,
    "Measuring the Effects of Non-Identical Data Distribution for Federated Visual Classification", section 3). A
    label that has run out leaves its share to the others. Every row goes to a device.
    """
    _require(devices, len(labels))
    if not alpha > 0:
        raise InputError(f"alpha of a Dirichlet partition must be positive, got {alpha}")
    random = generator(seed, "dirichlet", devices)
    piles = _piles(labels, random)
    prior = np.array([len(pile) for pile in piles]) / len(labels)
    mixes = random.dirichlet(np.maximum(alpha * prior, 1e-12), size=devices)
    found = np.full(len(labels), NOBODY, np.int64)
    for turn in range(len(labels)):  # device by device in turn, so that no device is left with what others did not want
        device = turn % devices
        left = np.array([len(pile) for pile in piles])
        pile = piles[_draw(mixes[device], left, random)]
        found[pile.pop()] = device
    return Partition(names=numbered(devices), devices=found)


def shards(labels: NDArray[np.int64], devices: int, shards_per_device: int, seed: int) -> Partition:
    """Rows sorted by label, cut into equal shards, and as many of these to each device as `shards_per_device` says.

    The pathological partition of McMahan et al. (2017), "Communication-Efficient Learning of Deep Networks from
    Decentralized Data", section 3. A shard that lies on a border has two labels, or more where labels are rare.
    """
    count = devices * shards_per_device
    if shards_per_device < 1:
        raise InputError(f"a device gets at least one shard, got {shards_per_device}")
    _require(count, len(labels))
    random = generator(seed, "shards", devices, shards_per_device)
    order = np.concatenate(_piles(labels, random)).astype(np.intp)
    owner = random.permutation(count) // shards_per_device
    found = np.empty(len(labels), np.int64)
    for shard, rows in enumerate(np.array_split(order, count)):
        found[rows] = owner[shard]
    return Partition(names=numbered(devices), devices=found)


def _piles(labels: NDArray[np.int64], random: np.random.Generator) -> list[list[int]]:
    """The rows of each label, in the order in which they are drawn."""
    return [random.permutation(np.flatnonzero(labels == label)).tolist() for label in np.unique(labels)]


def _draw(mix: NDArray[np.float64], left: NDArray[np.int64], random: np.random.Generator) -> int:
    """Draw a label by a device's mix, of those that have rows left."""
    shares = np.where(left > 0, mix, 0.0)
    sums = np.cumsum(shares if shares.any() else left)
    there = np.flatnonzero(left)
    return int(min(np.searchsorted(sums, random.random() * sums[-1], side="right"), there[-1]))


def _require(parts: int, rows: int) -> None:
    if not 1 <= parts <= rows:
        raise InputError(f"{rows} rows cannot be split into {parts}; ask for 1 to {rows}")


def numbered(devices: int) -> tuple[str, ...]:
    """Names of devices that have none of their own, in order."""
    width = len(str(devices - 1))
    return tuple(f"device-{number:0{width}d}" for number in range(devices))
