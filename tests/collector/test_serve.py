"""`recorder serve`: files in, profiles of real containers out, without Kubernetes."""

import json
import os
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from recorder.model.abi import Abi
from tests.agent.node import FOREVER, PROGRAMS, Node, node, write_images
from tests.collector.serve import Serve, annotation, names, recorded
from tests.truth import oci
from tests.truth.calls import Call, calls
from tests.truth.podman import Podman
from tests.truth.programs import EXEC, EXPECTED, rawsys_calls, word

pytestmark = pytest.mark.root

FIVE = EXPECTED["five"] | EXEC
RUNNING = (EXPECTED["signals"] | EXEC) - calls(Abi.X86_64, "exit_group")
MORE = [Call(Abi.X86_64, number) for number in (102, 104)]  # getuid, getgid


def said(seen: frozenset[Call]) -> set[str]:
    """As the annotation has them."""
    return {str(call) for call in seen}


@pytest.fixture
def serve(tmp_path: Path, bpffs: Path) -> Iterator[Serve]:
    """Not started yet."""
    (tmp_path / "serve").mkdir()
    with Serve(tmp_path / "serve", bpffs) as made:
        yield made


@pytest.fixture(scope="module")
def machine(
    layout: oci.Layout, tmp_path_factory: pytest.TempPathFactory, built_programs: dict[str, Path]
) -> Iterator[Node]:
    """A CRI runtime."""
    images = write_images(tmp_path_factory.mktemp("images"), built_programs)
    with layout.ground("runc"), node(layout, images) as made:
        yield made


@pytest.fixture
def cri(machine: Node) -> Iterator[Node]:
    """Without pods before and after the test."""
    yield machine
    machine.clear()


@pytest.fixture(scope="module")
def rootfs(tmp_path_factory: pytest.TempPathFactory, built_programs: dict[str, Path]) -> Path:
    """A root file system with programs of known calls."""
    root = tmp_path_factory.mktemp("podman") / "root"
    return oci.make_rootfs(root, {f"/{name}": built_programs[name] for name in PROGRAMS})


@pytest.fixture
def podman(layout: oci.Layout) -> Iterator[Podman]:
    """podman with crun; its containers are below a directory of podman's own name."""
    with layout.ground("crun"), Podman("crun", layout) as podman:
        (podman.cgroup.parent / "libpod_parent").mkdir(parents=True)
        yield podman


def run(podman: Podman, rootfs: Path, name: str, args: tuple[str, ...], *options: str) -> oci.Ended:
    parent = podman.cgroup.parent.relative_to(podman.layout.cgroup2) / "libpod_parent"
    return podman.run(rootfs, args, "--rm=false", "--name", name, "--cgroup-parent", f"/{parent}", *options)


def test_a_podman_container_with_the_label(serve, podman, rootfs):
    """Its profile appears while it runs, Disabled; grows with what it calls; and is final after its end."""
    serve.podman = str(podman.folder / "root")
    serve.record("web", labels={"app": "web"})
    serve.start()
    serve.wait_for(lambda: serve.status("web"))
    run(podman, rootfs, "it", FOREVER, "--detach", "--label", "app=web").good()
    run(podman, rootfs, "other", ("/five",), "--label", "app=other").good()
    serve.wait_for(lambda: recorded(serve.profile("web-it")) == said(RUNNING))
    growing = serve.profile("web-it")
    assert growing["spec"]["state"] == "Disabled"
    assert annotation(growing, "state") == "recording"
    assert serve.status("web")["activeWorkloads"] == ["it"]
    assert not (serve.results / "web-it.json").exists()
    for call in MORE:
        podman.call("exec", "it", "/rawsys", word(call)).good()
    everything = said(RUNNING | rawsys_calls(MORE))
    serve.wait_for(lambda: recorded(serve.profile("web-it")) == everything)
    podman.call("kill", "it").good()
    final = serve.wait_for(
        lambda: annotation(serve.profile("web-it"), "state") == "final" and serve.profile("web-it")
    )
    assert final["spec"]["state"] == "Enabled"
    assert recorded(final) == everything
    assert names(final) >= everything
    assert annotation(final, "verdict") == "complete"
    assert final["metadata"]["labels"] == {
        "spo.x-k8s.io/recording-id": "web",
        "spo.x-k8s.io/container-id": "it",
        **{key: text for key, text in final["metadata"]["labels"].items() if key.endswith("-namespace")},
    }
    runtime = json.loads((serve.results / "web-it.json").read_text())
    assert set(runtime["syscalls"][0]["names"]) >= everything
    serve.wait_for(lambda: serve.status("web")["results"][0]["state"] == "final")
    assert "activeWorkloads" not in serve.status("web") or serve.status("web")["activeWorkloads"] == []
    assert sorted(path.name for path in serve.results.iterdir()) == [
        "web-it.json",
        "web-it.yaml",
        "web.status.yaml",
    ]


def test_calls_that_a_filter_denies_are_in_the_status(serve, podman, rootfs, tmp_path):
    """Two of those that a container makes under a profile; one that its runtime made before, getuid, too."""
    serve.podman = str(podman.folder / "root")
    serve.record("asked", labels={"app": "web"}, kinds="denials")
    serve.record("plain", labels={"app": "web"})
    serve.start()
    links = serve.pins / "links"
    serve.wait_for(lambda: any(each.name.startswith("on_sys_exit") for each in links.iterdir()))
    denied = {"names": ["getuid", "getpgrp"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}
    profile = tmp_path / "filter.json"
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [denied]}))
    words = (word(Call(Abi.X86_64, number)) for number in (102, 111, 110))  # getuid, getpgrp, getppid
    options = ("--label", "app=web", "--security-opt", f"seccomp={profile}")
    run(podman, rootfs, "it", ("/rawsys", *words), *options).good()
    status = serve.wait_for(lambda: (found := serve.status("asked")).get("denials") and found)
    container = {"container": "it", "kind": "seccomp", "verdict": "denied", "records": 1}
    assert status["denials"] == [{**container, "what": "getpgrp"}, {**container, "what": "getuid"}]
    assert "denials" not in serve.status("plain")
    final = serve.wait_for(
        lambda: annotation(serve.profile("asked-it"), "state") == "final" and serve.profile("asked-it")
    )
    assert "getppid" in names(final)
    assert {"getpgrp", "getuid"}.isdisjoint(recorded(final))
    assert set(annotation(final, "denied").split(",")) == {"getpgrp", "getuid"}


def test_the_profile_is_enough_for_the_container(serve, podman, rootfs):
    """podman runs the same program under the file that came out."""
    serve.podman = str(podman.folder / "root")
    serve.record("five", containers=("n",))
    serve.start()
    serve.wait_for(lambda: serve.status("five"))
    run(podman, rootfs, "n", ("/five",)).good()
    serve.wait_for((serve.results / "five-n.json").exists)
    assert recorded(serve.profile("five-n")) == said(FIVE)
    profile = f"seccomp={serve.results / 'five-n.json'}"
    run(podman, rootfs, "again", ("/five",), "--security-opt", profile).good()
    assert not names(serve.profile("five-n")) & {"ptrace", "mount", "bpf", "unshare"}


def test_pods_of_a_cri_runtime(serve, cri):
    """By namespace and label; an init container's and a container's profile, merged over two pods."""
    serve.cri = (str(cri.containerd.socket),)
    serve.record("web", namespace="shop", labels={"app": "web"}, merge="Containers")
    serve.start()
    serve.wait_for(lambda: serve.status("shop_web"))
    pods = [cri.pod({"app": "web"}), cri.pod({"app": "web"})]
    others = [cri.pod({"app": "other"}), cri.pod({"app": "web"}, namespace="elsewhere")]
    for each in others:
        cri.wait_exited(cri.start(each, "main", "/brief"))
    cri.wait_exited(cri.start(pods[0], "init", "/five"))
    first = cri.start(pods[0], "main", *FOREVER)
    second = cri.wait_exited(cri.start(pods[1], "main", "/five"))
    both = said(RUNNING | FIVE)
    serve.wait_for(lambda: recorded(serve.profile("web-main")) == both)
    assert serve.profile("web-main")["spec"]["state"] == "Disabled"
    cri.stop(first)
    final = serve.wait_for(
        lambda: annotation(serve.profile("web-main"), "state") == "final" and serve.profile("web-main")
    )
    serve.wait_for(lambda: annotation(serve.profile("web-init"), "state") == "final")
    assert recorded(final) == both
    assert recorded(serve.profile("web-init")) == said(FIVE)
    assert final["metadata"]["labels"]["spo.x-k8s.io/recording-namespace"] == "shop"
    coverage = json.loads(final["metadata"]["annotations"]["spo.x-k8s.io/syscall-coverage"])
    assert (coverage["total"], coverage["syscalls"]["execve"], coverage["syscalls"]["getppid"]) == (2, 2, 1)
    assert second
    assert {path.name for path in serve.results.iterdir() if path.suffix == ".yaml"} == {
        "web-main.yaml",
        "web-init.yaml",
        "shop_web.status.yaml",
    }


def test_a_killed_service_goes_on(serve, podman, rootfs):
    """SIGKILL in the middle, and what ends while it is away: the final profile has all of it."""
    serve.podman = str(podman.folder / "root")
    serve.record("web", containers=("it",))
    serve.start()
    serve.wait_for(lambda: serve.status("web"))
    run(podman, rootfs, "it", FOREVER, "--detach").good()
    serve.wait_for(lambda: recorded(serve.profile("web-it")) == said(RUNNING))
    uid = serve.status("web")
    serve.kill()
    podman.call("exec", "it", "/rawsys", word(MORE[0])).good()
    serve.start()
    podman.call("exec", "it", "/rawsys", word(MORE[1])).good()
    serve.kill()
    podman.call("kill", "it").good()
    serve.start()
    serve.wait_for(lambda: annotation(serve.profile("web-it"), "state") == "final")
    assert recorded(serve.profile("web-it")) == said(RUNNING | rawsys_calls(MORE))
    assert uid["observedGeneration"] == serve.status("web")["observedGeneration"]


def test_an_edited_profile_stays_a_persons(serve, podman, rootfs):
    """What was edited while the container runs is kept, and the status says whose it is."""
    serve.podman = str(podman.folder / "root")
    serve.record("web", containers=("it",))
    serve.start()
    serve.wait_for(lambda: serve.status("web"))
    run(podman, rootfs, "it", FOREVER, "--detach").good()
    serve.wait_for(lambda: recorded(serve.profile("web-it")) == said(RUNNING))
    path = serve.results / "web-it.yaml"
    text = path.read_text()
    assert "- clock_nanosleep\n" in text
    path.write_text(text.replace("- clock_nanosleep\n", "- ptrace\n"))
    edited = names(serve.profile("web-it"))

    def condition() -> str:
        found = [each for each in serve.status("web").get("conditions", ()) if each["type"] == "Edited"]
        return found[0]["status"] if found else ""

    serve.wait_for(lambda: condition() == "True")
    podman.call("exec", "it", "/rawsys", word(MORE[0])).good()
    podman.call("kill", "it").good()
    serve.wait_for(lambda: annotation(serve.profile("web-it"), "state") == "final")
    assert names(serve.profile("web-it")) == edited
    assert "getuid" in recorded(serve.profile("web-it"))


def test_a_deleted_recording_is_finished(serve, podman, rootfs):
    """Its results become final though the container runs; its status goes; nothing else is recorded."""
    serve.podman = str(podman.folder / "root")
    serve.record("web", containers=("it",))
    serve.start()
    serve.wait_for(lambda: serve.status("web"))
    run(podman, rootfs, "it", FOREVER, "--detach").good()
    serve.wait_for(lambda: recorded(serve.profile("web-it")) == said(RUNNING))
    (serve.recordings / "host-web.yaml").unlink()
    serve.wait_for(lambda: annotation(serve.profile("web-it"), "state") == "final")
    serve.wait_for(lambda: not serve.status("web"))
    podman.call("kill", "it").good()


def test_it_leaves_nothing_in_the_kernel_and_answers_probes(serve, free_ports):
    """Health, readiness and metrics; after SIGTERM the status is 0 and no pin and no socket is left."""
    serve.port, serve.metrics = free_ports
    serve.record("web", labels={"app": "web"})
    serve.start()
    serve.wait_for(lambda: serve.status("web"))
    for page in ("healthz", "readyz"):
        with urllib.request.urlopen(f"http://127.0.0.1:{serve.port}/{page}", timeout=10) as answer:
            assert (answer.status, answer.read()) == (200, b"")
    with urllib.request.urlopen(f"http://127.0.0.1:{serve.metrics}/metrics", timeout=10) as answer:
        page = answer.read().decode()
    assert "\nrecorder_collector_agents 1.0\n" in page
    assert '\nrecorder_collector_recordings{state="asked"} 1.0\n' in page
    assert serve.pins.is_dir()
    assert serve.terminate() == 0
    assert not serve.pins.exists()
    assert not (serve.folder / "agent.sock").exists()
    assert not (serve.folder / "collector.sock").exists()


@pytest.fixture
def free_ports() -> tuple[int, int]:
    """Two that nobody listens on."""
    with socket.socket() as one, socket.socket() as two:
        for each in (one, two):
            each.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


def test_it_takes_little_more_memory_than_the_agent(serve, recorder_cli):
    """At rest: the same agent alone, and both; resident memory as the kernel counts it."""
    serve.start()
    serve.wait_for(serve.results.is_dir)
    assert serve.process
    both = psutil.Process(serve.process.pid).memory_info().rss
    serve.terminate()
    words = [*recorder_cli.words, "agent", "--config", str(serve.folder / "agent.toml")]
    with subprocess.Popen(words, stderr=subprocess.PIPE) as agent:
        try:
            assert agent.stderr
            assert any(b"serving on" in line for line in agent.stderr)
            alone = psutil.Process(agent.pid).memory_info().rss
        finally:
            agent.terminate()
            agent.communicate(timeout=30)
    assert both - alone < 48 << 20, f"{both >> 20} MiB, and {alone >> 20} MiB alone"


def test_what_cannot_be_served_is_refused_and_nothing_is_left(serve, recorder_cli, tmp_path):
    """With what to do: folders, another user's, an agent that has another collector, a damaged store."""
    arguments = serve.arguments()

    def refused(*words: str, env: dict[str, str] | None = None) -> tuple[int, str]:
        ended = recorder_cli.run(*words, env=env)
        return ended.returncode, ended.stderr.decode().splitlines()[-1]

    assert refused("serve") == (
        2,
        "recorder: USAGE: the folders are missing: recorder serve --recordings DIR --results DIR",
    )
    serve.recordings.rename(tmp_path / "away")
    status, line = refused(*arguments)
    assert (status, line.startswith("recorder: STORAGE: there is no folder ")) == (3, True)
    (tmp_path / "away").rename(serve.recordings)
    status, line = refused(*arguments, env={"RECORDER_AGENT_COLLECTOR_ENDPOINT": "unix:/run/other.sock"})
    assert (status, "take the setting away" in line) == (2, True)
    serve.results.mkdir(exist_ok=True)
    os.chown(serve.results, 65534, 65534)
    status, line = refused(*arguments)
    assert (status, "chown root" in line) == (3, True)
    os.chown(serve.results, 0, 0)
    serve.start()
    assert serve.terminate() == 0
    (serve.folder / "store" / "collector.db").write_bytes(b"damaged" * 1000)
    status, line = refused(*arguments)
    assert (status, line.startswith("recorder: STORE_DAMAGED: ")) == (3, True)
    assert not serve.pins.exists()
    checked = recorder_cli.run(*arguments, "--check")
    assert (checked.returncode, checked.stdout.startswith(b"kernel memory: ")) == (0, True)


def test_a_node_that_does_not_look_for_accesses_says_so(serve, podman, rootfs):
    """The agent's own reason, in the status, before and after a container ran; and no empty profile."""
    serve.podman = str(podman.folder / "root")
    serve.record("web", labels={"app": "web"}, kind="AppArmorProfile")
    serve.start()

    def ready():
        conditions = (serve.status("web") or {}).get("conditions", ())
        return next((each for each in conditions if each["type"] == "Ready"), {})

    told = serve.wait_for(lambda: (found := ready()).get("reason") == "NodesUnable" and found)
    assert told["status"] == "False"
    assert "test-node (agent.accesses is" in told["message"]
    run(podman, rootfs, "it", ("/five",), "--label", "app=web").good()
    lossy = serve.wait_for(
        lambda: next(
            (
                each
                for each in serve.status("web")["conditions"]
                if each["type"] == "Complete" and each["reason"] != "NothingRecorded"
            ),
            None,
        )
    )
    assert (lossy["reason"], "accesses_unwatched" in lossy["message"]) == ("Lossy", True)
    assert not list(serve.results.glob("web-it*"))
