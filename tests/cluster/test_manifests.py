"""What an operator applies is taken by a real API server: `kubectl apply --dry-run=server` of each folder."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cluster import crds
from tests.cluster.api_server import ApiServer
from tests.cluster.client import Object
from tests.cluster.deployed import OWN
from tests.deploy.build.recipe import Recipes
from tests.deploy.rendered import FOLDERS, render
from tests.guest.cache import Artefact, DamagedError

STRANGERS = {
    "cert-manager.io": {"v1": ["Certificate", "Issuer"]},
    "monitoring.coreos.com": {"v1": ["PodMonitor", "PrometheusRule", "ServiceMonitor"]},
}
"""Kinds of others that overlays use, by group and version: the server has stand-ins that take any fields."""
NOT_THERE = {("policy/v1", "PodDisruptionBudget"): "1.20 has policy/v1beta1, which 1.25 has no more"}


def _stand_in(group: str, version: str, kind: str) -> Object:
    plural = f"{kind.lower()}s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "schema": {
                        "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
                    },
                }
            ],
        },
    }


@pytest.fixture(scope="module")
def tools() -> Artefact:
    """kustomize and kubectl; skips where they are not there."""
    try:
        found = Recipes().find_tools()
    except DamagedError as error:
        pytest.skip(f"damaged: {error} (make cluster)")
    if found is None:
        pytest.skip("the tools of tests/deploy are not built (make cluster)")
    return found


@pytest.fixture(scope="module")
def server(api_server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """With the kinds of others, and the namespace that a dry run does not make."""
    folder = tmp_path_factory.mktemp("stand-ins")
    for group, versions in STRANGERS.items():
        for version, kinds in versions.items():
            for kind in kinds:
                (folder / f"{kind}.yaml").write_text(yaml.safe_dump(_stand_in(group, version, kind)))
    names = crds.install(api_server.client, folder)
    api_server.client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OWN}})
    yield api_server
    api_server.client.delete("Namespace", OWN)
    for name in names:
        api_server.client.delete("CustomResourceDefinition", name)


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_server_takes_all_of_it(server: ApiServer, tools: Artefact, tmp_path: Path, folder: str) -> None:
    """Every object of the folder is admitted, but for the kinds that this server does not have."""
    objects = [
        each for each in render(tools, folder).objects if (each["apiVersion"], each["kind"]) not in NOT_THERE
    ]
    manifests = tmp_path / "manifests.yaml"
    manifests.write_text(yaml.safe_dump_all(objects))
    # 1.20 has no schema that this kubectl could validate with: the schemas' tests are in tests/deploy
    command = ["apply", "--validate=false", "--dry-run=server", "-o", "name", "-f", str(manifests)]
    done = subprocess.run(
        [tools / "kubectl", f"--kubeconfig={server.kubeconfig}", *command],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(objects)
