"""Accesses that nobody can see: whoever asks for them is told, and no record passes for one without any."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from recorder.rpc.v1 import agent_pb2 as pb
from tests.agent.fake_node import FakeNode, fake_node, own_cgroup
from tests.agent.plans import plan, recording
from tests.agent.requests import refusal

pytestmark = pytest.mark.root

ACCESSES = [pb.KIND_SYSCALLS, pb.KIND_ACCESSES]


@pytest.fixture
def fake(tmp_path: Path, cgroup2: Path) -> Iterator[FakeNode]:
    """A node with pods."""
    folder = tmp_path / "node"
    folder.mkdir()
    with own_cgroup(cgroup2) as parent, fake_node(folder, parent, cgroup2) as node:
        yield node


def test_who_asks_for_accesses_is_told(agent, fake, uplinked, scratch_cgroup, cgroup2):
    """Captures are refused; a plan's record is lossy where its recording asks; hello and status say why."""
    agent.settings += fake.settings
    with uplinked(agent) as collector:
        agent.start()
        collector.wait_for(lambda each: each.hellos)
        (hello,) = collector.hellos
        assert list(hello.kinds) == [pb.KIND_SYSCALLS]
        (why,) = (each.problem for each in hello.problems if each.kind == pb.KIND_ACCESSES)
        assert [each.kind for each in agent.status().problems] == [pb.KIND_DENIALS, pb.KIND_ACCESSES]
        selection = pb.Selection(cgroup=f"/{scratch_cgroup().relative_to(cgroup2)}")
        code, text = refusal(lambda: agent.capture(pb.CaptureRequest(selection=selection, kinds=ACCESSES)))
        assert code == grpc.StatusCode.INVALID_ARGUMENT
        assert "kinds has KIND_ACCESSES" in text
        assert why
        asked = recording("asked", "shop")
        asked.kinds.extend(ACCESSES)
        new = plan(asked, recording("other", "bank"))
        collector.send(new)
        assert agent.says(f"plan {new.revision}:")
        found = {
            namespace: fake.live(fake.pod("pod", namespace), "app", "/bin/true")
            for namespace in ("shop", "bank")
        }

        def losses(namespace: str) -> list[dict[str, int]]:
            stored = list(collector.stored.values())
            return [
                each.ledger.losses()
                for each in stored
                if each.ended and each.identity.container_id == found[namespace]
            ]

        collector.wait_for(lambda _: losses("shop") and losses("bank"))
        assert losses("shop") == [{"accesses_unwatched": 1}]
        assert losses("bank") == [{}]
        assert agent.terminate() == 0
    assert agent.left() == []
