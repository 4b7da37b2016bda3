"""What a record holds equals the audit log of the same run, where nothing is traced and nothing uncertain.

Each program runs under a seccomp filter that lets every call through and logs it. That shows also
what strace cannot: programs that trace, children that are not to be traced, and calls that a filter
of the program's own keeps from the kernel.
"""

import pytest

from tests.exactness.same_run import differences, watch
from tests.exactness.workloads import UNTRACEABLE, WORKLOADS
from tests.truth import audit

pytestmark = pytest.mark.root


@pytest.fixture(scope="module", autouse=True)
def _audit_works():
    if reason := audit.why_not():
        pytest.skip(reason)


@pytest.mark.parametrize("workload", [*WORKLOADS, *UNTRACEABLE], ids=lambda workload: workload.name)
def test_a_record_holds_exactly_what_was_logged(workload, prepare, recorder_cli, scratch_cgroup, scaled):
    for _ in range(scaled(3)):
        words, folder = prepare(workload)
        seen, truth = watch(recorder_cli, audit.run, words, scratch_cgroup(), folder)
        assert truth.status == workload.status, truth.stdout
        assert differences(seen, truth) == []
        assert not {str(call) for call in seen.workload} & set(workload.absent)
