"""What a container's AppArmor profile denied, as the profile that is completed: by hand, and by the CRD."""

import dataclasses
from pathlib import Path

import jsonschema
import pytest
import yaml

from recorder.model.errors import InvalidProfile
from recorder.model.record import Provenance, Record
from recorder.profiles.apparmor_profile import AppArmorProfile
from recorder.profiles.apparmor_yaml import to_object
from recorder.profiles.completion import MAX_ADDED
from recorder.profiles.denied_profile import (
    completed_profile,
    denying_profile,
    denying_profiles,
    only_complained,
)
from tests.unit.profiles.test_completion import FIVE, denial, record

CRD = yaml.safe_load((Path(__file__).parents[3] / "deploy/crds/apparmorprofile.yaml").read_text())
SCHEMA = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
CONF, PID_FILE = FIVE[:2]


def unit(*denials, verdict="allowed", by="seccomp sys_exit, apparmor lsm"):
    """One container's record, of a node that looked for denials."""
    seen = record(*denials, verdict=verdict).observations[0]
    return Record((dataclasses.replace(seen, provenance=Provenance(denials=by)),))


def both(first, second):
    """One container with the denials of two records."""
    one, other = first.observations[0], second.observations[0]
    return Record((dataclasses.replace(one, denials={**one.denials, **other.denials}),))


def test_the_profile_that_complained_is_completed():
    """Each line with in how many containers it was denied; the object is the API's."""
    base = AppArmorProfile("web", read_only=("/etc/hosts",), complain=True)
    found = completed_profile([unit(*FIVE), unit(CONF)], "web", base)
    assert (found.completes, found.alone, found.enforced) == ("web", False, 0)
    assert dict(found.coverage) == {
        "allowTcp: true": 1,
        "allowedCapabilities: net_bind_service": 1,
        "allowedExecutables: /bin/date": 1,
        "readOnlyPaths: /etc/app.conf": 2,
        "writeOnlyPaths: /var/run/app.pid": 1,
    }
    assert sorted(found.added) == sorted(found.coverage)
    assert found.profile.read_only == ("/etc/app.conf", "/etc/hosts")
    assert found.profile.complain
    assert found.ledger.verdict.complete
    jsonschema.validate(to_object(found.profile), SCHEMA)


def test_without_its_object_it_is_what_was_denied_alone_and_complains():
    """Enforced it would deny all that the profile it completes allows."""
    found = completed_profile([unit(CONF)], "web", None)
    assert found.alone
    assert found.profile == AppArmorProfile("web", read_only=("/etc/app.conf",), complain=True)


def test_what_was_enforced_makes_it_lossy():
    """It is in the profile, and what would have come after it is not known."""
    found = completed_profile([both(unit(CONF), unit(PID_FILE, verdict="denied"))], "web", None)
    assert found.enforced == 1
    assert found.ledger.losses() == {"domain_enforcing": 1}
    assert found.profile.write_only == ("/var/run/app.pid",)


def test_a_node_that_does_not_look_makes_it_lossy():
    """What its containers were denied is missing."""
    found = completed_profile([unit(CONF), unit(by="seccomp sys_exit, selinux lsm")], "web", None)
    assert found.ledger.losses() == {"accesses_missed": 1}


def test_which_profile_is_completed():
    """One that complains before one that enforces, then that with most denials; a child is its parent's."""
    enforced = unit(
        denial("open", "file", "read", "/a", profile="cri"),
        denial("open", "file", "read", "/b", profile="cri"),
        verdict="denied",
    )
    child = unit(denial("open", "file", "read", "/c", profile="web//null-/bin/date"))
    assert denying_profiles(both(enforced, child)) == {"cri": (0, 2), "web": (1, 0)}
    assert denying_profile(both(enforced, child)) == "web"
    assert denying_profile(enforced) == "cri"
    assert denying_profile(unit(CONF, verdict="audited")) == ""
    found = completed_profile([both(enforced, child)], "web", None)
    assert found.added == ("readOnlyPaths: /c",)
    assert found.left_out == ("denials of profile cri: this one is web",)
    assert found.enforced == 0


def test_denials_that_took_place_can_be_left_out():
    """For a profile that is changed where it stands: who is refused something shall not get it by trying."""
    found = only_complained(both(unit(CONF), unit(PID_FILE, verdict="denied")))
    assert completed_profile([found], "web", None).added == ("readOnlyPaths: /etc/app.conf",)


def test_nothing_to_add_is_said_with_the_reason():
    """It lacks nothing, and is as it was; no rule can be made of it; it denied nothing."""
    base = AppArmorProfile("web", read_only=("/etc/app.conf",))
    done = completed_profile([unit(CONF)], "web", base)
    assert (done.profile, done.added) == (base, ())
    assert done.left_out == ("/etc/app.conf: is in the profile already",)
    with pytest.raises(InvalidProfile, match="setrlimit of class rlimits"):
        completed_profile([unit(denial("setrlimit", "rlimits", "", limit=7))], "web", None)
    with pytest.raises(InvalidProfile, match="no denial"):
        completed_profile([unit()], "web", None)


def test_a_flood_of_paths_is_cut_and_said():
    """What 20 containers were denied on purpose: some is added, the rest is counted, and it is lossy."""
    units = [
        unit(*(denial("open", "file", "read", f"/srv/d{m}/x{n}y{m}z") for n in range(200))) for m in range(20)
    ]
    found = completed_profile(units, "web", None)
    assert len(found.profile.read_only) == MAX_ADDED == 2000
    assert found.left_out == ("2000 more paths: 2000 at most are added at a time",)
    assert found.ledger.losses() == {"accesses_full": 1}
