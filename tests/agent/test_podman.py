"""podman's containers, without Kubernetes and without a daemon, recorded by plan from their first call."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from recorder.model.abi import Abi
from recorder.model.record import Observation
from tests.agent.collector import Collector
from tests.agent.node import FOREVER, PROGRAMS
from tests.agent.observed import problems
from tests.agent.plans import plan, recording
from tests.agent.process import AgentProcess, slots_used
from tests.truth import oci
from tests.truth.calls import Call, calls
from tests.truth.podman import Podman
from tests.truth.programs import EXEC, EXPECTED, rawsys_calls, word

pytestmark = pytest.mark.root

FIVE = EXPECTED["five"] | EXEC
RUNNING = (EXPECTED["signals"] | EXEC) - calls(Abi.X86_64, "exit_group")


@pytest.fixture(scope="module")
def rootfs(tmp_path_factory: pytest.TempPathFactory, built_programs: dict[str, Path]) -> Path:
    """A root file system with programs of known calls."""
    root = tmp_path_factory.mktemp("podman") / "root"
    return oci.make_rootfs(root, {f"/{name}": built_programs[name] for name in PROGRAMS})


@pytest.fixture
def podman(oci_runtime: str, layout: oci.Layout) -> Iterator[Podman]:
    """podman with each runtime; its containers are below a directory of podman's own name."""
    with Podman(oci_runtime, layout) as podman:
        (podman.cgroup.parent / "libpod_parent").mkdir(parents=True)
        yield podman


@pytest.fixture
def followed(agent: AgentProcess, podman: Podman, uplinked) -> Iterator[Collector]:
    """The agent reads podman's storage, and follows a plan for names and labels outside of Kubernetes."""
    agent.settings += ("--runtimes-podman", str(podman.folder / "root"))
    with uplinked(agent) as collector:
        agent.start()
        new = plan(
            recording("it", containers=["it"]),
            recording("named", containers=["n-0", "n-1", "n-2"]),
            recording("web", labels={"app": "web"}, expressions=[("tier", "In", ["front", "edge"])]),
        )
        collector.send(new)
        assert agent.says(f"plan {new.revision}:")
        yield collector


def run(podman: Podman, rootfs: Path, name: str, args: tuple[str, ...], *options: str) -> oci.Ended:
    parent = podman.cgroup.parent.relative_to(podman.layout.cgroup2) / "libpod_parent"
    return podman.run(rootfs, args, "--rm=false", "--name", name, "--cgroup-parent", f"/{parent}", *options)


def ended(collector: Collector, *names: str) -> list[Observation]:
    """The containers' whole records, once the collector has them."""

    def found(collector: Collector) -> dict[str, Observation]:
        return {
            each.identity.name: each
            for each in collector.stored.values()
            if each.ended and each.identity.name in names
        }

    collector.wait_for(lambda collector: len(found(collector)) == len(names))
    return [found(collector)[name] for name in names]


def test_containers_of_podman(agent, followed, podman, rootfs):
    """Those that end at once, and one that goes on and in which `podman exec` runs programs."""
    for number in range(3):
        run(podman, rootfs, f"n-{number}", ("/five",)).good()
    run(podman, rootfs, "other", ("/five",)).good()
    for seen in ended(followed, "n-0", "n-1", "n-2"):
        assert problems(seen, FIVE) == []
        assert seen.identity.pod is None
        assert followed.recordings[seen.source] == {"named"}
    run(podman, rootfs, "it", FOREVER, "--detach").good()
    made = [Call(Abi.X86_64, number) for number in (102, 104)]
    for call in made:
        podman.call("exec", "it", "/rawsys", word(call)).good()
    podman.call("kill", "it").good()
    (seen,) = ended(followed, "it")
    assert problems(seen, RUNNING | rawsys_calls(made)) == []
    assert followed.recordings[seen.source] == {"it"}
    agent.wait_for(lambda status: slots_used(status) == 0)
    assert "other" not in {each.identity.name for each in followed.stored.values()}


def test_containers_of_podman_by_their_labels(agent, followed, podman, rootfs):
    """Those that a recording's selector takes, also one that ends at once; no others."""
    cases = {
        "front": ("app=web", "tier=front"),
        "edge": ("app=web", "tier=edge", "other=label"),
        "back": ("app=web", "tier=back"),
        "db": ("app=db", "tier=front"),
        "bare": (),
    }
    for name, labels in cases.items():
        words = [word for each in labels for word in ("--label", each)]
        run(podman, rootfs, f"l-{name}", ("/five",), *words).good()
    for seen in ended(followed, "l-front", "l-edge"):
        assert problems(seen, FIVE) == []
        assert followed.recordings[seen.source] == {"web"}
        labels = dict(each.split("=") for each in cases[seen.identity.name.removeprefix("l-")])
        assert dict(seen.identity.labels) == labels
    agent.wait_for(lambda status: slots_used(status) == 0)
    names = {each.identity.name for each in followed.stored.values()}
    assert names & {f"l-{name}" for name in cases} == {"l-front", "l-edge"}
