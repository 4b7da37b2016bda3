"""Where settings come from: defaults < TOML file < environment < flags.

Each names what was given and where when it refuses it. Flags, variables and the example
file are made from the sections' fields, so that they stay in step.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import errno
import os
import re
import textwrap
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from recorder.agent.setting import Kind, Setting, Switch, Texts, setting_of
from recorder.agent.settings import RoleSettings, Settings
from recorder.model.errors import InvalidSettings

__all__ = ["DEFAULT_FILE", "add_flags", "example", "load"]

DEFAULT_FILE = Path("/etc/recorder/agent.toml")
PREFIX = "RECORDER_AGENT_"
FILE_VARIABLE = f"{PREFIX}CONFIG"
ROLES_VARIABLE = f"{PREFIX}ROLES"
LARGEST_FILE = 1 << 20

# The kubelet sets these in every pod of a namespace that has a Service "recorder-agent"
# (Kubernetes documentation, "Accessing the Service", environment variables).
_SERVICE_LINK = re.compile(
    rf"{PREFIX}(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)
_ROLE_HELP = "NAME=RIGHT[,RIGHT...]; rights: capture (all namespaces), capture:NAMESPACE, host, plan, status"

Values = dict[tuple[str, str], Any]
Roles = dict[str, RoleSettings]


def _sections() -> dict[str, type[Any]]:
    return {
        each.name: type(each.default)
        for each in dataclasses.fields(Settings)
        if dataclasses.is_dataclass(each.default)
    }


def _settings() -> dict[tuple[str, str], Setting]:
    return {
        (section, each.name): setting_of(section, each)
        for section, of in _sections().items()
        for each in dataclasses.fields(of)
    }


def _variable(section: str, name: str) -> str:
    return f"{PREFIX}{name if section == 'agent' else f'{section}_{name}'}".upper()


def _destination(section: str, name: str) -> str:
    return f"setting:{section}.{name}"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """One flag for each setting, --role and --config; what is given goes into the namespace for `load`."""
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"settings, in TOML ({DEFAULT_FILE})")
    groups = {
        section: parser.add_argument_group(f"[{section}]", (of.__doc__ or "").partition(":")[0].rstrip("."))
        for section, of in _sections().items()
    }
    for (section, name), each in _settings().items():
        options: dict[str, Any] = {
            "dest": _destination(section, name),
            "default": argparse.SUPPRESS,
            "help": each.help.replace("%", "%%"),
        }
        if isinstance(each.kind, Switch):
            options["action"] = argparse.BooleanOptionalAction
        else:
            options["metavar"] = name.rpartition("_")[2].upper()
        if isinstance(each.kind, Texts):
            options["action"] = "append"
            options["help"] += "; may be repeated"
        groups[section].add_argument(each.flag, **options)
    parser.add_argument_group("[roles]", "What a client's certificate allows").add_argument(
        "--role",
        action="append",
        metavar="ROLE",
        dest="setting:roles",
        default=argparse.SUPPRESS,
        help=_ROLE_HELP,
    )


def load(flags: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> Settings:
    """All settings; InvalidSettings.

    The file is the one of --config, else of RECORDER_AGENT_CONFIG, else /etc/recorder/agent.toml
    if it is there.
    """
    path: Path | None = getattr(flags, "config", None)
    if path is None and environment.get(FILE_VARIABLE):
        path = Path(environment[FILE_VARIABLE])
    file_values, roles = _from_file(path) if path else _from_file(DEFAULT_FILE, needed=False)
    environment_values, environment_roles = _from_environment(environment)
    flag_values, flag_roles = _from_flags(flags)
    values = {**file_values, **environment_values, **flag_values}
    sections = {
        section: of(**{name: value for (belongs, name), value in values.items() if belongs == section})
        for section, of in _sections().items()
    }
    return Settings(**sections, roles={**roles, **environment_roles, **flag_roles})


def _nearest(given: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(given, names, 1, 0.5)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(names)}"


def _from_file(path: Path, *, needed: bool = True) -> tuple[Values, Roles]:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        if error.errno == errno.ENOENT and not needed:
            return {}, {}
        raise InvalidSettings(f"cannot read the settings in {path}: {error.strerror}") from error
    if len(content) > LARGEST_FILE:
        raise InvalidSettings(f"{path} is larger than 1 MiB: it is no file of settings")
    try:
        document = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidSettings(f"{path} is not TOML: {error}") from error
    return _from_document(document, str(path))


def _from_document(document: Mapping[str, object], where: str) -> tuple[Values, Roles]:
    values: Values = {}
    roles: Roles = {}
    settings = _settings()
    for section, content in document.items():
        if section == "roles":
            roles = _roles_of_toml(_table(content, f"{where}: roles"), where)
            continue
        if section not in _sections():
            raise InvalidSettings(
                f"{where}: there is no section [{section}]: {_nearest(section, (*_sections(), 'roles'))}"
            )
        for name, value in _table(content, f"{where}: {section}").items():
            if (section, name) not in settings:
                known = [each for belongs, each in settings if belongs == section]
                raise InvalidSettings(f"{where}: {section}.{name} is unknown: {_nearest(name, known)}")
            values[section, name] = _of_toml(
                settings[section, name].kind, value, f"{where}: {section}.{name}"
            )
    return values, roles


def _table(content: object, what: str) -> Mapping[str, object]:
    if not isinstance(content, dict):
        raise InvalidSettings(f"{what} must be a table: write [{what.rpartition(' ')[2]}] above its settings")
    return content


def _of_toml(kind: Kind, value: object, where: str) -> Any:
    try:
        return kind.of_toml(value)
    except ValueError as error:
        raise InvalidSettings(f"{where} is {_shown(value)}; it {error}") from error


def _of_text(kind: Kind, text: str, where: str) -> Any:
    try:
        return kind.of_text(text)
    except ValueError as error:
        raise InvalidSettings(f"{where} is {_shown(text)}; it {error}") from error


def _shown(value: object) -> str:
    return textwrap.shorten(repr(value), 80, placeholder="...")


def _roles_of_toml(content: Mapping[str, object], where: str) -> Roles:
    roles: Roles = {}
    for name, given in content.items():
        at = f'{where}: roles."{name}"'
        rights = dict(_table(given, at))
        known = {each.name for each in dataclasses.fields(RoleSettings)}
        for right in rights:
            if right not in known:
                raise InvalidSettings(f"{at}.{right} is unknown: {_nearest(right, known)}")
        capture = rights.pop("capture", [])
        values: dict[str, Any] = {
            right: _of_toml(Switch(), value, f"{at}.{right}") for right, value in rights.items()
        }
        if capture == "*":
            capture = ["*"]
        try:
            values["capture"] = Texts().of_toml(capture)
        except ValueError as error:
            raise InvalidSettings(
                f'{at}.capture is {_shown(capture)}; it must be a list of namespaces, or "*" for all'
            ) from error
        roles[name] = RoleSettings(**values)
    return roles


def _role_of_text(text: str, where: str) -> tuple[str, RoleSettings]:
    name, equals, rights = text.rpartition("=")
    if not name or not equals:
        raise InvalidSettings(f"{where} is {_shown(text)}; it must be {_ROLE_HELP}")
    capture: list[str] = []
    switches: dict[str, bool] = {}
    for right in rights.split(","):
        if right == "capture":
            capture.append("*")
        elif right.startswith("capture:") and right != "capture:":
            capture.append(right.removeprefix("capture:"))
        elif right in ("host", "plan", "status"):
            switches[right] = True
        else:
            raise InvalidSettings(
                f"{where} is {_shown(text)}: {right!r} is no right; it must be {_ROLE_HELP}"
            )
    return name, RoleSettings(tuple(capture), **switches)


def _from_environment(environment: Mapping[str, str]) -> tuple[Values, Roles]:
    known = {_variable(*key): (key, each) for key, each in _settings().items()}
    values: Values = {}
    roles: Roles = {}
    for variable, text in environment.items():
        if not variable.startswith(PREFIX) or variable == FILE_VARIABLE or _SERVICE_LINK.fullmatch(variable):
            continue
        if variable == ROLES_VARIABLE:
            roles = dict(_role_of_text(each, variable) for each in text.split())
            continue
        if variable not in known:
            near = _nearest(variable, (*known, ROLES_VARIABLE, FILE_VARIABLE))
            raise InvalidSettings(f"the environment variable {variable} is no setting: {near}")
        key, each = known[variable]
        values[key] = _of_text(each.kind, text, variable)
    return values, roles


def _from_flags(flags: argparse.Namespace) -> tuple[Values, Roles]:
    given = vars(flags)
    values: Values = {}
    for key, each in _settings().items():
        destination = _destination(*key)
        if destination not in given:
            continue
        value = given[destination]
        if isinstance(each.kind, Texts):  # an empty text alone is the empty list
            value = _of_toml(each.kind, [text for text in value if text], each.flag)
        elif not isinstance(each.kind, Switch):
            value = _of_text(each.kind, value, each.flag)
        values[key] = value
    roles = dict(_role_of_text(each, "--role") for each in given.get("setting:roles", ()))
    return values, roles


def example() -> str:
    """The documented file: every setting with its default."""
    lines = [
        "# Settings of `recorder agent`: each with its default.",
        "#",
        *_comment(
            "A setting's environment variable is RECORDER_AGENT_SECTION_NAME (of [agent]:"
            " RECORDER_AGENT_NAME), its flag is in brackets. A flag wins over the environment, the"
            " environment over this file. In an environment variable, lists have commas between their"
            ' parts. Sizes: "64KiB", "16MiB", or bytes. Durations: "500ms", "30s", "5m", or seconds.'
            " A name that is not below is refused."
        ),
    ]
    for section, of in _sections().items():
        lines += ["", *_comment(of.__doc__ or ""), f"[{section}]"]
        for each in dataclasses.fields(of):
            described = setting_of(section, each)
            default = getattr(of(), each.name)
            lines += _comment(f"{described.help} ({described.flag})")
            if described.computed:
                lines.append(f'# {each.name} = "..."  # {described.computed}')
            else:
                lines.append(f"{each.name} = {described.kind.to_toml(default)}")
    lines += [
        "",
        *_comment(
            "What a client may do, by a name (SAN) of its certificate; without an entry, nothing (--role)."
            " The Unix socket's clients are root, and may all."
        ),
        '# [roles."collector.example.org"]',
        '# capture = ["shop"]  # pods of these namespaces; "*": of all',
        "# host = false        # cgroups, units, processes, and containers outside Kubernetes",
        "# plan = false        # set what is recorded",
        "# status = false      # status and metrics",
    ]
    return "\n".join(lines) + "\n"


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, 108, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
