"""Who contends, in which groups, what each needs to be installed, and who is held against whom."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Literal

PEERS = "pip install '.[peers]'"
PFL = f"{PEERS} && pip install --no-deps pfl==0.6.0"
"""pfl 0.6.0 asks for dp-accounting below 0.6, whose part that it uses is in 0.6 as well; hence without its wishes."""

FULL = "pip install '.[full]'"


Clock = Literal["wall", "cpu"]
"""What a rate goes by: the clock on the wall, or the seconds that processors were busy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """Who contends: `act` names a function of a module of this package. It needs modules, which `install` brings."""

    name: str
    title: str
    act: str
    needs: tuple[str, ...] = ()
    install: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        """The modules that are not installed here."""
        return tuple(name for name in self.needs if find_spec(name) is None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Contenders that take turns, one after another, so many times over after one turn that does not count."""

    name: str
    turns: int
    contenders: tuple[Contender, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """One contender's rate over another's, by a clock: what is aimed at, and what would be a surprise."""

    name: str
    title: str
    ours: str
    theirs: str
    clock: Clock = "cpu"
    target: float | None = None
    moonshot: float | None = None


TORCH = ("torch",)
OPACUS = ("torch", "opacus")

GROUPS = (
    Group(
        name="core",
        turns=5,
        contenders=(
            Contender(name="roofline", title="sgemm, as device updates", act="roofline.contender", needs=TORCH, install=FULL),
            Contender(name="engine", title="engine, rows handed over", act="ours.plain"),
            Contender(name="engine.drawn", title="engine, rows drawn", act="ours.sampled"),
            Contender(name="engine.exact", title="engine, rows drawn, the noise that ships", act="ours.exact"),
            Contender(name="engine.quick", title="engine, rows drawn, quicker noise", act="ours.quick"),
            Contender(name="torch", title="bare PyTorch loop", act="torch_loop.mlp", needs=TORCH, install=FULL),
            Contender(name="pfl", title="pfl-research, central noise", act="pfl_research.contender", needs=("torch", "pfl"), install=PFL),
            Contender(name="opacus", title="Opacus a client, hooks", act="opacus_clients.hooks", needs=OPACUS, install=FULL),
            Contender(name="opacus.ew", title="Opacus a client, ExpandedWeights", act="opacus_clients.ew", needs=OPACUS, install=FULL),
            Contender(name="opacus.shipped", title="Opacus a client, make_private", act="opacus_clients.shipped", needs=OPACUS, install=FULL),
        ),
    ),
    Group(
        name="cnn",
        turns=5,
        contenders=(
            Contender(name="engine.cnn", title="engine, CNN, rows handed over", act="ours.cnn"),
            Contender(name="torch.cnn", title="bare PyTorch loop, CNN", act="torch_loop.cnn", needs=TORCH, install=FULL),
        ),
    ),
    Group(
        name="machine",
        turns=3,
        contenders=(
            Contender(name="crew", title="workers on all cores, rows made on the way", act="ours.crew"),
            Contender(name="crew.drawn", title="workers on all cores, rows made and drawn", act="ours.crew_drawn"),
            Contender(name="flower", title="Flower's simulation engine (Ray)", act="flower_ray.contender", needs=("torch", "ray"), install=PEERS),
        ),
    ),
)  # fmt: skip

RACES = (
    Race(
        name="flower", title="Flower's simulation engine (Ray), wall clock on all cores", ours="crew", theirs="flower",
        clock="wall", target=150, moonshot=300,
    ),
    Race(
        name="flower.drawn", title="the same, ours drawing its rows", ours="crew.drawn", theirs="flower", clock="wall",
        target=150, moonshot=300,
    ),
    Race(name="pfl", title="pfl-research 0.6 (torch), rows handed over", ours="engine", theirs="pfl", target=12, moonshot=17),
    Race(name="pfl.drawn", title="the same, ours drawing its rows", ours="engine.drawn", theirs="pfl", target=12, moonshot=17),
    Race(name="torch", title="a bare torch loop, rows handed over", ours="engine", theirs="torch", target=10),
    Race(name="torch.drawn", title="the same, ours drawing its rows", ours="engine.drawn", theirs="torch", target=10),
    Race(
        name="opacus", title="DP-SGD with the noise that ships, Opacus a client (hooks)", ours="engine.exact",
        theirs="opacus", target=20, moonshot=40,
    ),
    Race(
        name="opacus.quick", title="the same with a rehearsal's noise: AES, 16 bits a value", ours="engine.quick",
        theirs="opacus", target=20, moonshot=40,
    ),
    Race(name="opacus.ew", title="the noise that ships, Opacus's ExpandedWeights", ours="engine.exact", theirs="opacus.ew"),
    Race(name="opacus.shipped", title="the noise that ships, Opacus's make_private", ours="engine.exact", theirs="opacus.shipped"),
    Race(name="roofline", title="share of this machine's sgemm roofline", ours="engine", theirs="roofline"),
    Race(name="cnn", title="small CNN, against a bare torch loop", ours="engine.cnn", theirs="torch.cnn", target=1.4, moonshot=4),
)  # fmt: skip


def versions(packages: Sequence[str] = ("torch", "numpy", "flwr", "ray", "pfl", "opacus")) -> dict[str, str]:
    """The installed version of each package; empty where it is not."""
    found: dict[str, str] = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = ""
    return found
