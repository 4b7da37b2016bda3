"""`recorder profile update`: a profile with what it denied."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recorder.cli.output import STDOUT, check_output, write_output
from recorder.cli.status import DONE
from recorder.model.errors import InvalidProfile
from recorder.model.record import Record

if TYPE_CHECKING:
    import argparse

    from recorder.cli.arguments import Commands
    from recorder.profiles.completion import Completion


def add_parser(commands: Commands) -> None:
    """Declares the command, of two words: main() joins them."""
    parser = commands.add_parser(
        "profile update",
        help="add to a profile what it denied",
        description="Add to a profile (AppArmorProfile, SelinuxProfile or SeccompProfile YAML, or AppArmor's "
        "text) exactly what a record says that it denied, or would have denied in complain mode (made by: "
        "recorder record --kind denials -f record). What is added is shown as + lines, and what is not with "
        "the reason.",
    )
    parser.add_argument("profile", metavar="PROFILE", help="a file; it is replaced, unless -o is given")
    parser.add_argument(
        "--from", dest="records", action="append", required=True, metavar="RECORD", help="may be repeated"
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="write there instead; - is stdout")
    parser.add_argument(
        "--domain",
        default="",
        metavar="TYPE",
        help="SELinux: the processes' type (default: NAME.process)",
    )
    parser.add_argument(
        "--apparmor-dir",
        default="/etc/apparmor.d",
        metavar="DIR",
        help="AppArmor's text: the folder of what it includes in <> (default: /etc/apparmor.d)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Returns 0, also if there was nothing to add; raises RecorderError."""
    from recorder.cli.profile import read_record

    output = options.output or options.profile
    check_output(output)
    try:
        text = Path(options.profile).read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidProfile(f"cannot read {options.profile}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidProfile(f"{options.profile}: byte {error.start} is not UTF-8 text") from error
    record = Record()
    for path in options.records:
        record = record.join(read_record(path))
    completion, written = _completed(text, record, options.domain, options.apparmor_dir)
    for each in completion.added:
        print(f"+ {each}", file=sys.stderr)
    for each in completion.left_out:
        print(f"recorder: not added: {each}", file=sys.stderr)
    for each in completion.notes:
        print(f"recorder: {each}; what it allows may be among what is added", file=sys.stderr)
    if completion.added or output == STDOUT:
        write_output(output, written if completion.added else text)
    what = f"{len(completion.added)} added" if completion.added else "nothing to add"
    print(f"recorder: {what}: {'standard output' if output == STDOUT else output}", file=sys.stderr)
    return DONE


def _completed(text: str, record: Record, domain: str, folder: str) -> tuple[Completion[Any], str]:
    from recorder.cli.apparmor_folder import ApparmorFolder
    from recorder.profiles import apparmor_yaml, seccomp_yaml, selinux_yaml
    from recorder.profiles.completion import (
        completed_apparmor,
        completed_seccomp,
        completed_selinux,
        completed_text,
    )

    kind = _kind(text)
    if kind == apparmor_yaml.KIND:
        apparmor = completed_apparmor(apparmor_yaml.from_yaml(text), record)
        return apparmor, apparmor_yaml.to_yaml(apparmor.profile)
    if kind == selinux_yaml.KIND:
        selinux = completed_selinux(selinux_yaml.from_yaml(text), record, domain)
        return selinux, selinux_yaml.to_yaml(selinux.profile)
    if kind == seccomp_yaml.KIND:
        seccomp = completed_seccomp(seccomp_yaml.from_yaml(text), record)
        return seccomp, seccomp_yaml.to_yaml(seccomp.profile)
    if kind:
        raise InvalidProfile(
            f"profiles of kind {kind} are not completed: AppArmorProfile and SelinuxProfile are"
        )
    lines = completed_text(text, record, ApparmorFolder(Path(folder)))
    return lines, lines.profile


def _kind(text: str) -> str:
    """The kind of an object; empty: it is no YAML of one."""
    from recorder.profiles.strict_yaml import NotYamlError, load_yaml

    try:
        value = load_yaml(text)
    except NotYamlError:
        return ""
    return str(value.get("kind", "")) if isinstance(value, dict) else ""
