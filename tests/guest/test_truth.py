"""The truth tests of the local recorder, on stock kernels: the same files as on this machine, run in a guest.

A guest has pure cgroup v2, another kernel, and an emulated processor that is some twenty times slower.
So each kernel gets a part of the tests, at the smallest counts, that has every kind of case. Time in a
guest is no measurement, and no test here asks for one.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.guest.build.recipe import MissingKernelError, wanted_specs
from tests.guest.cache import Cache
from tests.guest.checkout import push_checkout
from tests.guest.spec import Spec
from tests.guest.start import start
from tests.guest.vm import Result


def _cases(function: str, *cases: str) -> tuple[str, ...]:
    return tuple(f"tests/{function}[{case}]" for case in cases)


_RUNTIMES = ("runc", "crun")
TESTS = (
    # complete and exact
    *_cases(
        "exactness/test_known_programs_are_recorded_exactly.py::test_a_record_of_a_cgroup_is_that_of_the_source",
        *("brief", "five", "five32", "forker", "int80", "untraced", "x32call"),
    ),
    *_cases(
        "exactness/test_record_equals_strace.py::test_a_record_holds_exactly_what_strace_saw",
        *("true", "coreutils", "redis", "namespaces", "chain of both ABIs", "static threads"),
    ),
    # set-up is apart
    *_cases("phases/test_container_start.py::test_run", *_RUNTIMES),
    *_cases("phases/test_container_start.py::test_create_and_start", *_RUNTIMES),
    *_cases("phases/test_container_exec.py::test_one_after_the_other", *_RUNTIMES),
    *_cases("phases/test_hooks.py::test_run", *_RUNTIMES),
    *_cases("phases/test_nested.py::test_in_mode_exec", "itself", "there and back"),
    "tests/phases/test_into_cgroup.py::test_into_a_new_cgroup",
    "tests/phases/test_joining.py::test_a_shell_that_joins_and_execs",
    # no mixing
    *_cases("mixing/test_waves.py::test_each_cgroup_has_its_own_calls_and_no_others", "0", "1"),
    # the profile works
    *_cases(
        "enforcement/test_profile_works.py"
        "::test_a_workload_runs_under_its_profile_frozen_stopped_and_signalled",
        *("runc-coreutils-privileges", "crun-coreutils-no-new-privileges"),
    ),
    *_cases(
        "enforcement/test_thirty_two_bit.py::test_a_32_bit_program_needs_the_profile_that_was_recorded_of_it",
        *("runc-False", "crun-True"),
    ),
    # nothing left
    "tests/leftovers/test_command_ends.py::test_a_normal_end",
    "tests/leftovers/test_command_ends.py::test_a_signal_to_the_recorder[15]",
    "tests/leftovers/test_killed_recorder.py::test_kill_on_exit_ends_command_and_all_that_it_started",
)
# 5.10 cannot run these programs at all; a kernel from 7.0 on skips runs now and then, see docs/critiques.md.
# test_smoke.py has what they say.
SPECS = [spec for spec in wanted_specs() if spec.kernel in ("6.1", "6.12") and spec.lsm == "apparmor"]
AT_ONCE = 2  # guests; each keeps one processor busy


def run_tests(spec: Spec, cache: Cache) -> Result:
    """In a guest of its own, which ends with the call."""
    with start(spec, cache) as guest:
        push_checkout(guest)
        environment = ["env", "TEST_SCALE=0.01", "RECORDER_REQUIRE_ALL=1"]
        pytest_here = ["python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short"]
        words = ["sh", "-c", 'cd /root/checkout && exec "$@"', "sh", *environment, *pytest_here, *TESTS]
        return guest.run(words, timeout=1000, check=False)


@pytest.fixture(scope="module")
def results(guest_cache: Cache) -> Iterator[dict[Spec, Future[Result]]]:
    """All guests' runs, two at a time."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {spec: pool.submit(run_tests, spec, guest_cache) for spec in SPECS}


@pytest.mark.timeout(2400)
@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_the_truth_tests_pass_on(spec, results):
    """All of them, and none is skipped for something that a guest should have."""
    try:
        done = results[spec].result()
    except MissingKernelError as error:
        pytest.xfail(str(error))
    assert done.status == 0, f"{done.text[-8000:]}\n{done.stderr.decode(errors='replace')[-2000:]}"
    assert " passed" in done.text
