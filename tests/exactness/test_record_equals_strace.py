"""What `recorder record --cgroup` holds about real programs equals what strace saw of the same run."""

import signal

import pytest

from tests.exactness.same_run import differences, until_certain, watch
from tests.exactness.workloads import WORKLOADS
from tests.truth import strace

pytestmark = pytest.mark.root


def _named(workloads):
    return pytest.mark.parametrize("workload", workloads, ids=lambda workload: workload.name)


def test_there_are_at_least_25_real_programs():
    assert len({workload.name for workload in WORKLOADS}) >= 25


@_named(WORKLOADS)
def test_a_record_holds_exactly_what_strace_saw(workload, prepare, recorder_cli, scratch_cgroup, scaled):
    def run():
        words, folder = prepare(workload)
        return watch(recorder_cli, strace.run, words, scratch_cgroup(), folder)

    for _ in range(scaled(3)):
        for seen, truth in until_certain(run, workload.pending):
            assert truth.status == workload.status, truth.stdout
            assert differences(seen, truth) == []


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
@_named([each for each in WORKLOADS if each.name in ("python subprocess", "static threads")])
def test_a_record_ended_by_a_signal_is_as_exact(workload, end, prepare, recorder_cli, scratch_cgroup):
    words, folder = prepare(workload)
    seen, truth = watch(recorder_cli, strace.run, words, scratch_cgroup(), folder, end=end)
    assert differences(seen, truth) == []
