"""`recorder containers` and `recorder status`: columns, JSON, and texts that are data."""

import json
import os
import pty
import subprocess

import pytest
from google.protobuf import json_format

from recorder.cli import agent_status
from recorder.model.record import ContainerKind, Identity, Pod
from recorder.model.wire import to_identity
from recorder.record.v1 import record_pb2
from recorder.rpc.v1 import agent_pb2 as pb
from tests.cli.fake_agent import fake_agent

ID = "0123456789abcdef" * 4
HOSTILE = "\x1b[2Jred\u202e\n"


@pytest.fixture
def agent(tmp_path):
    with fake_agent(tmp_path) as made:
        made.containers = CONTAINERS
        made.status = STATUS
        yield made


CONTAINERS = pb.ListContainersResponse(
    containers=[
        pb.ContainerStatus(
            identity=to_identity(
                Identity(
                    name="nginx",
                    container_id=ID,
                    kind=ContainerKind.INIT,
                    pod=Pod("shop", "web-1"),
                    image="nginx:1.27",
                    labels={"app": HOSTILE},
                )
            ),
            pid=17,
            cgroup_id=1 << 60,
            recorded=True,
            runtime="runc",
            runtime_version="1.1.5",
        ),
        pb.ContainerStatus(
            identity=to_identity(Identity(name=HOSTILE, container_id=HOSTILE, image=HOSTILE)),
            not_recordable=f"kata {HOSTILE}",
            runtime=HOSTILE,
        ),
        pb.ContainerStatus(
            identity=to_identity(Identity(cgroup_path="/docker/x")), ended=True, recorded=True
        ),
    ]
)

STATUS = pb.GetStatusResponse(
    node="node-1",
    recorder_version="0.1.0",
    kernel_release="6.1.0",
    machine="x86_64",
    loader="libbpf",
    attached=True,
    bounds=[pb.Bound(name="slots", limit=512, used=3, refused=1, unit="targets")],
    ledger=[
        record_pb2.LedgerEntry(cause="slots_full", count=4),
        record_pb2.LedgerEntry(cause="of_later", count=1),
    ],
    captures=[
        pb.CaptureStatus(capture_id="abc", selection=f"container {HOSTILE}", recorded=1, connected=True)
    ],
    plan=pb.PlanStatus(revision="17", recordings=2),
    runtimes=[
        pb.RuntimeStatus(name="containerd", version="1.6.20", endpoint="/run/c.sock", reachable=True),
        pb.RuntimeStatus(name="docker", endpoint="/run/d.sock", problem="refused"),
    ],
    kinds=[pb.KIND_SYSCALLS, pb.KIND_DENIALS],
    problems=[
        pb.KindProblem(kind=pb.KIND_DENIALS, problem="no kprobes"),
        pb.KindProblem(kind=pb.KIND_ACCESSES, problem=f"the kernel cannot {HOSTILE}"),
    ],
    modules=[
        pb.SecurityModule(name="capability"),
        pb.SecurityModule(name="selinux", mode="permissive"),
        pb.SecurityModule(name=HOSTILE),
    ],
    uplink=pb.UplinkStatus(collector="c:7443", unacknowledged=5, spool_bytes=3 << 20, problem="UNAVAILABLE"),
)


def test_containers_are_columns(recorder_cli, agent):
    """One line each, all columns of each line there, so that programs can split them."""
    done = recorder_cli.run("containers", "--agent", agent.address)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode().splitlines()
    assert lines[0].split() == ["CONTAINER", "KIND", "ID", "PID", "STATE", "IMAGE", "RUNTIME"]
    assert lines[1].split() == [
        *("shop/web-1/nginx", "init", ID[:12], "17", "recorded", "nginx:1.27", "runc", "1.1.5"),
    ]
    assert r"not recordable: kata \x1b[2Jred\u202e\x0a" in lines[2]
    assert lines[3].split() == ["/docker/x", "-", "-", "-", "recorded,", "ended", "-", "-"]
    assert len(lines) == 4


def test_status_says_bounds_losses_captures_runtimes_and_the_collector(recorder_cli, agent):
    done = recorder_cli.run("status", "--agent", agent.address)
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode()
    lines = [line.split() for line in text.splitlines()]
    assert ["node:", "node-1"] in lines
    assert ["slots", "512", "3", "1", "targets"] in lines
    assert ["slots_full", "4", "loss"] in [line[:3] for line in lines]
    assert ["of_later", "1", "loss"] in [line[:3] for line in lines]
    assert ["docker", "-", "/run/d.sock", "not", "reachable:", "refused"] in lines
    assert "collector: c:7443, not connected: UNAVAILABLE; 5 unacknowledged, spool 3.0 MiB" in text
    assert "plan: 2 recordings, revision 17" in text
    assert "records: syscalls, denials\nproblem, denials: no kprobes\n" in text
    assert r"problem, accesses: the kernel cannot \x1b[2Jred" in text
    assert r"security modules: capability, selinux (permissive), \x1b[2Jred\u202e\x0a" in text
    assert r"abc      container \x1b[2Jred\u202e\x0a  1         connected" in text


def test_the_status_of_an_enrolled_agents_certificate():
    """None yet; until when; and why it is not renewed while all else still works."""
    found = []
    for ends, problem in ((0, "not there"), (1_800_000_000, ""), (1_800_000_000, "refused \x1b[2J")):
        uplink = pb.UplinkStatus(
            collector="c:1", connected=bool(ends), certificate_ends=ends, problem=problem
        )
        found += [
            each for each in agent_status.lines_of(pb.GetStatusResponse(uplink=uplink)) if "cert" in each
        ]
    assert found == [
        "certificate: none yet",
        "certificate: until 2027-01-15 08:00:00 UTC",
        "certificate: until 2027-01-15 08:00:00 UTC; refused \\x1b[2J",
    ]


def test_an_empty_agent_has_no_tables(recorder_cli, agent):
    """Nothing recorded, nothing lost: lines alone."""
    agent.status = pb.GetStatusResponse(node="n")
    done = recorder_cli.run("status", "--agent", agent.address)
    assert "attached: no, nothing is recorded\n" in done.stdout.decode()
    assert "collector: none is configured\n" in done.stdout.decode()
    assert "BOUND" not in done.stdout.decode()


@pytest.mark.parametrize(("command", "message"), [("containers", CONTAINERS), ("status", STATUS)])
def test_json_is_the_message(recorder_cli, agent, command, message):
    """Every field, also those that are empty; read by any implementation of the mapping; ASCII; stable."""
    done = recorder_cli.run(command, "--json", "--agent", agent.address)
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
    assert all(byte >= 0x20 or byte == 0x0A for byte in done.stdout)
    assert json_format.Parse(done.stdout, type(message)()) == message
    assert done.stdout == recorder_cli.run(command, "--json", "--agent", agent.address).stdout
    mapping = json.loads(done.stdout)
    if command == "containers":
        assert mapping["containers"][1]["pid"] == 0
        assert mapping["containers"][0]["cgroupId"] == str(1 << 60)


@pytest.mark.parametrize("command", ["containers", "status"])
def test_texts_of_containers_are_data(recorder_cli, agent, command):
    """Nothing that a terminal obeys, in columns and on a terminal."""
    done = recorder_cli.run(command, "--agent", agent.address)
    assert all(each.isprintable() or each == "\n" for each in done.stdout.decode())
    main, side = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    with subprocess.Popen(
        [*recorder_cli.words, command, "--agent", agent.address], stdout=side, stderr=side, env=environment
    ) as running:
        os.close(side)
        written = b""
        while data := _read(main):
            written += data
        assert running.wait(60) == 0
    os.close(main)
    text = written.decode()
    assert "\x1b[2J" not in text
    assert "\u202e" not in text
    assert r"\x1b[2Jred" in text


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # EIO: nobody has it open any more
        return b""


@pytest.mark.parametrize("command", ["containers", "status"])
def test_without_an_agent_the_status_is_3(recorder_cli, tmp_path, command):
    """And 2 for a wrong command line."""
    done = recorder_cli.run(command, "--agent", f"unix:{tmp_path}/none")
    assert done.returncode == 3
    assert b"recorder: UNREACHABLE: no agent is running" in done.stderr
    assert done.stdout == b""
    assert recorder_cli.run(command, "--agent", "nowhere").returncode == 2
