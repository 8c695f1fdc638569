"""From a rehearsal's settings to its result folder: conduct, evaluate, compare, report; whatever happens on the way."""

import platform
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from server.rounds import read_weights
from simulations.baselines import baselines
from simulations.campaign import Campaign, level_of
from simulations.gating import verdicts
from simulations.outcome import device_rows, evaluations, groups, round_rows
from simulations.progress import told_on_stderr
from simulations.rehearsal import Say, Settings, conduct_all, keep_settings
from simulations.report import write
from simulations.report.tables import About, GroupRow, RoundRow, write_about, write_tables
from simulations.scene import Scene


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a rehearsal came to: its folder, its figures' rows, and whether all of it was conducted."""

    folder: Path
    about: About
    rounds: list[RoundRow]
    devices: pl.DataFrame

    @property
    def auc(self) -> float | None:
        """The mean over seeds of the last round's AUC; None without test rows."""
        last = {row.seed: row.auc for row in self.rounds if row.auc is not None}
        return sum(last.values()) / len(last) if last else None

    @property
    def epsilon(self) -> float:
        """The most that any device has spent."""
        return float(self.devices.get_column("epsilon").max() or 0.0) if self.devices.height else 0.0  # type: ignore[arg-type]

    @property
    def bytes_up(self) -> float:
        """What a device sent in a round, on average."""
        returned = sum(row.returned for row in self.rounds)
        return sum(row.bytes_up for row in self.rounds) / returned if returned else 0.0


@dataclass(slots=True)
class _Tables:
    """What the campaigns so far came to."""

    rounds: list[RoundRow] = field(default_factory=list[RoundRow])
    devices: list[pl.DataFrame] = field(default_factory=list[pl.DataFrame])
    groups: list[GroupRow] = field(default_factory=list[GroupRow])
    weights: NDArray[np.float32] | None = None

    def add(self, campaign: Campaign, settings: Settings, scene: Scene) -> None:
        """Evaluate one more campaign."""
        self.rounds += round_rows(campaign, settings, scene)
        found = evaluations(campaign, settings, scene)
        self.devices.append(device_rows(campaign, scene, found))
        self.groups += groups(campaign, scene, found)
        self.weights = read_weights(campaign.store, campaign.store.versions()[-1].number)

    def frame(self) -> pl.DataFrame:
        """All seeds' devices."""
        return (
            pl.concat(self.devices) if self.devices else pl.DataFrame({"epsilon": []}, schema={"epsilon": pl.Float64})
        )


def rehearse(
    settings: Settings, scene: Scene, folder: Path, *, workers: int, say: Say, compare: bool, command: str = "",
) -> Outcome:  # fmt: skip
    """Conduct all that is left of a rehearsal in `folder`, and write its tables and its report there.

    With `compare`, the same rows are learned from without a federation too. Ctrl-C leaves what there is, readable, and
    `about.complete` False.
    """
    keep_settings(folder, settings)
    campaigns = conduct_all(settings, scene, folder, workers=workers, say=say)
    return tabulate(campaigns, settings, scene, folder, compare=compare, command=command)


def tabulate(
    campaigns: Iterable[Campaign], settings: Settings, scene: Scene, folder: Path, *, compare: bool, command: str = ""
) -> Outcome:
    """Evaluate campaigns as they end, and write the tables and the report, of all or of as many as there are."""
    tables, about = _Tables(), _about(settings, scene, command=command)
    try:
        for campaign in campaigns:
            tables.add(campaign, settings, scene)
            about = _with_cost(about, campaign)
            _write(folder, about, tables)
        about = replace(about, complete=True)
        if tables.weights is not None:  # now that the workers have given their memory back: PyTorch takes as much
            about = replace(about, gates=verdicts(settings.task, tables.weights))
        if compare and scene.test is not None and not scene.apart:
            found = baselines(
                settings.task, scene.test, train=settings.plan.window, test=scene.tested_on, say=told_on_stderr
            )
            about = replace(about, baselines=found)
    except KeyboardInterrupt:
        pass  # what there is is written below; the caller sees `complete`
    _write(folder, about, tables)
    write(folder)
    return Outcome(folder=folder, about=about, rounds=tables.rounds, devices=tables.frame())


def _write(folder: Path, about: About, tables: _Tables) -> None:
    write_tables(folder, tables.rounds, tables.frame() if tables.devices else [], tables.groups)
    write_about(folder, about)


def _about(settings: Settings, scene: Scene, *, command: str) -> About:
    task, plan = settings.task, settings.plan
    return About(
        task=task.name, revision=task.revision, plan_sha256=plan.sha256, seeds=settings.seeds, devices=settings.devices,
        rounds=plan.training.rounds, mode=plan.mode, engine=settings.engine, complete=False, title=task.title,
        classes=len(task.label.classes), delta=task.privacy.delta, trained_on=str(plan.window),
        tested_on=str(scene.tested_on) if scene.test else "", command=command, start="covey start --plan plan.toml",
        machine=f"{platform.machine()}, Python {platform.python_version()}",
    )  # fmt: skip


def _with_cost(about: About, campaign: Campaign) -> About:
    """What the campaign's epsilon is of, and against whom it holds."""
    if not campaign.rounds:
        return about
    cost = campaign.rounds[0].plan.cost
    return replace(about, level=level_of(cost), trust=cost.trust)
