"""The overlay without privileged, for real: a container with just what its manifest gives records exactly."""

import contextlib
import json
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.agent.secured import free_ports
from tests.deploy.build.recipe import NAME, Recipes
from tests.deploy.rendered import DEPLOY, Everything
from tests.guest.cache import Artefact
from tests.truth.programs import EXEC, EXPECTED

pytestmark = pytest.mark.root
WAIT = 60.0
OURS = ("/sys/fs/bpf", "/run/recorder", "/var/lib/recorder/spool")
"""Where the pod has folders of the node that it writes to."""


class Container:
    """A container of podman's that runs the agent."""

    def __init__(self, podman: tuple[str, ...], name: str) -> None:
        self.podman = podman
        self.name = name

    def words(self, *words: str) -> list[str]:
        """podman's, for a command in it."""
        return [*self.podman, "exec", self.name, *words]

    def until_it_records(self) -> None:
        """Until it says that a slot is taken, and that programs are attached."""
        deadline = time.monotonic() + WAIT
        while time.monotonic() < deadline:
            said = subprocess.run(self.words("recorder", "status", "--json"), check=True, capture_output=True)
            status = json.loads(said.stdout)
            (slots,) = (each for each in status["bounds"] if each["name"] == "slots")
            if int(slots["used"]) and status["attached"]:
                return
        raise AssertionError(self.log())

    def log(self) -> str:
        """What it said."""
        done = subprocess.run([*self.podman, "logs", self.name], check=False, capture_output=True, text=True)
        return done.stdout + done.stderr


@pytest.fixture
def agent(
    recipes: Recipes, image: Artefact, everything: Everything, bpffs: Path, tmp_path: Path
) -> Iterator[Container]:
    """As the overlay's DaemonSet has it, but for the collector, and with the node's network."""
    (manifest,) = dict(everything["overlays/capabilities"].pods())["recorder-agent"]["containers"]
    may = manifest["securityContext"]
    assert may["seccompProfile"]["localhostProfile"].endswith("/agent.json")
    (port,) = free_ports(1)
    folders = {path: tmp_path / path.strip("/").replace("/", "-") for path in OURS}
    folders["/sys/fs/bpf"] = bpffs
    for each in folders.values():
        each.mkdir(exist_ok=True)
    options = [
        *("--read-only", "--pid=host", "--network=host", "--runtime=runc"),
        f"--user={may['runAsUser']}:{may['runAsGroup']}",
        *(f"--cap-drop={each}" for each in may["capabilities"]["drop"]),
        *(f"--cap-add={each}" for each in may["capabilities"]["add"]),
        f"--security-opt=seccomp={DEPLOY / 'seccomp/agent.json'}",
        "--security-opt=no-new-privileges",
        *("--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096"),
        "--volume=/sys/fs/cgroup:/sys/fs/cgroup:ro,rbind",
        *(f"--volume={folder}:{path}" for path, folder in folders.items()),
    ]
    made = Container(recipes.storage.words, f"recorder-{tmp_path.name}")
    command = ["agent", "--node=here", "--keep-armed", "--runtimes-cri=", f"--web-address=127.0.0.1:{port}"]
    words = [*made.podman, "run", "--detach", f"--name={made.name}", *options, NAME, *command]
    subprocess.run(words, check=True, capture_output=True, timeout=WAIT)
    try:
        until_ready(port, made.log)
        yield made
    finally:
        subprocess.run(
            [*made.podman, "rm", "--force", "--time=5", made.name],
            check=True,
            capture_output=True,
            timeout=WAIT,
        )


def until_ready(port: int, log: Callable[[], str]) -> None:
    """Until it says so."""
    deadline = time.monotonic() + WAIT
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):  # an HTTPError, while it is not ready, is one
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=WAIT).close()
            return
        time.sleep(0.05)
    raise AssertionError(log())


def test_the_agent_records_with_its_capabilities_alone(
    agent: Container, scratch_cgroup: Callable[..., Path], cgroup2: Path, built_programs: dict[str, Path]
) -> None:
    """Not privileged, under its own profile, by a command exec'd into it: a program's calls, no more."""
    cgroup = scratch_cgroup()
    path = f"/{cgroup.relative_to(cgroup2)}"
    words = agent.words("recorder", "capture", "--cgroup", path, "--strict", "-f", "names", "--watch")
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as capture:
        agent.until_it_records()
        join = 'echo 0 > "$0" && exec "$@"'
        subprocess.run(["sh", "-c", join, cgroup / "cgroup.procs", built_programs["five"]], check=True)
        until_gone(cgroup)
        names, said = capture.communicate(timeout=WAIT)
    assert capture.returncode == 0, (said, agent.log())
    assert set(names.split()) == {str(call) for call in EXPECTED["five"] | EXEC}


def until_gone(cgroup: Path) -> None:
    """Remove it, once its last task has ended."""
    deadline = time.monotonic() + WAIT
    while cgroup.exists():
        assert time.monotonic() < deadline
        with contextlib.suppress(OSError):
            cgroup.rmdir()
        time.sleep(0.01)
