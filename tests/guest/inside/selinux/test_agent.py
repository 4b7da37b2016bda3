"""SELinux's denials by the agent, over its death, to a profile; on a system that enforces."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from recorder.cli.main import main
from recorder.model import wire
from recorder.model.denial import Verdict
from recorder.model.record import Record
from recorder.rpc.v1 import agent_pb2 as pb
from tests.agent.process import agent_process
from tests.guest.inside.denials.confined import CGROUPS, new_cgroup
from tests.guest.inside.selinux.policy import OTHERS

STARTING = 180.0
"""Seconds: two objects are loaded, and verified, in emulation."""
READ = 'echo $$ >"$0/cgroup.procs" && exec runcon system_u:system_r:recording.process:s0 cat "$1"'
ALLOWED = re.compile(r"\(allow process (recorder_\w+) \(file \(([^)]*)\)\)\)")


@pytest.fixture
def agent(tmp_path, bpffs, base):
    with agent_process(tmp_path / "agent", bpffs, "--denials", "auto") as made:
        yield made


def capture(agent, cgroup, milliseconds=0):
    """Always the same one; without a time it goes on."""
    request = pb.CaptureRequest(
        selection=pb.Selection(cgroup=f"/{cgroup.relative_to(CGROUPS)}"),
        kinds=[pb.KIND_DENIALS],
        capture_id="it",
    )
    if milliseconds:
        request.duration.FromMilliseconds(milliseconds)
    return agent.capture(request)


def observations(stream):
    for message in stream:
        yield from wire.from_message(message.snapshot.record).observations


def targets(observation):
    """The types of files that were opened, and would have been denied."""
    return {
        key.details.target.content.split(b":")[2].decode()
        for key in observation.denials
        if key.verdict == Verdict.ALLOWED and "open" in key.details.permissions
    }


def test_denials_over_the_agents_death(agent, tmp_path):
    """Each is in the profile: seen by one agent, by none, by the next; nothing of it was missed."""
    files: dict[str, Path] = {}
    for kind in OTHERS:
        files[kind] = tmp_path / kind
        files[kind].write_text("")
        os.setxattr(files[kind], "security.selinux", f"system_u:object_r:{kind}:s0".encode())
    before, between, after = OTHERS
    with new_cgroup() as cgroup:

        def read(kind):
            subprocess.run(["sh", "-c", READ, cgroup, files[kind]], check=True, timeout=120)

        read(before)  # so that SELinux has reported it, to nobody
        stream = capture(agent.start(STARTING), cgroup)
        assert next(stream).WhichOneof("event") == "started"
        read(before)
        seen = next(each for each in observations(stream) if before in targets(each))
        assert seen.provenance.denials == "seccomp sys_exit, selinux lsm"
        agent.kill()
        read(between)
        stream = capture(agent.start(STARTING), cgroup)
        assert next(stream).WhichOneof("event") == "started"
        read(after)
        stream.cancel()
        *_, last = observations(capture(agent, cgroup, 1))
    assert set(OTHERS) <= targets(last)
    assert dict(last.ledger.notes()) == {}
    assert last.ledger.verdict.complete
    agent.wait_for(lambda status: not status.attached)
    assert agent.terminate() == 0
    assert agent.left() == []
    record, profile = tmp_path / "record", tmp_path / "profile"
    record.write_text(wire.to_json(Record((last,))))
    assert main(["profile", "-f", "cil", "--name", "it", "-o", str(profile), str(record)]) == 0
    allowed = dict(ALLOWED.findall(profile.read_text()))
    assert allowed.keys() == set(OTHERS)
    assert all({"open", "read"} <= set(names.split()) for names in allowed.values())
