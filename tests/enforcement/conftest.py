"""The stage with its trials, and each workload in turn."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import Command
from tests.enforcement.emitted import Recorder
from tests.enforcement.stage import Stage
from tests.enforcement.trials import Trials
from tests.enforcement.workload import WORKLOADS, Workload
from tests.owner import owner
from tests.truth import oci


@pytest.fixture(scope="session")
def trials(
    layout: oci.Layout,
    built_programs: dict[str, Path],
    recorder_cli: Command,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Trials]:
    """A stage on ground where both runtimes run.

    A placeholder keeps the parent of all containers' cgroups: they start and end beside each
    other, and one that ends would remove the parent under another that is being made.
    """
    for runtime in ("runc", "crun"):
        if shutil.which(runtime) is None:
            pytest.skip(f"{runtime} is not installed (make setup)")
    name = f"enforcement-{owner()}"
    with layout.ground("crun"):
        for mounted in (layout.cgroup2, *layout.v1):
            (mounted / oci.PARENT.lstrip("/") / name).mkdir(parents=True, exist_ok=True)
        try:
            stage = Stage.build(tmp_path_factory.mktemp("stage"), built_programs)
            yield Trials(stage, Recorder(recorder_cli, stage))
        finally:
            layout.remove(name)


@pytest.fixture(params=WORKLOADS, ids=lambda workload: workload.name)
def workload(request: pytest.FixtureRequest) -> Workload:
    """Each workload in turn."""
    found: Workload = request.param
    with contextlib.suppress(FileNotFoundError):
        found.inside()
        return found
    pytest.skip(f"{found.source} has no interpreter below /usr (make setup)")
