"""A recording: what a person asked for by a ProfileRecording object or file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from recorder.model.selector import LabelSelector

__all__ = ["Means", "MergeStrategy", "ProfileKind", "Recording", "RecordingName", "RefusedRecording"]


class ProfileKind(StrEnum):
    """The kind of object that results are; the text is the API's."""

    SECCOMP = "SeccompProfile"
    APPARMOR = "AppArmorProfile"
    SELINUX = "SelinuxProfile"


class Means(StrEnum):
    """`spec.recorder`: how SPO would record. Both mean the same record here; results say which was asked."""

    BPF = "Bpf"
    LOGS = "Logs"


class MergeStrategy(StrEnum):
    """One result for each pod's container, or one for a container's name over all pods."""

    NONE = "None"
    CONTAINERS = "Containers"


@dataclass(frozen=True, slots=True, order=True)
class RecordingName:
    """Which object. `namespace` is empty outside of Kubernetes; a re-created object has another `uid`."""

    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@dataclass(frozen=True, slots=True)
class Recording:
    """A valid recording. `containers`: names, sorted; empty: all.

    generation: rises with each edit of the spec. disable: `spec.disableProfileAfterRecording`.
    beside: another recorder works in this cluster, so partial profiles are not published and
    the status goes to Events as well. denials: what filters, AppArmor and SELinux deny is looked for too.
    update: the AppArmorProfile that is to be changed where it stands by what it lacks; empty: none.
    """

    name: RecordingName
    kind: ProfileKind
    means: Means
    merge: MergeStrategy
    selector: LabelSelector
    containers: tuple[str, ...] = ()
    disable: bool = False
    generation: int = 0
    beside: bool = False
    denials: bool = False
    update: str = ""

    @property
    def id(self) -> str:
        """What plans, reports and the store call it: the object's uid."""
        return self.name.uid

    def asks_for(self, namespace: str, labels: Mapping[str, str], container: str) -> bool:
        """Whether a container of a pod with these labels belongs to it ("" is no pod's namespace)."""
        if namespace != self.name.namespace or (self.containers and container not in self.containers):
            return False
        return self.selector.matches(labels)


@dataclass(frozen=True, slots=True)
class RefusedRecording:
    """A recording that is not done. `reason` is CamelCase, as a condition's; `message` is for a person.

    silent: not ours to write to (another recorder's), so only an Event may tell.
    """

    name: RecordingName
    reason: str
    message: str
    generation: int = 0
    silent: bool = False
