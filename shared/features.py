"""From a raw record to the network's input: a function of that row and of public bounds only.

The same arithmetic is written into each released ONNX graph (`server/export.py`), and
`tests/parity` holds the two together. Nothing here is fitted (privacy rule 3).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A column clamped to `[low, high]` and scaled to `[-1, 1]`; a missing value counts as `missing`."""

    kind: Literal["number"] = "number"
    name: str
    low: float
    high: float
    missing: float

    def __post_init__(self) -> None:
        """Refuse bounds that cannot hold a value."""
        if not self.low < self.high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")
        if not self.low <= self.missing <= self.high:
            raise ValueError(f"missing must lie within [{self.low}, {self.high}], got {self.missing}")

    @property
    def width(self) -> int:
        """How many network inputs this feature fills."""
        return 1

    def encode(self, column: NDArray[Any]) -> NDArray[np.float32]:
        """Shape `(rows,)` of float, NaN where missing, to shape `(rows, 1)`."""
        filled = np.where(np.isnan(column), np.float32(self.missing), column).astype(np.float32)
        clamped = np.clip(filled, np.float32(self.low), np.float32(self.high))
        return ((clamped - np.float32(self.low)) * np.float32(2 / (self.high - self.low)) - np.float32(1))[:, None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """A column that comes round again, such as an hour: its sine and cosine over `period`."""

    kind: Literal["cycle"] = "cycle"
    name: str
    period: float

    def __post_init__(self) -> None:
        """Refuse a period that turns nowhere."""
        if not self.period > 0:
            raise ValueError(f"period must be positive, got {self.period}")

    @property
    def width(self) -> int:
        """How many network inputs this feature fills."""
        return 2

    def encode(self, column: NDArray[Any]) -> NDArray[np.float32]:
        """Shape `(rows,)` of float to shape `(rows, 2)`; a missing or infinite value is all zeros."""
        angle = column.astype(np.float32) * np.float32(2 * np.pi / self.period)
        return np.nan_to_num(np.stack([np.sin(angle), np.cos(angle)], axis=1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """One of the declared `values`; an unknown or missing value is all zeros."""

    kind: Literal["category"] = "category"
    name: str
    values: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse an empty or ambiguous list."""
        if not self.values or len(set(self.values)) != len(self.values):
            raise ValueError(f"values must be a list of different words, got {list(self.values)}")

    @property
    def width(self) -> int:
        """How many network inputs this feature fills."""
        return len(self.values)

    def encode(self, column: NDArray[Any]) -> NDArray[np.float32]:
        """Shape `(rows,)` of strings to shape `(rows, len(values))`."""
        return (column[:, None] == np.array(self.values, dtype=object)[None, :]).astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Which of the `len(edges) + 1` intervals between declared edges a number falls in; missing is all zeros."""

    kind: Literal["bucket"] = "bucket"
    name: str
    edges: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse edges that are not rising."""
        if not self.edges or any(a >= b for a, b in zip(self.edges, self.edges[1:], strict=False)):
            raise ValueError(f"edges must rise, got {list(self.edges)}")

    @property
    def width(self) -> int:
        """How many network inputs this feature fills."""
        return len(self.edges) + 1

    def encode(self, column: NDArray[Any]) -> NDArray[np.float32]:
        """Shape `(rows,)` of float to shape `(rows, len(edges) + 1)`; interval i is `[edges[i-1], edges[i])`."""
        value = column.astype(np.float32)[:, None]
        edges = np.array(self.edges, dtype=np.float32)
        above = np.concatenate([~np.isnan(value), value >= edges], axis=1).astype(np.float32)
        return above - np.concatenate([above[:, 1:], np.zeros_like(above[:, :1])], axis=1)


Feature = Number | Cycle | Category | Bucket


def is_text(feature: Feature) -> bool:
    """Whether the raw column holds words rather than numbers."""
    return isinstance(feature, Category)


def width(features: Sequence[Feature]) -> int:
    """How many inputs the network has."""
    return sum(feature.width for feature in features)


def encode_columns(features: Sequence[Feature], columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    """Raw columns by name, each of shape `(rows,)`, to the network's input of shape `(rows, width)`.

    Blocks stand in the order of `features`; numeric columns are floats with NaN where missing,
    text columns are objects with `None` where missing.
    """
    # A wild value ends at a bound or as zeros, as in the graph; NumPy need not warn of it on the way.
    with np.errstate(over="ignore", invalid="ignore"):
        blocks = [feature.encode(columns[feature.name]) for feature in features]
    return np.ascontiguousarray(np.concatenate(blocks, axis=1), dtype=np.float32)
