"""Roots to watch are found in a tree of directories, wherever runtimes put containers."""

import pytest

from recorder.containers.root import WatchRoot, watch_roots

ID = "0123456789abcdef" * 4
UID = "4d5c1e2f-0a1b-4c3d-8e9f-001122334455"
SLICED = UID.replace("-", "_")


def roots(tmp_path, *folders):
    for folder in folders:
        (tmp_path / folder.lstrip("/")).mkdir(parents=True)
    return {(root.path, root.levels, root.prefix) for root in watch_roots(tmp_path)}


def test_the_kubelet_with_cgroupfs(tmp_path):
    """Pods to come through their class, which may be to come itself; pods that are there by themselves."""
    found = roots(tmp_path, f"/kubepods/burstable/pod{UID}/{ID}", "/kubepods/besteffort")
    assert found == {
        ("/kubepods", 2, "pod"),
        ("/kubepods", 3, "besteffort"),
        ("/kubepods", 3, "burstable"),
        ("/kubepods/burstable", 2, "pod"),
        ("/kubepods/besteffort", 2, "pod"),
        (f"/kubepods/burstable/pod{UID}", 1, ""),
    }


def test_the_kubelet_with_systemd(tmp_path):
    """Prefixes are cut to what the kernel side compares."""
    pod = f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{SLICED}.slice"
    assert roots(tmp_path, f"{pod}/cri-containerd-{ID}.scope/init.scope") == {
        ("/kubepods.slice", 2, "kubepods-pod"),
        ("/kubepods.slice", 3, "kubepods-besteff"[:15]),
        ("/kubepods.slice", 3, "kubepods-burstab"[:15]),
        ("/kubepods.slice/kubepods-burstable.slice", 2, "kubepods-bursta"),
        (pod, 1, ""),
    }


@pytest.mark.parametrize(
    ("folder", "root"),
    [
        ("/k8s.io", ("/k8s.io", 1, "")),
        ("/docker", ("/docker", 1, "")),
        ("/default", ("/default", 1, "")),
        ("/system.slice/nginx.service", ("/system.slice", 1, "docker-")),
        (
            "/user.slice/user-1000.slice/user@1000.service/user.slice",
            ("/user.slice/user-1000.slice/user@1000.service/user.slice", 1, "libpod-"),
        ),
        (f"/somebody/own/{ID}", ("/somebody/own", 1, "")),
    ],
)
def test_each_runtime_on_its_own(tmp_path, folder, root):
    """By the name of the directory, or by a container that is in it already."""
    assert roots(tmp_path, folder) == {root}


@pytest.mark.parametrize(("folder", "pods"), [("/libpod_parent", ""), ("/machine.slice", "machine-libpod_")])
def test_podman(tmp_path, folder, pods):
    """Its containers, and those of pods to come one level deeper; the rule of containers is the first."""
    (tmp_path / folder[1:]).mkdir()
    assert watch_roots(tmp_path) == [WatchRoot(folder, 1, "libpod-"), WatchRoot(folder, 2, pods)]


def test_a_name_that_leaves_no_room(tmp_path):
    """A kubelet below another directory: a prefix that is cut must not be that of two rules."""
    path = "/kubelet.slice/kubelet-kubepods.slice"
    assert roots(tmp_path, path) == {(path, 2, "kubelet-kubepod")}


def test_pods_of_podman(tmp_path):
    """Their containers are one level deeper."""
    assert (f"/libpod_parent/{ID}", 1, "libpod-") in roots(tmp_path, f"/libpod_parent/{ID}/libpod-{ID}")
    sliced = f"/machine.slice/machine-libpod_pod_{ID}.slice"
    assert (sliced, 1, "libpod-") in roots(tmp_path, f"{sliced}/libpod-{ID}.scope")


def test_a_kubelet_in_a_container(tmp_path):
    """kind: both the container of the node and the containers in it."""
    found = roots(tmp_path, f"/docker/{ID}/kubelet/kubepods/besteffort/pod{UID}")
    inside = f"/docker/{ID}/kubelet/kubepods"
    assert found == {
        ("/docker", 1, ""),
        (inside, 2, "pod"),
        (inside, 3, "besteffort"),
        (inside, 3, "burstable"),
        (f"{inside}/besteffort", 2, "pod"),
        (f"{inside}/besteffort/pod{UID}", 1, ""),
    }


def test_a_machine_without_containers(tmp_path):
    """Nothing is watched for nothing; a namespace's name is one at the outermost level alone."""
    assert roots(tmp_path, "/init.scope", "/user.slice/user-0.slice", "/somebody/default/x") == set()


def test_namespaces_of_containerd_can_be_named(tmp_path):
    """They are known to whoever configures them."""
    (tmp_path / "mine").mkdir()
    assert watch_roots(tmp_path, ["mine"]) == [WatchRoot("/mine")]
    assert watch_roots(tmp_path) == []
