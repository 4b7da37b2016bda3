"""`recorder record` by --container, --pod and --unit: what is refused and how, and what it does not load."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from recorder.containers.runtime.v1 import api_pb2 as pb
from recorder.model.wire import from_json
from tests.member import Member
from tests.phases.seen import Seen
from tests.truth.programs import EXEC, EXPECTED
from tests.unit.containers.fake_cri import always, hex_id, serving
from tests.unit.containers.fake_docker import docker

NOT_LOADED = """
import sys
from recorder.cli.main import main
status = main(sys.argv[1:])
print(status, *sorted({"grpc", "asyncio", "rich"} & set(sys.modules)))
"""
FIVE = EXPECTED["five"] | EXEC
NOBODYS = os.getpid() << 224  # no container that is here has such an id


def failure(done):
    """The last line of a record that failed."""
    assert done.returncode == 125, done.stderr.decode()
    return done.stderr.decode().splitlines()[-1]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--container", "a", "--pod", "b/c"], "--container and --pod: record one of them, not both"),
        (["--unit", "a", "--cgroup", "/x"], "--cgroup and --unit: record one of them, not both"),
        (["--pod", "b/c", "--", "true"], "--pod and -- COMMAND: record one of them, not both"),
        (["--pod", "web"], "--pod: 'web' is not NAMESPACE/NAME or NAMESPACE/NAME/CONTAINER"),
        (["--container", ""], "--container: it is empty; expected is ID-OR-NAME"),
        (["--unit", "a.slice"], "--unit: a.slice is a slice of several units; record it by --cgroup"),
        (["--unit", "a.timer"], "--unit: 'a.timer' is no unit with processes"),
        (
            ["--container", "a", "--user", "nobody"],
            "--user is for a COMMAND; with --container nothing is started",
        ),
        (["--container", "a", "--kill-on-exit"], "--kill-on-exit is for a COMMAND; with --container"),
        (["--unit", "a", "--phases", "container"], "--phases container is for a --cgroup"),
        (["--unit", "a", "--runtime-endpoint", "/x"], "a --unit is systemd's"),
        (["--runtime-endpoint", "/x", "--", "true"], "--runtime-endpoint is for --container and --pod"),
        (["--container", "a", "--duration", "-1"], "--duration: -1.0 is not a number of seconds above 0"),
        (["--container", "a", "--base", "runq"], "there is no base 'runq'"),
    ],
)
def test_what_cannot_be_meant_is_refused(recorder_cli, options, says):
    """Before anything is asked or loaded, for any user, with what is wrong."""
    said = failure(recorder_cli.run("record", *options))
    assert said.startswith("recorder: USAGE: ")
    assert says in said


@pytest.mark.root
def test_containers_of_docker_that_there_are_not(recorder_cli, tmp_path):
    """An unknown name: what there is, the nearest first; a name of two: their ids; names are escaped."""

    async def body():
        async with docker(tmp_path / "docker.sock") as fake:
            for number, name in enumerate(["alpha", "web-frontend", "web-front\x1b[2J", "twin", "twin"]):
                fake.add(hex_id(number + (number << 248)), name)

            async def record(name):
                words = ("record", "--runtime-endpoint", tmp_path / "docker.sock", "--container", name)
                return failure(await asyncio.to_thread(recorder_cli.run, *words))

            said = await record("web-fronted")
            assert said.startswith("recorder: CONTAINER_NOT_FOUND: no container web-fronted, says docker at ")
            listed = said.partition("; there are ")[2]
            assert listed.startswith(f"web-frontend ({hex_id(1 + (1 << 248))[:12]}), ")
            assert r"web-front\x1b[2J" in listed
            assert "alpha" in listed
            said = await record("twin")
            ids = [hex_id(number + (number << 248))[:12] for number in (3, 4)]
            assert said == (
                "recorder: USAGE: --container: twin is the name of several, choose one by its id: "
                f"twin ({ids[0]}), twin ({ids[1]})"
            )

    asyncio.run(body())


@pytest.mark.root
def test_pods_of_a_runtime_that_there_are_not(recorder_cli, tmp_path):
    """Unknown, of a virtual machine, of nobody's here; or the runtime does not answer."""

    async def body():
        socket = tmp_path / "cri.sock"

        async def record(*words):
            done = await asyncio.to_thread(
                recorder_cli.run, "record", "--runtime-endpoint", socket, *words, "--duration", "5"
            )
            return failure(done)

        async with serving(socket) as fake:
            assert "nothing runs, says cri at" in await record("--pod", "shop/web")
            fake.add_container(NOBODYS + 2, fake.add_sandbox(NOBODYS + 1, "web-0", "shop"), "app")
            sandbox = fake.add_sandbox(NOBODYS + 3, "web-1", "shop", handler="kata-qemu")
            virtual = fake.add_container(NOBODYS + 4, sandbox, "app")
            said = await record("--pod", "shop/web")
            assert said.startswith("recorder: CONTAINER_NOT_FOUND: no pod shop/web, says cri at ")
            assert sorted(said.partition("; there are ")[2].split(", ")) == ["shop/web-0", "shop/web-1"]
            said = await record("--container", "app")
            assert said.startswith("recorder: USAGE: --container: app is the name of several")
            assert "shop/web-0/app" in said
            said = await record("--pod", "shop/web-1")
            assert said.startswith("recorder: NOT_RECORDABLE: ")
            assert "kata-qemu" in said
            assert "kata-qemu" in await record("--container", virtual)
            assert (await record("--pod", "shop/web-0")).startswith("recorder: CGROUP_NOT_FOUND: ")
            fake.replies["ListContainers"] = always(b"\xff nonsense")
            assert (await record("--pod", "shop/web-0")).startswith("recorder: RUNTIME_UNREACHABLE: ")
        assert (await record("--pod", "shop/web-0")).startswith("recorder: RUNTIME_UNREACHABLE: ")

    asyncio.run(body())


@pytest.mark.root
def test_a_container_that_goes_before_it_runs(recorder_cli, tmp_path):
    """It is made and not started: the recording waits for it, and ends with an error when it is gone."""

    async def body():
        socket = tmp_path / "cri.sock"
        async with serving(socket) as fake:
            sandbox = fake.add_sandbox(NOBODYS + 1, "web", "shop")
            made = fake.add_container(NOBODYS + 2, sandbox, "app", state=pb.CONTAINER_CREATED)
            fake.pids.clear()
            with recorder_cli.started("record", "--runtime-endpoint", socket, "--container", made) as process:
                said = []
                while not said or b"it is recorded from its first call on" not in said[-1]:
                    said.append(await asyncio.to_thread(process.stderr.readline))
                    assert said[-1], said
                del fake.containers[made]
                fake.tell()
                _, rest = await asyncio.to_thread(process.communicate, timeout=30)
                assert process.returncode == 125
                assert rest.decode().startswith("recorder: CONTAINER_NOT_FOUND: nothing of container ")

    asyncio.run(body())


@pytest.mark.root
def test_a_command_loads_nothing_of_it():
    """`record -- COMMAND` imports neither gRPC nor an event loop nor what draws tables."""
    words = [sys.executable, "-c", NOT_LOADED, "record", "-f", "names", "-o", "/dev/null", "--", "true"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["0"], done.stderr


@pytest.mark.root
def test_grpc_is_loaded_for_a_cri_runtime_alone(tmp_path):
    """Docker is asked without it."""

    async def body():
        async with docker(tmp_path / "docker.sock"), serving(tmp_path / "cri.sock"):
            for name, expected in (("docker.sock", []), ("cri.sock", ["grpc"])):
                words = [sys.executable, "-c", NOT_LOADED, "record", "--container", "none"]
                words += ["--runtime-endpoint", str(tmp_path / name)]
                done = await asyncio.to_thread(
                    subprocess.run, words, capture_output=True, text=True, timeout=60, check=False
                )
                status, *loaded = done.stdout.split()
                assert (status, loaded) == ("125", ["asyncio", *expected]), done.stderr

    asyncio.run(body())


@pytest.fixture
def unit_cgroup(cgroup2, scratch_cgroup):
    """`unit_cgroup(name)` makes one where systemd would, for a test."""
    path = cgroup2 / "system.slice"
    if not path.is_dir():
        scratch_cgroup("system.slice", cgroup2)
    return lambda name: scratch_cgroup(name, path)


@pytest.fixture
def recording(recorder_cli, tmp_path):
    """`recording(OPTION...)`: a recording that has begun."""

    def begin(*options):
        started = recorder_cli.started("record", "-f", "record", "-o", tmp_path / "record.json", *options)
        process = started.__enter__()
        entered.append(started)
        said = [b""]
        while not said[-1].startswith(b"recorder: recording "):
            said.append(process.stderr.readline())
            assert said[-1], said
        return process

    entered = []
    yield begin
    for each in entered:
        each.__exit__(None, None, None)


@pytest.mark.root
@pytest.mark.parametrize("loader", ["libbpf", "bcc"])
def test_a_unit_from_its_first_call(recording, unit_cgroup, built_programs, tmp_path, loader):
    """Its cgroup comes while it is waited for, beside others whose names begin so; the end is the unit's."""
    process = recording("--unit", "recorder-test-unit", "--loader", loader)
    for name in ("recorder-test-unit-other.service", "recorder-test-unit.service"):
        unit = unit_cgroup(name)
        program = "five" if name == "recorder-test-unit.service" else "brief"
        with Member(unit, built_programs[program]) as member:
            assert member.wait() == 0
    unit.rmdir()
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said
    record = from_json((tmp_path / "record.json").read_text())
    assert Seen.of_record(record).problems(FIVE) == []
    (observation,) = record.observations
    assert observation.identity.name == "recorder-test-unit.service"
    assert observation.identity.cgroup_path == "/system.slice/recorder-test-unit.service"
    assert (observation.provenance.phases, observation.provenance.loader) == ("exec", loader)


@pytest.mark.root
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_unit_that_never_comes(recording, tmp_path, number):
    """Ctrl-C and SIGTERM end the waiting; nothing is written."""
    process = recording("--unit", "recorder-test-never")
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert failure(subprocess.CompletedProcess([], process.returncode, b"", said)) == (
        "recorder: INTERRUPTED: nothing of unit recorder-test-never.service ran while it was recorded: "
        "there is no result"
    )
    assert not (tmp_path / "record.json").exists()
