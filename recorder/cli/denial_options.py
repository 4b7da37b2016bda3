"""What is recorded, and how denials are found: options of commands that record on this machine."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from recorder.model.errors import UsageError
from recorder.model.kind import Kind

if TYPE_CHECKING:
    import argparse

    from recorder.agent.denials import Denials

SOURCES = ("auto", "lsm", "audit-log-end", "netlink")
"""As recorder.kernel.denial_sources has them."""


def add_kind(parser: argparse.ArgumentParser) -> None:
    """Declares --kind."""
    parser.add_argument(
        "--kind",
        choices=tuple(Kind),
        type=Kind,
        action="append",
        dest="kinds",
        metavar="KIND",
        help="what is recorded; may be repeated. syscalls (default): the calls that are made. denials: these "
        "too, and beside them what a seccomp filter, AppArmor or SELinux denied, which enters no profile of "
        "calls. accesses: the calls, and beside them the files, sockets, signals, mounts and capabilities "
        "that are used, for -f apparmor and apparmor-text",
    )


def add_denial_options(parser: argparse.ArgumentParser) -> None:
    """Declares --kind, --denials-source and --raw-paths."""
    add_kind(parser)
    parser.add_argument(
        "--denials-source",
        choices=SOURCES,
        metavar="SOURCE",
        help="by what AppArmor's and SELinux's denials are found: auto (default), the first that the kernel "
        "offers of lsm, audit-log-end and netlink; or one of these, or nothing is recorded",
    )
    parser.add_argument(
        "--raw-paths",
        action="store_true",
        help="leave what looks like a secret in the paths of denials as it is",
    )


def denials(options: argparse.Namespace) -> bool:
    """Whether denials are asked for. Raises UsageError for options that are for them alone."""
    wanted = Kind.DENIALS in (options.kinds or ())
    if not wanted and (getattr(options, "denials_source", None) or getattr(options, "raw_paths", False)):
        raise UsageError("--denials-source and --raw-paths are for --kind denials")
    return wanted


def accesses(options: argparse.Namespace) -> bool:
    """Whether what is used is asked for. Raises UsageError for options with which it cannot be seen."""
    wanted = Kind.ACCESSES in (options.kinds or ())
    if wanted and options.loader == "bcc":
        raise UsageError("--loader bcc is not for --kind accesses: they are seen by libbpf alone")
    if wanted and options.pid is not None:
        raise UsageError("--pid is not for --kind accesses: they are seen by cgroup alone")
    return wanted


def module_denials(options: argparse.Namespace) -> Denials | None:
    """What finds those of AppArmor and SELinux; None if nobody asks for them."""
    if not denials(options):
        return None
    from recorder.agent.denial_opener import opener
    from recorder.agent.denials import Denials
    from recorder.kernel.denials_spec import DenialBounds

    source = options.denials_source or "auto"
    found = opener(DenialBounds(), source)
    return Denials(found, raw_paths=options.raw_paths, needed=source != "auto")


def say_problem(found: Denials | None) -> None:
    """On stderr, if nobody looks for them though somebody asked."""
    if found and found.problem:
        first = found.problem.splitlines()[0]
        print(f"recorder: what AppArmor and SELinux deny is not looked for: {first}", file=sys.stderr)
