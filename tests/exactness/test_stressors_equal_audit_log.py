"""stress-ng's classes, each recorded and logged in the same run: the sets are equal."""

import pytest

from tests.exactness import stressors
from tests.exactness.installed import NotInstalledError
from tests.exactness.same_run import differences, watch
from tests.truth import audit

pytestmark = pytest.mark.root


@pytest.fixture(scope="module", autouse=True)
def _audit_works():
    if reason := audit.why_not():
        pytest.skip(reason)


@pytest.mark.parametrize("name", sorted(stressors.CLASSES))
def test_a_class_of_stressors_is_recorded_exactly(name, places, recorder_cli, scratch_cgroup, scaled):
    folder = places(name)
    try:
        words = stressors.command(stressors.CLASSES[name].split(), folder, scaled(50, least=5))
    except NotInstalledError as reason:
        pytest.skip(str(reason))
    # A stressor may fail by itself (exec and resched, in one of some hundred runs): each run is compared,
    # and one must be a run in which all did what they are there for.
    for _ in range(3):
        seen, truth = watch(recorder_cli, audit.run, words, scratch_cgroup(), folder)
        assert differences(seen, truth) == []
        if truth.status == 0:
            return
    raise AssertionError(f"stress-ng failed three times, last with status {truth.status}")
