"""What is seen is what AppArmor asks about, operation by operation; needs AppArmor."""

import glob
import os
import uuid
from collections import Counter

from recorder.kernel.accesses import AccessLosses
from recorder.model.record import Phase
from tests.guest.inside.accesses.truth import from_audit, from_recorder
from tests.guest.inside.accesses.watched import complaining, operate
from tests.truth.audit_avc import AvcReader

INTERPRETER = {os.path.realpath(path).encode() for path in glob.glob("/lib64/ld-linux-x86-64.so.2")}
NAMESPACE = ("user namespace",)  # not mediated by the ABI of the profile on all kernels


def test_every_operation_is_in_the_audit_log_of_a_profile_that_allows_nothing(tmp_path, recorder):
    """Of more than 60 operations, each permission on each object is seen, and nothing else is."""
    marker = tmp_path / uuid.uuid4().hex
    marker.write_text("")
    with complaining("nothing"), recorder.recording() as (cgroup, target), AvcReader() as reader:
        assert 80 <= operate(tmp_path / "folder", "nothing", cgroup, marker) < 200
        records = reader.until(marker.name.encode())
        found = recorder.watch.read(target, final=True)
        seen, losses = found.accesses, found.losses
    records = [each for each in records if each.fields.get("profile", b"").startswith(b"nothing")]
    truth = {item for each in records if "apparmor" in each.fields for item in from_audit(each)}
    mine = {
        item
        for subject, access in seen.of(Phase.WORKLOAD)
        for item in from_recorder(subject, access.rights)
        if str(marker) not in str(item[1:2])
    }
    # That of an executable and its interpreter is not asked for: the exec has given it already
    executed = {item[1] for item in truth if item[0] == "file" and item[2] == "x"} | INTERPRETER
    dispensable = {("file", path, "m") for path in executed} | {NAMESPACE}
    missing = sorted(map(str, truth - mine))
    more = sorted(map(str, mine - truth - dispensable))
    assert (missing, more) == ([], [])
    assert Counter(item[0] for item in truth)["file"] >= 60
    assert NAMESPACE in mine
    assert losses == AccessLosses()
    assert recorder.watch.missed() == 0
