"""What only the client of an agent can lose: the agent itself."""

import json

from recorder.model.errors import Unreachable
from recorder.model.wire import from_json
from recorder.rpc.status import abort
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
