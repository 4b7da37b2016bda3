"""Pods and what makes them, as a manifest has them; and what tests ask of pods that run."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from tests.cluster.client import Object
from tests.cluster.node.cluster import Cluster
from tests.cluster.node.images import IMAGE, PROGRAMS

SECONDS = 90.0  # a pod on a machine that is busy


def container(name: str, *command: str, **more: Any) -> Object:
    """A container of the tests' image; `more`: further fields of it. A word without a path is in PROGRAMS."""
    program, *arguments = command
    word = program if program.startswith("/") else f"{PROGRAMS}/{program}"
    return {"name": name, "image": IMAGE, "imagePullPolicy": "Never", "command": [word, *arguments], **more}


def spec(*containers: Object, **more: Any) -> Object:
    """A pod's: it ends at once when it is deleted; no token of a service account."""
    return {
        "containers": list(containers),
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        **more,
    }


def pod(
    namespace: str, name: str, *containers: Object, labels: Mapping[str, str] | None = None, **more: Any
) -> Object:
    """A bare pod."""
    metadata = {"name": name, "namespace": namespace, "labels": {"app": "web", **(labels or {})}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec(*containers, **more)}


def deployment(namespace: str, name: str, *containers: Object, replicas: int = 1, **more: Any) -> Object:
    """A Deployment; its pods have the label app=NAME."""
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": spec(*containers, **more)}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }


def job(namespace: str, name: str, *containers: Object, tries: int = 0, **more: Any) -> Object:
    """A Job; its pods have the label app=NAME, and are tried again `tries` times."""
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": spec(*containers, restartPolicy="Never", **more),
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"backoffLimit": tries, "template": template},
    }


def service(namespace: str, name: str, port: int, selector: Mapping[str, str], **more: Any) -> Object:
    """A Service of pods with these labels."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": dict(selector), "ports": [{"port": port}], **more},
    }


# --- what there is


def phase(found: Object | None) -> str:
    """Of a pod: Pending, Running, Succeeded or Failed; empty without one."""
    return str((found or {}).get("status", {}).get("phase", ""))


def is_ready(found: Object | None) -> bool:
    """Whether a pod says so."""
    conditions = (found or {}).get("status", {}).get("conditions") or []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def restarts(found: Object | None) -> int:
    """Of all containers of a pod."""
    statuses = (found or {}).get("status", {}).get("containerStatuses") or []
    return sum(each["restartCount"] for each in statuses)


def is_out(found: Object | None) -> bool:
    """Whether all of a Deployment, DaemonSet or StatefulSet are of its newest template, and ready."""
    if found is None:
        return False
    status = found.get("status", {})
    if status.get("observedGeneration", 0) < found["metadata"]["generation"]:
        return False
    if found["kind"] == "DaemonSet":
        wanted = status.get("desiredNumberScheduled", 0)
        counts = ("updatedNumberScheduled", "numberReady", "currentNumberScheduled")
    else:
        wanted = found["spec"].get("replicas", 1)
        counts = ("replicas", "updatedReplicas", "readyReplicas")
    return wanted > 0 and all(status.get(count, 0) == wanted for count in counts)


class Pods:
    """What tests do with pods of one cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.client = cluster.client

    def wait(
        self, name: str, namespace: str, until: Callable[[Object | None], bool], seconds: float = SECONDS
    ) -> Object | None:
        """A pod, once it is such."""
        return self.client.wait("Pod", name, until, namespace, seconds=seconds)

    def run(self, made: Object, until: Callable[[Object | None], bool] = is_ready) -> Object:
        """Create a pod and wait for it: by default until it is Ready."""
        created = self.client.create(made)["metadata"]
        found = self.wait(created["name"], created["namespace"], until)
        assert found
        return found

    def roll_out(self, made: Object) -> list[Object]:
        """Create a Deployment and wait until all of it is ready; its pods."""
        self.client.create(made)
        self.rolled_out(made["kind"], made["metadata"]["name"], made["metadata"]["namespace"])
        return self.of(made["metadata"]["namespace"], f"app={made['metadata']['name']}")

    def rolled_out(self, kind: str, name: str, namespace: str, seconds: float = SECONDS) -> Object:
        """A Deployment, DaemonSet or StatefulSet once all of it is ready."""
        found = self.client.wait(kind, name, is_out, namespace, seconds=seconds)
        assert found
        return found

    def of(self, namespace: str, labels: str = "") -> list[Object]:
        """Pods that are not on their way out."""
        found = self.client.objects("Pod", namespace, labels=labels)
        return [each for each in found if "deletionTimestamp" not in each["metadata"]]

    def gone(self, namespace: str, labels: str = "", seconds: float = SECONDS) -> None:
        """Until no pod with these labels is left, not even one on its way out."""
        end = time.monotonic() + seconds
        while left := self.client.objects("Pod", namespace, labels=labels):
            assert time.monotonic() < end, [each["metadata"]["name"] for each in left]
            time.sleep(0.1)

    def exec(
        self, name: str, namespace: str, *command: str, container: str = "", check: bool = True
    ) -> tuple[int, str, str]:
        """Run a command in a container: its status, standard output and standard error."""
        where = ["-c", container] if container else []
        done = self.cluster.kubectl(
            "exec", "-n", namespace, name, *where, "--", *command, check=check, seconds=SECONDS
        )
        return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")

    def log(self, name: str, namespace: str, *more: str) -> str:
        """What a pod's container has written."""
        done = self.cluster.kubectl("logs", "-n", namespace, name, *more)
        return done.stdout.decode(errors="replace")
