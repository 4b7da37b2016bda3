"""What only an agent can lose: the name of a container."""

import pytest

from recorder.model import wire
from recorder.rpc.v1 import agent_pb2 as pb
from tests.agent.process import AgentProcess, agent_process
from tests.ledger.judgement import assert_judged
from tests.member import Member

pytestmark = pytest.mark.root

ID = "0123456789abcdef" * 4


@pytest.fixture
def agent(tmp_path, bpffs):
    """An agent that has no runtime to ask."""
    with agent_process(tmp_path / "agent", bpffs) as made:
        yield made.start()
        made.kill()
        made.run("--remove")


def test_identity_unknown_by_a_container_that_no_runtime_knows(
    agent: AgentProcess, scratch_cgroup, built_programs, cgroup2, capsys
):
    """By its path it is a container; its record is whole and has the id alone."""
    pod = scratch_cgroup("docker", parent=scratch_cgroup())
    cgroup = scratch_cgroup(ID, parent=pod)
    path = "/" + str(cgroup.relative_to(cgroup2))
    stream = agent.capture(pb.CaptureRequest(selection=pb.Selection(cgroup=path), phases="exec"))
    assert next(stream).WhichOneof("event") == "started"
    assert Member(cgroup, built_programs["five"]).wait() == 0
    cgroup.rmdir()
    snapshot = next(each.snapshot for each in stream if each.snapshot.final)
    record = wire.from_message(snapshot.record)
    assert [each.identity.name for each in record.observations] == [ID]
    assert_judged(record, capsys, losses={"identity_unknown": 1})
