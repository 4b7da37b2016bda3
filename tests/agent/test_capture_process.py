"""Captures of a process by its id: what it and its children call, also over the agent's death."""

import subprocess

import pytest

from recorder.model import wire
from recorder.model.record import Phase
from recorder.rpc.v1 import agent_pb2 as pb
from tests.agent.observed import of_phase
from tests.truth.programs import EXEC, EXPECTED

pytestmark = pytest.mark.root


@pytest.fixture
def waiting(built_programs):
    """A shell that waits for its standard input to end, then becomes the program `five`."""
    words = ["sh", "-c", f"read -r _; exec {built_programs['five']}"]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def begin(agent, pid, **more):
    stream = agent.capture(pb.CaptureRequest(selection=pb.Selection(pid=pid), **more))
    assert next(stream).WhichOneof("event") == "started"
    return stream


def last(stream):
    snapshot = next(each.snapshot for each in stream if each.snapshot.final)
    (observation,) = wire.from_message(snapshot.record).observations
    return observation


def check(observation):
    """The program's own calls, the read that the shell was in, and that it is late."""
    seen = of_phase(observation, Phase.WORKLOAD)
    assert seen >= EXPECTED["five"] | EXEC
    assert {"read"} <= {str(call) for call in seen}
    assert observation.ledger.losses() == {"attached_late": 1}
    assert observation.provenance.phases == "task"


def test_a_process_to_its_end(agent, waiting):
    stream = begin(agent.start(), waiting.pid)
    waiting.stdin.close()
    check(last(stream))
    agent.wait_for(lambda status: not status.attached)
    assert agent.terminate() == 0
    assert agent.left() == []


def test_over_the_agents_death(agent, waiting):
    """What it calls while no agent lives is there all the same."""
    begin(agent.start(), waiting.pid, capture_id="it")
    agent.kill()
    waiting.stdin.close()
    waiting.wait(30)
    check(last(begin(agent.start(), waiting.pid, capture_id="it")))
    assert agent.terminate() == 0
    assert agent.left() == []


def test_two_captures_of_a_process_end_each_on_its_own(agent, waiting):
    first = begin(agent.start(), waiting.pid, capture_id="first")
    second = begin(agent, waiting.pid, capture_id="second")
    request = pb.CaptureRequest(selection=pb.Selection(pid=waiting.pid), capture_id="first")
    request.duration.FromMilliseconds(1)
    first.cancel()
    over = agent.capture(request)
    assert any(each.snapshot.final for each in over)
    waiting.stdin.close()
    check(last(second))


def test_a_process_that_is_not_there(agent, waiting):
    waiting.kill()
    waiting.wait()
    with pytest.raises(Exception, match="no process"):
        begin(agent.start(), waiting.pid)
    assert not agent.status().attached


def test_first_sights_of_processes_are_bounded(agent, waiting):
    """They count against the bound of all; what finds no room is refused, and the calls are whole."""
    agent.settings += ("--memory-first-sights", "2")
    stream = begin(agent.start(), waiting.pid)
    waiting.stdin.close()
    seen = last(stream)
    check(seen)
    assert len(seen.first_sights) == 2
    agent.wait_for(lambda status: not status.attached)
    (bound,) = [each for each in agent.status().bounds if each.name == "first_sights"]
    assert (bound.used, bound.refused > 0) == (0, True)
