"""No name is in a profile without need: the workload calls each, and taking one away is noticed.

Names of the base and of the `always` set are apart: the runtime and the kernel need those.
The kernel says who called what: a rule of SCMP_ACT_LOG lets a call through and logs it, and
with SECCOMP_FILTER_FLAG_LOG it logs what it refuses. The runtime is crun, since runc 1.1 knows
no filter flags and since crun calls nothing outside its base that could be mistaken for the workload.
"""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.enforcement import denial
from tests.enforcement.emitted import ALWAYS, BASE, allowed, moved, scope
from tests.enforcement.stage import BOTH_FIRST, QUIET, session_file
from tests.enforcement.workload import WORKLOADS
from tests.truth import audit

pytestmark = pytest.mark.root

BESIDE_EACH_OTHER = 6
# What a workload does without a name that it needs may take for ever: it waits for a child or a client.
PATIENCE = 5.0  # seconds

# (workload, name) -> why it may be recorded once, and not be called in any of some other lives.
EXCEPTIONS = {
    (
        "node",
        "sched_yield",
    ): "by V8 where two of its threads meet: in 8 of 100 recordings; it ignores an error",
}


@pytest.fixture(scope="module", autouse=True)
def _audit_works():
    if reason := audit.why_not():
        pytest.skip(reason)


def live_logged(stage, workload, profile, disturbances=QUIET, seconds=PATIENCE):
    """One life in crun; the result and the audit session."""
    with stage.container("crun", workload.inside(), profile) as container:
        result = stage.live(workload, container, disturbances, seconds=seconds)
        return result, int(session_file(container).read_text())


def excused(workload):
    return {name for of, name in EXCEPTIONS if of == workload.name}


def with_denials_logged(profile):
    return {**profile, "flags": ["SECCOMP_FILTER_FLAG_LOG"]}


def test_a_workload_calls_every_name_that_its_recording_brought_in(workload, trials, scaled):
    """All names in a rule that logs, so that no call changes: each is in the log."""
    profile = trials.profile(workload)
    names = scope(profile)
    logging = moved(profile, names, "SCMP_ACT_LOG")
    expected = trials.without_profile(workload, disturbed=False)
    with audit.Reader(denial.parse) as reader:
        lives = [live_logged(trials.stage, workload, logging, seconds=60) for _ in range(scaled(10, least=2))]
        reader.settle()
    assert [result for result, _ in lives] == [expected] * len(lives)
    called = set()
    for _, session in lives:
        called |= denial.called(reader.entries, session, "crun", denial.LOG)
    assert set(names) - called <= excused(workload)
    assert called <= set(names)


def test_taking_a_name_away_is_noticed(workload, trials, scaled):
    """Each alone (a sample at a small scale): another status or output, or the kernel logs the denial."""
    profile = trials.profile(workload)
    names = scope(profile)
    sample = random.Random(workload.name).sample(names, min(len(names), scaled(len(names), least=2)))
    expected = trials.without_profile(workload, disturbed=False)

    def live(name):
        return name, *live_logged(trials.stage, workload, with_denials_logged(moved(profile, [name])))

    with audit.Reader(denial.parse) as reader:
        with ThreadPoolExecutor(BESIDE_EACH_OTHER) as pool:
            lives = list(pool.map(live, sample))
        reader.settle()
    unnoticed = set()
    for name, result, session in lives:
        # a life that was cut short proves nothing: that may be the machine's slowness
        differs = result.status is not None and result != expected
        refused = denial.called(reader.entries, session, "crun", denial.ERRNO)
        if not differs and name not in refused:
            unnoticed.add(name)
    assert unnoticed <= excused(workload)


def test_nothing_is_added_to_a_recording_but_the_base_and_the_always_set(trials):
    """The static program's calls are known from its source: only one is neither base nor always."""
    profile = trials.profile(WORKLOADS[0])
    assert scope(profile) == ["poll"]
    assert allowed(profile) <= {"poll"} | BASE | ALWAYS
    without_base = trials.recorder.emit_command([str(trials.stage.programs["five"])], "names").split()
    assert without_base == ["execve", "exit_group", "getpid", "getppid", "getuid", "sched_yield"]


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("static", "restart_syscall"),
        ("static", "rt_sigreturn"),
        ("static-32-bit", "restart_syscall"),
        ("static-32-bit", "sigreturn"),
    ],
)
def test_what_happens_to_a_container_needs_the_always_set(name, missing, trials):
    """Undisturbed, nobody misses these, so no recording sees them; frozen, stopped and signalled it does."""
    (workload,) = (each for each in WORKLOADS if each.name == name)
    profile = with_denials_logged(moved(trials.profile(workload), [missing]))
    with audit.Reader(denial.parse) as reader:
        quiet, quiet_session = live_logged(trials.stage, workload, profile)
        disturbed, disturbed_session = live_logged(trials.stage, workload, profile, BOTH_FIRST)
        reader.settle()
    assert quiet == trials.without_profile(workload, disturbed=False)
    assert not denial.called(reader.entries, quiet_session, "crun", denial.ERRNO)
    assert denial.called(reader.entries, disturbed_session, "crun", denial.ERRNO) == {missing}
    if missing != "restart_syscall":  # poll then fails, which the program takes for its end
        assert disturbed.status == 128 + 11
