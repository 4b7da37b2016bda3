#!/usr/bin/env python3
"""Write recorder/model/syscall_table.py: the names of system calls by ABI.

Usage: .venv/bin/python scripts/generate_syscall_table.py [--output FILE]

Source: PyPI `system-calls` (https://github.com/hrw/syscalls-table, MIT licence,
copyright Marcin Juszkiewicz), which reads the tables out of each kernel release.
A release's tables have only what that release knows; a number that an older
kernel still answers, or that was reserved and never will be used for anything
else, is added from RETIRED, so that no call of a supported kernel is nameless.
"""

import argparse
import sys
from importlib.metadata import version
from pathlib import Path

import system_calls  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "recorder" / "model" / "syscall_table.py"

X32_BIT = 0x40000000
ARM_PRIVATE_BASE = 0x0F0000  # arch/arm/include/uapi/asm/unistd.h: __ARM_NR_BASE
LIMIT = {"x86_64": 512, "i386": 512, "x32": 576, "aarch64": 512, "arm": 512}
UPSTREAM = {"aarch64": "arm64"}  # where the source's name for an ABI is another

# Linux 6.1's uapi headers and syscall tables (asm/unistd_{64,32,x32}.h,
# asm-generic/unistd.h, arch/arm/tools/syscall.tbl): defined there, gone since.
RETIRED = {
    "x86_64": {
        134: "uselib",
        156: "_sysctl",
        174: "create_module",
        177: "get_kernel_syms",
        178: "query_module",
        180: "nfsservctl",
        181: "getpmsg",
        182: "putpmsg",
        183: "afs_syscall",
        184: "tuxcall",
        185: "security",
        236: "vserver",
    },
    "i386": {
        17: "break",
        31: "stty",
        32: "gtty",
        35: "ftime",
        44: "prof",
        53: "lock",
        56: "mpx",
        58: "ulimit",
        86: "uselib",
        98: "profil",
        112: "idle",
        127: "create_module",
        130: "get_kernel_syms",
        134: "bdflush",
        137: "afs_syscall",
        149: "_sysctl",
        167: "query_module",
        169: "nfsservctl",
        188: "getpmsg",
        189: "putpmsg",
        273: "vserver",
    },
    "x32": {181: "getpmsg", 182: "putpmsg", 183: "afs_syscall", 184: "tuxcall", 185: "security"},
    "aarch64": {42: "nfsservctl"},
    "arm": {86: "uselib", 134: "bdflush", 149: "_sysctl", 169: "nfsservctl", 313: "vserver"},
}

# arch/arm/tools/syscall.tbl has this name; the other is a #define beside it, under
# which libseccomp does not find arm's number, so that a profile would not allow it.
RENAMED = {"arm": {"sync_file_range2": "arm_sync_file_range"}}

# arch/x86/entry/syscalls/syscall_64.tbl gives 453 to the ABI "64" alone (6.6 on),
# and libseccomp has no such call of x32; the source lists it for both.
ABSENT = {"x32": {"map_shadow_stack"}}

HEAD = '''\
"""System call names by ABI, of Linux {kernel} and what older kernels have besides. Generated.

Made by scripts/generate_syscall_table.py from system-calls {package} (MIT licence,
copyright Marcin Juszkiewicz, https://github.com/hrw/syscalls-table). Do not edit.
x32's numbers are without the bit 0x40000000.
"""

KERNEL = "{kernel}"
'''


def table(abi: str) -> tuple[dict[int, str], dict[int, str]]:
    """Return one ABI's names below its limit, and arm's private ones."""
    names: dict[int, str] = {}
    private: dict[int, str] = {}
    source = system_calls.syscalls().load_arch_table(UPSTREAM.get(abi, abi))
    for name, marked in source.items():
        if name in ABSENT.get(abi, ()):
            continue
        number = marked & ~X32_BIT if abi == "x32" else marked
        into = private if abi == "arm" and number >= ARM_PRIVATE_BASE else names
        if number in into:
            raise SystemExit(f"{abi} {number}: two names, {into[number]} and {name}; decide which one counts")
        into[number] = RENAMED.get(abi, {}).get(name, name)
    for number, name in RETIRED[abi].items():
        if names.setdefault(number, name) != name:
            raise SystemExit(f"{abi} {number}: retired {name}, in use again as {names[number]}")
    if beyond := [number for number in names if number >= LIMIT[abi]]:
        raise SystemExit(f"{abi}: {beyond} at or above the limit of the bitmap, {LIMIT[abi]}")
    return dict(sorted(names.items())), dict(sorted(private.items()))


def render() -> str:
    """Return the generated module's text."""
    kernel = ".".join(system_calls.syscalls().linux_version.split(".")[:2])
    parts = [HEAD.format(kernel=kernel, package=version("system-calls"))]
    private: dict[int, str] = {}
    for abi in LIMIT:
        names, its_private = table(abi)
        private |= its_private
        parts.append(literal(abi.upper(), names))
    parts.append(literal("ARM_PRIVATE", private))
    return "\n".join(parts)


def literal(name: str, numbers: dict[int, str]) -> str:
    """Return one table as an assignment, an entry a line."""
    lines = "".join(f'    {number}: "{call}",\n' for number, call in numbers.items())
    return f"{name}: dict[int, str] = {{\n{lines}}}\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="FILE")
    args = parser.parse_args()
    args.output.write_text(render(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
