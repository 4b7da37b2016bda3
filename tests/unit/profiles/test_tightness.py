"""No path is allowed that the stated rules do not allow, and each that they do: by three answers.

The rules' own patterns, the page's words (tests.truth.stated_paths), and the automaton that apparmor_parser
makes of the emitted text. In guests the kernel is asked, too.
"""

import random

import pytest

from recorder.profiles.apparmor_profile import abstract_profile
from recorder.profiles.apparmor_rules import apparmor_rules
from recorder.profiles.apparmor_text import to_text
from recorder.profiles.apparmor_yaml import to_object
from tests.truth.asked_paths import MUTATIONS, asked_paths
from tests.truth.compiled_policy import Policy
from tests.truth.installed import installed
from tests.truth.stated_paths import as_object, as_text, stated, used_paths
from tests.unit.profiles.accessed import recorded
from tests.unit.profiles.patterns import Patterns


@pytest.fixture(scope="module")
def chance():
    return random.Random(20261126)


@pytest.fixture(scope="module")
def used(chance):
    return used_paths(chance, 150)


@pytest.fixture(scope="module")
def rules(used):
    return apparmor_rules([recorded(used)])


@pytest.fixture(scope="module")
def policy(rules):
    return Policy(to_text(rules, "tight", base=False))


def test_three_answers_agree(chance, used, rules, policy, scaled):
    """For each path: recorded ones, those changed in all ways, and random ones."""
    patterns, said = Patterns(rules.paths), as_text(stated(used))
    count = scaled(100_000, 2_000)
    allowed = new = 0
    there = {each.path for each in used}
    for path in asked_paths(chance, used, count):
        answers = patterns.allows(path), said.allows(path), policy.allows(path)
        assert answers[0] == answers[1] == answers[2], (path, answers)
        allowed += bool(answers[0])
        new += bool(answers[0]) and path not in there
    # both answers were given often, and not only for what was recorded
    assert allowed > count / 20, allowed
    assert count - allowed > count / 2
    assert new > count / 50, new
    assert count > 20 * len(MUTATIONS)


def test_what_was_used_is_allowed(used, policy):
    """With each letter that it was used with."""
    assert [each for each in used if each.letters - policy.allows(each.path)] == []


def test_the_abstract_form_allows_what_the_page_says_and_no_more(chance, used, rules, scaled):
    """As an installer loads it: of each path the page's widenings, and all that was recorded."""
    profile = abstract_profile(rules, "tight")
    text = installed(to_object(profile)).replace("  include <abstractions/base>\n", "")
    policy = Policy(text)
    most = as_object(stated(used), profile.warnings)
    assert [each for each in used if each.letters - policy.allows(each.path)] == []
    for path in asked_paths(chance, used, scaled(100_000, 2_000)):
        allowed = policy.allows(path)
        assert allowed <= most.allows(path), (path, allowed, most.allows(path))


def test_the_base_abstraction_adds_itself_and_no_more(chance, used, rules, policy, scaled):
    """A whole profile allows what its rules do, and what one that has the abstraction alone does."""
    whole, base = Policy(to_text(rules, "whole")), Policy(to_text(apparmor_rules([]), "base"))
    assert base.allows(b"/dev/null") == set("rwa")
    assert base.allows(b"/etc/ld.so.cache") == set("rm")
    for path in asked_paths(chance, used, scaled(20_000, 1_000)):
        assert whole.allows(path) == base.allows(path) | policy.allows(path), path
