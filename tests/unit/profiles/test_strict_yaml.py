"""YAML that people write: plain values, each key once."""

import pytest

from recorder.profiles.strict_yaml import NotYamlError, load_yaml


def test_plain_values():
    """As any reader of YAML has them; an empty document is nothing."""
    assert load_yaml("a: [1, 'x', true]\nb: {c: null}") == {"a": [1, "x", True], "b": {"c": None}}
    assert load_yaml("") is None


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\na: 2",
        "a: {b: 1, b: 2}",
        "a: [",
        "a: 1\n---\nb: 2",
        "!!python/name:os.system",
        "\0",
        "a: 2001-99-99",
        "[" * 3000,
    ],
)
def test_all_else_is_refused_in_one_line(text):
    """A key that is given twice would otherwise lose its first value in silence."""
    with pytest.raises(NotYamlError) as error:
        load_yaml(text)
    assert str(error.value).startswith("not YAML: ")
    assert "\n" not in str(error.value)
