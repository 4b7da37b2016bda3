"""Counters by labels that come from outside."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from recorder.service.metrics import Described, MetricsPage, Type
from recorder.service.series import MAX_SERIES, Series


def test_counts_by_labels():
    """Each by itself, sorted."""
    series = Series(2)
    series.add(("b", "x"))
    series.add(("a", "x"), 3)
    series.add(("b", "x"), 2)
    assert series.rows() == [(("a", "x"), 3), (("b", "x"), 3)]


def test_at_most_so_many_series():
    """Those that come when all are taken are counted together; those that are there go on."""
    series = Series(2, limit=2)
    for name in ("a", "b", "c", "d", "a", "d"):
        series.add((name, "x"))
    assert series.rows() == [(("a", "x"), 2), (("b", "x"), 1), (("other", "other"), 3)]
    assert len(series) == 2


def test_a_thousand_by_default():
    """Whatever comes: the page has one more line."""
    series = Series(1)
    for number in range(3 * MAX_SERIES):
        series.add((str(number),))
    assert len(series.rows()) == MAX_SERIES + 1
    assert sum(count for _, count in series.rows()) == 3 * MAX_SERIES


def test_any_text_may_be_a_value():
    """Every character up to U+00FF, surrogates, 4,000 characters: Prometheus' own parser reads the page."""
    series = Series(1)
    values = [*map(chr, range(256)), '"\n\\', "\udcff", "\x1b[2J", "x" * 4000]
    for value in values:
        series.add((value,))
    page = MetricsPage(
        (Described("denials", Type.GAUGE, "x", {"class": "x"}),), lambda: {"denials": series.rows()}
    )
    (family,) = text_string_to_metric_families(page.render().decode())
    told = [each.labels["class"] for each in family.samples]
    assert sorted(told) == sorted(row[0][0] for row in series.rows())
    assert all(each.isprintable() and len(each) <= 4 * 63 + 1 for each in told)
    assert sum(each.value for each in family.samples) == len(values)


def test_labels_are_as_many_as_were_said():
    """A mistake of ours."""
    with pytest.raises(ValueError, match="1 values for 2 labels"):
        Series(2).add(("a",))
