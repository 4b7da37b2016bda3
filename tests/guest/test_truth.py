"""The truth tests of the local recorder, on stock kernels: the same files as on this machine, run in a guest.

A guest has pure cgroup v2, another kernel, and an emulated processor that is some twenty times slower.
So at a tenth of the counts one kernel gets a part of the tests that has every kind of case, and the others
a case of each kind that depends on the kernel; at full counts all have all. Time in a guest is no
measurement, and no test here asks for one.
"""

from pathlib import Path

import pytest

from tests.guest.build.recipe import MissingKernelError, wanted_specs
from tests.guest.spec import Spec
from tests.guest.suites import SCALE, SECONDS, Suite

HERE = Path(__file__).parent


def _cases(function: str, *cases: str) -> tuple[str, ...]:
    return tuple(f"tests/{function}[{case}]" for case in cases)


_RUNTIMES = ("runc", "crun")
# On the oldest kernel; at full counts on all
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
    *_cases("unit/kernel/test_joiners.py::test_all_of_them_are_there_once", "80"),
    "tests/unit/kernel/test_joiners.py::test_while_others_come_and_go",
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
    # processes
    "tests/tasks/test_known_programs.py::test_a_process_that_becomes_a_program[forker-default]",
    "tests/tasks/test_beginning.py::test_a_parent_that_ends_before_it_was_found",
    "tests/tasks/test_others.py::test_two_hundred_processes_beside_it",
    # a recording outlives the agent
    "tests/agent/test_capture_process.py::test_over_the_agents_death",
    # nothing left
    "tests/leftovers/test_bpf_calls.py::test_no_element_of_a_map_is_touched_by_a_call",
    "tests/leftovers/test_command_ends.py::test_a_normal_end",
    "tests/leftovers/test_command_ends.py::test_a_signal_to_the_recorder[15]",
    "tests/leftovers/test_killed_recorder.py::test_kill_on_exit_ends_command_and_all_that_it_started",
)
# On the others: a case of each kind
BETWEEN = (
    *_cases(
        "exactness/test_known_programs_are_recorded_exactly.py::test_a_record_of_a_cgroup_is_that_of_the_source",
        *("forker", "x32call"),
    ),
    *_cases(
        "exactness/test_record_equals_strace.py::test_a_record_holds_exactly_what_strace_saw",
        *("redis", "chain of both ABIs"),
    ),
    *_cases("phases/test_container_start.py::test_run", "runc"),
    *_cases("phases/test_container_exec.py::test_one_after_the_other", "crun"),
    *_cases("phases/test_hooks.py::test_run", "runc"),
    "tests/phases/test_into_cgroup.py::test_into_a_new_cgroup",
    "tests/phases/test_joining.py::test_a_shell_that_joins_and_execs",
    *_cases("mixing/test_waves.py::test_each_cgroup_has_its_own_calls_and_no_others", "1"),
    *_cases(
        "enforcement/test_profile_works.py"
        "::test_a_workload_runs_under_its_profile_frozen_stopped_and_signalled",
        "runc-coreutils-privileges",
    ),
    "tests/tasks/test_known_programs.py::test_a_process_that_becomes_a_program[forker-default]",
    "tests/agent/test_capture_process.py::test_over_the_agents_death",
    "tests/leftovers/test_command_ends.py::test_a_normal_end",
)
# containerd depends less on the kernel than it costs: each of its tests on some kernel
_CONTAINERD = "phases/test_containerd.py::test_"
MORE = {
    "6.1": (
        *_cases(f"{_CONTAINERD}short_containers", *_RUNTIMES),
        *_cases(f"{_CONTAINERD}exec", *_RUNTIMES),
        *_cases(f"{_CONTAINERD}a_pod", "runc"),
        *_cases(f"{_CONTAINERD}containerd_ends_and_comes_back", "crun"),
        "tests/guest/inside/denials/test_agent.py",
        "tests/guest/inside/denials/test_update.py",
    ),
    "newest": (*_cases(f"{_CONTAINERD}short_containers", "runc"), *_cases(f"{_CONTAINERD}a_pod", "runc")),
}
# what only a guest has: systemd, and cgroups that it makes
UNITS = tuple(f"tests/guest/inside/{path.name}" for path in sorted((HERE / "inside").glob("test_*.py")))
# security modules, and kprobes
DENIALS = {
    "apparmor": (
        "tests/guest/inside/denials/test_apparmor.py",
        "tests/guest/inside/denials/test_lifetime.py",
    ),
    "selinux": ("tests/guest/inside/denials/test_selinux.py",),
}
DENIALS_BETWEEN = tuple(
    f"tests/guest/inside/denials/test_apparmor.py::test_{name}"
    for name in ("two_cgroups_and_both_modes_at_once", "a_flood_is_one_entry_and_hides_nothing")
)
# what containers use: programs at the kernel's security functions, and AppArmor's log to compare with
_ACCESSES = "tests/guest/inside/accesses"
_EVERYWHERE = tuple(f"{_ACCESSES}/test_{name}.py" for name in ("completeness", "phases"))
_ONCE = tuple(f"{_ACCESSES}/test_{name}.py" for name in ("command_line", "paths", "peers"))
# where programs are preempted, and seconds of each are attached
_TWICE = tuple(f"{_ACCESSES}/test_{name}.py" for name in ("bounds", "lifetime"))
ACCESSES = {
    "6.1": (*_EVERYWHERE, *_ONCE),
    "6.12": (
        *_EVERYWHERE,
        *(
            f"{_ACCESSES}/test_{name}.py"
            for name in ("agent", "kernel_answer", "probes", "round_trip", "serve")
        ),
    ),
    "newest": (*_EVERYWHERE, *_TWICE),
}
# For denials alone: SELinux beside 6.1, and where only the audit log can be read. 5.10
# cannot run the other programs: test_smoke.py has what it says.
FEW = {
    Spec("newest", "selinux"): (
        "tests/guest/inside/denials/test_selinux.py::test_two_cgroups_at_once",
        "tests/guest/inside/denials/test_selinux.py::test_denials_without_an_audit_record_are_counted",
    ),
    Spec("6.12", "selinux"): (
        "tests/guest/inside/denials/test_selinux.py::test_two_cgroups_at_once",
        "tests/guest/inside/selinux",
    ),
    Spec("5.10"): ("tests/guest/inside/denials/test_apparmor.py::test_two_cgroups_and_both_modes_at_once",),
}
KERNELS = ("6.1", "newest", "6.12")
SPECS = [spec for spec in wanted_specs() if spec.kernel in KERNELS]
SPECS += FEW


def _tests(spec: Spec) -> tuple[str, ...]:
    if spec.init == "systemd":
        return UNITS
    if spec in FEW:
        return FEW[spec]
    if spec.lsm == "selinux":
        return DENIALS[spec.lsm]
    tests = TESTS if spec.kernel == "6.1" or SCALE >= 1 else BETWEEN
    denials = DENIALS_BETWEEN if spec.kernel == "6.12" and SCALE < 1 else DENIALS[spec.lsm]
    return (*tests, *MORE.get(spec.kernel, ()), *denials, *ACCESSES[spec.kernel])


# These first, as long as they take: what is begun last is what everybody waits for
LONGEST = (Spec("6.1"), Spec("6.12"), Spec("newest"), Spec("6.1", init="systemd"), Spec("6.12", "selinux"))
SPECS.sort(key=lambda spec: LONGEST.index(spec) if spec in LONGEST else len(LONGEST))
SUITES = [Suite(spec, _tests(spec)) for spec in SPECS]


@pytest.mark.timeout(3 * SECONDS)  # it may run others first
@pytest.mark.parametrize("suite", SUITES, ids=str)
def test_the_truth_tests_pass_on(suite, suites):
    """All of them, and none is skipped for something that a guest should have."""
    try:
        done = suites.result(suite)
    except MissingKernelError as error:
        pytest.xfail(str(error))
    print(done.text)  # for `pytest -rP`: what takes how long
    assert done.status == 0, f"{done.text[-8000:]}\n{done.stderr.decode(errors='replace')[-2000:]}"
    assert " passed" in done.text
