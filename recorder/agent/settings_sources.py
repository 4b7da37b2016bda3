"""Where the agent's settings come from, and its roles: a section whose names are of certificates."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recorder.agent.settings import RoleSettings, Settings
from recorder.model.errors import InvalidSettings
from recorder.service.given import nearest, of_toml, shown, table
from recorder.service.setting import Switch, Texts
from recorder.service.settings_sources import SettingsSources

__all__ = ["SOURCES"]

_TEXT = "NAME=RIGHT[,RIGHT...]; rights: capture (all namespaces), capture:NAMESPACE, host, plan, status"
_SWITCHES = ("host", "plan", "status")


@dataclass(frozen=True, slots=True)
class _Roles:
    """As `Entries`: RoleSettings by name."""

    section: str = "roles"
    title: str = "What a client's certificate allows"
    flag: str = "--role"
    help: str = _TEXT

    def of_toml(self, content: Mapping[str, object], where: str) -> dict[str, RoleSettings]:
        return {name: _role(given, f'{where}: roles."{name}"') for name, given in content.items()}

    def of_text(self, text: str, where: str) -> tuple[str, RoleSettings]:
        name, equals, rights = text.rpartition("=")
        if not name or not equals:
            raise InvalidSettings(f"{where} is {shown(text)}; it must be {_TEXT}")
        capture: list[str] = []
        switches: dict[str, bool] = {}
        for right in rights.split(","):
            if right == "capture":
                capture.append("*")
            elif right.startswith("capture:") and right != "capture:":
                capture.append(right.removeprefix("capture:"))
            elif right in _SWITCHES:
                switches[right] = True
            else:
                raise InvalidSettings(f"{where} is {shown(text)}: {right!r} is no right; it must be {_TEXT}")
        return name, RoleSettings(tuple(capture), **switches)

    def example(self) -> list[str]:
        return [
            "# What a client may do, by a name (SAN) of its certificate; without an entry, nothing (--role)."
            " The Unix",
            "# socket's clients are root, and may all.",
            '# [roles."collector.example.org"]',
            '# capture = ["shop"]  # pods of these namespaces; "*": of all',
            "# host = false        # cgroups, units, processes, and containers outside Kubernetes",
            "# plan = false        # set what is recorded",
            "# status = false      # status and metrics",
        ]


def _role(given: object, at: str) -> RoleSettings:
    rights = dict(table(given, at))
    known = {each.name for each in dataclasses.fields(RoleSettings)}
    for right in rights:
        if right not in known:
            raise InvalidSettings(f"{at}.{right} is unknown: {nearest(right, known)}")
    capture = rights.pop("capture", [])
    values: dict[str, Any] = {
        right: of_toml(Switch(), value, f"{at}.{right}") for right, value in rights.items()
    }
    if capture == "*":
        capture = ["*"]
    try:
        values["capture"] = Texts().of_toml(capture)
    except ValueError as error:
        raise InvalidSettings(
            f'{at}.capture is {shown(capture)}; it must be a list of namespaces, or "*" for all'
        ) from error
    return RoleSettings(**values)


SOURCES = SettingsSources(Settings, "agent", _Roles())
"""Of `recorder agent`."""
