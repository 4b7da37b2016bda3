"""The result of a recording: the options that say what and where, its writing, and what is said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recorder.cli.access_profile import ACCESS_FORMATS, access_profile, thresholds_of
from recorder.cli.output import BASED, FORMATS, STDOUT, check_output, write_output
from recorder.cli.summary import say_summary
from recorder.model.errors import UsageError
from recorder.profiles.label import is_object_name

if TYPE_CHECKING:
    import argparse

    from recorder.model.record import Record
    from recorder.profiles.base import Base


def add_options(parser: argparse.ArgumentParser) -> None:
    """-f, -o, --base, --name, --threshold, --domain and --explain."""
    parser.add_argument(
        "-f",
        "--format",
        default="seccomp",
        metavar="FORMAT",
        help="seccomp: SeccompProfile YAML (default); oci: JSON for an OCI runtime; "
        "record: what was seen, as JSON; names: the workload's calls, one a line; of accesses: "
        "apparmor: AppArmorProfile YAML; apparmor-text: what apparmor_parser loads; of denials: "
        "selinux: SelinuxProfile YAML; cil: SELinux's own language",
    )
    parser.add_argument("-o", "--output", default=STDOUT, metavar="FILE", help="default: -, which is stdout")
    parser.add_argument(
        "--base",
        default="auto",
        metavar="BASE",
        help="what a container runtime itself needs under the profile: auto (default), none, runc, crun or a "
        "version of one; see docs/profiles.md",
    )
    parser.add_argument("--name", metavar="N", help="the profile's name (default: from what was recorded)")
    parser.add_argument(
        "--threshold",
        action="append",
        default=[],
        metavar="FOLDER=N",
        help="more than N names in a folder below FOLDER become a pattern (0: never); may be repeated; see "
        "docs/accesses.md for those that hold else",
    )
    parser.add_argument(
        "--domain",
        default="",
        metavar="TYPE",
        help="formats selinux and cil: the type of the processes (default: the one that they have)",
    )
    parser.add_argument(
        "--explain", action="store_true", help="say on stderr what each pattern for paths replaced, and why"
    )


def check_options(options: argparse.Namespace) -> None:
    """All that can be refused before anything is done. Raises UsageError or OutputError."""
    if options.format not in {*FORMATS, *ACCESS_FORMATS}:
        known = ", ".join((*FORMATS, *ACCESS_FORMATS))
        raise UsageError(f"--format: there is no format {options.format!r}; one of {known}")
    if options.threshold:
        thresholds_of(options.threshold)
    if options.name is not None and not is_object_name(options.name):
        raise UsageError(
            f"--name: {options.name!r} is no object name: at most 253 lower-case letters, digits, '-' and '.'"
        )
    check_output(options.output)


def emit(record: Record, options: argparse.Namespace, name: str, base: Base) -> None:
    """Writes the result, then says on stderr what it is. Raises InvalidProfile or OutputError."""
    if options.format in ACCESS_FORMATS:
        text = access_profile(record, name, options)
    else:
        text = FORMATS[options.format](record, name, base)
    write_output(options.output, text)
    where = f"{options.format} on standard output" if options.output == STDOUT else options.output
    say_summary(record, where, _added(record, base) if options.format in BASED else None)


def _added(record: Record, base: Base) -> dict[str, tuple[str, ...]]:
    """The names of the profile that the record does not have, by who adds them."""
    from recorder.profiles.always import always
    from recorder.profiles.composition import compose

    parts = compose(record, base)
    recorded = frozenset[str]().union(*parts.recorded.values())
    own = frozenset[str]().union(*(always(abi) for abi in parts.abis))
    return {
        "the kernel's own calls": tuple(sorted(own - recorded)),
        f"base {base.name}": tuple(sorted(base.names - recorded - own)),
    }
