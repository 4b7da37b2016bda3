"""Objects as a manifest has them, for tests to create."""

import itertools
from typing import Any

from tests.cluster.client import GROUP, Object

_serial = itertools.count(1)
PROFILES = "test-profile-"  # how names of `profile` begin


def config_map(namespace: str, name: str = "it", **data: str) -> Object:
    """A ConfigMap."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": data,
    }


def pod(namespace: str, name: str = "it", node: str = "node-a", account: str = "default") -> Object:
    """A pod that was put on a node."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "nodeName": node,
            "serviceAccountName": account,
            "containers": [{"name": "main", "image": "none"}],
        },
    }


def recording(namespace: str, version: str = "v1", **spec: Any) -> Object:
    """A ProfileRecording of all pods under a new name; `spec` adds fields, None takes one away."""
    asked = {"kind": "SeccompProfile", "recorder": "Bpf", "podSelector": {}, **spec}
    return {
        "apiVersion": f"{GROUP}/{version}",
        "kind": "ProfileRecording",
        "metadata": {"name": f"r{next(_serial)}", "namespace": namespace},
        "spec": {key: value for key, value in asked.items() if value is not None},
    }


def profile(kind: str, version: str = "v1", **spec: Any) -> Object:
    """A profile of that kind under a new name."""
    name = f"{PROFILES}{next(_serial)}"
    return {"apiVersion": f"{GROUP}/{version}", "kind": kind, "metadata": {"name": name}, "spec": spec}


def seccomp(**spec: Any) -> Object:
    """A SeccompProfile that refuses what no rule allows."""
    return profile("SeccompProfile", **{"defaultAction": "SCMP_ACT_ERRNO", **spec})


def rule(*names: str, **more: Any) -> Object:
    """A rule that allows calls."""
    return {"action": "SCMP_ACT_ALLOW", "names": list(names), **more}
