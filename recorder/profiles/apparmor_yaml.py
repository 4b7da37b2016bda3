"""AppArmorProfile objects (security-profiles-operator.x-k8s.io/v1) as YAML."""

from __future__ import annotations

from typing import Final

from recorder.profiles.api_group import GROUP
from recorder.profiles.apparmor_profile import AppArmorProfile
from recorder.profiles.profile_object import object_yaml, parts_of, profile_object, read_yaml

__all__ = ["API_VERSION", "KIND", "from_object", "from_yaml", "to_object", "to_yaml"]

API_VERSION: Final = f"{GROUP}/v1"
KIND: Final = "AppArmorProfile"

_READ_VERSIONS: Final = (API_VERSION, f"{GROUP}/v1alpha1")
_MODES: Final = ("Enforce", "Complain")
_STATES: Final = ("Enabled", "Disabled")


def to_object(profile: AppArmorProfile) -> dict[str, object]:
    """Return the object as it goes to an API server: plain dicts, lists and values."""
    abstract: dict[str, object] = {}
    for field, parts in (
        ("executable", {"allowedExecutables": profile.executables, "allowedLibraries": profile.libraries}),
        (
            "filesystem",
            {
                "readOnlyPaths": profile.read_only,
                "writeOnlyPaths": profile.write_only,
                "readWritePaths": profile.read_write,
            },
        ),
        ("capability", {"allowedCapabilities": profile.capabilities}),
    ):
        filled = {key: list(texts) for key, texts in parts.items() if texts}
        if filled:
            abstract[field] = filled
    network: dict[str, object] = {"allowRaw": True} if profile.raw else {}
    protocols = {key: True for key, there in (("allowTcp", profile.tcp), ("allowUdp", profile.udp)) if there}
    if protocols:
        network["allowedProtocols"] = protocols
    if network:
        abstract["network"] = network
    spec = {
        "state": profile.state,
        "mode": "Complain" if profile.complain else "Enforce",
        "abstract": dict(sorted(abstract.items())),
    }
    return profile_object(API_VERSION, KIND, profile, spec)


def to_yaml(profile: AppArmorProfile) -> str:
    """Return the YAML text, ASCII: the same value gives the same bytes."""
    return object_yaml(to_object(profile))


def from_yaml(text: str) -> AppArmorProfile:
    """Read one object, as written or as an API server shows it. InvalidProfile names the field."""
    return from_object(read_yaml(text))


def from_object(value: object) -> AppArmorProfile:
    """Read one object of plain values. InvalidProfile names the field."""
    metadata, spec = parts_of(value, _READ_VERSIONS, KIND)
    state = spec.text("state", _STATES, "Enabled")
    complain = spec.text("mode", _MODES, "Enforce") == "Complain"
    abstract = spec.optional_child("abstract")
    spec.end()
    executable = abstract.optional_child("executable")
    files = abstract.optional_child("filesystem")
    network = abstract.optional_child("network")
    protocols = network.optional_child("allowedProtocols")
    capability = abstract.optional_child("capability")
    profile = AppArmorProfile(
        name=metadata.text("name"),
        annotations=metadata.table("annotations"),
        labels=metadata.table("labels"),
        state=state,
        complain=complain,
        executables=executable.texts("allowedExecutables"),
        libraries=executable.texts("allowedLibraries"),
        read_only=files.texts("readOnlyPaths"),
        write_only=files.texts("writeOnlyPaths"),
        read_write=files.texts("readWritePaths"),
        raw=network.flag("allowRaw"),
        tcp=protocols.flag("allowTcp"),
        udp=protocols.flag("allowUdp"),
        capabilities=capability.texts("allowedCapabilities"),
    )
    for each in (abstract, executable, files, network, protocols, capability):
        each.end()
    return profile
