"""A container's accesses by an agent, over its death, by a plan and a capture; needs AppArmor."""

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from recorder.agent.budget import ACCESSES_BASE, BASE_BYTES
from recorder.model import wire
from recorder.model.record import Observation, Phase, Record
from recorder.rpc.v1 import agent_pb2 as pb
from tests.agent.fake_node import fake_node, own_cgroup
from tests.agent.plans import plan, recording
from tests.agent.process import agent_process
from tests.agent.secure_collector import collector_flags, uplinked_by
from tests.guest.inside.accesses.truth import from_audit, from_recorder
from tests.guest.inside.accesses.watched import complaining
from tests.guest.inside.denials.test_agent import resident
from tests.truth import oci
from tests.truth.audit_avc import AvcReader
from tests.unit.rpc.certificates import Authority

STARTING = 300.0
"""Seconds: two objects are loaded, and verified, in emulation."""
WAITING = 120.0
PROGRAMS = ("sh", "cat", "mv", "ln", "rm", "mkdir", "chmod")
STAGES = (
    "mkdir /srv/one; echo x >/srv/one/made; cat /etc/passwd >>/srv/one/made; mv /srv/one/made /srv/one/moved",
    "ln /srv/one/moved /srv/one/linked; echo y >/srv/one/token=hunter2hunter2; rm /srv/one/linked",
    "chmod 600 /srv/one/moved; mkdir /srv/two; rm -r /srv/one",
)
"""While one agent lives, none, the next one."""
KINDS = [pb.KIND_SYSCALLS, pb.KIND_ACCESSES]


@pytest.fixture
def agent(tmp_path, bpffs):
    with agent_process(tmp_path / "agent", bpffs, "--accesses", "auto", "--raw-paths") as made:
        yield made


class Stepping:
    """A container that does one stage after the other, each when it is told to, and says when it is done."""

    def __init__(self, folder: Path, cgroup: str, profile: str) -> None:
        root = oci.make_rootfs(folder / "root", {f"/bin/{name}": Path("/bin") / name for name in PROGRAMS})
        (root / "srv").mkdir()
        self.root = root
        script = []
        for number, stage in enumerate(STAGES):
            for name in ("go", "done"):
                os.mkfifo(root / f"{name}{number}")
            script.append(f"read line </go{number}; {stage}; echo done >/done{number}")
        os.mkfifo(root / "end")
        self.marker = uuid.uuid4().hex.encode()
        (root / self.marker.decode()).write_text("\n")
        script += ["read line </end", f"read line </{self.marker.decode()}"]
        words = ("/bin/sh", "-c", "; ".join(script))
        self.container = oci.Container.prepare("runc", folder, root, words)
        self.container.config["linux"]["cgroupsPath"] = cgroup
        self.container.config["process"]["apparmorProfile"] = profile

    @contextlib.contextmanager
    def started(self) -> Iterator[None]:
        with self.container as it:
            it.create()
            it.start()
            yield

    def do(self, number: int) -> None:
        """A stage, to its end."""
        (self.root / f"go{number}").write_text("\n")
        assert (self.root / f"done{number}").read_text() == "done\n"

    def end(self) -> None:
        """The last thing that it does is to open the marker."""
        (self.root / "end").write_text("\n")


def items(accesses) -> set:
    """What the workload used."""
    return {
        item for subject, each in accesses.of(Phase.WORKLOAD) for item in from_recorder(subject, each.rights)
    }


def read(stream) -> Record:
    """A capture's messages, joined."""
    record = Record()
    for message in stream:
        record = record.join(wire.from_message(message.snapshot.record))
    return record


def begun(agent, request):
    """The capture's stream."""
    stream = agent.stub.Capture(request, timeout=2 * STARTING, wait_for_ready=True)
    first = next(stream)
    assert first.HasField("started"), first
    return stream, first.started.resumed


def differences(observation: Observation, truth: set, marker: bytes) -> tuple[list[str], list[str]]:
    """What the log has more, and what the observation has; but for the marker, where the log ends.

    An exec asks for the program and its loader before the profile is the program's.
    """
    mine = {item for item in items(observation.accesses) if marker.decode() not in str(item[1:2])}
    given = {item for item in mine if item[0] == "file" and item[2] in "rxm" and _loaded(item[1])}
    return sorted(map(str, truth - mine)), sorted(map(str, mine - truth - given))


def _loaded(path: bytes) -> bool:
    return path.startswith((b"/bin/", b"/usr/bin/")) or b"/ld-linux" in path


def _has(collector, item) -> bool:
    """Whether what the collector has so far has it, of what still runs."""
    return any(item in items(each.accesses) for each in collector.stored.values() if not each.ended)


@pytest.mark.timeout(3 * STARTING)
def test_accesses_over_the_agents_death(agent, tmp_path, cgroup2):
    """Seen by one agent, by none, by the next: a plan's record and a capture's are what AppArmor logged."""
    authority, profile = Authority(tmp_path / "authority"), "the-containers"
    node = tmp_path / "node"
    node.mkdir()
    with contextlib.ExitStack() as stack:
        stack.enter_context(complaining(profile))
        parent = stack.enter_context(own_cgroup(cgroup2))
        fake = stack.enter_context(fake_node(node, parent, cgroup2))
        agent.settings += fake.settings
        collector = stack.enter_context(uplinked_by(authority, collector_flags(authority))(agent))
        pod = fake.pod("web-0", "shop")
        identity = fake.told(pod, "web")
        path = pod.cgroup / identity
        asked = recording("it", "shop")
        asked.kinds.extend(KINDS)
        collector.plan = plan(asked)
        agent.start(STARTING)
        collector.wait_for(lambda each: each.hellos, WAITING)
        assert pb.KIND_ACCESSES in collector.hellos[0].kinds
        assert "apparmor" in {each.name for each in collector.hellos[0].modules}
        assert agent.says(f"plan {collector.plan.revision}:", WAITING)
        selection = pb.Selection(pod=pb.PodSelection(namespace="shop", name="web-0"))
        request = pb.CaptureRequest(selection=selection, kinds=KINDS, capture_id="it")
        stream, resumed = begun(agent, request)
        assert not resumed
        steps = Stepping(tmp_path, f"/{path.relative_to(cgroup2)}", profile)
        log = stack.enter_context(AvcReader())
        with steps.started():
            steps.do(0)
            collector.wait_for(lambda each: _has(each, ("file", b"/srv/one/moved", "c")), WAITING)
            assert resident(agent) <= BASE_BYTES + ACCESSES_BASE + (8 << 20)
            stream.cancel()
            agent.kill()
            steps.do(1)
            agent.start(STARTING)
            stream, resumed = begun(agent, request)
            assert resumed
            steps.do(2)
            steps.end()
            records = log.until(steps.marker)
        collector.wait_for(lambda each: any(one.ended for one in each.stored.values()), WAITING)
        fake.remove(pod)  # with which its capture ends
        record = read(stream)
        agent.wait_for(lambda status: not status.uplink.unacknowledged, WAITING)
        collector.send(plan())
        agent.wait_for(lambda status: not status.attached, WAITING)
        assert agent.used("accesses") == 0
        assert list((agent.pins / "accesses" / "links").iterdir()) == []
        assert agent.terminate(WAITING) == 0
        assert agent.left() == []
    truth = {
        item
        for each in records
        if each.fields.get("profile", b"").startswith(profile.encode()) and "apparmor" in each.fields
        # of programs that were executed in complain mode it is asked, and no rule is needed for it
        if each.fields["operation"] != b"getattr"
        for item in from_audit(each)
    }
    (captured,) = record.observations
    (planned,) = (each for each in collector.stored.values() if each.ended)
    for observation in (captured, planned):
        assert observation.provenance.kinds == "syscalls,accesses"
        assert observation.ledger.verdict.complete, observation.ledger
        assert differences(observation, truth, steps.marker) == ([], [])
    assert {b"/srv/one/moved", b"/srv/one/linked", b"/srv/two/"} <= {each[1] for each in truth}
