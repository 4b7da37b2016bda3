"""What makes pods run: the kubelet, kube-scheduler and kube-proxy of one node."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.daemon import Daemon
from tests.cluster.node.ground import HOST, NETWORK, Ground
from tests.cluster.node.runtime import SOCKET
from tests.truth.containerd import PAUSE

NAME = "node-1"
DOMAIN = "cluster.local"
HEALTH_PORT, PROXY_PORT, SCHEDULER_PORT = 10248, 10249, 10251
LOOPBACK = "127.0.0.1"  # the node's own
SECCOMP = "/var/lib/kubelet/seccomp"  # of Localhost profiles
Answers = Callable[[str, int, str], bool]


@dataclass(frozen=True, slots=True)
class NodePrograms:
    """Where they are."""

    kubelet: Path
    scheduler: Path
    proxy: Path
    dnsmasq: Path


def _kubelet_settings(ground: Ground) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": HOST,
        "port": 10250,
        "readOnlyPort": 0,
        "healthzBindAddress": LOOPBACK,
        "healthzPort": HEALTH_PORT,
        "failSwapOn": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": ground.cgroup,
        "enforceNodeAllocatable": [],
        # who may reach it is in this network alone
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,  # nobody could pull an image again
        "oomScoreAdj": 0,
        "clusterDomain": DOMAIN,
        "clusterDNS": [HOST],
        "volumePluginDir": str(ground.folder / "volume-plugins"),
        "syncFrequency": "10s",
        "nodeStatusUpdateFrequency": "1s",  # Ready as soon as it is
    }


def make_kubelet(ground: Ground, program: Path, kubeconfig: Path, answers: Answers) -> Daemon:
    """With the paths of any node. A pod's cgroup is <the node's>/kubepods/<class>/pod<uid>."""
    settings = ground.folder / "kubelet.yaml"
    settings.write_text(yaml.safe_dump(_kubelet_settings(ground)))
    words = [
        # it would look for a cloud's registry, and wait for that
        *("env", "AWS_EC2_METADATA_DISABLED=true"),
        *(program, "--config", settings, "--kubeconfig", kubeconfig, "--hostname-override", NAME),
        *("--node-ip", HOST, "--container-runtime=remote", f"--container-runtime-endpoint=unix://{SOCKET}"),
        *("--pod-infra-container-image", PAUSE, "--cert-dir", ground.folder / "kubelet-pki"),
    ]
    return Daemon(
        "kubelet",
        words,
        ground.folder / "kubelet.log",
        lambda: answers(LOOPBACK, HEALTH_PORT, "/healthz"),
        before=lambda: ground.node_words,
    )


def make_scheduler(ground: Ground, program: Path, kubeconfig: Path, answers: Answers) -> Daemon:
    """It serves its health on the node's loopback."""
    words = [
        *(program, "--kubeconfig", kubeconfig, "--leader-elect=false"),
        *("--bind-address", LOOPBACK, "--secure-port=0", "--address", LOOPBACK, "--port", SCHEDULER_PORT),
    ]
    return Daemon(
        "kube-scheduler",
        words,
        ground.folder / "scheduler.log",
        lambda: answers(LOOPBACK, SCHEDULER_PORT, "/healthz"),
        before=lambda: ground.words,
    )


def make_proxy(ground: Ground, program: Path, kubeconfig: Path, answers: Answers) -> Daemon:
    """Services, by iptables in the node's network."""
    settings = ground.folder / "proxy.yaml"
    unlimited = {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}
    written = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "bindAddress": HOST,
        "healthzBindAddress": "",
        "metricsBindAddress": f"{LOOPBACK}:{PROXY_PORT}",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "clusterCIDR": f"{NETWORK}.0/24",
        "hostnameOverride": NAME,
        "mode": "iptables",
        "iptables": {"minSyncPeriod": "0s", "syncPeriod": "30s"},
        # the tables of connections are sized for the whole machine: not this node's
        "conntrack": unlimited,
    }
    settings.write_text(yaml.safe_dump(written))
    return Daemon(
        "kube-proxy",
        [program, "--config", settings],
        ground.folder / "proxy.log",
        lambda: answers(LOOPBACK, PROXY_PORT, "/healthz"),
        before=lambda: ground.node_words,
    )
