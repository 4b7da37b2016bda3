"""AppArmorProfile objects as an installer on a node makes AppArmor's text of them.

Written from the API's rules alone, for tests: what a profile's object does is what this text does.
"""

import re
from typing import Any

_PATH = re.compile(r"^(?:/[a-zA-Z0-9_./*?+@{} -]*|ptrace\s*\([a-zA-Z]+\),(?:\s*#.*)?)$")
_NAME = re.compile(r"^[a-zA-Z0-9_./-]+$")
# in every profile: writing what is not a process's in /proc, and what no container may have
_ALWAYS = (
    "deny @{PROC}/* w",
    "deny @{PROC}/sys/[^k]** w",
    "deny @{PROC}/sys/kernel/[^s]** w",
    *(
        f"deny {path} rwklx"
        for path in ("@{PROC}/{sysrq-trigger,mem,kmem,kcore}", "/sys/firmware/efi/efivars/**")
    ),
)


class RefusedError(ValueError):
    """The installer takes nothing of the profile."""


def installed(profile: dict[str, Any]) -> str:
    """Return the text that is loaded for an object of plain values; RefusedError if it is not installed."""
    name, spec = profile["metadata"]["name"], profile["spec"]
    if not _NAME.fullmatch(name):
        raise RefusedError(f"name {name!r}")
    abstract = spec.get("abstract", {})
    executable, files = abstract.get("executable", {}), abstract.get("filesystem", {})
    network = abstract.get("network", {})
    enforce = spec.get("mode", "Enforce") == "Enforce"
    lines = ["include <abstractions/base>"]
    for paths, allowed, denied in (
        (executable.get("allowedExecutables", ()), "ixr", ""),
        (executable.get("allowedLibraries", ()), "mr", ""),
        (files.get("readOnlyPaths", ()), "r", "wlk"),
        (files.get("writeOnlyPaths", ()), "wlk", "r"),
        (files.get("readWritePaths", ()), "rwlk", ""),
    ):
        for path in paths:
            if not _PATH.fullmatch(path) or (allowed in ("ixr", "mr") and "/../" in path):
                raise RefusedError(f"path {path!r}")
            lines.append(f"{path} {allowed},")
            if denied and enforce:
                lines.append(f"deny {path} {denied},")
    lines.append("network raw," if network.get("allowRaw") else "deny network raw,")
    protocols = network.get("allowedProtocols", {})
    lines += ["network tcp,"] if protocols.get("allowTcp") else []
    lines += ["network udp,"] if protocols.get("allowUdp") else []
    for each in abstract.get("capability", {}).get("allowedCapabilities", ()):
        lines.append(f"capability {each},")
        if each == "sys_rawio":
            lines += ["mount,", "remount,", "umount,"]
    lines += [f"{line}," for line in _ALWAYS]
    flags = ["attach_disconnected", "mediate_deleted", *([] if enforce else ["complain"])]
    body = "".join(f"  {line}\n" for line in lines)
    return f"include <tunables/global>\n\nprofile {name} flags=({','.join(flags)}) {{\n{body}}}\n"
