"""Shapes of cgroup paths: which are a container's, whose and of which pod; systemd units by path.

The paths are those that kubelet, containerd, CRI-O, Docker, Podman and systemd were seen to make, or
that their sources say they make.
"""

import pytest

from recorder.containers.container import Manager
from recorder.containers.place import (
    Driver,
    container_above,
    path_of_spec,
    place_of,
    unit_of,
)

ID = "0123456789abcdef" * 4
POD = "4d5c1e2f-0a1b-4c3d-8e9f-001122334455"
SLICE_POD = POD.replace("-", "_")
STATIC = "a3f1c2d4e5b60718293a4b5c6d7e8f90"  # a static pod's uid is a hash

CONTAINERS = [
    # kubelet, cgroupfs
    (f"/kubepods/pod{POD}/{ID}", Manager.CRI, POD, Driver.CGROUPFS),
    (f"/kubepods/burstable/pod{POD}/{ID}", Manager.CRI, POD, Driver.CGROUPFS),
    (f"/kubepods/besteffort/pod{STATIC}/{ID}", Manager.CRI, STATIC, Driver.CGROUPFS),
    (f"/kubepods/burstable/pod{POD}/crio-{ID}", Manager.CRI, POD, Driver.CGROUPFS),
    # kubelet, systemd
    (
        f"/kubepods.slice/kubepods-pod{SLICE_POD}.slice/cri-containerd-{ID}.scope",
        Manager.CRI,
        POD,
        Driver.SYSTEMD,
    ),
    (
        f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{SLICE_POD}.slice/crio-{ID}.scope",
        Manager.CRI,
        POD,
        Driver.SYSTEMD,
    ),
    (
        f"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{STATIC}.slice/docker-{ID}.scope",
        Manager.CRI,
        STATIC,
        Driver.SYSTEMD,
    ),
    # a systemd kubelet with a cgroupfs containerd
    (f"/kubepods-burstable-pod{SLICE_POD}.slice:cri-containerd:{ID}", Manager.CRI, POD, Driver.CGROUPFS),
    # containerd's CRI without a parent from the kubelet, and with one of somebody's own
    (f"/k8s.io/{ID}", Manager.CRI, "", Driver.CGROUPFS),
    (f"/somebody/own/{ID}", Manager.NONE, "", Driver.CGROUPFS),
    (f"/{ID}", Manager.NONE, "", Driver.CGROUPFS),
    # Docker, Podman
    (f"/docker/{ID}", Manager.DOCKER, "", Driver.CGROUPFS),
    (f"/system.slice/docker-{ID}.scope", Manager.DOCKER, "", Driver.SYSTEMD),
    (
        f"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{ID}.scope",
        Manager.DOCKER,
        "",
        Driver.SYSTEMD,
    ),
    (f"/libpod_parent/libpod-{ID}", Manager.PODMAN, "", Driver.CGROUPFS),
    (f"/libpod_parent/{'f' * 64}/libpod-{ID}", Manager.PODMAN, "", Driver.CGROUPFS),
    (f"/machine.slice/libpod-{ID}.scope", Manager.PODMAN, "", Driver.SYSTEMD),
    (
        f"/machine.slice/machine-libpod_pod_{'f' * 64}.slice/libpod-{ID}.scope",
        Manager.PODMAN,
        "",
        Driver.SYSTEMD,
    ),
    (
        f"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope",
        Manager.PODMAN,
        "",
        Driver.SYSTEMD,
    ),
]
IN_A_CONTAINER = [
    # kind: a kubelet in a container of Docker's, with either driver, and below its own root
    (f"/docker/{'e' * 64}/kubelet/kubepods/burstable/pod{POD}/{ID}", Manager.CRI, POD),
    (
        f"/docker/{'e' * 64}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/"
        f"kubelet-kubepods-burstable-pod{SLICE_POD}.slice/cri-containerd-{ID}.scope",
        Manager.CRI,
        POD,
    ),
    # systemd in a container of Podman's, Docker in a pod
    (f"/machine.slice/libpod-{'e' * 64}.scope/container/system.slice/docker-{ID}.scope", Manager.DOCKER, ""),
    (f"/kubepods/pod{POD}/{'e' * 64}/docker/{ID}", Manager.DOCKER, ""),
    (f"/docker/{'e' * 64}/default/it", Manager.CONTAINERD, ""),
]
OTHERS = [
    "/",
    "",
    "/kubepods",
    "/kubepods/burstable",
    f"/kubepods/burstable/pod{POD}",
    f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{SLICE_POD}.slice",
    f"/libpod_parent/{ID}",  # a pod of Podman's
    f"/libpod_parent/libpod-{ID}/supervisor",
    f"/machine.slice/libpod-conmon-{ID}.scope",
    f"/machine.slice/crio-conmon-{ID}.scope",
    f"/system.slice/docker-{ID[:12]}.scope",
    f"/docker/{ID}/init.scope",
    f"/docker/{ID.upper()}",
    f"/docker/{ID}0",
    "/docker/buildx",
    "/system.slice/docker.service",
    "/system.slice/containerd.service",
    "/user.slice/user-1000.slice/session-2.scope",
    "/default",
    "/somebody/default/it",
    "/default/.hidden",
    "/default/it/below",
    f"/default/{'x' * 77}",
]


@pytest.mark.parametrize(("path", "manager", "pod", "driver"), CONTAINERS)
def test_containers_of_every_runtime(path, manager, pod, driver):
    """Both drivers of the kubelet, and each engine on its own."""
    place = place_of(path)
    assert (place.path, place.container_id, place.manager, place.pod_uid, place.driver) == (
        path,
        ID,
        manager,
        pod,
        driver,
    )


@pytest.mark.parametrize(("path", "manager", "pod"), IN_A_CONTAINER)
def test_the_innermost_container_counts(path, manager, pod):
    """kind, systemd and Docker in a container: the place is the one inside."""
    place = place_of(path)
    assert (place.manager, place.pod_uid) == (manager, pod)
    assert place.container_id in (ID, "it")


@pytest.mark.parametrize("path", OTHERS)
def test_what_is_no_container(path):
    """Directories of the runtimes themselves, monitors, pods, and what lies below a container."""
    assert place_of(path) is None


def test_containers_of_ctr_are_named_by_their_path():
    """The namespaces are known in advance: any directory in a directory would be one."""
    assert place_of("/default/my-container_1.x").manager is Manager.CONTAINERD
    assert place_of("/default/my-container_1.x").container_id == "my-container_1.x"
    assert place_of(f"/default/{ID}").manager is Manager.CONTAINERD
    assert place_of("/mine/it") is None
    assert place_of("/mine/it", ["mine"]).container_id == "it"


def test_the_container_above():
    """What is in a container's cgroup, however deep, is that container's, the innermost one's."""
    inner = f"/docker/{'e' * 64}/kubepods/pod{POD}/{ID}"
    assert container_above(f"{inner}/init.scope/x").path == inner
    assert container_above(inner).container_id == ID
    assert container_above(f"/docker/{'e' * 64}/kubepods").container_id == "e" * 64
    assert container_above("/system.slice/sshd.service") is None
    assert container_above("/") is None


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("/system.slice/nginx.service", "nginx.service"),
        ("/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service"),
        ("/system.slice/nginx.service/worker", "nginx.service"),
        (r"/system.slice/dev-disk\x2dby.mount", r"dev-disk\x2dby.mount"),
        ("/system.slice/_cgroup.service", "cgroup.service"),
        ("/init.scope", "init.scope"),
        ("/user.slice/user-1000.slice/session-2.scope", "session-2.scope"),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/web.service", "web.service"),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice", "user@1000.service"),
        ("/system.slice", ""),
        ("/", ""),
        ("/kubepods/burstable", ""),
        # a unit of a systemd in a container is not this machine's
        (f"/docker/{ID}/system.slice/nginx.service", ""),
        (f"/system.slice/docker-{ID}.scope/system.slice/nginx.service", f"docker-{ID}.scope"),
    ],
)
def test_units_by_path(path, unit):
    """The first name that is no slice; of a user's manager, the user's own unit."""
    assert unit_of(path) == unit


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ("", ""),
        (f"/kubepods/pod{POD}/{ID}", f"/kubepods/pod{POD}/{ID}"),
        ("default/it", "/default/it"),
        (
            f"kubepods-burstable-pod{SLICE_POD}.slice:cri-containerd:{ID}",
            f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{SLICE_POD}.slice/cri-containerd-{ID}.scope",
        ),
        (f"machine.slice:libpod:{ID}", f"/machine.slice/libpod-{ID}.scope"),
        (f":docker:{ID}", f"/system.slice/docker-{ID}.scope"),
        (f"-.slice:docker:{ID}", f"/docker-{ID}.scope"),
    ],
)
def test_paths_that_a_configuration_asks_for(asked, path):
    """systemd.slice(5): a dash in a slice's name is a level of the tree."""
    assert path_of_spec(asked) == path
