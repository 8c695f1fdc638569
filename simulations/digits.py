"""Handwritten digits, 8 by 8 pixels, each with the day on which a simulation lets it arrive: the task of small images.

The images are those that the PyPI package `scikit-learn` carries: the test set of the UCI repository's "Optical
Recognition of Handwritten Digits" (Alpaydin & Kaynak, 1998), from 13 writers whose names it does not tell. The
package takes seconds to import, so its file is read in place.
"""

import gzip
import importlib.util
from functools import lru_cache
from pathlib import Path

import numpy as np
import polars as pl

from shared.errors import InputError
from shared.tasks import Window

PIXELS = tuple(f"px{i}" for i in range(64))
"""The columns of an image, row by row; 0 is paper, 16 is ink."""

LEARN = Window(start="1998-01-01", end="1998-07-01")
CHOOSE = Window(start="1998-07-01", end="1998-08-01")
TEST = Window(start="1998-08-01", end="1998-09-01")
"""What a model learns from, what settings were chosen on, and what it is scored on; three, one and one fifth."""

_PARTS = {"learn": (LEARN, 1077), "choose": (CHOOSE, 360), "test": (TEST, 360)}
_SEED = 1998
_WRONG = "install it again with `pip install --force-reinstall scikit-learn==1.9.1`"


@lru_cache(maxsize=1)
def table() -> pl.DataFrame:
    """All images, the earliest first, shape `(1_797, 67)`: 64 pixels, `digit` as a word, `split` and `arrived`.

    The source dates nothing: `split` (`learn`, `choose` or `test`) and `arrived`, a day within that part's window,
    are drawn once, from a fixed seed.
    """
    pixels = _read()
    random = np.random.default_rng(_SEED)
    order = random.permutation(len(pixels))
    parts = [np.full(count, name, object) for name, (_, count) in _PARTS.items()]
    days = [_days(window, count, random) for window, count in _PARTS.values()]
    columns = {name: pixels[order, index].astype(np.float64) for index, name in enumerate(PIXELS)}
    return pl.DataFrame(
        {
            **columns,
            "digit": [str(digit) for digit in pixels[order, len(PIXELS)].tolist()],
            "split": np.concatenate(parts).tolist(),
            "arrived": pl.Series(np.concatenate(days)).cast(pl.Datetime("us")),
        }
    )


def _days(window: Window, count: int, random: np.random.Generator) -> "np.ndarray[tuple[int], np.dtype[np.datetime64]]":
    """Days of a window, in order."""
    first, end = np.datetime64(window.start), np.datetime64(window.end)
    within = np.sort(random.integers(0, (end - first).astype(int), count))
    return (first + within.astype("timedelta64[D]")).astype("datetime64[us]")


def _read() -> "np.ndarray[tuple[int, int], np.dtype[np.int64]]":
    """The file as published, shape `(1_797, 65)`: an image's pixels, then its digit."""
    path = _data_folder() / "digits.csv.gz"
    try:
        with gzip.open(path) as file:
            found = np.array([line.split(b",") for line in file.read().split()]).astype(np.int64)
    except (OSError, EOFError, ValueError):
        raise InputError(f"{path} cannot be read; {_WRONG}") from None
    if found.shape != (1797, 65):
        raise InputError(f"{path} holds a table of shape {found.shape}, not (1797, 65); {_WRONG}")
    return found


def _data_folder() -> Path:
    """Where the installed package keeps its tables; found without importing it."""
    spec = importlib.util.find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("the digits are missing; install them with `pip install scikit-learn==1.9.1`")
    return Path(spec.submodule_search_locations[0]) / "datasets" / "data"
