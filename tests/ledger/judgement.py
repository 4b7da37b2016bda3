"""What is said of a ledger, in every place where it is said: the record, the summary, the profile."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

import pytest
import yaml

from recorder.cli.summary import say_summary
from recorder.model.errors import InvalidProfile
from recorder.model.record import Phase, Record
from recorder.model.wire import from_json, to_json
from recorder.profiles.base import resolve_base
from recorder.profiles.seccomp import build
from recorder.profiles.seccomp_yaml import to_yaml

Counts = Mapping[str, int]
NONE: Counts = {}


@dataclass(frozen=True, slots=True)
class Said:
    """A verdict as written for people, and the causes behind it."""

    verdict: str
    losses: Counts
    notes: Counts


def said(losses: Counts, notes: Counts) -> Said:
    """What has to be said of these: lossy with each loss, else complete."""
    parts = ", ".join(f"{cause} {count}" for cause, count in sorted(losses.items()))
    return Said(f"lossy: {parts}" if losses else "complete", losses, notes)


def summary_said(stderr: str) -> Said:
    """What a recording's summary says."""
    causes = re.findall(r"^recorder:   (loss|note) (\w+) (\d+): .+; .+$", stderr, re.M)
    (verdict,) = re.findall(r"^recorder: verdict: (.*)$", stderr, re.M)
    return Said(
        verdict,
        {cause: int(count) for kind, cause, count in causes if kind == "loss"},
        {cause: int(count) for kind, cause, count in causes if kind == "note"},
    )


def profile_said(text: str) -> Said:
    """What a SeccompProfile's annotations say."""
    annotations = yaml.safe_load(text)["metadata"]["annotations"]
    verdict = annotations["recorder.x-k8s.io/verdict"]
    return Said(
        verdict,
        _counts(verdict.removeprefix("complete").removeprefix("lossy: ")),
        _counts(annotations.get("recorder.x-k8s.io/notes", "")),
    )


def _counts(text: str) -> Counts:
    return {cause: int(count) for cause, count in (part.split(" ") for part in text.split(", ") if part)}


def record_counts(text: str) -> Counts:
    """The ledger in a record's JSON, summed over its observations."""
    counts: dict[str, int] = {}
    for observation in json.loads(text)["observations"]:
        for entry in observation.get("ledger", ()):
            counts[entry["cause"]] = counts.get(entry["cause"], 0) + int(entry["count"])
    return counts


def assert_judged(
    record: Record,
    capsys: pytest.CaptureFixture[str],
    losses: Counts = NONE,
    notes: Counts = NONE,
) -> None:
    """The record has exactly these losses and notes, and every place says so."""
    expected = said(losses, notes)
    assert record.ledger.counts == {**losses, **notes}
    assert record.verdict.complete is not bool(losses)
    assert str(record.verdict) == expected.verdict
    text = to_json(record)
    assert record_counts(text) == {**losses, **notes}
    assert from_json(text).verdict == record.verdict
    capsys.readouterr()
    say_summary(record, "a file", None)
    assert summary_said(capsys.readouterr().err) == expected
    if record.calls(Phase.WORKLOAD):
        profile = build(record, name="judged", base=resolve_base("none"))
        assert profile_said(to_yaml(profile)) == expected
    else:
        with pytest.raises(InvalidProfile):
            build(record, name="judged", base=resolve_base("none"))
