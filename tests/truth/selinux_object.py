"""SelinuxProfile objects as the Security Profiles Operator installs them: a block of CIL, or nothing.

Written from its documented behaviour; nothing of the recorder is used.
"""

from collections.abc import Iterator, Mapping
from typing import Any

TYPES = frozenset(("kernel_t", "kmem_t", "security_t", "shadow_t"))
CLASSES = frozenset(("capability", "capability2", "security", "system"))
PERMISSIONS = frozenset(
    (
        "load_policy",
        "mac_admin",
        "mounton",
        "relabelto",
        "relabelfrom",
        "setbool",
        "setenforce",
        "setsecparam",
    )
)

Rule = tuple[str, str, str]


class RefusedError(Exception):
    """Nothing of the object is installed."""


def refused(rule: Rule) -> bool:
    """Whether an object with this type, class and permission is."""
    target, object_class, permission = rule
    return target in TYPES or object_class in CLASSES or permission in PERMISSIONS


def rules_of(document: Mapping[str, Any]) -> Iterator[Rule]:
    """What it allows, one by one."""
    for target, classes in document["spec"]["allow"].items():
        for object_class, permissions in classes.items():
            for permission in permissions:
                yield target, object_class, permission


def installed(document: Mapping[str, Any], block: str) -> str:
    """The block; RefusedError if there is none."""
    lines = [f"(block {block}"]
    for each in document["spec"].get("inherit") or [{"kind": "System", "name": "container"}]:
        lines.append(f"(blockinherit {each['name']})")
    for rule in rules_of(document):
        if refused(rule):
            raise RefusedError(rule)
        target, object_class, permission = rule
        lines.append(f"(allow process {target.replace('@self', 'process')} ({object_class} ({permission})))")
    if document["spec"].get("mode") == "Permissive":
        lines.append("(typepermissive process)")
    return "\n".join([*lines, ")"]) + "\n"
