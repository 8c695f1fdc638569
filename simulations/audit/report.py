"""What the audit found, as a table for people and as rows for programs."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from simulations.audit.findings import Case, Finding

Row = dict[str, Any]

_SHOWN = 2


def rows(cases: Sequence[Case]) -> list[Row]:
    """One row a check of each target as it ships, one a mutant, and how many of the mutants were caught."""
    mutants = [case for case in cases if case.mutant]
    caught = sum(case.as_it_should for case in mutants)
    shipped = [_check(case.target, finding) for case in cases if not case.mutant for finding in case.findings]
    count = {"name": "audit.mutants", "value": caught, "unit": "caught", "target": len(mutants)}
    return [*shipped, *map(_mutant, mutants), {**count, "meets": caught == len(mutants)}]


def _check(target: str, finding: Finding) -> Row:
    return {
        "name": f"audit.{target}.{finding.check}", "value": _number(finding.seen), "unit": "", "target": _allowed(finding),
        "meets": finding.holds, "expected": _number(finding.expected),
    }  # fmt: skip


def _mutant(case: Case) -> Row:
    caught_by = [
        {"check": one.check, "expected": _number(one.expected), "seen": _number(one.seen)} for one in case.caught_by
    ]
    return {
        "name": f"audit.{case.target}.mutant: {case.mutant}", "value": int(case.as_it_should), "unit": "caught",
        "target": 1, "meets": case.as_it_should, "caught_by": caught_by,
    }  # fmt: skip


def lines(cases: Sequence[Case]) -> Iterator[str]:
    """The two tables."""
    yield f"{'as it ships':<14}{'check':<34}{'expected':>10}{'seen':>10}  {'allowed':<20}"
    for case in cases:
        if not case.mutant:
            yield from (_line(case.target, finding) for finding in case.findings)
    yield ""
    yield f"{'target':<14}{'mutant':<44}caught by (expected -> seen)"
    for case in cases:
        if case.mutant:
            yield f"{case.target:<14}{case.mutant:<44}{_caught(case.caught_by)}"


def _line(target: str, finding: Finding) -> str:
    verdict = "" if finding.holds else "  DOES NOT HOLD"
    figures = f"{finding.expected:>10.4g}{finding.seen:>10.4g}"
    return f"{target:<14}{finding.check:<34}{figures}  {_allowed(finding):<20}{verdict}".rstrip()


def _caught(findings: Iterable[Finding]) -> str:
    said = [f"{one.check} ({one.expected:.3g} -> {one.seen:.3g})" for one in findings]
    more = [f"and {len(said) - _SHOWN} more"] if len(said) > _SHOWN else []
    return ", ".join([*said[:_SHOWN], *more]) or "MISSED"


def _allowed(finding: Finding) -> str:
    """The bounds, in words."""
    if math.isinf(finding.low):
        return f"at most {finding.high:.4g}"
    if math.isinf(finding.high):
        return f"at least {finding.low:.4g}"
    return f"{finding.low:.4g} to {finding.high:.4g}"


def _number(value: float) -> float | str:
    """JSON has no infinity."""
    return float(value) if math.isfinite(value) else str(float(value))
