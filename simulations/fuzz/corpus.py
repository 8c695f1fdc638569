"""Inputs that are kept with the project, beside each target's seeds: crashes that were found, and corners worth keeping."""

from pathlib import Path

from simulations.fuzz.target import Target

FOLDER = Path(__file__).parents[2] / "tests" / "corpus"


def read_corpus(target: Target) -> list[bytes]:
    """The kept inputs of a target, in order of their names; an installation without tests has none."""
    return [file.read_bytes() for file in sorted((FOLDER / target.name).glob("*.bin"))]
