#!/usr/bin/env python3
"""Write the parts of docs/ that tables in the code are the source of.

Usage: .venv/bin/python scripts/generate_docs.py [--check]

A generated part stands between two markers in a page that is otherwise written
by hand: `<!-- causes:begin -->` and `<!-- causes:end -->` in docs/limits.md hold
the table of causes, `<!-- codes:begin -->` and `<!-- codes:end -->`, where a page
has them, the table of error codes. docs/limits.md also has the agent's bounds and
their sum, docs/metrics.md its metrics and the collector's. deploy/*.example.toml are
generated as a whole. `--check` writes nothing; status 1 if a file is out of date.
"""

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # so that it runs from a checkout without an installation

from recorder.agent.budget import BOUNDS, Budget  # noqa: E402
from recorder.agent.metrics import METRICS  # noqa: E402
from recorder.agent.settings import MemorySettings  # noqa: E402
from recorder.agent.settings_sources import SOURCES as AGENT  # noqa: E402
from recorder.collector.metrics import METRICS as COLLECTOR_METRICS  # noqa: E402
from recorder.collector.settings import SOURCES as COLLECTOR  # noqa: E402
from recorder.model.errors import CODES  # noqa: E402
from recorder.model.ledger import CAUSES  # noqa: E402
from recorder.service.metrics import Described  # noqa: E402
from recorder.service.setting import size_text  # noqa: E402

DOCS = ROOT / "docs"
EXAMPLES: dict[Path, Callable[[], str]] = {
    ROOT / "deploy" / "agent.example.toml": AGENT.example,
    ROOT / "deploy" / "collector.example.toml": COLLECTOR.example,
}


def causes() -> str:
    """Return the table of causes: name, severity, meaning, remedy."""
    rows = [(f"`{each.name}`", each.severity.value, each.meaning, each.remedy) for each in CAUSES.values()]
    return table(("cause", "is a", "what happened", "what to do"), rows)


def codes() -> str:
    """Return the table of error codes."""
    return table(("code", "meaning"), [(f"`{code}`", meaning) for code, meaning in CODES.items()])


def bounds() -> str:
    """Return the table of the agent's bounds: name, default, memory, what happens at each."""
    rows = []
    for each in BOUNDS.values():
        limit = getattr(MemorySettings(), each.name)
        default = size_text(limit) if each.unit == "bytes" else f"{limit:,} {each.unit}"
        cost = f"{each.each:,} B" if each.each and each.unit != "bytes" else ""
        if each.unit == "bytes":
            cost = f"{each.each} times" if each.each else ""
        rows.append((f"`{each.name}`", each.what, default, cost, each.at))
    return table(("`memory.`", "bounds", "default", "memory of the process for each", "at the bound"), rows)


def budget() -> str:
    """Return the arithmetic of the agent's memory, with the defaults."""
    return "".join(f"    {line}\n" for line in Budget(MemorySettings()).explain().splitlines())


def metrics() -> str:
    """Return the table of the agent's metrics: name, type, meaning, labels."""
    return described(METRICS)


def collector_metrics() -> str:
    """Return the table of the collector's metrics."""
    return described(COLLECTOR_METRICS)


def described(metrics: Iterable[Described]) -> str:
    """Return a table of metrics."""
    rows = []
    for each in metrics:
        labels = "; ".join(f"`{label}`: {values}" for label, values in each.labels.items())
        rows.append((f"`{each.full_name}`", each.type.value, each.help, labels))
    return table(("metric", "type", "meaning", "labels"), rows)


PARTS: dict[str, Callable[[], str]] = {
    "causes": causes,
    "codes": codes,
    "bounds": bounds,
    "budget": budget,
    "metrics": metrics,
    "collector-metrics": collector_metrics,
}


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def render(page: str) -> str:
    """Return the page's text with each generated part made anew."""
    for name, part in PARTS.items():
        begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
        if begin not in page:
            continue
        before, _, rest = page.partition(begin)
        _, found, after = rest.partition(end)
        if not found:
            raise SystemExit(f"the marker {begin.strip()} has no {end} behind it")
        page = f"{before}{begin}{part()}{end}{after}"
    return page


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; status 1 if out of date")
    check = parser.parse_args().check
    stale = []
    for path in (*sorted(DOCS.glob("*.md")), *EXAMPLES):
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        if (fresh := EXAMPLES[path]() if path in EXAMPLES else render(text)) != text:
            stale.append(path)
            if not check:
                path.write_text(fresh, encoding="utf-8")
    for path in stale:
        print(
            f"{path.relative_to(ROOT)}: {'out of date, run scripts/generate_docs.py' if check else 'written'}"
        )
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
