"""Accesses that nobody can see: whoever asks for them is told, and no record passes for one without any."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from recorder.model.record import Observation
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


@pytest.mark.parametrize("setting", ["off", "auto"])
def test_who_asks_for_accesses_is_told(setting, agent, fake, uplinked, scratch_cgroup, cgroup2):
    """Where they cannot be seen captures are refused with the reason, and a record that lacks them is lossy.

    Of another recording's containers it is not. With auto it is for the kernel to say.
    """
    agent.settings += (*fake.settings, "--accesses", setting)
    with uplinked(agent) as collector:
        agent.start()
        collector.wait_for(lambda each: each.hellos)
        (hello,) = collector.hellos
        why = [each.problem for each in hello.problems if each.kind == pb.KIND_ACCESSES]
        able = pb.KIND_ACCESSES in hello.kinds
        assert able is not bool(why)
        assert agent.status().problems == hello.problems
        selection = pb.Selection(cgroup=f"/{scratch_cgroup().relative_to(cgroup2)}")
        request = pb.CaptureRequest(selection=selection, kinds=ACCESSES)
        if able:
            assert next(agent.capture(request)).WhichOneof("event") == "started"
        else:
            code, text = refusal(lambda: agent.capture(request))
            expected = {"off": "INVALID_ARGUMENT", "auto": "FAILED_PRECONDITION"}[setting]
            assert code == grpc.StatusCode[expected]
            said = 'set its agent.accesses to "auto"' if setting == "off" else why[0].partition(": ")[2]
            assert said.splitlines()[0] in text
        asked = recording("asked", "shop")
        asked.kinds.extend(ACCESSES)
        new = plan(asked, recording("other", "bank"))
        collector.send(new)
        assert agent.says(f"plan {new.revision}:")
        found = {
            namespace: fake.live(fake.pod("pod", namespace), "app", "/bin/true")
            for namespace in ("shop", "bank")
        }

        def ended(namespace: str) -> list[Observation]:
            stored = list(collector.stored.values())
            return [each for each in stored if each.ended and each.identity.container_id == found[namespace]]

        collector.wait_for(lambda _: ended("shop") and ended("bank"))
        (shop,), (bank,) = ended("shop"), ended("bank")
        assert shop.ledger.losses() == ({} if able else {"accesses_unwatched": 1})
        assert bool(shop.accesses) is able
        assert shop.provenance.kinds == ("syscalls,accesses" if able else "")
        assert (bank.ledger.losses(), bool(bank.accesses)) == ({}, False)
        assert agent.terminate() == 0
    assert agent.left() == []


def test_accesses_of_a_process_are_refused(agent):
    """They are known by cgroup."""
    agent.settings += ("--accesses", "auto")
    agent.start()
    code, text = refusal(
        lambda: agent.capture(pb.CaptureRequest(selection=pb.Selection(pid=1), kinds=ACCESSES))
    )
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "known by cgroup" in text
