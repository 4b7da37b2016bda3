"""What is made once for all tests of a stage: profiles, and lives without one."""

import json
from dataclasses import dataclass, field
from typing import Any

from tests.enforcement.conversation import Result
from tests.enforcement.emitted import Recorder
from tests.enforcement.stage import PAUSE_FIRST, QUIET, Stage
from tests.enforcement.workload import Workload


@dataclass(slots=True)
class Trials:
    """The stage, its recorder, and what they have made so far."""

    stage: Stage
    recorder: Recorder
    _profiles: dict[str, dict[str, Any]] = field(default_factory=dict)
    _results: dict[tuple[str, bool], Result] = field(default_factory=dict)

    def profile(self, workload: Workload) -> dict[str, Any]:
        """A workload's OCI profile."""
        if workload.name not in self._profiles:
            self._profiles[workload.name] = json.loads(self.recorder.emit(workload))
        return self._profiles[workload.name]

    def program_profile(self, name: str) -> dict[str, Any]:
        """The OCI profile of a static program that is run without arguments."""
        key = f"program {name}"
        if key not in self._profiles:
            emitted = self.recorder.emit_command([str(self.stage.programs[name])])
            self._profiles[key] = json.loads(emitted)
        return self._profiles[key]

    def without_profile(self, workload: Workload, *, disturbed: bool) -> Result:
        """How a workload ends without a profile: the same in both runtimes."""
        key = (workload.name, disturbed)
        if key not in self._results:
            results = []
            for runtime, no_new_privileges in (("runc", True), ("crun", False)):
                container = self.stage.container(runtime, workload.inside(), None, no_new_privileges)
                with container:
                    results.append(self.stage.live(workload, container, PAUSE_FIRST if disturbed else QUIET))
            assert results[0] == results[1]
            assert b"worked\n" in results[0].stdout, results[0]
            self._results[key] = results[0]
        return self._results[key]
