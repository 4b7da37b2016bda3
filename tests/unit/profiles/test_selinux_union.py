"""SELinux rules of several containers: united, counted, lossy where one was enforced or not watched."""

import dataclasses

import pytest

from recorder.model.denial import DenialKey
from recorder.model.errors import InvalidProfile
from recorder.model.ledger import Ledger
from recorder.model.record import Provenance, Record
from recorder.profiles.selinux_union import selinux_union
from tests.unit.profiles.test_selinux import ONCE, avc, record


def unit(*denials, denials_by="seccomp sys_exit, selinux lsm", ledger=None):
    """One container's record, of a node that looked for denials by `denials_by`."""
    seen = record(*denials).observations[0]
    provenance = Provenance(kinds="syscalls,denials", denials=denials_by)
    return Record((dataclasses.replace(seen, provenance=provenance, ledger=Ledger(ledger or {})),))


READS = avc("recording.process", "etc_t", "file", "open read")
WRITES = avc("recording.process", "tmp_t", "file", "write")


def test_replicas_are_united_and_each_permission_counted():
    """By hand: two of three read, one writes."""
    found = selinux_union([unit(READS), unit(READS, WRITES), unit(WRITES)])
    assert dict(found.rules.allowed) == {("etc_t", "file"): ("open", "read"), ("tmp_t", "file"): ("write",)}
    assert dict(found.coverage) == {"etc_t file open": 2, "etc_t file read": 2, "tmp_t file write": 2}
    assert dict(found.domains) == {"recording.process": 3}
    assert (found.enforcing, found.silent) == ((), 0)
    assert found.rules.ledger.verdict.complete


def test_each_container_has_a_domain_of_its_own():
    """One pod has another type: its rules are united with the others', its own type is @self."""
    own = avc("web.process", "web.process", "process", "signal")
    found = selinux_union([unit(READS), unit(own), unit(WRITES)])
    assert found.rules.domain == "recording.process"
    assert found.rules.allowed["@self", "process"] == ("signal",)
    assert dict(found.domains) == {"recording.process": 2, "web.process": 1}
    assert found.rules.left_out == (
        "the containers ran in 2 domains, and their rules are united: recording.process (2), web.process (1)",
    )
    assert found.rules.ledger.verdict.complete


def test_an_enforcing_domain_is_named_and_makes_it_lossy():
    """What was refused is in it all the same; what came after it is not known."""
    refused = avc("container_t", "etc_t", "file", "write", permissive=False)
    found = selinux_union([unit(READS), unit(refused)])
    assert found.enforcing == ("container_t",)
    assert found.rules.allowed["etc_t", "file"] == ("open", "read", "write")
    assert found.rules.ledger.losses() == {"domain_enforcing": 1}


def test_the_runtimes_denials_are_not_the_containers():
    """Of the types of one container the permissive one counts, however much the other was refused."""
    runtime = [
        avc("container_runtime_t", "etc_t", "file", name, permissive=False) for name in ("write", "append")
    ]
    found = selinux_union([unit(READS, *runtime)])
    assert dict(found.rules.allowed) == {("etc_t", "file"): ("open", "read")}
    assert found.rules.left_out == (
        "denials of processes of type container_runtime_t: this profile is for recording.process",
    )
    assert found.rules.ledger.verdict.complete


@pytest.mark.parametrize("by", ["", "seccomp sys_exit", "seccomp sys_exit, apparmor lsm"])
def test_a_node_that_does_not_look_for_them_makes_it_lossy(by):
    """A replica there may have needed anything: it is not one to which nothing was denied."""
    found = selinux_union([unit(READS), unit(denials_by=by)])
    assert found.silent == 0
    assert found.rules.ledger.losses() == {"accesses_missed": 1}


def test_a_container_to_which_nothing_was_denied_is_counted():
    """It may have done nothing new, or run in no permissive domain: nobody can tell."""
    found = selinux_union([unit(READS), unit()])
    assert found.silent == 1
    assert found.rules.left_out == ("to 1 of 2 containers SELinux denied nothing",)
    assert found.rules.ledger.verdict.complete


@pytest.mark.parametrize(
    ("note", "loss"),
    [
        ("denials_full", "accesses_full"),
        ("denials_missed", "accesses_missed"),
        ("denials_late", "accesses_missed"),
    ],
)
def test_notes_on_denials_are_losses_of_what_is_made_of_them(note, loss):
    """A record of calls is whole without them."""
    assert selinux_union([unit(READS, ledger={note: 2})]).rules.ledger.losses() == {loss: 2}


def test_what_an_installer_refuses_stays_apart():
    """Of all containers together."""
    hard = avc("recording.process", "recording.process", "capability", "setuid")
    found = selinux_union(
        [unit(READS), unit(hard), unit(avc("recording.process", "etc_t", "file", "relabelto"))]
    )
    assert dict(found.rules.refused) == {
        ("@self", "capability"): ("setuid",),
        ("etc_t", "file"): ("relabelto",),
    }
    assert found.rules.installable == {("etc_t", "file"): ("open", "read")}


def test_the_order_of_containers_does_not_matter():
    """The same rules, sentences and counts."""
    units = [unit(READS), unit(WRITES), unit(), unit(avc("b.process", "etc_t", "dir", "search"))]
    assert selinux_union(units) == selinux_union(units[::-1])


def test_nothing_is_refused():
    """No container was denied anything."""
    with pytest.raises(InvalidProfile, match="denied nothing"):
        selinux_union([unit(), unit()])


def test_words_that_are_none_are_in_no_rule():
    """A record may be another's: what is compiled has names of classes and permissions, and nothing else."""
    hostile = avc("recording.process", "etc_t", "file (read))) (allow kernel_t", "read")
    words = dataclasses.replace(READS, permissions=("read", "x)) (allow", "\n"))
    found = selinux_union([unit(hostile), unit(words)])
    assert dict(found.rules.allowed) == {("etc_t", "file"): ("read",)}
    assert found.rules.left_out == (
        "of 1 of 2 containers no denial says all that a rule needs",
        "permission \\n of class file: the kernel has no name for it",
        "permission x)) (allow of class file: the kernel has no name for it",
    )
    assert found.rules.ledger.losses() == {"accesses_missed": 1}


def test_what_the_policy_allows_and_reports_is_no_denial():
    """auditallow: nothing was denied to that container."""
    seen = unit(READS).observations[0]
    audited = dataclasses.replace(seen, denials={DenialKey("audited", READS): ONCE})
    found = selinux_union([unit(WRITES), Record((audited,))])
    assert dict(found.rules.allowed) == {("tmp_t", "file"): ("write",)}
    assert (found.silent, found.rules.ledger.verdict.complete) == (1, True)


def test_what_was_lost_of_accesses_is_anothers():
    """One container's record is shared by recordings: these did not ask for accesses."""
    lost = {"accesses_full": 3, "accesses_unwatched": 1, "attached_late": 1}
    assert selinux_union([unit(READS, ledger=lost)]).rules.ledger.losses() == {"attached_late": 1}
