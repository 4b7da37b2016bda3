"""What checkov says of the manifests: nothing but what is explained here."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.deploy.build.checkov import SITE
from tests.deploy.rendered import FOLDERS, Everything
from tests.guest.cache import Artefact

AGENT, COLLECTOR = "recorder-agent", "recorder-collector"
EVERYWHERE = frozenset(FOLDERS) - {"crds"}
PRIVILEGED = EVERYWHERE - {"overlays/capabilities"}
ITS_NODE = (
    "it records what runs on its node, as root; docs/security.md says what it gives up before it serves"
)


@dataclass(frozen=True, slots=True)
class Exemption:
    """Why a check fails, and of what, in which folders."""

    why: str
    agent: frozenset[str] = frozenset()
    collector: frozenset[str] = frozenset()

    def cases(self) -> set[tuple[str, str]]:
        """(folder, resource)."""
        parts = ((self.agent, AGENT), (self.collector, COLLECTOR))
        return {(folder, name) for folders, name in parts for folder in folders}


EXPLAINED = {
    "CKV_K8S_8": Exemption("the remover's pod only waits", agent=frozenset({"overlays/remove"})),
    "CKV_K8S_9": Exemption("the remover's pod only waits", agent=frozenset({"overlays/remove"})),
    "CKV_K8S_11": Exemption(
        "no limit of CPU: what is throttled is late for containers that live for milliseconds",
        EVERYWHERE,
        EVERYWHERE,
    ),
    "CKV_K8S_15": Exemption(
        "the image may have been loaded into the node by hand, and its tag is a version",
        EVERYWHERE,
        EVERYWHERE,
    ),
    "CKV_K8S_16": Exemption(f"privileged: {ITS_NODE}", PRIVILEGED),
    "CKV_K8S_17": Exemption(
        "whose a cgroup is, and in which call a task is, is in the node's /proc", EVERYWHERE
    ),
    "CKV_K8S_20": Exemption("of a privileged container it cannot be said", PRIVILEGED),
    "CKV_K8S_23": Exemption(ITS_NODE, EVERYWHERE - {"overlays/remove"}),
    "CKV_K8S_25": Exemption(
        "what the agent needs instead of privileged; and to give a folder of the node to the collector",
        agent=frozenset({"overlays/capabilities"}),
        collector=frozenset({"overlays/single-node"}),
    ),
    "CKV_K8S_28": Exemption(
        "of a privileged container it cannot be said: the agent drops it itself", PRIVILEGED
    ),
    "CKV_K8S_29": Exemption("its containers have one each, and they differ", EVERYWHERE),
    "CKV_K8S_31": Exemption(
        "a privileged container has none; without privileged it is a profile of its own, which is narrower",
        EVERYWHERE - {"overlays/remove"},
    ),
    "CKV_K8S_37": Exemption("of a privileged container it cannot be said: it drops them itself", PRIVILEGED),
    "CKV_K8S_40": Exemption(ITS_NODE, EVERYWHERE - {"overlays/remove"}),
    "CKV_K8S_43": Exemption(
        "there is no public image: who has one in a registry puts it, with its digest, into a kustomization",
        EVERYWHERE,
        EVERYWHERE,
    ),
}
"""By checkov's number of the check."""


def failures(site: Path, folder: Path) -> set[tuple[str, str, str]]:
    """(file, resource, check) of all that failed; AssertionError if checkov itself does."""
    words = (
        "-d",
        folder,
        "--framework",
        "kubernetes",
        "-o",
        "json",
        "--compact",
        "--soft-fail",
        "--skip-download",
    )
    script = "import sys; from checkov.main import Checkov; sys.exit(Checkov(sys.argv[1:]).run())"
    done = subprocess.run(
        [sys.executable, "-S", "-c", script, *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)["results"]
    assert len(results["passed_checks"]) > 500
    return {
        (each["file_path"], each["resource"].rpartition(".")[2], each["check_id"])
        for each in results["failed_checks"]
    }


def test_each_exception_is_explained(checkov: Artefact, everything: Everything, tmp_path: Path) -> None:
    """Nothing fails but what is in EXPLAINED, and what is there still does."""
    files = {f"/{number}.yaml": folder for number, folder in enumerate(everything)}
    for name, folder in files.items():
        (tmp_path / name.strip("/")).write_text(yaml.safe_dump_all(everything[folder].objects))
    found: dict[str, set[tuple[str, str]]] = {}
    for file, resource, check in failures(checkov / SITE, tmp_path):
        found.setdefault(check, set()).add((files[file], resource))
    assert found == {check: each.cases() for check, each in EXPLAINED.items()}
