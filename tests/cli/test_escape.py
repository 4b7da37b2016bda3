"""Texts of others, made fit for a terminal."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.cli.escape import MAX_SHOWN, escape, escape_comm

CASES = {
    "plain": ("web-1", "web-1"),
    "letters of any script": ("контейнер 容器 é", "контейнер 容器 é"),
    "an escape sequence": ("\x1b[2J", r"\x1b[2J"),
    "lines": ("a\r\nb\tc", r"a\x0d\x0ab\x09c"),
    "C1 controls": ("\x9b31m", r"\x9b31m"),
    "delete": ("\x7f", r"\x7f"),
    "bidirectional": ("\u202etxt.exe\u2066", r"\u202etxt.exe\u2066"),
    "separators": ("\u2028\u2029\u00a0", r"\u2028\u2029\xa0"),
    "nothing to see": ("\u200b\ufeff", r"\u200b\ufeff"),
    "beyond the first plane": ("\U000e0041", r"\U000e0041"),
    "a backslash": ("\\x1b", r"\\x1b"),
    "bytes": ("a\udcff", r"a\xff"),
    "a surrogate": ("\ud800", r"\ud800"),
}


@pytest.mark.parametrize("case", CASES)
def test_escapes(case):
    text, shown = CASES[case]
    assert escape(text) == shown


@given(st.text())
def test_what_is_shown_prints_as_itself(text):
    """No category of controls, formats, surrogates or separators; whatever came in."""
    shown = escape(text)
    assert all(unicodedata.category(each) not in {"Cc", "Cf", "Cs", "Zl", "Zp"} for each in shown)


@given(st.text(max_size=50), st.text(max_size=50))
def test_two_texts_never_look_the_same(a, b):
    """Except bytes of no UTF-8, which look like the characters of their number."""
    raw = {chr(code) for code in range(0xDC80, 0xDD00)}
    if not raw & {*a, *b}:
        assert (escape(a) == escape(b)) == (a == b)


def test_a_long_text_is_cut():
    """Its beginning, and an ellipsis."""
    assert escape("x" * MAX_SHOWN) == "x" * MAX_SHOWN
    assert escape("x" * (MAX_SHOWN + 1)) == "x" * MAX_SHOWN + "…"
    assert len(escape("\x1b" * 10**6)) == 4 * MAX_SHOWN + 1


@given(st.binary(max_size=15))
def test_any_comm_is_shown(comm):
    """Of the kernel: any bytes."""
    assert escape_comm(comm).isprintable()
    assert escape_comm(b"\xffa") == r"\xffa"
