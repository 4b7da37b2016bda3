"""Kinds of a folder of CustomResourceDefinitions, installed until the API server serves them."""

from collections.abc import Iterator
from pathlib import Path

import yaml

from tests.cluster.client import Client, Object
from tests.cluster.errors import AnswerError

MANAGER = "tests"


def read_crds(folder: Path) -> list[Object]:
    """The definitions in a folder's YAML files, by name."""
    found = [
        document
        for file in sorted(folder.glob("*.yaml"))
        for document in yaml.safe_load_all(file.read_text())
        if document and document["kind"] == "CustomResourceDefinition"
    ]
    return sorted(found, key=lambda crd: str(crd["metadata"]["name"]))


def served_versions(crd: Object) -> Iterator[str]:
    """apiVersions."""
    for version in crd["spec"]["versions"]:
        if version["served"]:
            yield f"{crd['spec']['group']}/{version['name']}"


def _established(crd: Object | None) -> bool:
    conditions = (crd or {}).get("status", {}).get("conditions", [])
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)


def install(client: Client, folder: Path) -> list[str]:
    """Apply all, and wait until each version can be listed; the definitions' names."""
    crds = read_crds(folder)
    for crd in crds:
        client.apply(crd, MANAGER, force=True)
    for crd in crds:
        client.wait("CustomResourceDefinition", crd["metadata"]["name"], _established)
        for version in served_versions(crd):
            _wait_until_listed(client, crd["spec"]["names"]["plural"], version)
    return [crd["metadata"]["name"] for crd in crds]


def _wait_until_listed(client: Client, plural: str, version: str) -> None:
    # Established may come a moment before the handler
    for last in (False,) * 100 + (True,):
        try:
            client.request("GET", f"/apis/{version}/{plural}", query={"limit": 1})
        except AnswerError as error:
            if last or error.status != 404:
                raise
        else:
            return
