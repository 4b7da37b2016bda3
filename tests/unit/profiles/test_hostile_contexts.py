"""Denials of SELinux with words that no kernel has: in no CIL and no object; secilc is the judge."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder.model.denial import SelinuxDenial, Text
from recorder.model.errors import InvalidProfile
from recorder.profiles.selinux_cil import to_cil
from recorder.profiles.selinux_rules import selinux_rules
from recorder.profiles.selinux_yaml import build, from_yaml, needs_a_human, to_object, to_yaml
from tests.truth.stated_paths import HOSTILE
from tests.unit.profiles.test_selinux import WEB, avc, compiled, context, record

INJECTED = (
    "read)))\n(allow process shadow_t (file (read",
    "read) (write",
    "read;",
    "re\nad",
    "",
    " ",
    "r\u00e9ad",
    "0x1",
    "(",
    '"read"',
    *(each.decode("latin-1") for each in HOSTILE if not each.isalpha()),
)


def emitted(denials, domain="web_t"):
    seen = record(*WEB, *denials)
    rules = selinux_rules(seen, domain)
    return rules, seen, to_cil(rules, "x", about={"kernel": "6\n(allow process shadow_t (file (read)))"})


PLAIN = emitted(())[2]


def rules_of(text):
    return [line for line in text.splitlines() if not line.lstrip().startswith(";")]


@pytest.mark.parametrize("word", INJECTED)
def test_words_that_are_none_are_left_out_and_named(word):
    """As a class, as a permission and as a type; what is compiled is what it is without them."""
    strange = SelinuxDenial(
        context("web_t"), Text(f"u:r:{word}:s0".encode(), 90), "file", ("read",), True, Text()
    )
    denials = [avc("web_t", "etc_t", word, "read"), strange]
    denials.append(SelinuxDenial(context("web_t"), context("etc_t"), "file", (word,), True, Text()))
    rules, seen, text = emitted(denials)
    assert rules_of(text) == rules_of(PLAIN)
    assert text.isascii()
    assert len(rules.left_out) >= 2
    for each in (*rules.left_out, *needs_a_human(rules)):
        assert each.isprintable(), each
    profile = build(rules, seen, "x")
    assert to_object(from_yaml(to_yaml(profile))) == to_object(profile)
    assert "shadow_t" not in str(to_object(profile)["spec"])


def test_what_is_emitted_compiles(tmp_path):
    """With all of the strange words at once."""
    denials = [
        SelinuxDenial(context("web_t"), context("etc_t"), word, (word, "read"), True, Text())
        for word in INJECTED
    ]
    text = emitted(denials)[2]
    assert compiled(text, tmp_path) == (True, ""), text


words = st.one_of(st.sampled_from(INJECTED), st.text(max_size=6))


@given(st.lists(st.tuples(words, words, words, words), max_size=5))
@settings(max_examples=60, deadline=None)
def test_any_words(all_words):
    """What is in the text is a block of lines that each allow words."""
    denials = [
        SelinuxDenial(
            Text(f"u:r:{source}:s0".encode(), 0),
            Text(f"u:r:{target}:s0".encode(), 0),
            kind,
            (name,),
            True,
            Text(),
        )
        for source, target, kind, name in all_words
    ]
    try:
        text = emitted(denials, "")[2]
    except InvalidProfile as error:
        assert "--domain" in str(error)  # noqa: PT017  (several domains, which is said)
        return
    assert text.isascii()
    for line in rules_of(text)[2:-1]:
        head, _, rest = line.strip().partition(" process ")
        assert head == "(allow"
        assert rest.count("(") == rest.count(")") - 1 == 2
        assert (
            rest.replace("(", "")
            .replace(")", "")
            .replace("_", "")
            .replace(".", "")
            .replace(" ", "")
            .isalnum()
        )


WORDS = (
    "allow",
    "block",
    "type",
    "self",
    "true",
    "not",
    "and",
    "all",
    "user",
    "class",
    "file",
    "system",
    "process",
)
WORDS += (
    "container",
    "in",
    "call",
    "macro",
    "0",
    "1.2",
    "a-b",
    "x.y",
    "filter",
    "level",
    "category",
    "role",
    "h1",
)


@pytest.mark.parametrize("name", WORDS)
def test_a_name_that_is_a_word_of_the_language(name, tmp_path):
    """Any name that an object may have names a block."""
    text = to_cil(selinux_rules(record(*WEB)), name)
    assert "\n  (blockinherit container)\n" in text
    assert compiled(text, tmp_path) == (True, ""), text
