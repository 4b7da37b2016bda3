"""The walk-through: install, record a Deployment, watch the profile grow, and run the Deployment under it."""

import os
import time
from collections.abc import Iterator

import pytest

from tests.cluster.client import Object
from tests.cluster.installed.installation import Installation, is_final, mark, recorded
from tests.cluster.node.images import ASK
from tests.cluster.node.pods import Pods, container, deployment, is_ready, restarts, service
from tests.cluster.scene import condition, names

pytestmark = pytest.mark.root
SCRIPT = "mkdir -p /tmp/www && echo served > /tmp/www/it && exec httpd -f -p 8080 -h /tmp/www"
READ = ("/bin/bash", "-c", ASK, "web", "8080", "/it")  # by the Service
PROBE = {"httpGet": {"path": "/it", "port": 8080}, "periodSeconds": 1}


@pytest.fixture(scope="module")
def place(installation: Installation) -> Iterator[str]:
    name = installation.opted_in(f"walk-{os.getpid()}")
    yield name
    installation.client.delete("Namespace", name)
    installation.client.delete_all("SeccompProfile", labels=f"spo.x-k8s.io/recording-namespace={name}")
    installation.client.wait("Namespace", name, lambda found: found is None, seconds=90)


def web(place: str, **security: object) -> Object:
    """A server, with the security context of its container."""
    main = container("main", "/bin/sh", "-c", SCRIPT, readinessProbe=PROBE, securityContext=security)
    return deployment(place, "web", main)


def replaced(pods: Pods, place: str, before: str, seconds: float = 90) -> Object:
    """The ready pod of the Deployment, once it is another than that one."""
    pods.rolled_out("Deployment", "web", place)
    end = time.monotonic() + seconds
    while True:
        found = [each for each in pods.of(place, "app=web") if each["metadata"]["name"] != before]
        if found:
            pods.rolled_out("Deployment", "web", place)
            return found[0]
        assert time.monotonic() < end
        time.sleep(0.1)


def test_the_walk_through(installation: Installation, place: str) -> None:
    """From a recording to a Deployment that runs under its profile, and may do nothing else."""
    pods, client = installation.pods, installation.client
    installation.record(place, "web", mergeStrategy="Containers")
    installation.planned()
    client.create(service(place, "web", 8080, {"app": "web"}))
    (pod,) = pods.roll_out(web(place))
    name = pod["metadata"]["name"]
    result = "web-main"

    # it is there while the pod runs, and grows with what it does
    first = installation.profile(result, lambda each: {"accept", "accept4"} & recorded(each))
    assert mark(first, "state") == "recording"
    assert first["spec"]["state"] == "Disabled"
    assert not {"mknod", "mknodat"} & set(names(first))
    assert pods.exec(name, place, *READ)[1] == "served\n"
    assert pods.exec(name, place, "/bin/ls", "/tmp/www")[1] == "it\n"
    installation.profile(result, lambda each: recorded(each) > recorded(first))
    status = client.get("ProfileRecording", "web", place)["status"]
    assert condition(status, "Ready")["status"] == "True"
    assert [each["name"] for each in status["results"]] == [result]

    # it is final when the pods are gone
    installation.cluster.kubectl("-n", place, "scale", "deployment/web", "--replicas=0")
    pods.gone(place, "app=web")
    final = installation.profile(result, is_final)
    assert final["spec"]["state"] == "Enabled"
    assert mark(final, "verdict") == "complete"

    # the same Deployment under it, by a file that the node gets
    said = installation.cluster.kubectl("get", "seccompprofile", result, "-o", "jsonpath={.spec}").stdout
    file = installation.cluster.install_seccomp(f"operator/{result}.json", said)
    client.delete("ProfileRecording", "web", place)
    client.delete("Deployment", "web", place)
    under = web(place, seccompProfile={"type": "Localhost", "localhostProfile": file})
    (pod,) = pods.roll_out(under)
    name = pod["metadata"]["name"]
    assert pods.exec(name, place, *READ)[1] == "served\n"
    assert pods.exec(name, place, "/bin/ls", "/tmp/www")[1] == "it\n"

    # a call outside is refused, one inside is not
    status, _, error = pods.exec(name, place, "/bin/sh", "-c", "mknod /tmp/pipe p", check=False)
    assert status != 0
    assert "Operation not permitted" in error

    # it restarts under it: its container, and its pod
    (was,) = pod["status"]["containerStatuses"]
    identity = was["containerID"].removeprefix("containerd://")
    installation.cluster.runtime.ctr("tasks", "kill", "--signal", "SIGKILL", identity)
    pods.wait(name, place, lambda found: restarts(found) == 1 and is_ready(found))
    assert pods.exec(name, place, *READ)[1] == "served\n"
    client.delete("Pod", name, place)
    again = replaced(pods, place, name)
    assert pods.exec(again["metadata"]["name"], place, *READ)[1] == "served\n"
