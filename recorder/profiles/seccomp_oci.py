"""OCI JSON: the `linux.seccomp` object of a runtime's config.json.

Podman, Docker and the kubelet take the same as a file (`--security-opt seccomp=`,
a Localhost profile). It needs a runtime that knows `defaultErrnoRet` (tried: runc
1.1.5, crun 1.8.1). It has no place for a name, nor for annotations.
"""

from __future__ import annotations

import json

from recorder.model.errors import InvalidProfile
from recorder.profiles.fields import Fields
from recorder.profiles.seccomp_profile import ACTIONS, ARCHITECTURES, FLAGS, SeccompProfile
from recorder.profiles.seccomp_rules import MAX_ERRNO, read_rules, written_rules

__all__ = ["from_oci", "to_oci"]


def to_oci(profile: SeccompProfile) -> str:
    """Return the JSON text: the same value gives the same bytes; ends with a newline."""
    written: dict[str, object] = {"defaultAction": profile.default_action}
    if profile.default_errno is not None:
        written["defaultErrnoRet"] = profile.default_errno
    if profile.architectures:
        written["architectures"] = sorted(set(profile.architectures))
    if profile.flags:
        written["flags"] = sorted(set(profile.flags))
    if profile.listener_path:
        written["listenerPath"] = profile.listener_path
    if profile.listener_metadata:
        written["listenerMetadata"] = profile.listener_metadata
    written["syscalls"] = written_rules(profile.rules)
    return json.dumps(written, indent=2) + "\n"


def from_oci(text: str, name: str = "profile") -> SeccompProfile:
    """Read the JSON text. `name` becomes the value's name. InvalidProfile names the field."""
    try:
        # A float, NaN or 1e400 is no number of this format: it fails at its field, as text.
        value = json.loads(text, object_pairs_hook=_once, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        raise InvalidProfile(f"not JSON: {error}") from error
    top = Fields(value)
    profile = SeccompProfile(
        name=name,
        default_action=top.text("defaultAction", ACTIONS),
        default_errno=top.optional_integer("defaultErrnoRet", MAX_ERRNO),
        architectures=top.texts("architectures", ARCHITECTURES),
        flags=top.texts("flags", FLAGS),
        listener_path=top.text("listenerPath", default=""),
        listener_metadata=top.text("listenerMetadata", default=""),
        rules=read_rules(top),
    )
    top.end("; expected the linux.seccomp object of a config.json")
    return profile


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value: dict[str, object] = {}
    for key, each in pairs:
        if key in value:
            raise InvalidProfile(f"{key}: given twice in one object")
        value[key] = each
    return value
