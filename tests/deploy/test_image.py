"""The image: the same from the same, without what built it, and whole under the restrictions of a pod."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from recorder import __version__
from tests.deploy.build.archive import Archive
from tests.deploy.build.image import EPOCH, ROOT
from tests.deploy.build.recipe import NAME, Recipes
from tests.deploy.build.twins import FIRST, SECOND
from tests.deploy.rendered import Everything
from tests.guest.cache import Artefact

POD = (
    *("--rm", "--read-only", "--network=none", "--cap-drop=ALL", "--security-opt=no-new-privileges"),
    *("--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096", "--runtime=runc"),
)
"""As the collector's pod, with the limits that a machine without CAP_SYS_RESOURCE can give."""


@pytest.fixture(scope="module")
def archive(image: Artefact) -> Archive:
    return Archive.read(image / "image.tar")


def test_same_input_same_layers(twins: Artefact) -> None:
    """From a copy of the checkout with other times and modes, with no layer that was there: byte for byte."""
    first, second = (json.loads((twins / name).read_text()) for name in (FIRST, SECOND))
    assert len(first["layers"]) > 2
    assert first == second


def test_what_it_says_of_itself(archive: Archive) -> None:
    """Not root, its entry point is no shell's, and its labels tell what it is."""
    config = archive.config["config"]
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["recorder"]
    labels = config["Labels"]
    assert labels["org.opencontainers.image.title"] == "profile-recorder"
    assert labels["org.opencontainers.image.version"] == __version__
    assert {"description", "licenses"} <= {each.rpartition(".")[2] for each in labels}


def test_nothing_of_the_build_is_left(archive: Archive) -> None:
    """No compiler, pip, package lists, logs, or configuration of the machine; one time for all files."""
    names = set()
    for file in archive.files():
        if "/.wh." not in file.name:  # something of the base that is removed (image-spec, "Whiteouts")
            names.add(f"/{file.name.strip('/')}")
        assert file.mtime <= int(EPOCH) or not file.isfile(), file.name
    unwanted = re.compile(
        r"/(usr/bin/(clang|gcc|cc|make|git|pip\d?)(-\d+)?$|build/|src/|wheel/|run/secrets/|root/\.cache"
        r"|var/log/(apt|dpkg)|var/lib/apt/lists/.|etc/(apt/sources|pip)|etc/apt/apt.conf.d/.*(proxy|mirror))"
        r"|/pip/|/kernel/objects/stale"
    )
    assert [each for each in sorted(names) if unwanted.search(each)] == []
    objects = {each for each in names if each.endswith(".bpf.o")}
    assert {each.rpartition("/")[2] for each in objects} == {
        f"{path.name.removesuffix('.c')}.o" for path in (ROOT / "bpf").glob("*.bpf.c")
    }
    compiled = {each for each in names if each.endswith(".pyc") and "/opt/recorder/" in each}
    assert len(compiled) > 100  # a start that has to compile takes a second more, and memory


def test_versions_are_those_of_the_lock(recipes: Recipes, image: Artefact) -> None:
    """Each package in it has the version of requirements.lock: what is tested is what runs."""
    script = (
        "import importlib.metadata, sys\n"
        "path = [each for each in sys.path if each.startswith('/opt/recorder')]\n"
        "for each in importlib.metadata.distributions(path=path):\n"
        "    print(f'{each.name.lower()}=={each.version}')"
    )
    found = set(run(recipes, "--entrypoint=/opt/recorder/bin/python", NAME, "-c", script).split())
    locked = {
        line.strip().lower()
        for line in (ROOT / "requirements.lock").read_text().splitlines()
        if re.match(r"[A-Za-z]", line)
    }
    assert found - locked == {f"profile-recorder=={__version__}"}
    assert {each.partition("==")[0] for each in found} >= {"grpcio", "lightkube", "cryptography"}


def run(recipes: Recipes, *words: str) -> str:
    """What a command says in a container with no more than a pod of ours has."""
    command = [*recipes.storage.words, "run", *POD, *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done
    return done.stdout


def test_removal_takes_our_folders_and_nobody_elses(
    recipes: Recipes, image: Artefact, everything: Everything, tmp_path: Path
) -> None:
    """The overlay's last init container, as it stands there, on folders like a node's; twice."""
    (last,) = (
        each
        for name, _, each in everything["overlays/remove"].containers()
        if name.endswith("/remove-folders")
    )
    for folder in ("run/recorder", "run/other", "lib/recorder/spool", "lib/kubelet/seccomp/profile-recorder"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "lib/kubelet/seccomp/profile-recorder/agent.json").write_text("{}")
    (tmp_path / "lib/kubelet/seccomp/operator.json").write_text("{}")
    command = ("--user=0:0", f"--volume={tmp_path}:/host", f"--workdir={last['workingDir']}", "--entrypoint=")
    run(recipes, *command, NAME, *last["command"])
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert left == {
        "run",
        "run/other",
        "lib",
        "lib/kubelet",
        "lib/kubelet/seccomp",
        "lib/kubelet/seccomp/operator.json",
    }
    (tmp_path / "lib/recorder/collector").mkdir(parents=True)  # of the overlay for one node
    run(recipes, *command, NAME, *last["command"])
    assert (tmp_path / "lib/recorder/collector").is_dir()


def test_it_runs_with_nothing(recipes: Recipes, image: Artefact) -> None:
    """Read-only, no network, no capability, another user: the command is there, and whole."""
    assert run(recipes, NAME, "--version") == f"recorder {__version__}\n"
    assert "settings are right" in run(recipes, NAME, "collector", "--check")
    assert "kernel memory" in run(recipes, NAME, "agent", "--check")
    both = "import recorder.collector.collector, recorder.agent.node_agent, recorder.kube.platform"
    assert run(recipes, "--entrypoint=/opt/recorder/bin/python", NAME, "-c", both) == ""
