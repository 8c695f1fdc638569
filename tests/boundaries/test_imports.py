"""Who may import whom, and that our top-level names are nobody else's."""

import ast
import importlib.metadata
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("server", "client", "shared", "simulations")


def contracts() -> list[dict[str, Any]]:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found: list[dict[str, Any]] = document["tool"]["importlinter"]["contracts"]
    return found


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()", "--no-cache"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def test_every_import_contract_is_kept() -> None:
    found = lint(ROOT)
    assert found.returncode == 0, found.stdout + found.stderr
    # Long names are wrapped in the table, so the tally is what tells.
    assert f"{len(contracts())} kept, 0 broken" in found.stdout


def test_there_are_contracts_to_keep() -> None:
    assert len(contracts()) >= 2


@pytest.mark.parametrize(
    ("importer", "imported"), [("server", "client"), ("client", "server"), ("shared", "server"), ("shared", "client")]
)
def test_the_contracts_would_notice_a_forbidden_import(tmp_path: Path, importer: str, imported: str) -> None:
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    for package in (*OURS, "server/tui"):
        (tmp_path / package).mkdir(parents=True, exist_ok=True)
        (tmp_path / package / "__init__.py").write_text("")
    for module in named_modules():
        if not (tmp_path / module).is_dir():
            (tmp_path / f"{module}.py").write_text("")
    (tmp_path / importer / "offender.py").write_text(f"import {imported}\n")
    found = lint(tmp_path)
    assert found.returncode != 0
    assert f"{importer}.offender -> {imported}" in found.stdout


def named_modules() -> set[str]:
    """Our own modules that the contracts name, as paths."""
    lists = [c.get("source_modules", []) + c.get("forbidden_modules", []) for c in contracts()]
    return {name.replace(".", "/") for names in lists for name in names if name.split(".")[0] in OURS}


def test_no_installed_distribution_uses_our_top_level_names() -> None:
    providers = importlib.metadata.packages_distributions()
    strangers = {name: set(providers.get(name, [])) - {"covey"} for name in OURS}
    assert not any(strangers.values()), strangers


def test_our_names_shadow_no_standard_module() -> None:
    assert not set(OURS) & set(sys.stdlib_module_names)


# A library's home: nothing else may import it. Lazily imported libraries count too.
HOMES = {
    "dp_accounting": {"shared/pld.py"},
    "onnx": {
        "client/attributiongraph.py",
        "server/export.py",
        "server/graph.py",
        "shared/hostile.py",
        "shared/quantization.py",
    },
    "onnxruntime": {"client/hardware.py", "shared/runtime.py"},
    "opacus": {"client/bookkeeping.py", "client/training.py"},
    "polars": {
        "client/contract.py",
        "client/datafiles.py",
        "client/dataset.py",
        "client/gdpr.py",
        "client/merging.py",
        "client/outcomes.py",
        "client/revised.py",
        "client/rowprints.py",
        "client/scoring.py",
        "server/labelling.py",
        "server/probe.py",
    },
    "river": {"server/detectors.py"},
    "securesystemslib": {"server/repository.py"},
    "torch": {
        "client/bookkeeping.py",
        "client/independence.py",
        "client/training.py",
        "server/gates/files.py",
        "shared/network.py",
    },
    "tuf": {
        "client/trust.py",
        "client/updates.py",
        "server/releases.py",
        "server/repository.py",
        "server/rollout_role.py",
        "server/signatures.py",
    },
    "nanoarrow": {"client/serving/arrow.py"},
    "opentelemetry": {"server/tracing.py"},
    "prometheus_client": {"client/serving/metrics.py", "server/exposition.py"},
    "uvicorn": {"client/serving/headers.py", "client/serving/service.py", "server/listeners.py"},
}

PUBLIC_FLOWER = ("flwr.app", "flwr.clientapp", "flwr.serverapp")
FLOWER_INTERNALS = {
    "client/departures.py", "client/desk.py", "client/fleet.py", "client/node.py", "server/fleet.py", "server/flowerrun.py",
    "server/replies.py", "server/runtime.py", "server/superlink.py", "server/wholegrid.py",
}  # fmt: skip


def test_flowers_internals_stay_in_few_files() -> None:
    """They change with every release of Flower, one or two weeks apart."""
    files = [path for package in ("server", "client", "shared") for path in (ROOT / package).rglob("*.py")]
    users = {str(path.relative_to(ROOT)) for path in files if any(map(_is_internal, modules(path)))}
    assert users
    assert users <= FLOWER_INTERNALS


def _is_internal(module: str) -> bool:
    return module.startswith("flwr.") and not module.startswith(PUBLIC_FLOWER)


@pytest.mark.parametrize("library", HOMES)
def test_a_library_lives_in_its_home(library: str) -> None:
    files = [path for package in ("server", "client", "shared") for path in (ROOT / package).rglob("*.py")]
    importers = {str(path.relative_to(ROOT)) for path in files if library in imports(path)}
    assert importers
    assert importers <= HOMES[library]


def imports(path: Path) -> set[str]:
    """The top-level names that a file imports anywhere in it."""
    return {module.split(".")[0] for module in modules(path)}


def modules(path: Path) -> set[str]:
    """The modules that a file imports anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return found
