"""Every workload runs under its own emitted profile, whatever happens to it, as it does without one."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.enforcement.stage import BOTH_FIRST, PAUSE_FIRST, STOP_FIRST

pytestmark = pytest.mark.root

# Two processors are enough for six lives: most of one is waiting.
BESIDE_EACH_OTHER = 6


@pytest.mark.parametrize("no_new_privileges", [False, True], ids=["privileges", "no-new-privileges"])
def test_a_workload_runs_under_its_profile_frozen_stopped_and_signalled(
    workload, oci_runtime, no_new_privileges, trials, scaled
):
    """Status and output are those without a profile, in every one of 50 lives."""
    profile = trials.profile(workload)
    expected = trials.without_profile(workload, disturbed=True)

    def live(number):
        disturbances = (PAUSE_FIRST, STOP_FIRST, BOTH_FIRST)[number % 3]
        container = trials.stage.container(oci_runtime, workload.inside(), profile, no_new_privileges)
        with container:
            # containerd and podman start in two steps; `run` needs other calls of the runtime
            return trials.stage.live(workload, container, disturbances, in_two_steps=number % 2 == 0)

    with ThreadPoolExecutor(BESIDE_EACH_OTHER) as pool:
        results = list(pool.map(live, range(scaled(50, least=3))))
    failures = [result for result in results if result != expected]
    assert not failures, f"{len(failures)} of {len(results)}: {failures[0]}, not {expected}"
