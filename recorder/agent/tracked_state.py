"""A slot in the state that a next agent reads, and out of it."""

from __future__ import annotations

from recorder.agent.observation import boot_id
from recorder.agent.state import TargetState
from recorder.agent.tracked import Subject, Tracked
from recorder.containers.container import Container
from recorder.containers.place import Place, place_of, unit_of
from recorder.model.record import ContainerKind, Identity

__all__ = ["recalled", "state_of"]


def state_of(tracked: Tracked, node: str) -> TargetState | None:
    """What a next agent needs to know of it; None before its first reading."""
    source = tracked.source(node, boot_id())
    if source is None:
        return None
    recordings, captures = tracked.owed()
    return TargetState(
        tracked.target,
        source,
        late=tracked.late,
        base=tracked.base,
        identity=tracked.subject.identity(),
        recordings=recordings,
        captures=captures,
        denials=tracked.denials,
        denials_late=tracked.denials_late,
        denials_missed=tracked.denials_missed,
        accesses=tracked.accesses,
        accesses_late=tracked.accesses_late,
        accesses_missed=tracked.accesses_missed,
        access_unwatched=tracked.access_unwatched,
    )


def recalled(path: str, identity: Identity, namespaces: tuple[str, ...]) -> Subject:
    """What the last agent knew of a cgroup. path: empty if it is gone; its container, if that had a name."""
    path = path or identity.cgroup_path
    place = place_of(path, namespaces)
    if identity.container_id and (identity.pod or identity.name != identity.container_id) and place:
        return Subject(path, place, _container(identity, place))
    return Subject(path, place, None, unit_of(path))


def _container(identity: Identity, place: Place) -> Container:
    return Container(
        id=identity.container_id,
        name=identity.name,
        manager=place.manager,
        cgroup_path=identity.cgroup_path or place.path,
        kind=ContainerKind(identity.kind),
        pod=identity.pod,
        labels=identity.labels,
        image=identity.image,
        image_digest=identity.image_digest,
        restart_count=identity.restart_count,
    )
