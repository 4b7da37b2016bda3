"""docs/contract.md names tests that there are."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
PAGE = TESTS.parent / "docs" / "contract.md"
NAMED = re.compile(r"`([a-z_/]+\.py)::(test_\w+)`")


def test_every_test_that_the_contract_names_is_there():
    """By file and name; and no rule stands without one."""
    text = PAGE.read_text()
    named = set(NAMED.findall(text))
    assert len(named) > 100
    there = {
        (file, each.name)
        for file in {file for file, _ in named}
        for each in ast.parse((TESTS / file).read_text()).body
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert sorted(named - there) == []
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| rule")]
    assert [row for row in rows if not NAMED.search(row)] == []
