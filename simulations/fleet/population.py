"""The rows of many devices: read from packed arrays that workers share, or made when they are asked for."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from client.inputs import Examples
from shared.errors import InputError
from shared.tasks import Window

Codes = NDArray[np.int16]


class Population(Protocol):
    """Devices by their number, from 0."""

    def __len__(self) -> int:
        """How many devices there are."""
        ...

    def name(self, device: int) -> str:
        """What the coordinator calls a device."""
        ...

    def examples(self, device: int, window: Window) -> Examples:
        """The rows that a device holds of a window."""
        ...


class Names(Sequence[str]):
    """A population's names without a list of them: there may be a million."""

    def __init__(self, population: Population) -> None:
        """Ask `population` for each name when it is wanted."""
        self._population = population

    def __len__(self) -> int:
        return len(self._population)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self._population.name(device) for device in range(len(self))[index]]
        return self._population.name(range(len(self))[index])


Source = Callable[[], Population]
"""Opens a population in the process that calls it; picklable, so that each worker opens its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A column by which rows are compared, such as the carrier: its words, and each row's number among them."""

    words: tuple[str, ...]
    codes: Codes


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """All rows of a population, the first device's first, each device's by time.

    `inputs` are `(rows, task.inputs)`, `labels` `(rows,)`, `times` `(rows,)` in microseconds since 1970 (0 where the task
    dates none), `offsets` `(devices + 1,)` where each device's rows begin and the last one's end.
    """

    names: tuple[str, ...]
    offsets: NDArray[np.int64]
    inputs: NDArray[np.float32]
    labels: NDArray[np.int64]
    times: NDArray[np.int64]
    groups: Mapping[str, Group]


_ARRAYS = ("offsets", "inputs", "labels", "times")


class Packed:
    """A population in a folder of arrays, mapped into memory: workers share what the system keeps of them."""

    def __init__(self, folder: Path) -> None:
        """Open what `pack` wrote; raise `InputError` if it is not there."""
        try:
            about: dict[str, Any] = json.loads((folder / "about.json").read_text(encoding="utf-8"))
            self.offsets, self.inputs, self.labels, self.times = (
                np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS
            )
            self._names: Sequence[str] = about["names"]
            self._groups: Mapping[str, Sequence[str]] = about["groups"]
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{folder} holds no packed rows: {error}") from None
        self._folder = folder

    def __len__(self) -> int:
        return len(self._names)

    def name(self, device: int) -> str:
        """What the coordinator calls a device."""
        return self._names[device]

    def examples(self, device: int, window: Window) -> Examples:
        """The rows that a device holds of a window: views, to be read only."""
        rows = self.rows(device, window)
        return Examples(inputs=self.inputs[rows], labels=self.labels[rows])

    def rows(self, device: int, window: Window) -> slice:
        """Where the rows lie that a device holds of a window."""
        first, last = int(self.offsets[device]), int(self.offsets[device + 1])
        own = self.times[first:last]
        start = np.searchsorted(own, moment(window.start)) if window.start else 0
        end = np.searchsorted(own, moment(window.end)) if window.end else last - first
        return slice(first + int(start), first + int(end))

    @cached_property
    def groups(self) -> Mapping[str, Group]:
        """The columns by which rows are compared."""
        return {
            name: Group(words=tuple(words), codes=np.load(self._folder / f"group-{index}.npy", mmap_mode="r"))
            for index, (name, words) in enumerate(self._groups.items())
        }


def pack(folder: Path, rows: Rows) -> None:
    """Write a population for `Packed`; raise `InputError` if the folder cannot be written."""
    about = {"names": rows.names, "groups": {name: group.words for name, group in rows.groups.items()}}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in _ARRAYS:
            np.save(folder / f"{name}.npy", getattr(rows, name))
        for index, group in enumerate(rows.groups.values()):
            np.save(folder / f"group-{index}.npy", group.codes)
        (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror or error}") from error


def moment(text: str) -> int:
    """An ISO date in microseconds since 1970; one without a zone is taken as it stands."""
    when = datetime.fromisoformat(text)
    return round((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1e6)
