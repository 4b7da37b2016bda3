"""Label selectors mean what the Kubernetes documentation says."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.model.selector import LabelSelector, Operator, Problem, Requirement, selects

keys = st.sampled_from(["a", "b", "example.org/a"])
values = st.sampled_from(["", "x", "y"])
labels = st.dictionaries(keys, values, max_size=3)
requirements = st.builds(
    Requirement, keys, st.sampled_from(list(Operator)), st.lists(values, max_size=3).map(tuple)
)
selectors = st.builds(
    LabelSelector, st.dictionaries(keys, values, max_size=2), st.lists(requirements, max_size=3).map(tuple)
)


def documented(selector, objects):
    """The selected ones of `objects`, by the documentation's words, as set algebra over all of them.

    "Labels and Selectors" and the API reference of LabelSelector: matchLabels is a map of {key,value}
    pairs, each equivalent to an expression with the operator In and that value alone; requirements are
    ANDed; In: the label's value is one of the set; NotIn: as well all resources with no label with that
    key; Exists and DoesNotExist look at the key alone; an empty selector matches all objects, a null one
    none.
    """
    if selector is None:
        return set()
    everything = set(range(len(objects)))
    chosen = everything
    pairs = [(key, "In", {value}) for key, value in selector.match_labels.items()]
    for key, operator, wanted in pairs + [
        (r.key, r.operator, set(r.values)) for r in selector.match_expressions
    ]:
        with_key = {number for number in everything if key in objects[number]}
        with_value = {number for number in with_key if objects[number][key] in wanted}
        chosen = (
            chosen
            & {
                "In": with_value,
                "NotIn": everything - with_value,
                "Exists": with_key,
                "DoesNotExist": everything - with_key,
            }[operator]
        )
    return chosen


@given(st.none() | selectors, st.lists(labels, min_size=1, max_size=6))
def test_it_selects_what_the_documentation_says(selector, objects):
    """Over any objects, the selected ones are those of a model written from the documentation."""
    assert {n for n, each in enumerate(objects) if selects(selector, each)} == documented(selector, objects)


def test_the_documentations_own_examples():
    """The examples of "Labels and Selectors", resources that support set-based requirements."""
    selector = LabelSelector(
        {"component": "redis"},
        (Requirement("tier", "In", ("cache",)), Requirement("environment", "NotIn", ("dev",))),
    )
    assert selector.matches({"component": "redis", "tier": "cache"})
    assert selector.matches({"component": "redis", "tier": "cache", "environment": "prod"})
    assert not selector.matches({"component": "redis", "tier": "cache", "environment": "dev"})
    assert not selector.matches({"component": "redis"})


def test_empty_selects_all_and_absent_nothing():
    """The two that are easily confused."""
    assert selects(LabelSelector(), {})
    assert selects(LabelSelector(), {"a": "x"})
    assert not selects(None, {})


def test_an_unknown_operator_selects_nothing():
    """A newer operator is no reason to record what nobody asked for."""
    assert not Requirement("a", "Gt", ("1",)).holds({"a": "2"})
    assert not Requirement("a", "Gt", ("1",)).holds({})


VALID = [
    LabelSelector(),
    LabelSelector({"app": "web", "app.kubernetes.io/name": ""}),
    LabelSelector({"a" * 63: "v" * 63, ("p" * 63 + ".") * 3 + "p" * 61 + "/n": "A_b.c-9"}),
    LabelSelector(
        {}, (Requirement("k", "In", ("x", "")), Requirement("k", "Exists"), Requirement("9", "DoesNotExist"))
    ),
]


@pytest.mark.parametrize("selector", VALID)
def test_valid_selectors_have_no_problems(selector):
    """What the API server takes."""
    assert selector.problems() == ()


@pytest.mark.parametrize(
    ("selector", "fields"),
    [
        (LabelSelector({"": "x"}), ["s.matchLabels['']"]),
        (LabelSelector({"-a": "x"}), ["s.matchLabels['-a']"]),
        (LabelSelector({"a" * 64: "x"}), [f"s.matchLabels['{'a' * 63}...']"]),
        (LabelSelector({"/a": "x"}), ["s.matchLabels['/a']"]),
        (LabelSelector({"A.example/a": "x"}), ["s.matchLabels['A.example/a']"]),
        (LabelSelector({"a/b/c": "x"}), ["s.matchLabels['a/b/c']"]),
        (LabelSelector({"a/": "x"}), ["s.matchLabels['a/']"]),
        (LabelSelector({"k": "v" * 64}), ["s.matchLabels['k']"]),
        (LabelSelector({"k": "x\n"}), ["s.matchLabels['k']"]),
        (LabelSelector({"k": "x "}), ["s.matchLabels['k']"]),
        (LabelSelector({"k": "é"}), ["s.matchLabels['k']"]),
        (LabelSelector({}, (Requirement("k", "In"),)), ["s.matchExpressions[0].values"]),
        (LabelSelector({}, (Requirement("k", "NotIn"),)), ["s.matchExpressions[0].values"]),
        (LabelSelector({}, (Requirement("k", "Exists", ("x",)),)), ["s.matchExpressions[0].values"]),
        (LabelSelector({}, (Requirement("k", "DoesNotExist", ("x",)),)), ["s.matchExpressions[0].values"]),
        (LabelSelector({}, (Requirement("k", "in", ("x",)),)), ["s.matchExpressions[0].operator"]),
        (LabelSelector({}, (Requirement("k", ""),)), ["s.matchExpressions[0].operator"]),
        (
            LabelSelector({}, (Requirement("k", "Exists"), Requirement("k_", "In", ("x", "-y")))),
            ["s.matchExpressions[1].key", "s.matchExpressions[1].values[1]"],
        ),
    ],
)
def test_problems_are_named_by_field(selector, fields):
    """Each field that the API server refuses, by its path, and no other."""
    assert [each.field for each in selector.problems("s")] == fields


def test_a_problem_says_what_is_allowed_and_is_bounded():
    """A hostile text comes back short and escaped."""
    (problem,) = LabelSelector({"k": "\x1b[31m" + "x" * 10_000}).problems()
    assert isinstance(problem, Problem)
    assert "63 letters" in problem.message
    assert "\x1b" not in problem.message
    assert len(problem.message) < 300


def test_a_selector_is_a_value():
    """Nobody changes it afterwards; equal ones are equal, and hash alike."""
    given_labels = {"b": "1", "a": "2"}
    selector = LabelSelector(given_labels)
    given_labels["c"] = "3"
    assert dict(selector.match_labels) == {"a": "2", "b": "1"}
    assert selector == LabelSelector({"a": "2", "b": "1"})
    assert hash(selector) == hash(LabelSelector({"a": "2", "b": "1"}))
    with pytest.raises(dataclasses.FrozenInstanceError):
        selector.match_expressions = ()
