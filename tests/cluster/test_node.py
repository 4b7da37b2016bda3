"""The node of the tests is a real one: its kubelet runs pods, and they find what pods find elsewhere."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.client import Client
from tests.cluster.errors import AnswerError
from tests.cluster.node.cluster import Cluster
from tests.cluster.node.ground import SETTINGS
from tests.cluster.node.images import ASK
from tests.cluster.node.pods import Pods, container, deployment, is_ready, job, phase, pod, restarts, service
from tests.cluster.node.remains import PREFIX
from tests.cluster.place import SERVICE
from tests.owner import start_time
from tests.truth.oci import Layout
from tests.truth.remains import hierarchies

pytestmark = pytest.mark.root
ROOT = Path(__file__).resolve().parents[2]
TOKENS = "/var/run/secrets/tokens"
SERVE = ("/bin/sh", "-c", "mkdir /tmp/www && hostname > /tmp/www/name && exec httpd -f -p 8080 -h /tmp/www")


@pytest.fixture(scope="module")
def pods(node: Cluster) -> Pods:
    return Pods(node)


@pytest.fixture(scope="module")
def place(node: Cluster) -> Iterator[str]:
    """A namespace for this file's pods; it is gone afterwards."""
    name = f"node-{os.getpid()}"
    node.client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    node.client.wait("ServiceAccount", "default", lambda found: found is not None, name)
    yield name
    node.client.delete("Namespace", name)
    node.client.wait("Namespace", name, lambda found: found is None, seconds=90)


@pytest.mark.parametrize("runtime", ["runc", "crun"])
def test_a_pod_runs_by_its_runtime_class(pods: Pods, place: str, runtime: str) -> None:
    """Its process is in a cgroup of its own below kubepods; exec and logs reach it."""
    made = pods.run(
        pod(
            place,
            f"by-{runtime}",
            container("main", "/bin/sh", "-c", "echo it runs; exec sleep 1000"),
            runtimeClassName=runtime,
        )
    )
    assert pods.log(f"by-{runtime}", place) == "it runs\n"
    _, said, _ = pods.exec(f"by-{runtime}", place, "/bin/cat", "/proc/1/cgroup")
    ours = next(line for line in said.splitlines() if line.startswith("0::"))
    uid = made["metadata"]["uid"]
    identity = made["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
    assert re.fullmatch(rf"0::{pods.cluster.ground.cgroup}/kubepods/besteffort/pod{uid}/{identity}", ours)


def test_services_are_found_by_name_and_reached(pods: Pods, place: str) -> None:
    """Cluster DNS has a Service's address, kube-proxy leads to a pod behind it, a headless one names pods."""
    (server,) = pods.roll_out(deployment(place, "server", container("main", *SERVE), hostname="first"))
    pods.client.create(service(place, "names", 8080, {"app": "server"}))
    pods.client.create(service(place, "each", 8080, {"app": "server"}, clusterIP="None"))
    pods.run(pod(place, "client", container("main", "/bin/sleep", "1000")))
    for name in ("names", f"names.{place}.svc.cluster.local", "each"):
        said = pods.exec("client", place, "/bin/bash", "-c", ASK, name, "8080", "/name")[1]
        assert said == f"{server['spec']['hostname']}\n"
    said = pods.exec("client", place, "/bin/nslookup", f"each.{place}.svc.cluster.local")[1]
    assert server["status"]["podIP"] in said


def test_a_pod_talks_to_the_api_server_as_its_service_account(node: Cluster, pods: Pods, place: str) -> None:
    """By the Service `kubernetes` and its bound token; without rights it may do nothing."""
    pods.run(pod(place, "inside", container("main", "/bin/sleep", "1000"), automountServiceAccountToken=True))
    folder = "/var/run/secrets/kubernetes.io/serviceaccount"
    token = pods.exec("inside", place, "/bin/cat", f"{folder}/token")[1]
    ca = pods.exec("inside", place, "/bin/cat", f"{folder}/ca.crt")[1]
    assert ca == node.api.ca_file.read_text()
    with pytest.raises(AnswerError, match=f'"system:serviceaccount:{place}:default" cannot list') as refused:
        node.api.client_of(token).objects("Pod", place)
    assert refused.value.status == 403
    script = "echo $KUBERNETES_SERVICE_HOST $KUBERNETES_SERVICE_PORT"
    assert pods.exec("inside", place, "/bin/sh", "-c", script)[1] == f"{SERVICE} 443\n"
    via = Client(_Through(node), 443, node.api.ca_file, node.api.admin_token)
    assert via.request("GET", "/readyz") == "ok"


class _Through:
    """The API server's Service, from the node's network."""

    host, words, routable = SERVICE, (), True

    def __init__(self, node: Cluster) -> None:
        self.connect = node.ground.connect

    def close(self) -> None:
        pass


def test_a_projected_token_is_for_its_audience_alone(node: Cluster, pods: Pods, place: str) -> None:
    """TokenReview says whose pod it is; the API server refuses it with 401."""
    source = {"serviceAccountToken": {"audience": "somebody", "expirationSeconds": 600, "path": "token"}}
    volume = {"name": "tokens", "projected": {"sources": [source]}}
    mount = {"name": "tokens", "mountPath": TOKENS, "readOnly": True}
    made = pods.run(
        pod(place, "bearer", container("main", "/bin/sleep", "1000", volumeMounts=[mount]), volumes=[volume])
    )
    token = pods.exec("bearer", place, "/bin/cat", f"{TOKENS}/token")[1]
    with pytest.raises(AnswerError) as refused:
        node.api.client_of(token).request("GET", "/api")
    assert refused.value.status == 401

    asked = {"token": token, "audiences": ["somebody"]}
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": asked}
    status = node.client.create(review)["status"]
    assert status["authenticated"]
    assert status["user"]["username"] == f"system:serviceaccount:{place}:default"
    assert status["user"]["extra"]["authentication.kubernetes.io/pod-uid"] == [made["metadata"]["uid"]]


def test_a_job_fails_and_a_container_is_started_again(pods: Pods, place: str) -> None:
    """As the kubelet does: a Job's pod Failed by its program's status; a pod's container counted up."""
    pods.client.create(job(place, "failing", container("main", "/bin/false")))
    end = time.monotonic() + 60
    while [phase(each) for each in pods.of(place, "app=failing")] != ["Failed"]:
        assert time.monotonic() < end
        time.sleep(0.1)
    pods.run(pod(place, "again", container("main", "/bin/sh", "-c", "exit 1")), lambda it: restarts(it) >= 1)


def test_containers_go_on_while_kubelet_and_containerd_are_restarted(
    node: Cluster, pods: Pods, place: str
) -> None:
    """The same container afterwards, and new ones can be made."""
    before = pods.run(pod(place, "steady", container("main", "/bin/sleep", "1000")))
    node.restart(node.runtime.daemon, node.kubelet)
    after = pods.run(pod(place, "later", container("main", "/bin/sleep", "1000")))
    assert is_ready(after)
    (was,) = before["status"]["containerStatuses"]
    (is_now,) = node.client.get("Pod", "steady", place)["status"]["containerStatuses"]
    assert (is_now["containerID"], is_now["restartCount"]) == (was["containerID"], 0)


def test_the_machine_is_as_it_was(node: Cluster) -> None:
    """No link, chain or setting of the node is the machine's own."""
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    assert "nodebr0" not in links
    rules = subprocess.run(["iptables-save"], capture_output=True, text=True, check=True).stdout
    assert "KUBE-" not in rules
    assert "CNI-" not in rules
    assert "KUBE-SERVICES" in node.ground.run("iptables-save").stdout.decode()
    for name, value in SETTINGS.items():
        seen = node.ground.run("cat", f"/proc/sys/{name}").stdout.decode().strip()
        assert seen == str(value)
    assert {name: Path(f"/proc/sys/{name}").read_text() for name in SETTINGS} == node.ground.settings_before
    mounts = Path("/proc/self/mounts").read_text()
    assert str(node.folder) not in mounts


BEGIN = """
import sys
import tempfile
from pathlib import Path
from tests.cluster.node.ground import Ground
from tests.cluster.node.images import write_pause
from tests.cluster.node.runtime import Runtime, find_runtime_programs
from tests.cluster.start import open_cache
from tests.guest.runs import new_run
from tests.truth.containerd import PAUSE
from tests.truth.oci import Layout
from tests.truth.remains import hierarchies
ground = Ground(new_run(open_cache().run), Layout.detect())
runtime = Runtime(ground, find_runtime_programs())
ground.start()
runtime.daemon.start()
runtime.daemon.wait()
with tempfile.TemporaryDirectory() as folder:
    runtime.import_image(write_pause(Path(folder)))
runtime.ctr("run", "--detach", "--null-io", "--cgroup", f"{ground.cgroup}/kubepods/left", PAUSE, "left")
print(ground.folder, flush=True)
sys.stdin.read()
"""


def test_nothing_is_left_of_a_node_whose_tests_were_killed(layout: Layout) -> None:
    """Neither a container nor a shim, cgroup, mount or file."""
    with subprocess.Popen(
        [sys.executable, "-c", BEGIN], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        folder = Path(process.stdout.readline().strip())
        name = f"{PREFIX}{folder.name}"
        cgroup = layout.cgroup2 / name
        members = [int(line) for procs in cgroup.rglob("cgroup.procs") for line in procs.read_text().split()]
        assert len(members) >= 3  # containerd, a shim, the container
        assert (cgroup / "kubepods/left/cgroup.procs").read_text()
        process.send_signal(signal.SIGKILL)
    end = time.monotonic() + 60
    while folder.exists() or any((mounted / name).exists() for mounted in hierarchies(layout)):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert [pid for pid in members if start_time(pid)] == []
