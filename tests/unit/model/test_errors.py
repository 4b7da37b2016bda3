"""The error tree: codes are unique, documented and stable."""

import re

from recorder.model import errors
from recorder.model.errors import CODES, InternalError, RecorderError


def classes(root=RecorderError):
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child
            yield from classes(child)


def test_codes_are_the_agreed_ones():
    """Programs rely on the codes: one that is renamed or dropped fails here."""
    assert set(CODES) == {
        "USAGE",
        "INVALID_RECORD",
        "INVALID_PROFILE",
        "UNSUPPORTED_KERNEL",
        "NO_BTF",
        "NO_CGROUP2",
        "CGROUP_NOT_FOUND",
        "NOT_PERMITTED",
        "BPF_LOAD",
        "BPF_LIMIT",
        "LAYOUT",
        "PIN_MISMATCH",
        "OUTPUT",
        "COMMAND_NOT_FOUND",
        "COMMAND_NOT_EXECUTABLE",
        "INCOMPLETE",
        "INTERRUPTED",
        "MISSING_OBJECT",
        "MISSING_LIBRARY",
        "MISSING_HEADERS",
        "INTERNAL",
        "INVALID_SETTINGS",
        "INVALID_CERTIFICATE",
        "ADDRESS_IN_USE",
        "PROCESS_NOT_FOUND",
        "CONTAINER_NOT_FOUND",
        "RUNTIME_UNREACHABLE",
        "NOT_RECORDABLE",
        "UNREACHABLE",
        "UNTRUSTED",
        "ACCESS_DENIED",
        "INVALID_REQUEST",
        "NOT_FOUND",
        "LIMIT_REACHED",
        "TIMED_OUT",
        "REMOTE_FAILED",
        "BUDGET_EXCEEDED",
        "STORAGE",
        "SPOOL_FULL",
        "INVALID_RECORDING",
        "STORE_DAMAGED",
        "STORE_FULL",
        "PLATFORM_UNREACHABLE",
    }


def test_each_code_has_one_class_and_a_meaning():
    """No two classes share a code, and no class has a code without a meaning of its own."""
    coded = [each for each in classes() if "code" in vars(each)]
    assert len({each.code for each in coded}) == len(coded) == len(CODES)
    assert all("meaning" in vars(each) and each.meaning for each in coded)


def test_a_class_without_a_code_only_groups_others():
    """Each class that can be raised has a code."""
    assert all(each.code or each.__subclasses__() for each in classes())


def test_the_drawn_tree_is_the_tree():
    """The drawing at the top of the module has each class, in its place, with its code."""
    drawn = re.findall(r"^ +((?:│   )?[├└]── )(\w+) +(.*)$", errors.__doc__, re.MULTILINE)
    expected = [
        (each.__name__, 2 if RecorderError not in each.__bases__ else 1, each.code) for each in classes()
    ]
    actual = [(name, len(lead) // 4, text if text in CODES else "") for lead, name, text in drawn]
    assert actual == expected


def test_the_message_is_the_text():
    """`str` of an error is its message alone; the code stands beside it."""
    error = InternalError("what happened")
    assert (str(error), error.code) == ("what happened", "INTERNAL")
