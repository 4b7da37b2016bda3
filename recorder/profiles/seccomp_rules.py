"""Rules as both formats write them: the `syscalls` list of OCI JSON and of SeccompProfile objects."""

from __future__ import annotations

from typing import Final

from recorder.profiles.fields import Fields
from recorder.profiles.seccomp_profile import ACTIONS, OPERATORS, Argument, Rule

__all__ = ["MAX_ERRNO", "read_rules", "written_rules"]

MAX_ERRNO: Final = 4095
"""The kernel's: a filter's greater errno is cut to it (include/linux/err.h, seccomp.c)."""

_MAX_UINT64: Final = 2**64 - 1


def written_rules(rules: tuple[Rule, ...]) -> list[dict[str, object]]:
    """Return the `syscalls` list: names sorted, what has its default left out."""
    return [_written(rule) for rule in rules]


def _written(rule: Rule) -> dict[str, object]:
    entry: dict[str, object] = {"names": sorted(set(rule.names)), "action": rule.action}
    if rule.errno is not None:
        entry["errnoRet"] = rule.errno
    if rule.args:
        entry["args"] = [
            {"index": each.index, "value": each.value, "valueTwo": each.value_two, "op": each.op}
            for each in rule.args
        ]
    return entry


def read_rules(parent: Fields) -> tuple[Rule, ...]:
    """Read the `syscalls` list of an object. InvalidProfile names the field."""
    return tuple(_read(entry) for entry in parent.children("syscalls"))


def _read(entry: Fields) -> Rule:
    rule = Rule(
        names=entry.texts("names", filled=True),
        action=entry.text("action", ACTIONS),
        errno=entry.optional_integer("errnoRet", MAX_ERRNO),
        args=tuple(_read_argument(each) for each in entry.children("args")),
    )
    entry.end("; a template of Docker's (includes, excludes) has to be resolved first")
    return rule


def _read_argument(entry: Fields) -> Argument:
    argument = Argument(
        index=entry.integer("index", 5),
        op=entry.text("op", OPERATORS),
        value=entry.integer("value", _MAX_UINT64, 0),
        value_two=entry.integer("valueTwo", _MAX_UINT64, 0),
    )
    entry.end()
    return argument
