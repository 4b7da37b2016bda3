"""Who may do what: roles by the names in a peer's certificate.

::

    {"spiffe://example.org/ci": {"capture": ["shop", "blog"]},
     "prometheus.example.org": {"status": True},
     "debug.example.org": {"capture": "*", "host": True, "status": True}}

`capture` covers pods of its namespaces alone ("*": pods of all); what is recorded by
cgroup, unit or process, and containers outside of Kubernetes, need `host`. A name has
to be equal to one of the certificate's (a host's name in any case); a peer has the
roles of all its names. A peer on the Unix socket may do everything.

What is refused is refused before it is looked up, or with words that are the same
whether it exists or not: `AccessDenied` tells the role that is missing, nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, cast

from recorder.model.errors import AccessDenied, InvalidSettings
from recorder.rpc.names import is_label, shown
from recorder.rpc.peer import Peer, dns_name, uri_name
from recorder.rpc.v1 import agent_pb2 as pb

__all__ = ["ALL", "Access", "Role", "Roles"]

ALL = "*"
_FLAGS = ("host", "plan", "status")
_KEYS = ("capture", *_FLAGS)


@dataclass(frozen=True, slots=True)
class Role:
    """What one name may do. `namespaces` holds `ALL` or names."""

    namespaces: frozenset[str] = frozenset()
    host: bool = False
    plan: bool = False
    status: bool = False

    def __or__(self, other: Role) -> Role:
        return Role(
            self.namespaces | other.namespaces,
            self.host or other.host,
            self.plan or other.plan,
            self.status or other.status,
        )


_EVERYTHING = Role(frozenset({ALL}), True, True, True)


@dataclass(frozen=True, slots=True)
class Roles:
    """The configured roles by name."""

    by_name: Mapping[str, Role] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", MappingProxyType(dict(self.by_name)))

    @classmethod
    def parse(cls, table: Mapping[str, Any], where: str = "roles") -> Roles:
        """The roles of a configuration's table; InvalidSettings, with `where` in front, if it is wrong."""
        by_name: dict[str, Role] = {}
        for text, each in table.items():
            name = _name(text, where)
            role = _role(each, f'{where}."{text}"')
            by_name[name] = by_name[name] | role if name in by_name else role
        return cls(by_name)


def _name(text: object, where: str) -> str:
    name = (uri_name(text) or dns_name(text)) if isinstance(text, str) else ""
    if not name:
        raise InvalidSettings(
            f"{where}: {shown(text)} is no name that counts in a certificate; expected is one of its URIs or "
            "DNS names, whole and without wildcards"
        )
    return name


def _role(value: object, where: str) -> Role:
    if not isinstance(value, Mapping):
        raise InvalidSettings(f"{where} is {shown(value)}; expected is a table with {_listed(_KEYS)}")
    for key in value:
        if key not in _KEYS:
            raise InvalidSettings(f"{where}: there is no role {shown(key)}; there are {_listed(_KEYS)}")
    for key in _FLAGS:
        if not isinstance(value.get(key, False), bool):
            raise InvalidSettings(f"{where}.{key} is {shown(value[key])}; expected is true or false")
    return Role(
        _namespaces(value.get("capture", []), f"{where}.capture"),
        *(bool(value.get(key, False)) for key in _FLAGS),
    )


def _namespaces(value: object, where: str) -> frozenset[str]:
    if value == ALL:
        return frozenset({ALL})
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise InvalidSettings(f'{where} is {shown(value)}; expected is a list of namespaces, or "{ALL}"')
    for each in value:
        if each != ALL and not is_label(each):
            raise InvalidSettings(
                f'{where}: {shown(each)} is no namespace; write each in full, or "{ALL}" for all of them'
            )
    return frozenset(cast("list[str]", value))


def _listed(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}"


@dataclass(frozen=True, slots=True)
class Access:
    """What a peer may do. The `require_` methods raise AccessDenied with the role that is missing."""

    peer: Peer
    role: Role

    @classmethod
    def of(cls, peer: Peer, roles: Roles) -> Access:
        """The peer's roles: those of all its names, joined."""
        if peer.local:
            return cls(peer, _EVERYTHING)
        role = Role()
        for name in peer.names:
            role = role | roles.by_name.get(name, Role())
        return cls(peer, role)

    def may_capture(self, namespace: str) -> bool:
        """Whether it may record and see pods of that namespace."""
        return bool(namespace) and (ALL in self.role.namespaces or namespace in self.role.namespaces)

    def may_host(self) -> bool:
        """Whether it may record and see what is of no pod."""
        return self.role.host

    def may_plan(self) -> bool:
        """Whether it may set a plan."""
        return self.role.plan

    def may_status(self) -> bool:
        """Whether it may see the agent's status and metrics."""
        return self.role.status

    def may_see(self, namespace: str | None) -> bool:
        """Whether it may record and see a container of a pod in `namespace`, or of no pod (None)."""
        return self.may_host() if namespace is None else self.may_capture(namespace)

    def require_status(self) -> None:
        """For GetStatus and the metrics."""
        if not self.may_status():
            raise self._denied("status")

    def require_plan(self) -> None:
        """For setting a plan."""
        if not self.may_plan():
            raise self._denied("plan")

    def require_any(self) -> None:
        """For ListContainers: some container must be its to see; it sees those alone (`may_see`)."""
        if not self.role.namespaces and not self.role.host:
            raise self._denied("capture, or host")

    def require_selection(self, selection: pb.Selection) -> None:
        """For Capture, before anything is looked up; what a `container` turns out to be: `require_found`."""
        by = selection.WhichOneof("by")
        if by == "pod":
            if not self.may_capture(selection.pod.namespace):
                raise self._denied(f"capture with the namespace {shown(selection.pod.namespace)}")
        elif by == "container":
            if not self.role.namespaces and not self.role.host:
                raise self._denied(_OF_CONTAINER)
        elif by == "all":
            if not self.sees_all:
                raise self._denied('host, and capture with "*"')
        elif not self.may_host():
            raise self._denied("host")

    def require_found(self, namespace: str | None, *, found: bool = True) -> None:
        """For a container that was looked up by id or name: in which namespace it is, None for none.

        With `found=False` (there is none) it returns for a peer that may see every
        container, which may be told so, and raises for others what it raises for a
        container that they may not see.
        """
        if not (self.may_see(namespace) if found else self.sees_all):
            raise self._denied(_OF_CONTAINER)

    @property
    def sees_all(self) -> bool:
        """Whether no container of the node is hidden from it."""
        return self.role.host and ALL in self.role.namespaces

    def _denied(self, role: str) -> AccessDenied:
        return AccessDenied(
            f"this needs the role {role}, which {self.peer} does not have; "
            "it is given in the agent's settings, by a URI or DNS name of the certificate"
        )


_OF_CONTAINER = "capture with the namespace of that container's pod, or host for one that is of no pod"
