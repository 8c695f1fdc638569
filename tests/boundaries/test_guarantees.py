"""What `docs/guarantees.md` says is shown by a test is shown by a test that exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "guarantees.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)))


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_a_named_test_exists(path: str, name: str) -> None:
    assert re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE)


@pytest.mark.parametrize("rule", range(1, 22))
def test_every_privacy_rule_has_its_line(rule: int) -> None:
    lines = re.findall(r"^\| (\d+)(?:, (\d+))? ", TEXT.partition("## Each rule and its tests")[2], re.MULTILINE)
    assert str(rule) in {number for line in lines for number in line}
