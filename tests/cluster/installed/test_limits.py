"""After all of the other tests: our pods stayed within their limits, and none was started again by itself."""

from pathlib import Path

import pytest

from tests.cluster.client import Object
from tests.cluster.installed.installation import PLACE, Installation
from tests.truth.oci import Layout

pytestmark = pytest.mark.root
UNITS = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}


def limit(pod: Object) -> int:
    """Bytes, as the manifest has them."""
    (container,) = pod["spec"]["containers"]
    text = container["resources"]["limits"]["memory"]
    return int(text[:-2]) * UNITS[text[-2:]]


def memory_of(layout: Layout, pod: Object) -> Path:
    """The folder of the container's memory cgroup, wherever that controller is."""
    (status,) = pod["status"]["containerStatuses"]
    identity = status["containerID"].removeprefix("containerd://")
    for mounted in (layout.cgroup2, *layout.v1):
        for found in mounted.glob(f"recorder-node-*/kubepods/*/pod{pod['metadata']['uid']}/{identity}"):
            if any((found / name).exists() for name in ("memory.max", "memory.limit_in_bytes")):
                return found
    raise AssertionError(f"no memory cgroup of {pod['metadata']['name']}")


def figure(folder: Path, *names: str) -> int:
    """What the first file that is there says (cgroup v2's name, v1's)."""
    return int(next(folder / name for name in names if (folder / name).exists()).read_text())


@pytest.mark.parametrize("component", ["agent", "collector"])
def test_memory_stays_within_the_limit(installation: Installation, layout: Layout, component: str) -> None:
    """The kernel's own figures: the most that it ever was, the limit that it enforces, and no kill."""
    pod = installation.pod(component)
    folder = memory_of(layout, pod)
    allowed = limit(pod)
    assert figure(folder, "memory.max", "memory.limit_in_bytes") == allowed
    used = figure(folder, "memory.current", "memory.usage_in_bytes")
    most = figure(folder, "memory.peak", "memory.max_usage_in_bytes")
    assert used <= most < allowed
    control = folder / "memory.oom_control"
    events = (control if control.exists() else folder / "memory.events").read_text().split()
    assert dict(zip(events[::2], events[1::2], strict=True))["oom_kill"] == "0"


def test_nothing_of_ours_was_started_again_by_itself(installation: Installation) -> None:
    """But what tests killed; nothing ran out of memory, and probes have not failed."""
    for component in ("agent", "collector"):
        pod = installation.pod(component)
        (status,) = pod["status"]["containerStatuses"]
        assert status["restartCount"] == installation.kills[pod["metadata"]["uid"]], status
        last = status.get("lastState", {}).get("terminated", {})
        assert last.get("reason") != "OOMKilled"
    reasons = {each["reason"] for each in installation.client.objects("Event", PLACE)}
    assert "OOMKilling" not in reasons
