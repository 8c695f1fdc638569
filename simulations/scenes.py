"""Scenes as a person names them: data that ship with a task, files of their own, or rows made from a seed."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from shared import wire
from shared.errors import InputError
from shared.tasks import Task, Window
from simulations.extending import knowing
from simulations.fleet.datasets import Dataset, known
from simulations.fleet.loading import own
from simulations.fleet.population import Names, Packed, pack
from simulations.fleet.synthetic import Synthetic, synthetic
from simulations.scene import Scene, packed

SYNTHETIC = "synthetic"
WHICH = "which"
"""Beside packed rows: whose they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Whose rows: `files` of a person's own, one a device; else the task's data, dealt out `by` a way to `devices`.

    Rows of `learn` teach and those of `test` judge; None stands for what the data say, and for no test of one's own files.
    """

    files: tuple[Path, ...] = ()
    by: str = ""
    devices: int | None = None
    seed: int = 0
    learn: Window | None = None
    test: Window | None = None

    @property
    def named(self) -> dict[str, Path]:
        """The files by their devices' names; raise `InputError` where two have one name."""
        if len({path.stem for path in self.files}) != len(self.files):
            raise InputError("two data files have the same name; each names its device, so rename one")
        return {path.stem: path.resolve() for path in self.files}

    @property
    def is_synthetic(self) -> bool:
        """Whether rows are made as they are asked for."""
        return self.by.partition(":")[0] == SYNTHETIC

    def window(self, task: Task) -> Window:
        """The rows to learn from."""
        if self.learn is not None:
            return self.learn
        data = None if self.files or self.is_synthetic else known(task.name)
        return data.learn if data else Window()

    def build(self, task: Task, folder: Path, *, extensions: tuple[Path, ...] = ()) -> Scene:
        """Pack the rows in `folder`, or find them there; workers load `extensions` before they open them.

        Raise `InputError` where there are no rows to have.
        """
        scene = self._build(task, folder)
        return replace(scene, source=knowing(extensions, scene.source))

    def _build(self, task: Task, folder: Path) -> Scene:
        learn, there = self.window(task), _holds(folder, self._which(task))
        if self.is_synthetic:
            scene = _synthetic(task, folder, self.devices, self.seed, there=there)
        elif self.files:
            rows = None if there else own(task, self.named)
            scene = packed(folder, task, rows, about=f"{len(self.files)} data files", learn=learn, test=self.test)
        else:
            data = _data(task)
            rows = None if there else data.rows(task, way=self.by, devices=self.devices, seed=self.seed)
            about = f"{task.name} by {self.by or next(iter(data.ways))}"
            scene = packed(folder, task, rows, about=about, learn=learn, test=self.test or data.test)
        (folder / WHICH).write_text(self._which(task), encoding="utf-8")
        return scene

    def _which(self, task: Task) -> str:
        """What tells these rows from any others: of which task, dealt out how, or in which state of which files."""
        files = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in self.named.values()]
        words = repr((wire.to_json(task), self.by, self.devices, self.seed, files))
        return hashlib.sha256(words.encode()).hexdigest()

    def write_files(self, task: Task, folder: Path) -> Mapping[str, Path]:
        """One data file a device, as agents read them; they are written where the rows are the task's own."""
        if self.files:
            return self.named
        if self.is_synthetic:
            raise InputError("rows made as they are asked for have no files for agents to read; take --engine fast")
        data = _data(task)
        frame = data.table()
        partition = data.partition(frame, way=self.by, devices=self.devices, seed=self.seed)
        folder.mkdir(parents=True, exist_ok=True)
        files = {name: folder / f"{name}.parquet" for name in partition.names}
        owners = pl.Series(partition.devices)
        for number, path in enumerate(files.values()):
            if not path.exists():
                frame.filter(owners == number).write_parquet(path)
        return files


def _holds(folder: Path, which: str) -> bool:
    """Whether these very rows are packed in `folder`; raise `InputError` if what lies beside it is about others."""
    mark = folder / WHICH
    if mark.is_file() and mark.read_text(encoding="utf-8") == which:
        return True
    if folder.parent.is_dir() and any(each.name != folder.name for each in folder.parent.iterdir()):
        raise InputError(
            f"{folder.parent} holds something else, or what came of other rows; name another folder with --out, or remove it"
        )
    mark.unlink(missing_ok=True)
    return False


def _data(task: Task) -> Dataset:
    found = known(task.name)
    if found is None:
        raise InputError(
            f"no data ship for task {task.name!r}; name yours with --data, one file a device, or --by synthetic"
        )
    return found


TESTED = 1000
"""Synthetic devices beyond the fleet, whose rows a model is tested on."""


def _synthetic(task: Task, folder: Path, devices: int | None, seed: int, *, there: bool) -> Scene:
    if devices is None:
        raise InputError("--by synthetic makes as many devices as --devices says")
    population = Synthetic.of(task, devices, seed=seed)
    if not there:
        pack(folder, population.held_out(TESTED))
    return Scene(
        source=synthetic(task, devices, seed=seed), about="synthetic rows", names=Names(population),
        classes=len(task.label.classes), rows=population.sizes(), test=Packed(folder), apart=True,
    )  # fmt: skip
