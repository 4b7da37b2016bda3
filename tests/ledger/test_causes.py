"""The table of causes and the tests here cover each other."""

import importlib
import inspect
from pathlib import Path

import pytest

from recorder.model.ledger import CAUSES, Severity
from tests.ledger import test_losses, test_notes


def named_tests(module):
    return [name for name, _ in inspect.getmembers(module, inspect.isfunction) if name.startswith("test_")]


def test_each_cause_is_made_to_move():
    """By a test that is named after it, in one of the modules here: a new cause needs one."""
    here = Path(__file__).parent
    names = [
        name
        for path in here.glob("test_*.py")
        for name in named_tests(importlib.import_module(f"tests.ledger.{path.stem}"))
    ]
    assert [cause for cause in CAUSES if not any(name.startswith(f"test_{cause}") for name in names)] == []


@pytest.mark.parametrize(("severity", "module"), [(Severity.LOSS, test_losses), (Severity.NOTE, test_notes)])
def test_each_test_is_of_a_cause_of_its_kind(severity, module):
    """So that a cause which changes sides, or is gone, shows."""
    causes = [cause.name for cause in CAUSES.values() if cause.severity is severity]
    strays = [
        name for name in named_tests(module) if not any(name.startswith(f"test_{cause}") for cause in causes)
    ]
    assert strays == []
