"""The definitions in deploy/crds as files: fresh, SPO's but for what is ours, valid in every Kubernetes."""

import copy
import importlib.util
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.cluster.conftest import CRDS, SPO_CRDS
from tests.cluster.crds import read_crds

ROOT = Path(__file__).resolve().parents[3]
OURS = {crd["spec"]["names"]["kind"]: crd for crd in read_crds(CRDS)}
SPOS = {crd["spec"]["names"]["kind"]: crd for crd in read_crds(SPO_CRDS)}
KINDS = sorted(OURS)
OLDEST = (1, 25)  # the oldest Kubernetes that the manifests are for
NEWEST = tuple(map(int, kubernetes_validate.latest_version().split(".")[:2]))
VERSIONS = [f"1.{minor}" for minor in range(OLDEST[1], NEWEST[1] + 1)]

# All that deploy/crds has and SPO has not, by path in the schema of ProfileRecording.
STATUS_OF_OURS = {
    f"status.{field}"
    for field in (
        *("conditions", "denials", "denialsOmitted", "ledger"),
        *("observedGeneration", "resultCount", "results"),
    )
}
BOTH_SPELLINGS = {
    "spec.recorder": ["Bpf", "Logs", "bpf", "logs"],
    "spec.mergeStrategy": ["None", "Containers", "none", "containers"],
}


def versions(crd: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {version["name"]: version for version in crd["spec"]["versions"]}


def fields(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Each field's path, and what its schema demands: all but words for people, and the order of sets."""
    demands = {
        key: value
        for key, value in schema.items()
        if key not in ("description", "properties", "items", "additionalProperties")
    }
    if "required" in demands:
        demands["required"] = sorted(demands["required"])
    yield path, demands
    for name, child in schema.get("properties", {}).items():
        yield from fields(child, f"{path}.{name}".lstrip("."))
    for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if key in schema:
            yield from fields(schema[key], f"{path}{mark}")


def demands(crd: dict[str, Any], version: str) -> dict[str, dict[str, Any]]:
    return dict(fields(versions(crd)[version]["schema"]["openAPIV3Schema"]))


def test_files_are_fresh() -> None:
    """scripts/generate_crds.py writes exactly these."""
    spec = importlib.util.spec_from_file_location("generate_crds", ROOT / "scripts/generate_crds.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert {path.name: path.read_text() for path in CRDS.iterdir()} == script.files()


def test_kustomization_has_all_of_them_and_nothing_else() -> None:
    """`kubectl apply -k deploy/crds` installs the four kinds."""
    listed = yaml.safe_load((CRDS / "kustomization.yaml").read_text())["resources"]
    assert sorted(listed) == sorted(
        path.name for path in CRDS.glob("*.yaml") if path.name != "kustomization.yaml"
    )
    assert KINDS == ["AppArmorProfile", "ProfileRecording", "SeccompProfile", "SelinuxProfile"]


def test_definitions_are_installed_by_themselves_alone() -> None:
    """Installing or removing the recorder touches neither SPO's definitions nor anybody's profiles."""
    others = [path for path in (ROOT / "deploy").rglob("*.y*ml") if CRDS not in path.parents]
    for path in others:
        documents = list(yaml.safe_load_all(path.read_text()))
        # a list is a patch (RFC 6902)
        for each in (each for each in documents if isinstance(each, dict)):
            assert each.get("kind") != "CustomResourceDefinition", path
            for listed in [*each.get("resources", ()), *each.get("bases", ())]:
                assert not (path.parent / str(listed)).resolve().is_relative_to(CRDS.resolve()), path


@pytest.mark.parametrize("kind", KINDS)
def test_names_scope_and_versions_are_spos(kind: str) -> None:
    """What a manifest, an RBAC rule or a `kubectl` command names is the same."""
    ours, spos = OURS[kind]["spec"], SPOS[kind]["spec"]
    for key in ("group", "names", "scope"):
        assert ours[key] == spos[key]
    assert [(one["name"], one["served"], one["storage"]) for one in ours["versions"]] == [
        (one["name"], one["served"], one["storage"]) for one in spos["versions"]
    ]
    assert ours["conversion"] == {"strategy": "None"}
    assert all(one["subresources"] == {"status": {}} for one in (*ours["versions"], *spos["versions"]))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "ProfileRecording"])
def test_profiles_have_spos_schema(kind: str) -> None:
    """Fields, enums, defaults, limits, patterns, list types and columns: not one differs."""
    for version in versions(SPOS[kind]):
        assert demands(OURS[kind], version) == demands(SPOS[kind], version)
        assert (
            versions(OURS[kind])[version]["additionalPrinterColumns"]
            == versions(SPOS[kind])[version]["additionalPrinterColumns"]
        )


def test_recordings_differ_from_spos_where_documented() -> None:
    """Both spellings in either version, and more in the status: nothing else."""
    for version in ("v1", "v1alpha1"):
        ours, spos = demands(OURS["ProfileRecording"], version), demands(SPOS["ProfileRecording"], version)
        for path, spellings in BOTH_SPELLINGS.items():
            assert ours[path]["enum"] == spellings
            assert set(spos[path]["enum"]) < set(spellings)
            spos[path] = {**spos[path], "enum": spellings}
        spos["spec.mergeStrategy"] = {**spos["spec.mergeStrategy"], "default": "None"}
        more = {path for path in ours if path not in spos}
        assert {path.split("[")[0] for path in more if path.count(".") == 1} == STATUS_OF_OURS
        assert all(path.startswith("status.") for path in more)
        assert {path: what for path, what in ours.items() if path not in more} == spos
    assert demands(OURS["ProfileRecording"], "v1") == demands(OURS["ProfileRecording"], "v1alpha1")
    columns = versions(OURS["ProfileRecording"])["v1"]["additionalPrinterColumns"]
    assert [(one["name"], one.get("priority", 0)) for one in columns] == [
        ("PodSelector", 10),
        ("Kind", 0),
        ("Ready", 0),
        ("Results", 0),
        ("Age", 0),
    ]


def test_every_field_has_a_description() -> None:
    """`kubectl explain` says something about each of them."""
    for crd, version in itertools.product(OURS.values(), ("v1",)):
        silent = [
            path
            for path, schema in described(versions(crd)[version]["schema"]["openAPIV3Schema"])
            if "description" not in schema and not path.startswith("metadata") and path[-1:] not in ("]", "}")
        ]
        assert silent == []


def described(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from described(child, f"{path}.{name}".lstrip("."))
    if "items" in schema:
        yield from described(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from described(schema["additionalProperties"], f"{path}{{}}")


@pytest.mark.parametrize("version", VERSIONS)
def test_definitions_are_valid_in_newer_versions(version: str) -> None:
    """By the schema of CustomResourceDefinition that each version of Kubernetes publishes; strictly."""
    for crd in (*OURS.values(), *SPOS.values()):
        kubernetes_validate.validate(crd, version, strict=True)
    broken = copy.deepcopy(OURS["SeccompProfile"])
    broken["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["minimun"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, version, strict=True)
