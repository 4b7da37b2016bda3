"""The generated parts of docs/ are up to date."""

import importlib.util
from pathlib import Path

import pytest

from recorder.agent.budget import BOUNDS
from recorder.agent.metrics import METRICS
from recorder.collector.metrics import METRICS as COLLECTOR_METRICS
from recorder.model.errors import CODES
from recorder.model.ledger import CAUSES

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("generate_docs", ROOT / "scripts" / "generate_docs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_page_is_up_to_date(script):
    """Made anew, each page is the same, and each table is in its page."""
    pages = {path: path.read_text() for path in (ROOT / "docs").glob("*.md")}
    assert [path.name for path, text in pages.items() if script.render(text) != text] == []
    tables = {
        "limits": (script.causes(), script.bounds(), script.budget()),
        "metrics": (script.metrics(), script.collector_metrics()),
    }
    tables["errors"] = (script.codes(),)
    assert all(
        part in pages[ROOT / "docs" / f"{page}.md"] for page, parts in tables.items() for part in parts
    )
    assert [path.name for path, make in script.EXAMPLES.items() if path.read_text() != make()] == []


def test_the_tables_have_each_of_their_entries(script):
    """One row each, below the two lines of the head."""
    assert len(script.causes().splitlines()) == 2 + len(CAUSES)
    assert all(f"| `{each.name}` | {each.severity.value} | " in script.causes() for each in CAUSES.values())
    assert len(script.codes().splitlines()) == 2 + len(CODES)
    assert len(script.bounds().splitlines()) == 2 + len(BOUNDS)
    assert len(script.metrics().splitlines()) == 2 + len(METRICS)
    assert all(f"| `{each.full_name}` | {each.type.value} | " in script.metrics() for each in METRICS)
    assert len(script.collector_metrics().splitlines()) == 2 + len(COLLECTOR_METRICS)


def test_only_what_is_between_the_markers_changes(script):
    """Text before and behind stays; what was between goes."""
    page = "before\n<!-- codes:begin -->\nold\n<!-- codes:end -->\nbehind\n"
    expected = f"before\n<!-- codes:begin -->\n{script.codes()}<!-- codes:end -->\nbehind\n"
    assert script.render(page) == expected
    assert script.render(expected) == expected


def test_a_marker_without_its_end_is_refused(script):
    """Nothing behind it is thrown away."""
    with pytest.raises(SystemExit, match="codes:end"):
        script.render("<!-- codes:begin -->\nthe rest of the page\n")
