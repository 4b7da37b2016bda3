"""The manifests against the schemas of Kubernetes, the recorder's own settings, and its documents."""

import argparse
import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from recorder.agent.budget import Budget
from recorder.agent.privileges import NEEDED, Capability
from recorder.agent.settings import MemorySettings
from recorder.agent.settings_sources import SOURCES as AGENT
from recorder.collector.settings import SOURCES as COLLECTOR
from tests.cluster.scene import RIGHTS
from tests.deploy.build.image import ROOT
from tests.deploy.build.recipe import NAME
from tests.deploy.rendered import DEPLOY, FOLDERS, Everything, Object, Rendered
from tests.guest.build.tool import run_tool

OLDEST = 25
NEWEST = int(kubernetes_validate.latest_version().split(".")[1])
FOREIGN = ("monitoring.coreos.com/", "cert-manager.io/")
"""Groups whose schemas Kubernetes has not."""
MIB = 1 << 20
EVERY = pytest.mark.parametrize("folder", FOLDERS)


@pytest.fixture
def rendered(everything: Everything, folder: str) -> Rendered:
    return everything[folder]


@pytest.mark.parametrize("minor", range(OLDEST, NEWEST + 1))
def test_valid_in_every_version(everything: Everything, minor: int) -> None:
    """By the schemas that each version publishes, strictly: an unknown or misspelt field is an error."""
    seen: dict[str, Object] = {}
    for each in (found for rendered in everything.values() for found in rendered.objects):
        if not each["apiVersion"].startswith(FOREIGN):
            seen[repr(each)] = each
    for each in seen.values():
        kubernetes_validate.validate(each, f"1.{minor}", strict=True)
    broken = copy.deepcopy(everything["."].one("DaemonSet", "recorder-agent"))
    broken["spec"]["template"]["spec"]["hostPid"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, f"1.{minor}", strict=True)


def _flags(container: Object) -> list[str]:
    return [each.replace("$(NODE_NAME)", "node-a") for each in container["args"][1:]]


@EVERY
def test_every_flag_is_a_setting(rendered: Rendered) -> None:
    """Read as the commands read them: unknown flags, and settings that exclude each other, are refused."""
    sources = {"agent": AGENT, "collector": COLLECTOR}
    seen = set()
    for _, _, container in rendered.containers():
        if "args" not in container:
            continue
        assert "command" not in container  # the image's entry point
        command = container["args"][0]
        parser = argparse.ArgumentParser(exit_on_error=False)
        sources[command].add_flags(parser)
        for own in ("--remove", "--remove-spool", "--check"):
            parser.add_argument(own, action="store_true")
        sources[command].load(parser.parse_args(_flags(container)), environment={})
        seen.add(command)
    assert seen == ({"agent", "collector"} if rendered.folder != "crds" else set())


@EVERY
def test_one_image_and_what_each_container_may(rendered: Rendered) -> None:
    """The image of `make image`; no writable root, no token of the API but where it is mounted by hand."""
    for name, pod, container in rendered.containers():
        assert container["image"] == NAME, name
        assert pod["automountServiceAccountToken"] is False
        may = container["securityContext"]
        assert may["readOnlyRootFilesystem"] is True, name
        assert "hostNetwork" not in pod
        assert "hostIPC" not in pod
        assert {"requests", "limits"} == set(container["resources"]), name
        if may.get("privileged"):
            assert name in ("recorder-agent/agent", "recorder-agent/remove")
        else:
            assert may["allowPrivilegeEscalation"] is False, name
            assert may["capabilities"]["drop"] == ["ALL"], name
            kinds = {
                each.get("seccompProfile", {}).get("type") for each in (may, pod.get("securityContext", {}))
            }
            assert kinds & {"RuntimeDefault", "Localhost"}, name


def test_only_what_the_agent_needs_of_its_node(everything: Everything) -> None:
    """The paths of the node, and how: all of them are read-only but bpffs, the state and the spool."""
    pod = dict(everything["."].pods())["recorder-agent"]
    paths = {each["name"]: each["hostPath"]["path"] for each in pod["volumes"] if "hostPath" in each}
    (container,) = pod["containers"]
    mounts = {paths[each["name"]]: each for each in container["volumeMounts"] if each["name"] in paths}
    assert {path for path, each in mounts.items() if not each.get("readOnly")} == {
        "/sys/fs/bpf",
        "/run/recorder",
        "/var/lib/recorder/spool",
    }
    assert {path for path, each in mounts.items() if each.get("readOnly")} == {
        "/sys/fs/cgroup",
        "/sys/kernel/tracing",
        "/run/containerd",
    }
    # else a container's file system stays mounted here after its end
    assert mounts["/run/containerd"]["mountPropagation"] == "HostToContainer"
    assert not any(
        "hostPath" in each for each in dict(everything["."].pods())["recorder-collector"]["volumes"]
    )


def test_the_agents_capabilities(everything: Everything) -> None:
    """The overlay without privileged has what docs/security.md lists, and SETPCAP to give up the rest."""
    (container,) = dict(everything["overlays/capabilities"].pods())["recorder-agent"]["containers"]
    wanted = {each.name for each in NEEDED} | {Capability.SETPCAP.name}
    assert set(container["securityContext"]["capabilities"]["add"]) == wanted


def test_profiles_that_are_named_are_shipped(everything: Everything) -> None:
    """Each Localhost profile is in the ConfigMap, which is what is copied to the node."""
    rendered = everything["overlays/capabilities"]
    (profiles,) = (
        each for each in rendered.of("ConfigMap") if each["metadata"]["name"].startswith("recorder-seccomp")
    )
    named = set()
    for _, _, container in rendered.containers():
        found = container["securityContext"].get("seccompProfile", {})
        if found.get("type") == "Localhost":
            named.add(found["localhostProfile"].removeprefix("profile-recorder/"))
    assert named == set(profiles["data"]) == {"agent.json", "collector.json"}


@EVERY
def test_ports_that_are_named_exist(rendered: Rendered) -> None:
    """Of probes, Services and NetworkPolicies; and each is one that the container is told to serve."""
    declared = {
        (name.partition("/")[0].removeprefix("recorder-"), port["name"]): port["containerPort"]
        for name, _, container in rendered.containers()
        for port in container.get("ports", ())
    }
    for name, _, container in rendered.containers():
        own = name.partition("/")[0].removeprefix("recorder-")
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            if probe in container:
                assert (own, container[probe]["httpGet"]["port"]) in declared
        served = {int(each.rpartition(":")[2]) for each in container.get("args", ()) if "=0.0.0.0:" in each}
        assert served == {port["containerPort"] for port in container.get("ports", ())}, name
    for service in rendered.of("Service"):
        for port in service["spec"]["ports"]:
            assert declared["collector", port["targetPort"]] == port["port"]
    for policy in rendered.of("NetworkPolicy"):
        for rule in policy["spec"].get("ingress", ()):
            for port in rule.get("ports", ()):
                assert port["port"] in {name for _, name in declared} or rendered.folder.endswith("remove")


def test_rights_are_those_of_the_tests_and_the_document(everything: Everything) -> None:
    """What the collector may do is what tests/cluster lets it, and docs/kubernetes.md says; no wildcards."""
    granted = _pairs(everything["."].one("ClusterRole", "profile-recorder-collector")["rules"])
    checks = {  # `recorder check --cluster`, run in the collector's pod
        ("security-profiles-operator.x-k8s.io", "securityprofilesoperatordaemons", "get"),
        ("admissionregistration.k8s.io", "mutatingwebhookconfigurations", "get"),
        ("apiextensions.k8s.io", "customresourcedefinitions", "get"),
        ("apiextensions.k8s.io", "customresourcedefinitions", "list"),
    }
    assert granted - checks == set(_pairs(list(RIGHTS)))
    for rendered in everything.values():
        for role in rendered.of("ClusterRole", "Role"):
            for rule in role["rules"]:
                assert not any("*" in each for values in rule.values() for each in values)
                assert "secrets" not in rule.get("resources", ())
    (own,) = everything["."].one("Role", "recorder-collector")["rules"]
    assert own == {
        "apiGroups": [""],
        "resources": ["configmaps"],
        "resourceNames": ["recorder-ca"],
        "verbs": ["get", "update"],
    }
    text = (ROOT / "docs/kubernetes.md").read_text()
    for _, resource, _ in granted:
        assert f"| {resource} |" in text or f"{resource}," in text or f", {resource} |" in text, resource
    bound = {
        subject["name"]
        for binding in everything["."].of("ClusterRoleBinding", "RoleBinding")
        for subject in binding["subjects"]
    }
    assert bound == {"recorder-collector"}  # the agent has no rights


def _pairs(rules: list[Any]) -> set[tuple[str, str, str]]:
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def _mib(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", text).groups()  # type: ignore[union-attr]
    return int(number) * (1024 if unit == "Gi" else 1)


def _documented() -> Iterator[tuple[str, int, int]]:
    """Rows of the table in docs/limits.md, "In a cluster": container, request and limit in MiB."""
    section = (ROOT / "docs/limits.md").read_text().partition("## In a cluster\n")[2].partition("\n## ")[0]
    for line in section.splitlines():
        if found := re.match(r"\| `([a-z-]+/[a-z-]+)`[^|]*\| (\d+) MiB \| (\d+) MiB \|", line):
            yield found[1], int(found[2]), int(found[3])


def test_memory_is_what_limits_says(everything: Everything) -> None:
    """Requests and limits are those of docs/limits.md, and the agent's request is its two budgets."""
    documented = {name: (request, limit) for name, request, limit in _documented()}
    found = {}
    for name, _, container in everything["."].containers():
        resources = container["resources"]
        found[name] = (_mib(resources["requests"]["memory"]), _mib(resources["limits"]["memory"]))
    assert found == documented
    memory = MemorySettings()
    Budget(memory).check()
    assert found["recorder-agent/agent"][0] * MIB == memory.process + memory.kernel


def test_deleting_takes_no_definitions_and_no_profiles(everything: Everything) -> None:
    """`kubectl delete -k deploy/` has no CRD in it, nor has an overlay; deploy/crds has nothing else."""
    for folder, rendered in everything.items():
        kinds = {each["kind"] for each in rendered.objects}
        assert ("CustomResourceDefinition" in kinds) == (folder == "crds")
        assert folder != "crds" or len(kinds) == 1


@pytest.mark.parametrize("folder", [each for each in FOLDERS if each.startswith("overlays/")])
def test_deleting_the_base_takes_what_an_overlay_made(everything: Everything, folder: str) -> None:
    """All that an overlay adds is in the namespace, which goes with the base; with one exception."""
    added = {"overlays/monitoring": {("ClusterRoleBinding", "profile-recorder-metrics")}}
    base = {(each["kind"], each["metadata"]["name"]) for each in everything["."].objects}
    more = {
        (each["kind"], each["metadata"]["name"])
        for each in everything[folder].objects
        if "namespace" not in each["metadata"]
    }
    assert more - base == added.get(folder, set())


def test_version_is_the_recorders(everything: Everything) -> None:
    """Labels and image say the same version as the package."""
    version = NAME.rpartition(":")[2]
    for each in everything["."].objects:
        assert each["metadata"]["labels"]["app.kubernetes.io/version"] == version


def test_components_can_be_combined(tmp_path: Path, tools: Any) -> None:
    """Monitoring with cert-manager and capabilities: what an operator's own kustomization would do."""
    own = DEPLOY / "overlays" / f"test-{tmp_path.name}"
    own.mkdir()
    try:
        parts = [f"../../components/{name}" for name in ("monitoring", "cert-manager", "capabilities")]
        (own / "kustomization.yaml").write_text(
            yaml.safe_dump({"resources": ["../../base"], "components": parts})
        )
        found = list(yaml.safe_load_all(run_tool(tools / "kustomize", "build", own)))
    finally:
        (own / "kustomization.yaml").unlink(missing_ok=True)
        own.rmdir()
    combined = Rendered("combined", tuple(found))
    (agent,) = dict(combined.pods())["recorder-agent"]["containers"]
    assert "--web-metrics-address=0.0.0.0:9444" in agent["args"]
    assert agent["securityContext"]["privileged"] is False
    (collector,) = dict(combined.pods())["recorder-collector"]["containers"]
    assert "--enrolment-ca-key=/etc/recorder/ca-key/tls.key" in collector["args"]
