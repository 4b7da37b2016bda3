"""What requests for captures select, found among what there is."""

from __future__ import annotations

from recorder.agent.selection import (
    AllSelection,
    CgroupSelection,
    ContainerSelection,
    PodSelection,
    ProcessSelection,
    Selection,
    UnitSelection,
)
from recorder.agent.state import CaptureState
from recorder.agent.tracker import Tracker
from recorder.containers.cgroup import find_cgroup
from recorder.containers.choice import SHORT_ID, PodChoice, called
from recorder.containers.container import Container
from recorder.containers.index import ContainerIndex
from recorder.containers.unit import unit_cgroup
from recorder.model.errors import NotFound, NotRecordable
from recorder.rpc.fields import FieldError, InvalidFields
from recorder.rpc.roles import Access
from recorder.rpc.v1 import agent_pb2 as pb

__all__ = ["LOOK", "Selections"]

LOOK = 2.0
"""Seconds that runtimes have to tell of a container that is not known yet."""


class Selections:
    """Of an agent: of the slots that it tracks, and the containers that its runtimes know."""

    def __init__(self, tracker: Tracker, index: ContainerIndex) -> None:
        self._tracker = tracker
        self._index = index

    async def select(self, asked: pb.Selection, access: Access) -> Selection:
        """As it is now, and as the client may have it. Raises RecorderError."""
        match asked.WhichOneof("by"):
            case "pod":
                return PodSelection(_pod(asked.pod))
            case "container":
                if not self._visible(asked.container, access):
                    await self._index.refresh(LOOK)
                return self._container(asked.container, access)
            case "cgroup":
                return CgroupSelection(find_cgroup(asked.cgroup).name)
            case "unit":
                return UnitSelection(asked.unit, bool(unit_cgroup(self._tracker.mount, asked.unit)))
            case "all":
                return AllSelection()
            case _:
                return ProcessSelection(asked.pid)

    def _visible(self, text: str, access: Access) -> list[Container]:
        found = called(text, self._index.containers().values())
        return [each for each in found if access.may_see(each.pod.namespace if each.pod else None)]

    def _container(self, text: str, access: Access) -> Selection:
        visible = self._visible(text, access)
        if not visible:
            unnamed = [
                each.subject.place.container_id
                for each in self._tracker.tracked()
                if each.unknown and each.subject.place and each.subject.place.container_id.startswith(text)
            ]
            if len(unnamed) == 1 and len(text) >= SHORT_ID and access.may_host():
                return ContainerSelection(unnamed[0], running=True)
            access.require_found(None, found=False)
            raise NotFound(f"no container {text}; see: recorder containers")
        if len({each.id for each in visible}) > 1:
            ids = ", ".join(sorted(each.id[:SHORT_ID] for each in visible)[:4])
            raise InvalidFields(
                [FieldError("selection.container", f"{text} is the name of several", f"choose one of {ids}")]
            )
        container = visible[0]
        if container.not_recordable:
            raise NotRecordable(
                f"container {text} runs under the handler {container.not_recordable}, in a virtual machine or"
                " a user-space kernel: its calls never reach this kernel as its own"
            )
        return ContainerSelection(container.id, running=bool(container.cgroup_path and container.pid))

    def restored(self, state: CaptureState) -> Selection:
        """What a capture of the last agent selected."""
        asked = state.request.selection
        match asked.WhichOneof("by"):
            case "pod":
                return PodSelection(_pod(asked.pod))
            case "container":
                running = any(
                    each.subject.place and each.subject.place.container_id == state.container_id
                    for each in self._tracker.tracked()
                )
                return ContainerSelection(state.container_id, running)
            case "cgroup":
                return CgroupSelection(f"/{asked.cgroup.strip('/')}")
            case "pid":
                return ProcessSelection(asked.pid)
            case "all":
                return AllSelection()
            case _:
                return UnitSelection(asked.unit, bool(unit_cgroup(self._tracker.mount, asked.unit)))


def _pod(asked: pb.PodSelection) -> PodChoice:
    return PodChoice(asked.namespace, asked.name, asked.container)
