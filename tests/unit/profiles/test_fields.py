"""Typed fields: what is wrong, and where."""

import pytest

from recorder.model.errors import InvalidProfile
from recorder.profiles.fields import Fields


def test_takes_what_is_there_and_defaults_for_the_rest():
    """null counts as absent."""
    fields = Fields({"a": "x", "b": ["y"], "c": 3, "d": {"k": "v"}, "e": None, "f": [{}]}, "top")
    assert fields.text("a") == "x"
    assert fields.texts("b") == ("y",)
    assert fields.integer("c", 3) == 3
    assert fields.table("d") == {"k": "v"}
    assert fields.text("e", default="z") == "z"
    assert fields.optional_integer("e", 1) is None
    assert [each.path for each in fields.children("f")] == ["top.f[0]"]
    fields.end()


@pytest.mark.parametrize(
    ("take", "message"),
    [
        (lambda fields: fields.text("none"), "top.none: missing"),
        (lambda fields: fields.child("none"), "top.none: missing"),
        (lambda fields: fields.texts("none", filled=True), "top.none: missing"),
        (lambda fields: fields.texts("empty", filled=True), "top.empty: must not be empty"),
        (lambda fields: fields.text("number"), "top.number: expected a string, got int '7'"),
        (lambda fields: fields.text("word", ("a", "b")), "top.word: 'w' is none of a, b"),
        (lambda fields: fields.texts("word"), "top.word: expected a list, got str 'w'"),
        (lambda fields: fields.texts("mixed"), "top.mixed[1]: expected a string, got bool 'True'; quote it"),
        (
            lambda fields: fields.integer("number", 6),
            "top.number: expected a number from 0 to 6, got int '7'",
        ),
        (lambda fields: fields.integer("flag", 6), "top.flag: expected a number from 0 to 6, got bool"),
        (lambda fields: fields.integer("word", 6), "top.word: expected a number from 0 to 6, got str"),
        (lambda fields: fields.table("word"), "top.word: expected an object, got str"),
        (lambda fields: fields.table("deep"), "top.deep[k]: expected a string, got a list"),
        (lambda fields: fields.child("word"), "top.word: expected an object, got str"),
        (lambda fields: fields.children("mixed"), r"top.mixed[0]: expected an object, got str 'm'"),
        (lambda fields: fields.end(), "top.deep, top.empty, top.flag"),
    ],
)
def test_errors_name_the_field(take, message):
    """By its path from the top, with what is there instead."""
    value = {"number": 7, "word": "w", "mixed": ["m", True], "flag": True, "deep": {"k": []}, "empty": []}
    with pytest.raises(InvalidProfile) as error:
        take(Fields(value, "top"))
    assert message in str(error.value)


@pytest.mark.parametrize("value", [None, [], "x", 1])
def test_top_must_be_an_object(value):
    """A list or a word is no profile."""
    with pytest.raises(InvalidProfile, match="the profile: expected an object"):
        Fields(value)
