"""A researcher's own networks, strategies and rules: one Python file each, read by a rehearsal that names it.

Only a rehearsal reads such a file, from the disk of whoever started it. An agent and a coordinator know the kinds that
are installed, and refuse a task that names another (design, decision 2). `docs/extending.md` has whole examples.
"""

import importlib.util
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from client.light.layers import Array, Layer
from client.light.network import LAYERS
from server.robust import RULES, Combined, Votes
from server.strategy import STRATEGIES, Strategy
from shared.aggregation import Aggregation, Rule
from shared.architecture import SHAPES, Shapes
from shared.errors import InputError
from shared.tasks import NetworkKind, Task
from shared.training import StrategyKind
from shared.wire import ALSO
from simulations.fleet.population import Population, Source

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Added", "Network", "Strategy", "knowing", "load"]

RuleOfVotes = Callable[[Votes, Aggregation], Combined]

TABLES = {"NETWORKS": NetworkKind, "STRATEGIES": StrategyKind, "RULES": Rule}
"""What a file may define: dictionaries from new kinds to `Network`, `Strategy` and rules over votes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A kind of network, which a task names as `architecture.kind`.

    `module` builds it: from `(rows, task.inputs)` to logits `(rows, classes)`, of the layers that
    `client.independence` allows. `shapes` are its parameters' in their order, asked of the module unless given.
    `layers` are the light trainer's over weights `(size,)`, for so many rows at a time, each with a weight and a bias;
    without them the network is trained with Opacus, device by device.
    """

    module: "Callable[[Task], nn.Sequential]"
    shapes: Callable[[Task], Shapes] | None = None
    layers: Callable[[Task, Array, int], list[Layer]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """The kinds that a file added, by what they are."""

    networks: tuple[str, ...]
    strategies: tuple[str, ...]
    rules: tuple[str, ...]


def load(path: Path) -> Added:
    """Run a file of the researcher's own, and add what it defines to this process; a second time changes nothing.

    Raise `InputError` where it cannot be read or run, defines nothing, or gives a kind the name of one that ships.
    """
    found = _tables(path, _run(path))
    for kind, network in found["NETWORKS"].items():
        _add_network(kind, network)
    STRATEGIES.update(found["STRATEGIES"])
    RULES.update(found["RULES"])
    for table, hint in TABLES.items():
        words = ALSO.setdefault(hint, [])
        words.extend(kind for kind in found[table] if kind not in words)
    return Added(networks=tuple(found["NETWORKS"]), strategies=tuple(found["STRATEGIES"]), rules=tuple(found["RULES"]))


def knowing(files: Sequence[Path], source: Source) -> Source:
    """A population for workers that must know `files` too: each loads them before it opens `source`."""
    return partial(_open, tuple(files), source) if files else source


def _open(files: Sequence[Path], source: Source) -> Population:
    for path in files:
        load(path)
    return source()


def _run(path: Path) -> Mapping[str, Any]:
    """What the file's names are bound to once it has run."""
    spec = importlib.util.spec_from_file_location(f"covey_file_{path.stem}", path)
    if path.suffix != ".py" or not path.is_file() or spec is None or spec.loader is None:
        raise InputError(f"{path} is no Python file that can be read; --with takes one such as my_net.py")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise InputError(f"{path} cannot be run: {type(error).__name__}: {error}") from error
    return vars(module)


def _tables(path: Path, names: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The file's own tables; an empty one for each that it does not define."""
    found: dict[str, Mapping[str, Any]] = {table: names.get(table, {}) for table in TABLES}
    if not any(found.values()):
        raise InputError(f"{path} defines none of {', '.join(TABLES)}; docs/extending.md shows a file of each")
    for table, entries in found.items():
        if not isinstance(entries, dict):
            raise InputError(f"{path}: {table} must be a dictionary from kinds to what they are")
        for kind, entry in entries.items():
            if not re.fullmatch("[a-z][a-z0-9-]*", kind) or kind in get_args(TABLES[table]):
                raise InputError(
                    f"{path}: {kind!r} in {table} must be lower-case letters, digits, hyphens, and a new name"
                )
            if not _fits(table, entry):
                raise InputError(
                    f"{path}: {kind!r} in {table} is {type(entry).__name__}; docs/extending.md shows what it must be"
                )
    return found


def _fits(table: str, entry: object) -> bool:
    if table == "NETWORKS":
        return isinstance(entry, Network)
    return isinstance(entry, Strategy) if table == "STRATEGIES" else callable(entry)


def _add_network(kind: str, network: Network) -> None:
    from shared.network import MODULES

    MODULES[kind] = network.module
    SHAPES[kind] = network.shapes or (lambda task: _shapes_of(network.module(task)))
    if network.layers:
        LAYERS[kind] = network.layers
    else:
        LAYERS.pop(kind, None)


def _shapes_of(module: "nn.Module") -> Shapes:
    return tuple(tuple(parameter.shape) for parameter in module.parameters())
