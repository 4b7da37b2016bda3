"""Where a service's settings come from: defaults < TOML file < environment < flags.

Each names what was given and where when it refuses it. Flags, variables and the example
file are made from the sections' fields, so that they stay in step.
"""

from __future__ import annotations

import argparse
import dataclasses
import errno
import os
import re
import textwrap
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from recorder.model.errors import InvalidSettings
from recorder.service.given import nearest, of_text, of_toml, table
from recorder.service.setting import Setting, Switch, Texts, setting_of

__all__ = ["Entries", "SettingsSources"]

LARGEST_FILE = 1 << 20

Values = dict[tuple[str, str], Any]
Named = dict[str, Any]
S = TypeVar("S")


class Entries(Protocol):
    """A section whose names are a person's own, each with a table: a field of the settings, a mapping."""

    @property
    def section(self) -> str:
        """The field's name, and the section's."""

    @property
    def title(self) -> str:
        """What they are, for --help."""

    @property
    def flag(self) -> str:
        """The flag of one of them, which may be repeated."""

    @property
    def help(self) -> str:
        """How one of them is written as text."""

    def of_toml(self, content: Mapping[str, object], where: str) -> Named:
        """All of a file's; InvalidSettings."""

    def of_text(self, text: str, where: str) -> tuple[str, Any]:
        """One of them; InvalidSettings."""

    def example(self) -> list[str]:
        """The lines of the example file."""


@dataclass(frozen=True, slots=True)
class SettingsSources(Generic[S]):
    """Those of the service `recorder SERVICE`, whose settings are an `of`.

    `of`: a dataclass of sections, dataclasses whose fields `setting` made. `service` gives the
    variables' prefix, RECORDER_SERVICE_, the default file and the section whose variables bear
    no section's name. `entries`: a section of the other kind, if there is one.
    """

    of: type[S]
    service: str
    entries: Entries | None = None

    @property
    def default_file(self) -> Path:
        """Read if it is there and no other is named."""
        return Path(f"/etc/recorder/{self.service}.toml")

    @property
    def prefix(self) -> str:
        """Of the variables."""
        return f"RECORDER_{self.service.upper()}_"

    @property
    def file_variable(self) -> str:
        """The variable that names the file."""
        return f"{self.prefix}CONFIG"

    def add_flags(self, parser: argparse.ArgumentParser) -> None:
        """One flag for each setting, and --config; what is given goes into the namespace for `load`."""
        self.add_file_flag(parser)
        groups = {
            section: parser.add_argument_group(
                f"[{section}]", (of.__doc__ or "").partition(":")[0].rstrip(".")
            )
            for section, of in self._sections().items()
        }
        for (section, name), each in self._settings().items():
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
        if self.entries:
            parser.add_argument_group(f"[{self.entries.section}]", self.entries.title).add_argument(
                self.entries.flag,
                action="append",
                metavar=self.entries.flag.strip("-").upper(),
                dest=f"setting:{self.entries.section}",
                default=argparse.SUPPRESS,
                help=self.entries.help,
            )

    def add_file_flag(self, parser: argparse.ArgumentParser, flag: str = "--config") -> None:
        """The flag that names the file, by itself; its destination is the flag's name."""
        parser.add_argument(
            flag, type=Path, metavar="FILE", help=f"settings, in TOML ({self.default_file})", default=None
        )

    def load(
        self,
        flags: argparse.Namespace,
        environment: Mapping[str, str] = os.environ,
        *,
        file: Path | None = None,
    ) -> S:
        """All settings; InvalidSettings.

        The file is `file`, else the one of --config, else of RECORDER_SERVICE_CONFIG, else
        /etc/recorder/SERVICE.toml if it is there.
        """
        path: Path | None = file or getattr(flags, "config", None)
        if path is None and environment.get(self.file_variable):
            path = Path(environment[self.file_variable])
        sources = (
            self._from_file(path) if path else self._from_file(self.default_file, needed=False),
            self._from_environment(environment),
            self._from_flags(flags),
        )
        values = {key: value for given, _ in sources for key, value in given.items()}
        fields: dict[str, Any] = {
            section: of(**{name: value for (belongs, name), value in values.items() if belongs == section})
            for section, of in self._sections().items()
        }
        if self.entries:
            fields[self.entries.section] = {
                name: each for _, named in sources for name, each in named.items()
            }
        return self.of(**fields)

    # --- what there is

    def _sections(self) -> dict[str, type[Any]]:
        return {
            each.name: type(each.default)
            for each in dataclasses.fields(self.of)  # type: ignore[arg-type] # S is any dataclass
            if dataclasses.is_dataclass(each.default)
        }

    def _settings(self) -> dict[tuple[str, str], Setting]:
        return {
            (section, each.name): setting_of(section, each)
            for section, of in self._sections().items()
            for each in dataclasses.fields(of)
        }

    def _variable(self, section: str, name: str) -> str:
        return f"{self.prefix}{name if section == self.service else f'{section}_{name}'}".upper()

    def _entries_variable(self) -> str:
        return f"{self.prefix}{self.entries.section}".upper() if self.entries else ""

    # --- where they come from

    def _from_file(self, path: Path, *, needed: bool = True) -> tuple[Values, Named]:
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
        return self._from_document(document, str(path))

    def _from_document(self, document: Mapping[str, object], where: str) -> tuple[Values, Named]:
        values: Values = {}
        named: Named = {}
        settings, sections = self._settings(), self._sections()
        for section, content in document.items():
            if self.entries and section == self.entries.section:
                named = self.entries.of_toml(table(content, f"{where}: {section}"), where)
                continue
            if section not in sections:
                known = (*sections, *([self.entries.section] if self.entries else []))
                raise InvalidSettings(f"{where}: there is no section [{section}]: {nearest(section, known)}")
            for name, value in table(content, f"{where}: {section}").items():
                if (section, name) not in settings:
                    known = tuple(each for belongs, each in settings if belongs == section)
                    raise InvalidSettings(f"{where}: {section}.{name} is unknown: {nearest(name, known)}")
                values[section, name] = of_toml(
                    settings[section, name].kind, value, f"{where}: {section}.{name}"
                )
        return values, named

    def _from_environment(self, environment: Mapping[str, str]) -> tuple[Values, Named]:
        known = {self._variable(*key): (key, each) for key, each in self._settings().items()}
        values: Values = {}
        named: Named = {}
        for variable, text in environment.items():
            if not variable.startswith(self.prefix) or variable == self.file_variable:
                continue
            if self.entries and variable == self._entries_variable():
                named = dict(self.entries.of_text(each, variable) for each in text.split())
                continue
            if variable in known:
                key, each = known[variable]
                values[key] = of_text(each.kind, text, variable)
            elif not self._is_service_link(variable):
                names = (*known, *filter(None, [self._entries_variable()]), self.file_variable)
                raise InvalidSettings(
                    f"the environment variable {variable} is no setting: {nearest(variable, names)}"
                )
        return values, named

    def _is_service_link(self, variable: str) -> bool:
        # The kubelet sets these in every pod of a namespace that has a Service "recorder-agent" or the
        # like (Kubernetes documentation, "Accessing the Service", environment variables).
        return bool(
            re.fullmatch(
                r"SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?",
                variable.removeprefix(self.prefix),
            )
        )

    def _from_flags(self, flags: argparse.Namespace) -> tuple[Values, Named]:
        given = vars(flags)
        values: Values = {}
        for key, each in self._settings().items():
            destination = _destination(*key)
            if destination not in given:
                continue
            value = given[destination]
            if isinstance(each.kind, Texts):  # an empty text alone is the empty list
                value = of_toml(each.kind, [text for text in value if text], each.flag)
            elif not isinstance(each.kind, Switch):
                value = of_text(each.kind, value, each.flag)
            values[key] = value
        named: Named = {}
        if self.entries:
            texts = given.get(f"setting:{self.entries.section}", ())
            named = dict(self.entries.of_text(each, self.entries.flag) for each in texts)
        return values, named

    # --- the example

    def example(self) -> str:
        """The documented file: every setting with its default."""
        lines = [
            f"# Settings of `recorder {self.service}`: each with its default.",
            "#",
            *_comment(
                f"A setting's environment variable is {self.prefix}SECTION_NAME (of [{self.service}]:"
                f" {self.prefix}NAME), its flag is in brackets. A flag wins over the environment, the"
                " environment over this file. In an environment variable, lists have commas between their"
                ' parts. Sizes: "64KiB", "16MiB", or bytes. Durations: "500ms", "30s", "5m", or seconds.'
                " A name that is not below is refused."
            ),
        ]
        for section, of in self._sections().items():
            lines += ["", *_comment(of.__doc__ or ""), f"[{section}]"]
            for each in dataclasses.fields(of):
                described = setting_of(section, each)
                default = getattr(of(), each.name)
                lines += _comment(f"{described.help} ({described.flag})")
                if described.computed:
                    lines.append(f'# {each.name} = "..."  # {described.computed}')
                else:
                    lines.append(f"{each.name} = {described.kind.to_toml(default)}")
        if self.entries:
            lines += ["", *self.entries.example()]
        return "\n".join(lines) + "\n"


def _destination(section: str, name: str) -> str:
    return f"setting:{section}.{name}"


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, 108, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
