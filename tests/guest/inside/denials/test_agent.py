"""AppArmor's denials by the agent, over its death, and by `recorder record`; needs AppArmor and kprobes."""

import json
import re
from pathlib import Path

import pytest

from recorder.agent.budget import BASE_BYTES, DENIALS_BASE
from recorder.model import wire
from recorder.model.denial import Verdict
from recorder.rpc.v1 import agent_pb2 as pb
from tests.agent.process import agent_process
from tests.guest.inside.denials.confined import CGROUPS, confined, new_cgroup, profiles

STARTING = 180.0
"""Seconds: two objects are loaded, and verified, in emulation."""


@pytest.fixture
def agent(tmp_path, bpffs):
    with agent_process(tmp_path / "agent", bpffs, "--denials", "auto") as made:
        yield made


def begin(agent, cgroup):
    """The capture's stream: always the same one."""
    path = f"/{cgroup.relative_to(CGROUPS)}"
    request = pb.CaptureRequest(selection=pb.Selection(cgroup=path), kinds=[pb.KIND_DENIALS], capture_id="it")
    stream = agent.capture(request)
    assert next(stream).WhichOneof("event") == "started"
    return stream


def observations(stream):
    for message in stream:
        yield from wire.from_message(message.snapshot.record).observations


def opened(observation):
    """Names of files that were denied to the program by its profile, with how often."""
    return {
        key.details.name.content.decode(): count.count
        for key, count in observation.denials.items()
        if key.verdict == Verdict.DENIED and key.details.operation == "open"
    }


def resident(agent):
    """Bytes that are in memory now."""
    status = Path(f"/proc/{agent.process.pid}/status").read_text()
    return int(re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)[1]) << 10


def test_denials_over_the_agents_death(agent, tmp_path):
    """Each is there with its number: seen by one agent, by none, by the next; secrets are not."""
    before, between, after = (tmp_path / name for name in ("before", "between", "token=hunter2"))
    for path in (before, between, after):
        path.write_text("")
    with profiles({"the-agents": ""}), new_cgroup() as cgroup:

        def deny(path, times):
            run = confined(tmp_path / f"of-{path.name}", "the-agents", cgroup, str(path), times)
            with run as one:
                one.go()
                one.wait_done()

        stream = begin(agent.start(STARTING), cgroup)
        deny(before, 3)
        seen = next(each for each in observations(stream) if opened(each).get(str(before)) == 3)
        assert seen.provenance.denials == "seccomp sys_exit, apparmor lsm"
        assert resident(agent) <= BASE_BYTES + DENIALS_BASE
        agent.kill()
        deny(between, 2)
        stream = begin(agent.start(STARTING), cgroup)
        deny(after, 1)
        request = pb.CaptureRequest(
            selection=pb.Selection(cgroup=f"/{cgroup.relative_to(CGROUPS)}"),
            kinds=[pb.KIND_DENIALS],
            capture_id="it",
        )
        request.duration.FromMilliseconds(1)
        stream.cancel()
        *_, last = observations(agent.capture(request))
    names = opened(last)
    assert {str(before): 3, str(between): 2, str(tmp_path / "token={secret}"): 1}.items() <= names.items()
    assert str(after) not in names
    assert all(key.details.profile.content == b"the-agents" for key in last.denials)
    assert last.ledger.counts.keys() & {"denials_unwatched", "denials_late", "denials_missed"} == set()
    assert last.ledger.counts["secret_replaced"] == 1
    assert last.ledger.verdict.complete
    agent.wait_for(lambda status: not status.attached)
    assert list((agent.pins / "denials" / "links").iterdir()) == []
    assert agent.terminate() == 0
    assert agent.left() == []


def test_a_command_that_would_have_been_denied(recorder_cli, tmp_path):
    """In complain mode, with --raw-paths: in the record and in the summary, and in no profile."""
    file = tmp_path / "password=swordfish"
    file.write_text("")
    script = 'echo "exec complaining" >/proc/self/attr/apparmor/exec && exec cat "$0"'
    with profiles({"complaining": "flags=(complain)"}):
        done = recorder_cli.run(
            *("record", "--kind", "denials", "--raw-paths", "-f", "record", "-o", tmp_path / "record"),
            *("--", "sh", "-c", script, file),
        )
    assert done.returncode == 0, done.stderr
    (seen,) = wire.from_json((tmp_path / "record").read_text()).observations
    allowed = {
        (key.details.name.content.decode(), key.details.requested)
        for key in seen.denials
        if key.verdict == Verdict.ALLOWED and key.details.operation == "open"
    }
    assert (str(file), ("read",)) in {(name, tuple(set(asked) & {"read"})) for name, asked in allowed}
    assert {key.details.profile.content for key in seen.denials} == {b"complaining"}
    assert seen.provenance.denials == "seccomp sys_exit, apparmor lsm"
    assert dict(seen.ledger.notes()) == {}
    assert b"denials looked for: seccomp sys_exit, apparmor lsm" in done.stderr
    assert b"apparmor allowed open" in done.stderr
    assert "denials" in json.loads((tmp_path / "record").read_text())["observations"][0]
