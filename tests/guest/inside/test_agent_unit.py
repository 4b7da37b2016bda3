"""The agent with systemd: a capture of a unit that is still to come, and of one over the agent's death."""

import subprocess
import time

import pytest

from recorder.model import wire
from recorder.rpc.v1 import agent_pb2 as pb
from tests.agent.observed import problems, workload
from tests.agent.process import agent_process
from tests.guest.inside import SECONDS
from tests.truth.programs import EXEC, EXPECTED

UNIT = "recorder-agent-unit.service"
FIVE = EXPECTED["five"] | EXEC


@pytest.fixture
def agent(tmp_path, bpffs):
    with agent_process(tmp_path / "agent", bpffs) as made:
        yield made.start()
        made.kill()
        made.run("--remove")


def begin(agent):
    stream = agent.capture(pb.CaptureRequest(selection=pb.Selection(unit=UNIT), capture_id="it"))
    assert next(stream).WhichOneof("event") == "started"
    return stream


def run_unit(*words):
    command = ["systemd-run", "--quiet", f"--unit={UNIT}", *map(str, words)]
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True, timeout=SECONDS)


def last(stream):
    snapshot = next(each.snapshot for each in stream if each.snapshot.final)
    (observation,) = wire.from_message(snapshot.record).observations
    return observation


def test_a_unit_that_is_still_to_come(agent, built_programs):
    """From its first call; what systemd does before the program is set-up."""
    stream = begin(agent)
    run_unit("--wait", built_programs["five"])
    observation = last(stream)
    assert observation.identity.name == UNIT
    assert problems(observation, FIVE) == []


def test_a_unit_over_the_agents_death(agent, built_programs):
    """It begins while one agent lives, and ends while none does."""
    begin(agent)
    run_unit("sh", "-c", f"sleep 5; exec {built_programs['five']}")
    agent.wait_for(lambda status: any(each.recorded for each in status.captures))
    agent.kill()
    active = ["systemctl", "--quiet", "is-active", UNIT]
    while subprocess.run(active, check=False, timeout=SECONDS).returncode == 0:
        time.sleep(0.2)
    observation = last(begin(agent.start()))
    assert workload(observation) >= FIVE
    assert observation.ledger.losses() == {}
