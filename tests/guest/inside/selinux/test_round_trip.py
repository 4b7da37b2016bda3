"""What was recorded in a permissive type runs in an enforcing one that was made of it; needs SELinux.

The system enforces all the time, as nodes do: only the type that records is permissive.
"""

import contextlib
import io
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from recorder.agent.denial_opener import opener
from recorder.agent.denials import Denials
from recorder.cli.main import main
from recorder.kernel.denials_spec import DenialBounds
from recorder.model import wire
from recorder.model.record import Identity, Observation, Record, Source
from tests.guest.inside.accesses.workloads import WORKLOADS, Workload
from tests.guest.inside.selinux import policy
from tests.guest.inside.selinux.contained import run
from tests.truth import oci, selinux_object
from tests.truth.audit_avc import AvcReader

_PEERS = """\
import os, signal, socket
parent, child = socket.socketpair()
server = socket.socket(socket.AF_UNIX)
server.bind('/tmp/peers')
server.listen()
process = os.fork()
if not process:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as words, socket.socket(socket.AF_UNIX) as stream:
        stream.connect('/tmp/peers')
        stream.sendall(b'ready')
        words.bind('\\0peers')
        child.send(b'bound')
        assert words.recv(5) == b'words'
        child.send(b'heard')
    signal.pause()
accepted = server.accept()[0]
assert accepted.recv(5) == b'ready' and parent.recv(5) == b'bound'
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as words:
    words.sendto(b'words', '\\0peers')
assert parent.recv(5) == b'heard'
os.kill(process, signal.SIGSTOP)
os.waitpid(process, os.WUNTRACED)
os.kill(process, 0)
os.kill(process, signal.SIGCONT)
os.kill(process, signal.SIGTERM)
assert os.waitpid(process, 0)[1] == signal.SIGTERM
os.unlink('/tmp/peers')
"""
FIVE = {
    **{name: WORKLOADS[name] for name in ("nginx", "redis", "service", "pipeline")},
    "peers": Workload("exec python3 -SE /srv/peers.py", (("/srv/peers.py", _PEERS),)),
}
# The same to record and to enforce: what a program's standard input is differs between them.
RUNTIMES = {name: ("runc", "crun")[place % 2] for place, name in enumerate(FIVE)}
NEXT = "pipeline"
RECORDING = "recording.process"
ALLOWED = re.compile(r"\(allow process (\S+) \((\S+) \(([^)]*)\)\)\)")


@dataclass(slots=True)
class Trip:
    """A folder with NAME.record, NAME.cil and NAME.yaml for each workload."""

    folder: Path
    denials: Denials
    said: dict[str, str] = field(default_factory=dict)

    def record(self, name: str, workload: Workload, kind: str, runtime: str) -> int:
        """Writes the record of a container, and returns the container's status."""
        watched = []

        def begun(cgroup: Path) -> None:
            watched.append(cgroup.stat().st_ino)
            self.denials.begin(watched[0])

        ended = run(self.folder, runtime, workload, kind, begun=begun)
        self.keep(name, watched[0])
        return ended.status

    def keep(self, name: str, cgroup_id: int) -> None:
        """Writes the record of what a cgroup was denied, which ends."""
        self.denials.drop([cgroup_id])
        denied = self.denials.of(cgroup_id)
        self.denials.release(cgroup_id)
        assert denied.denials
        assert dict(denied.ledger.counts) == {}
        observation = Observation(
            Source("node", "boot", cgroup_id, 1), identity=Identity(name), denials=denied.denials
        )
        (self.folder / f"{name}.record").write_text(wire.to_json(Record((observation,))))

    def profile(self, name: str) -> None:
        """Writes both profiles of a record, and keeps what was said on stderr."""
        for kind, ending in (("cil", "cil"), ("selinux", "yaml")):
            words = ["-f", kind, "--name", name, "-o", str(self.folder / f"{name}.{ending}")]
            with contextlib.redirect_stderr(io.StringIO()) as said:
                status = main(["profile", *words, str(self.folder / f"{name}.record")])
            assert status == 0, said.getvalue()
            self.said[name] = said.getvalue()

    def document(self, name: str) -> dict:
        """The SelinuxProfile object."""
        return yaml.safe_load((self.folder / f"{name}.yaml").read_text())

    def rules(self, name: str) -> set[selinux_object.Rule]:
        """What its CIL allows, one by one."""
        return {
            ("@self" if target == "process" else target, object_class, permission)
            for target, object_class, permissions in ALLOWED.findall(
                (self.folder / f"{name}.cil").read_text()
            )
            for permission in permissions.split()
        }


def object_of(name: str) -> str:
    """The block that an installer makes of the object."""
    return f"{name}_object"


@pytest.fixture(scope="module")
def trip(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Iterator[Trip]:
    """All five recorded, in one type, and their profiles loaded."""
    folder = tmp_path_factory.mktemp("trip")
    denials = Denials(opener(DenialBounds(), "lsm"), needed=True)
    denials.look(True)
    with contextlib.closing(denials):
        made = Trip(folder, denials)
        blocks = []
        for name, workload in FIVE.items():
            assert made.record(name, workload, RECORDING, RUNTIMES[name]) == 0, name
            made.profile(name)
            blocks.append(folder / f"{name}.cil")
            with contextlib.suppress(selinux_object.RefusedError):
                blocks.append(folder / f"{object_of(name)}.cil")
                blocks[-1].write_text(selinux_object.installed(made.document(name), object_of(name)))
        policy.load(policy.compiled(folder, base, blocks))
        yield made


def within(trip: Trip, name: str, block: str) -> None:
    """The workload does all that it did, and what it did not is denied to it."""
    outside = f"outside-{uuid.uuid4().hex}"
    text = f"({FIVE[name].text}); status=$?; read line </{outside} && exit 99; exit $status"
    kind = f"{block}.process"
    with AvcReader() as reader:
        ended = run(trip.folder, RUNTIMES[name], FIVE[name], kind, outside=outside, text=text)
        denied = [each.text for each in reader.until(outside.encode()) if f":{kind}:".encode() in each.text]
    assert (ended.status, denied) == (0, []), f"{ended}\n{(trip.folder / f'{block}.cil').read_text()}"


@pytest.mark.parametrize("name", FIVE)
def test_a_workload_runs_enforced_under_the_cil_that_was_made_of_it(trip, name):
    """Without an AVC, though it was recorded once, and others before it in the same type."""
    within(trip, name, name)


@pytest.mark.parametrize("name", FIVE)
def test_an_object_is_what_the_installer_takes(trip, name):
    """What it refuses is left out and listed, each permission; a workload that needs none of it runs."""
    document = trip.document(name)
    refused = {rule for rule in trip.rules(name) if selinux_object.refused(rule)}
    assert set(selinux_object.rules_of(document)) == trip.rules(name) - refused
    listed = document["metadata"]["annotations"].get("recorder.x-k8s.io/needs-a-human", "")
    told = re.findall(r"^(\S+) (\S+) \{ ([^}]*) \}", listed, re.MULTILINE)
    assert {(target, kind, each) for target, kind, words in told for each in words.split()} == refused
    if not refused:
        within(trip, name, object_of(name))


@pytest.fixture
def watched_root(trip: Trip) -> Iterator[None]:
    """The cgroup below which containers are: new ones are found there by their first denial."""
    parent = oci.Layout.detect().cgroup2 / oci.PARENT.lstrip("/")
    keeper = parent / f"keeper-{uuid.uuid4().hex}"  # who removes an empty parent removes what is watched
    keeper.mkdir(parents=True)
    number = parent.stat().st_ino
    trip.denials.roots([number])
    yield
    trip.denials.drop([number])
    trip.denials.release(number)
    keeper.rmdir()


@pytest.mark.usefixtures("watched_root")
def test_containers_that_are_found_by_their_first_denial(trip):
    """Each has all that the workload needs: when one ends, SELinux is made to report it all again."""
    for name in ("one", "next"):
        numbers: list[int] = []
        ended = run(
            trip.folder,
            RUNTIMES[NEXT],
            FIVE[NEXT],
            RECORDING,
            begun=lambda cgroup, numbers=numbers: numbers.append(cgroup.stat().st_ino),
        )
        assert ended.status == 0
        trip.keep(name, *numbers)
        trip.profile(name)
        assert trip.rules(name) == trip.rules(NEXT)


def test_what_was_recorded_in_an_enforcing_type_is_lossy(trip):
    """With the cause, on stderr and in the object: another's profile stopped it halfway."""
    assert trip.record("strict", FIVE["service"], "pipeline.process", "runc") != 0
    trip.profile("strict")
    annotations = trip.document("strict")["metadata"]["annotations"]
    assert annotations["recorder.x-k8s.io/verdict"].startswith("lossy: domain_enforcing ")
    assert "domain_enforcing" in trip.said["strict"]
    assert "seLinuxOptions.type" in trip.said["strict"]
    assert trip.rules("strict") < trip.rules("service") | trip.rules("pipeline")
    assert "lossy" not in trip.said["service"]
