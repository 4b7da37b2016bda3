"""What the agent says of itself: GetStatus, ListContainers, and the state that metrics show."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable

from recorder import __version__
from recorder.agent.abilities import Abilities
from recorder.agent.budget import Use
from recorder.agent.capture_stream import CaptureStreams
from recorder.agent.captures import Captures
from recorder.agent.figures import ContainerState, ProgramRuns, Snapshot, bpf_statistics
from recorder.agent.reports import Reports
from recorder.agent.spool import Spool
from recorder.agent.tracker import Tracker
from recorder.containers.index import ContainerIndex
from recorder.model.ledger import Ledger
from recorder.model.wire import to_identity
from recorder.record.v1 import record_pb2
from recorder.rpc.calls import Calls
from recorder.rpc.v1 import agent_pb2 as pb

__all__ = ["Status"]


class Status:
    """Made anew at each question; costs nothing in between."""

    def __init__(
        self,
        tracker: Tracker,
        index: ContainerIndex,
        captures: Captures,
        reports: Reports,
        *,
        spool: Spool,
        use: Use,
        node: str,
        loader: str,
        streams: CaptureStreams,
        uplink: Callable[[], pb.UplinkStatus],
        abilities: Abilities,
    ) -> None:
        self.calls: Calls | None = None
        """Of the server, once there is one."""
        self._streams = streams
        self._tracker = tracker
        self._index = index
        self._captures = captures
        self._reports = reports
        self._spool = spool
        self._use = use
        self._node = node
        self._loader = loader
        self._uplink = uplink
        self._abilities = abilities

    def response(self) -> pb.GetStatusResponse:
        """All of it."""
        uplink = self._uplink()
        uplink.spool_bytes = self._spool.bytes
        self._use.set("containers", len(self._index.containers()), self._index.refused["containers"])
        self._use.set("spool", self._spool.bytes)
        for name, (used, refused) in self._tracker.use().items():
            self._use.set(name, used, refused)
        if self.calls:
            self._use.set("streams", self.calls.open, self.calls.refused)
            self._use.set("request", 0, self.calls.refused_requests)
        plan = self._reports.plan
        self._use.set("recordings", len(plan.recordings))
        return pb.GetStatusResponse(
            node=self._node,
            recorder_version=__version__,
            kernel_release=os.uname().release,
            machine=os.uname().machine,
            loader=self._loader,
            attached=self._tracker.attached or self._captures.processes.attached,
            bounds=[each.to_message() for each in self._use.bounds()],
            ledger=[
                record_pb2.LedgerEntry(cause=cause, count=count)
                for cause, count in self._ledger().counts.items()
            ],
            captures=self._captures.statuses(),
            plan=pb.PlanStatus(revision=plan.revision, recordings=len(plan.recordings)),
            runtimes=self.runtimes(),
            uplink=uplink,
            kinds=self._abilities.kinds,
            problems=self._abilities.problems,
            modules=self._abilities.modules,
        )

    def snapshot(self) -> Snapshot:
        """What metrics show."""
        response = self.response()
        captures = response.captures
        states = Counter(_state(each) for each in self.containers())
        states[ContainerState.UNNAMED] = sum(1 for each in self._tracker.tracked() if each.unknown)
        return Snapshot(
            loader=self._loader,
            attached=response.attached,
            ledger=self._ledger(),
            bounds=self._use.bounds(),
            containers={each.value: count for each, count in states.items()},
            captures_connected=sum(1 for each in captures if each.connected),
            captures_away=sum(1 for each in captures if not each.connected),
            streams_waiting=self._streams.waiting,
            plan_recordings=response.plan.recordings,
            runtimes={each.name: each.reachable for each in response.runtimes},
            uplink=bool(response.uplink.collector),
            uplink_connected=response.uplink.connected,
            uplink_unacknowledged=response.uplink.unacknowledged,
            certificate_ends=response.uplink.certificate_ends
            if response.uplink.HasField("certificate_ends")
            else None,
            spool_bytes=self._spool.bytes,
            spool_entries=len(self._spool),
            spool_damaged=self._spool.damaged,
            programs=tuple(
                ProgramRuns(name, nanoseconds / 1e9, runs)
                for name, (nanoseconds, runs) in self._tracker.runs().items()
            )
            if bpf_statistics()
            else (),
            denials=self._tracker.denied(),
            accesses=self._tracker.accessed(),
        )

    def _ledger(self) -> Ledger:
        return self._tracker.ledger() + self._reports.ledger()

    def runtimes(self) -> list[pb.RuntimeStatus]:
        """Those that are asked for names."""
        return [
            pb.RuntimeStatus(
                name=each.name,
                version=each.version,
                endpoint=each.endpoint,
                reachable=each.reachable,
                problem=each.problem,
            )
            for each in self._index.statuses()
        ]

    def containers(self) -> list[pb.ContainerStatus]:
        """Those that a runtime knows, and those that have a slot; sorted by pod, name, id."""
        found: dict[str, pb.ContainerStatus] = {}
        for each in self._index.containers().values():
            if not each.sandbox:
                found[each.id] = pb.ContainerStatus(
                    identity=to_identity(each.identity()),
                    pid=each.pid,
                    not_recordable=each.not_recordable,
                    runtime=each.runtime,
                    runtime_version=each.runtime_version,
                )
        for tracked in self._tracker.tracked():
            if not tracked.askers:
                continue
            identity = tracked.subject.identity()
            key = identity.container_id or identity.cgroup_path
            status = found.setdefault(key, pb.ContainerStatus(identity=to_identity(identity)))
            status.cgroup_id = tracked.target.cgroup_id
            status.recorded = not tracked.ended
            status.ended = tracked.ended
        return sorted(found.values(), key=_order)


def _state(each: pb.ContainerStatus) -> ContainerState:
    if each.not_recordable:
        return ContainerState.NOT_RECORDABLE
    if each.recorded:
        return ContainerState.RECORDED
    return ContainerState.ENDED if each.ended else ContainerState.IDLE


def _order(each: pb.ContainerStatus) -> tuple[str, str, str, str]:
    identity = each.identity
    return identity.pod.namespace, identity.pod.name, identity.name, identity.container_id
