"""The collector under the seccomp profile that the recorder has recorded of it.

deploy/seccomp has it; scripts/record_own_profile.py makes it anew.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.agent.test_own_seccomp import CONFINED, FOLDER, NEVER, allowed
from tests.cluster.api_server import ApiServer
from tests.cluster.collector_life import collector_life

pytestmark = pytest.mark.root
PROFILE = FOLDER / "collector.json"
WITHOUT = frozenset(["bpf", "perf_event_open", "fsopen", "fsmount", "open_by_handle_at"])
"""What the agent's has, and nobody who takes the collector over is to have."""


def test_the_collector_lives_under_its_own_profile(
    api_server: ApiServer, namespace: Callable[..., str], tmp_path: Path
) -> None:
    """All that it does goes as without; and the filter is on, for its commands as well."""
    with collector_life(
        api_server, namespace, tmp_path, (sys.executable, str(CONFINED), str(PROFILE))
    ) as life:
        with life.collector as collector:
            process = collector.process
            assert process
            assert "\nSeccomp:\t2\n" in Path(f"/proc/{process.pid}/status").read_text()
            assert collector.stop() == 0
        life.run()


def test_both_forms_say_the_same() -> None:
    """The SeccompProfile has the defaults, ABIs and rules of the OCI form, and none of what it must not."""
    oci = json.loads(PROFILE.read_text())
    spec = yaml.safe_load((FOLDER / "collector.yaml").read_text())["spec"]
    for key in ("defaultAction", "architectures"):
        assert spec[key] == oci[key]
    assert allowed(spec["syscalls"]) == allowed(oci["syscalls"])
    assert allowed(oci["syscalls"]) & (NEVER | WITHOUT) == set()
    assert oci["defaultAction"] == "SCMP_ACT_ERRNO"
