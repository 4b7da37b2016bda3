"""What this project writes is taken by our definitions and by SPO's, and stored as it was written."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from recorder.model.abi import Abi
from recorder.model.record import Record
from recorder.model.wire import to_json
from recorder.profiles.seccomp_profile import (
    ACTIONS,
    ARCHITECTURES,
    FLAGS,
    OPERATORS,
    Argument,
    Rule,
    SeccompProfile,
)
from recorder.profiles.seccomp_yaml import to_object
from tests.cluster.api_server import ApiServer
from tests.cluster.client import GROUP, Object
from tests.command import Command
from tests.unit.profiles.records import record

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = sorted(
    path for path in (ROOT / "deploy/seccomp").glob("*.yaml") if path.name != "kustomization.yaml"
)
RECORDS = {
    "one ABI": record({Abi.X86_64: "read write openat exit_group"}),
    "three ABIs": record({Abi.X86_64: "read", Abi.I386: "socketcall mmap2", Abi.X32: "read"}),
    "another machine": record({Abi.AARCH64: "read openat", Abi.ARM: "mmap2"}, machine="aarch64"),
    "lossy": record({Abi.X86_64: "read"}, denied={Abi.X86_64: "reboot"}, ledger={"attached_late": 2}),
}
# Every word that a profile can have: as the recorder reads and writes them.
FULL = SeccompProfile(
    name="emitted-full",
    default_action="SCMP_ACT_ERRNO",
    architectures=ARCHITECTURES,
    flags=FLAGS,
    listener_path="/var/run/security-profiles-operator/agent-1.sock",
    listener_metadata="any text",
    base_profile="runc-v1.1.5",
    state="Disabled",
    rules=(
        *(Rule((f"call_{action.lower()}",), action) for action in ACTIONS),
        Rule(("errno",), "SCMP_ACT_ERRNO", errno=0),
        Rule(("most",), "SCMP_ACT_ERRNO", errno=4095),
        *(
            Rule(
                (f"compared_{operator.lower()}",),
                "SCMP_ACT_ALLOW",
                args=(Argument(5, operator, 2**63 - 1, 2**32),),
            )
            for operator in OPERATORS
        ),
        Rule(("six",), "SCMP_ACT_ALLOW", args=tuple(Argument(index, "SCMP_CMP_EQ") for index in range(6))),
    ),
)


@pytest.fixture
def stored(server: ApiServer) -> Iterator[Callable[[Object], Object]]:
    """`stored(object)`: as the server has it after it was applied."""
    made: list[Object] = []

    def store(thing: Object) -> Object:
        made.append(thing)
        server.client.apply(thing, "profile-recorder")
        return server.client.get(thing["kind"], thing["metadata"]["name"])

    yield store
    for thing in made:
        server.client.delete(thing["kind"], thing["metadata"]["name"])


def same(stored: Object, written: Object) -> None:
    """Nothing was pruned, completed or changed."""
    assert stored["spec"] == written["spec"]
    for key in ("labels", "annotations"):
        assert stored["metadata"].get(key) == written["metadata"].get(key)


@pytest.mark.parametrize("name", RECORDS)
def test_profile_of_a_record_is_stored_as_written(
    stored: Callable[[Object], Object], recorder_cli: Command, tmp_path: Path, name: str
) -> None:
    """`recorder profile --format seccomp`, of each kind of record."""
    seen: Record = RECORDS[name]
    (tmp_path / "record.json").write_text(to_json(seen))
    said = recorder_cli.run("profile", "--name", "emitted-profile", tmp_path / "record.json")
    assert said.returncode == 0, said.stderr
    written: dict[str, Any] = yaml.safe_load(said.stdout)
    assert written["spec"]["syscalls"]
    same(stored(written), written)


@pytest.mark.parametrize("path", SHIPPED, ids=[path.name for path in SHIPPED])
def test_shipped_profiles_are_stored_as_written(stored: Callable[[Object], Object], path: Path) -> None:
    """The profiles of our own programs in deploy/seccomp."""
    written: Object = yaml.safe_load(path.read_text())
    same(stored(written), written)


def test_every_word_of_the_format_is_taken(stored: Callable[[Object], Object]) -> None:
    """Actions, architectures, flags and operators that the recorder knows are those of the definition."""
    written = to_object(FULL)
    same(stored(written), written)


def test_apparmor_profile_is_stored_as_written(stored: Callable[[Object], Object]) -> None:
    """With every list filled, and with the paths that SPO installs."""
    paths = ["/etc/**", "/usr/lib/{a,b}/*.so*", "ptrace (read),"]
    spec = {
        "state": "Disabled",
        "mode": "Complain",
        "abstract": {
            "executable": {"allowedExecutables": ["/bin/sh"], "allowedLibraries": ["/lib/ld.so"]},
            "filesystem": {"readOnlyPaths": paths, "writeOnlyPaths": ["/a"], "readWritePaths": ["/b", "/c"]},
            "network": {"allowRaw": True, "allowedProtocols": {"allowTcp": True, "allowUdp": False}},
            "capability": {"allowedCapabilities": ["chown", "net_bind_service"]},
        },
    }
    written = {
        "apiVersion": f"{GROUP}/v1",
        "kind": "AppArmorProfile",
        "metadata": {"name": "emitted-apparmor"},
        "spec": spec,
    }
    same(stored(written), written)


def test_selinux_profile_is_stored_as_written(stored: Callable[[Object], Object]) -> None:
    """With `@self` and several classes."""
    written = {
        "apiVersion": f"{GROUP}/v1",
        "kind": "SelinuxProfile",
        "metadata": {"name": "emitted-selinux"},
        "spec": {
            "state": "Disabled",
            "mode": "Permissive",
            "inherit": [{"kind": "System", "name": "container"}, {"kind": "SelinuxProfile", "name": "net"}],
            "allow": {
                "@self": {"tcp_socket": ["listen"]},
                "var_log_t": {"dir": ["open", "read"], "file": ["getattr"]},
            },
        },
    }
    same(stored(written), written)
