"""The privacy audit: what ships passes every check, and every mutant of it is caught. Seeds are fixed, but for `devices`."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from shared.noise import CipherStream
from simulations.audit import (
    accountant,
    centrals,
    devices,
    membership,
    properties,
    sum_mutants,
    sums,
    survey_mutants,
    surveys,
    targets,
    training,
)
from simulations.audit.canaries import Effort
from simulations.audit.findings import Case
from simulations.audit.mutants import MUTANTS
from simulations.audit.report import lines, rows
from simulations.audit.trainers import Trainer, trainers

FEW = Effort(canaries=300, calls=24, surveys=60)
"""Little effort: what is far off shows with it too."""

LIGHT, *OPACUS = trainers()

OF_THE_ISSUE = {
    "no noise": "light",
    "half the noise": "light",
    "no clipping": "light",
    "per-tensor clipping accounted as global": "light",
    "torch's generator, seeded with 64 bits": "light",
    "torch's generator, shared": "light",
    "private denominator": "light",
    "engine rebuilt each round": "light",
    "fixed batches accounted as Poisson": "light",
    "sample rate off by rounding": "light",
    "the same noise twice in a row": "light",
    "no noise for an empty batch": "light",
    "noise seed shared by two devices": "distributed",
    "dropout loses a share of the noise": "distributed",
    "noise for one row, told for a device": "distributed",
}


def failures(case: Case) -> list[str]:
    return [f"{one.check}: {one.expected} expected, {one.seen} seen" for one in case.caught_by]


def test_every_mutant_that_was_promised_exists() -> None:
    names = {"light": MUTANTS.keys(), "distributed": sum_mutants.MUTANTS.keys()}
    assert all(mutant in names[target] for mutant, target in OF_THE_ISSUE.items())


@pytest.mark.parametrize("trainer", [LIGHT, *OPACUS], ids=lambda trainer: trainer.name)
def test_a_trainer_as_it_ships_passes_every_check(trainer: Trainer) -> None:
    assert failures(training.examine(trainer, FEW)) == []


@pytest.mark.parametrize("mutant", MUTANTS)
def test_every_mutant_of_the_light_trainer_is_caught(mutant: str) -> None:
    assert training.examine(MUTANTS[mutant](LIGHT), FEW, mutant=mutant).as_it_should


@pytest.mark.parametrize("trainer", OPACUS, ids=lambda trainer: trainer.name)
@pytest.mark.parametrize("mutant", ["no clipping", "per-tensor clipping accounted as global"])
def test_clipping_that_is_spoiled_in_opacus_is_caught_by_one_row(trainer: Trainer, mutant: str) -> None:
    (found,) = properties.one_row(MUTANTS[mutant](trainer), FEW)
    assert not found.holds
    assert found.seen > 1.5


def test_too_much_noise_is_seen_as_well_as_too_little() -> None:
    by_name = {
        name: next(one for one in membership.whole_batches(MUTANTS[name](LIGHT), FEW) if one.check == "canaries")
        for name in ("half the noise", "twice the noise")
    }
    assert by_name["half the noise"].seen > by_name["half the noise"].high
    assert by_name["twice the noise"].seen < by_name["twice the noise"].low


class FivePercentShort(CipherStream):
    def fill(self, out: NDArray[np.float64]) -> None:
        super().fill(out)
        out *= 0.95


def test_noise_that_is_five_percent_short_is_seen() -> None:
    found = {one.check: one for one in membership.sampled_batches(replace(LIGHT, stream=FivePercentShort), FEW)}
    assert found["noise"].seen < found["noise"].low
    assert found["inclusion"].holds


def test_a_private_denominator_tells_how_many_rows_there_are() -> None:
    found = {one.check: one for one in membership.whole_batches(MUTANTS["private denominator"](LIGHT), FEW)}
    rows_present = FEW.coins(FEW.canaries, LIGHT.name, "whole").sum()
    assert found["denominator"].seen == pytest.approx(rows_present, rel=0.15)


def test_a_survey_as_it_ships_passes_every_check() -> None:
    assert failures(surveys.examine(surveys.SHIPPED, FEW)) == []


@pytest.mark.parametrize("mutant", ["noise of one column, though a row is in all", "the same noise twice in a row"])
def test_a_spoiled_survey_is_caught(mutant: str) -> None:
    with survey_mutants.MUTANTS[mutant]():
        assert surveys.examine(surveys.SHIPPED, replace(FEW, surveys=120), mutant=mutant).as_it_should


def test_sums_as_they_ship_pass_every_check() -> None:
    assert failures(sums.examine(sums.SHIPPED, FEW)) == []


@pytest.mark.parametrize("mutant", [name for name, target in OF_THE_ISSUE.items() if target == "distributed"])
def test_a_spoiled_sum_is_caught(mutant: str) -> None:
    assert sums.examine(sum_mutants.MUTANTS[mutant], FEW, mutant=mutant).as_it_should


def test_a_share_that_is_lost_with_those_who_drop_out_shows_in_the_noise() -> None:
    found = {
        one.check: one for one in sums.noise_in_a_sum(sum_mutants.MUTANTS["dropout loses a share of the noise"], FEW)
    }
    assert found["noise in the sum"].seen == pytest.approx(
        found["noise in the sum"].expected * math.sqrt(7 / 12), rel=0.1
    )


def test_the_coordinators_noise_as_it_ships_passes_every_check() -> None:
    assert failures(centrals.examine(centrals.SHIPPED, FEW)) == []


def test_correlated_noise_charged_as_independent_is_caught() -> None:
    name = "correlated noise charged as independent"
    assert centrals.examine(centrals.MUTANTS[name], FEW, mutant=name).as_it_should


def test_an_accountant_that_forgets_is_caught() -> None:
    for mutant, spoiled in accountant.MUTANTS.items():
        histories = ["a count a month", "one sampled step"]
        exact = [accountant.exact_epsilon(accountant.HISTORIES[name], delta=1e-5) for name in histories]
        assert all(
            accountant.by_the_ledger(accountant.HISTORIES[name], 1e-5) >= least
            for name, least in zip(histories, exact, strict=True)
        )
        if mutant in ("engine rebuilt each round", "a delta for each round", "amplified by the choice of a cohort"):
            assert spoiled(accountant.HISTORIES["a count a month"], 1e-5) < exact[0]


def test_a_mutant_that_nothing_catches_is_said_to_be_missed() -> None:
    missed = Case(target="light", mutant="nothing is wrong", findings=tuple(properties.noise_alone(LIGHT, FEW)))
    assert any("nothing is wrong" in line and line.endswith("MISSED") for line in lines([missed]))
    *_, row, count = rows([missed])
    assert (row["value"], row["meets"]) == (0, False)
    assert (count["value"], count["target"], count["meets"]) == (0, 1, False)


def test_rows_are_json_without_infinities() -> None:
    silent = MUTANTS["no noise"](LIGHT)
    case = Case(target="light", mutant="no noise", findings=tuple(membership.whole_batches(silent, FEW)))
    assert "Infinity" not in json.dumps(rows([case]))
    assert "inf" in json.dumps(rows([case]))


@pytest.mark.proof
@pytest.mark.parametrize("name", targets.NAMES)
def test_everything_that_ships_passes_and_every_mutant_is_caught(name: str) -> None:
    found = list(targets.cases(name, Effort()))
    assert [failures(case) for case in found if not case.mutant] == [[]]
    assert [case.mutant for case in found if not case.as_it_should] == []


@pytest.mark.proof
def test_the_command_writes_its_rows(tmp_path: Path) -> None:
    import typer
    from typer.testing import CliRunner

    from simulations.audit.__main__ import audit

    written, cli = tmp_path / "audit.json", typer.Typer()
    cli.command()(audit)
    done = CliRunner().invoke(cli, ["--only", "central", "--report", str(written)])
    assert done.exit_code == 0, done.output
    assert "7 cases" in done.output
    assert "caught by" in done.output
    names = [row["name"] for row in json.loads(written.read_text())]
    assert "audit.central.correlated canaries" in names
    assert "audit.central.mutant: no noise" in names
    assert names[-1] == "audit.mutants"


def test_two_real_devices_share_no_noise() -> None:
    """With randomness from the operating system: this fails by chance once in 10^9."""
    shipped, spoiled = devices.cases()
    assert failures(shipped) == []
    assert [one.check for one in spoiled.caught_by] == ["updates"]
