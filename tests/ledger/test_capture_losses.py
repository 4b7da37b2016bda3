"""What only the client of an agent can lose: the agent itself."""

import json

import pytest

from recorder.model.errors import Unreachable
from recorder.model.wire import from_json, from_message
from recorder.rpc.status import abort
from recorder.rpc.v1 import agent_pb2 as pb
from tests.agent.process import agent_process
from tests.cli.fake_agent import fake_agent, observation, snapshot, started


def test_agent_lost_for_good_and_agent_lost_and_come_back(recorder_cli, tmp_path):
    """Its last word is missing: a loss of what had not ended. With its last word nothing is missing."""
    with fake_agent(tmp_path) as agent:

        async def script(request, context):
            comes_back = request.selection.container == "back"
            if len(agent.requests) > 1 and not comes_back:
                await abort(context, Unreachable("gone"))
            yield started(request, resumed=len(agent.requests) > 1)
            final = comes_back and len(agent.requests) > 1
            yield snapshot(
                observation([0], cgroup=1, ended=final), observation([1], cgroup=2, ended=True), final=final
            )

        agent.script = script
        command = ["capture", "--agent", agent.address, "-f", "record", "--reconnect-for"]
        gone = recorder_cli.run(*command, "0.3", "--container", "gone")
        agent.requests.clear()
        back = recorder_cli.run(*command, "60", "--container", "back", "--strict")
    assert gone.returncode == 125
    counts = {
        each.source.cgroup_id: dict(each.ledger.counts)
        for each in from_json(gone.stdout.decode()).observations
    }
    assert counts == {1: {"agent_lost": 1}, 2: {}}
    assert b"verdict: lossy: agent_lost 1" in gone.stderr
    assert back.returncode == 0, back.stderr
    assert "ledger" not in json.loads(back.stdout)["observations"][0]


@pytest.fixture
def agent(tmp_path, bpffs):
    """An agent that is not started."""
    with agent_process(tmp_path / "agent", bpffs) as made:
        yield made


@pytest.mark.root
def test_denials_late_for_who_asks_for_them_afterwards(agent, scratch_cgroup, cgroup2):
    """A capture that was there before hears of it as well: it is one record of one container."""
    agent.settings += ("--denials", "auto")
    agent.start()
    request = pb.CaptureRequest(
        selection=pb.Selection(cgroup=f"/{scratch_cgroup().relative_to(cgroup2)}"), kinds=[pb.KIND_SYSCALLS]
    )
    plain = agent.capture(request)
    assert not _late(plain)
    request.kinds.append(pb.KIND_DENIALS)
    asking = agent.capture(request)
    assert _late(asking)
    while not _late(plain):
        pass


def _late(stream):
    """Whether the next snapshot has the note."""
    snapshot = next(each.snapshot for each in stream if each.HasField("snapshot"))
    (found,) = from_message(snapshot.record).observations
    return found.ledger.counts.get("denials_late", 0) == 1
