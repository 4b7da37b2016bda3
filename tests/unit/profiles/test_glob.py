"""AppArmor's globs: matching, covering and overlapping, against regular expressions and by trying."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder.profiles.apparmor_text import glob_text
from recorder.profiles.glob import DEEP, DIGIT, HEX, ONE, PID, STAR, WORD, Glob, literal
from tests.unit.profiles.globs import regex_of

tokens = st.one_of(st.sampled_from([*b"/ab1"]), st.sampled_from([STAR, DEEP, ONE, DIGIT, HEX, WORD]))
globs = st.lists(tokens, max_size=5).map(lambda each: Glob((ord("/"), *each)))

PATHS = [b"/" + bytes(each) for n in range(5) for each in itertools.product(b"/a1", repeat=n)]


def regex(glob):
    return regex_of(glob_text(glob)[1:-1])


@given(globs)
@settings(max_examples=60)
def test_matches_what_the_regular_expression_does(glob):
    """Every path of a small alphabet has the same answer."""
    expected = regex(glob)
    assert [path for path in PATHS if glob.matches(path)] == [
        path for path in PATHS if expected.fullmatch(path)
    ]


@given(globs, globs)
@settings(max_examples=80)
def test_covering_and_overlapping_are_those_of_the_paths(one, two):
    """No path of a small alphabet speaks against an answer."""
    first, second = regex(one), regex(two)
    ones = {path for path in PATHS if first.fullmatch(path)}
    twos = {path for path in PATHS if second.fullmatch(path)}
    if one.covers(two):
        assert twos <= ones
        assert not twos or one.overlaps(two)
    if ones & twos:
        assert one.overlaps(two)


@pytest.mark.parametrize(
    ("wide", "narrow", "answer"),
    [
        (("/a/", STAR), ("/a/b",), True),
        (("/a/", STAR), ("/a/",), False),
        (("/a/", STAR), ("/a/b/c",), False),
        (("/a/", DEEP), ("/a/", STAR, "/c"), True),
        (("/a/", STAR), ("/a/", STAR, ".log"), True),
        (("/a/", STAR, ".log"), ("/a/", STAR), False),
        (("/proc/", PID, "/stat"), ("/proc/17/stat",), True),
        (("/proc/", PID, "/stat"), ("/proc/017/stat",), False),
        (("/proc/", PID), ("/proc/4999999",), True),
        (("/proc/", PID), ("/proc/999999",), True),
        (("/proc/", PID), ("/proc/5000000",), False),
        (("/proc/", PID), ("/proc/12345678",), False),
        (("/proc/", PID), ("/proc/",), False),
        (("/proc/", PID), ("/proc/", PID), True),
        (("/proc/", STAR), ("/proc/", PID), True),
        (("/proc/", PID), ("/proc/", DIGIT, DIGIT), False),
        (("/proc/", PID, "/task/", PID), ("/proc/4194304/task/9",), True),
        (("/x", HEX, HEX), ("/x", DIGIT, DIGIT), True),
        (("/x", DIGIT), ("/x", HEX), False),
        (("/x", DIGIT, STAR), ("/x", DIGIT, DIGIT), True),
    ],
)
def test_covers(wide, narrow, answer):
    """Decided for all paths, not for some."""

    def glob(parts):
        return Glob(
            tuple(each for part in parts for each in (part.encode() if isinstance(part, str) else (part,)))
        )

    assert glob(wide).covers(glob(narrow)) is answer
    if answer:
        assert glob(wide).overlaps(glob(narrow))


def test_nul_is_matched_by_nothing():
    """AppArmor separates names by NUL."""
    assert not Glob((ord("/"), STAR)).matches(b"/a\0b")
    assert not Glob((ord("/"), DEEP)).matches(b"/a\0b")


def test_literals_know_their_path():
    """And a pattern has none."""
    assert literal(b"/a/b").literal == b"/a/b"
    assert Glob((*b"/a/", STAR)).literal is None
    assert Glob((*b"/a/", STAR)).prefix == b"/a/"
