"""Each loss, made by the situation that it names: the verdict is lossy, and says by what and how often."""

import dataclasses
import os

import pytest

from recorder.kernel.backend import WatchRule
from recorder.kernel.layout import SlotMode
from recorder.kernel.spec import Bounds, syscalls_spec
from recorder.model import accesses
from recorder.model.abi import Abi
from recorder.model.access import File, FileRight
from recorder.model.accesses import Accesses, AccessKey, Seen
from recorder.model.denial import DenialCount, DenialKey, SelinuxDenial, Sighting, Text
from recorder.model.errors import BpfLimit
from recorder.model.ledger import Ledger
from recorder.model.record import Observation, Phase, Record, Source
from recorder.profiles.selinux_rules import selinux_rules
from tests.kernel_objects import held_by, recursion_misses
from tests.ledger.judgement import assert_judged
from tests.member import Guest, Member
from tests.truth.calls import Call, calls
from tests.truth.programs import EXEC, EXPECTED, rawsys_calls

pytestmark = pytest.mark.root

FIVE = EXPECTED["five"] | EXEC


def workload(record):
    return frozenset(
        Call(Abi(abi), number) for abi, numbers in record.calls(Phase.WORKLOAD).items() for number in numbers
    )


def run(cgroup, *argv):
    assert Member(cgroup, *argv).wait() == 0


def test_slots_full_by_a_cgroup_below_a_watched_root(load, recording, scratch_cgroup, built_programs, capsys):
    """A new cgroup finds no free slot: whoever records on this backend learns that something was not seen."""
    backend = load(slots=1)
    root, cgroup = scratch_cgroup(), scratch_cgroup()
    taken = recording(backend, cgroup)
    backend.watch(root.stat().st_ino, WatchRule(SlotMode.MODE_EXEC))
    scratch_cgroup("refused", parent=root)
    run(cgroup, built_programs["five"])
    record = taken.finish()
    assert workload(record) == FIVE
    assert_judged(record, capsys, losses={"slots_full": 1})


def test_slots_full_by_an_add(load, recording, scratch_cgroup, built_programs, capsys):
    """An add without a free slot is refused by name, and counted."""
    backend = load(slots=1)
    cgroup = scratch_cgroup()
    taken = recording(backend, cgroup)
    with pytest.raises(BpfLimit, match="all 1 slots are in use"):
        backend.add(scratch_cgroup().stat().st_ino, SlotMode.MODE_EXEC)
    run(cgroup, built_programs["five"])
    assert_judged(taken.finish(), capsys, losses={"slots_full": 1})


def test_roots_full_by_a_new_parent_of_containers(load, recording, scratch_cgroup, built_programs, capsys):
    """A new pod's cgroup cannot be watched: its containers have no slot from the first call on."""
    backend = load(roots=1)
    root, cgroup = scratch_cgroup(), scratch_cgroup()
    taken = recording(backend, cgroup)
    backend.watch(root.stat().st_ino, WatchRule(SlotMode.MODE_CONTAINER, levels=2))
    pod = scratch_cgroup("pod", parent=root)
    scratch_cgroup("container", parent=pod)
    run(cgroup, built_programs["five"])
    record = taken.finish()
    assert workload(record) == FIVE
    assert_judged(record, capsys, losses={"roots_full": 1})


def _nearly_fill(backend, scratch_cgroup):
    """18 of the 20 places of a table of one set: 4 ways, and 16 in the hash map behind."""
    for _ in range(2):
        other = scratch_cgroup()
        backend.add(other.stat().st_ino, SlotMode.MODE_EXEC)
        for number in range(8):
            scratch_cgroup(f"below-{number}", parent=other)


def test_table_full_for_a_child(load, recording, scratch_cgroup, built_programs, capsys):
    """A child cgroup without a place: what runs in it is not in the record, which says so."""
    backend = load(slots=8, children=8, table_sets=1)
    _nearly_fill(backend, scratch_cgroup)
    cgroup = scratch_cgroup()
    taken = recording(backend, cgroup)
    run(scratch_cgroup("last", parent=cgroup), built_programs["brief"])
    run(scratch_cgroup("none", parent=cgroup), built_programs["five"])
    record = taken.finish()
    assert workload(record) == EXPECTED["brief"] | EXEC
    assert_judged(record, capsys, losses={"table_full": 1})


def test_table_full_for_a_target(load, recording, scratch_cgroup, built_programs, capsys):
    """An add, or a new cgroup below a watched root, without a place gives its slot back, and is counted."""
    backend = load(slots=8, children=8, table_sets=1)
    _nearly_fill(backend, scratch_cgroup)
    cgroup = scratch_cgroup()
    taken = recording(backend, cgroup)
    scratch_cgroup("last", parent=cgroup)
    root = scratch_cgroup()
    backend.watch(root.stat().st_ino, WatchRule(SlotMode.MODE_EXEC))
    scratch_cgroup("none", parent=root)
    with pytest.raises(BpfLimit, match="the lookup table is full"):
        backend.add(root.stat().st_ino, SlotMode.MODE_EXEC)
    assert len(backend.targets()) == 3
    run(cgroup, built_programs["five"])
    record = taken.finish()
    assert workload(record) == FIVE
    assert_judged(record, capsys, losses={"table_full": 2})


def test_slot_reused_before_the_last_state_was_read(load, recording, scratch_cgroup, built_programs, capsys):
    """Another reader of the same slots gave it away: nothing of the new owner gets into the old record."""
    backend = load(slots=1)
    taken = recording(backend, scratch_cgroup())
    backend.drop(taken.target)
    backend.release(taken.target)
    heir = scratch_cgroup()
    target = backend.add(heir.stat().st_ino, SlotMode.MODE_EXEC)
    run(heir, built_programs["five"])
    record = taken.finish()
    assert workload(record) == frozenset()
    assert_judged(record, capsys, losses={"slot_reused": 1})
    reading = backend.read(target)
    assert not reading.ended, "the end of the old recording ended the new one"
    assert reading.calls
    assert backend.targets() == [target]


def test_attached_late_to_a_task_that_runs_already(load, recording, scratch_cgroup, capsys):
    """What the task called before is missing, but for the call that it is in."""
    cgroup = scratch_cgroup()
    with Guest(cgroup) as guest:
        taken = recording(load(), cgroup)
        guest.leave()
        record = taken.finish()
    assert workload(record) == calls(Abi.X86_64, "read", "exit_group")
    assert_judged(record, capsys, losses={"attached_late": 1})


def test_unnamed_number_in_each_abi(load, recording, scratch_cgroup, built_programs, capsys):
    """Numbers below the limits that no kernel of the table has; 511 is the last one for x86_64 and i386."""
    cgroup = scratch_cgroup()
    taken = recording(load(), cgroup)
    run(cgroup, built_programs["rawsys"], "337", "511", "i:222", "i:511", "x:13", "x:575")
    record = taken.finish()
    made = [
        (Abi.X86_64, 337),
        (Abi.X86_64, 511),
        (Abi.I386, 222),
        (Abi.I386, 511),
        (Abi.X32, 13),
        (Abi.X32, 575),
    ]
    assert workload(record) == EXEC | rawsys_calls(Call(*each) for each in made)
    assert_judged(record, capsys, losses={"unnamed_number": 6})


def test_joiners_full_by_more_joiners_than_places(load, recording, scratch_cgroup, capsys):
    """The task without a place counts as workload at once: its set-up would too."""
    cgroup = scratch_cgroup()
    taken = recording(load(joiners=4), cgroup)
    guests = [Guest(cgroup) for _ in range(5)]
    record = taken.finish()
    for guest in guests:
        guest.end()
    assert workload(record) == calls(Abi.X86_64, "read", "write")
    assert_judged(record, capsys, losses={"joiners_full": 1}, notes={"joiner_without_exec": 4})


def test_children_full_by_new_cgroups(load, recording, scratch_cgroup, built_programs, capsys):
    """What runs in the child beyond the bound is not in the record, which says so."""
    cgroup = scratch_cgroup()
    taken = recording(load(children=2), cgroup)
    below = [scratch_cgroup(f"below-{number}", parent=cgroup) for number in range(4)]
    run(below[1], built_programs["brief"])
    run(below[2], built_programs["five"])
    record = taken.finish()
    assert workload(record) == EXPECTED["brief"] | EXEC
    assert_judged(record, capsys, losses={"children_full": 2})


def test_children_full_by_cgroups_that_were_there(load, recording, scratch_cgroup, built_programs, capsys):
    """The same for children that are older than the recording."""
    cgroup = scratch_cgroup()
    below = [scratch_cgroup(f"below-{number}", parent=cgroup) for number in range(3)]
    taken = recording(load(children=2), cgroup)
    run(below[0], built_programs["brief"])
    run(below[2], built_programs["five"])
    record = taken.finish()
    assert workload(record) == EXPECTED["brief"] | EXEC
    assert_judged(record, capsys, losses={"children_full": 1})


def test_no_boundary_without_a_container(load, recording, scratch_cgroup, built_programs, capsys):
    """Phases of containers, and a program that no runtime started: all of it is set-up."""
    cgroup = scratch_cgroup()
    taken = recording(load(), cgroup, phases="container")
    run(cgroup, built_programs["five"])
    record = taken.finish()
    assert workload(record) == frozenset()
    assert set(record.calls(Phase.SETUP)) == {Abi.X86_64}
    assert_judged(record, capsys, losses={"no_boundary": 1})


def test_program_missed_by_recursion(
    *, load, recording, scratch_cgroup, built_programs, recursing_object, capsys
):
    """The kernel skips a program that would run inside itself.

    None of the recorder's own can: their tracepoints do not nest. So the object has one
    more that does, loaded and attached as the others are; the count is the kernel's.
    """
    spec = syscalls_spec(Bounds(), recursing_object)
    backend = load(spec=dataclasses.replace(spec, attach=(*spec.attach, "again", "first")))
    cgroup = scratch_cgroup()
    taken = recording(backend, cgroup)
    scratch_cgroup("below", parent=cgroup)
    run(cgroup, built_programs["five"])
    programs = frozenset(each.id for each in held_by(os.getpid()) if each.kind == "prog")
    record = taken.finish()
    missed = record.ledger.counts["program_missed"]
    # Other tests may make cgroups at the same time, each of which is missed again.
    assert 1 <= missed <= recursion_misses(programs)
    assert workload(record) == FIVE
    assert_judged(record, capsys, losses={"program_missed": missed})


def test_accesses_full_by_more_files_than_are_kept(capsys, monkeypatch):
    """Of two states that have nothing in common, as many entries as there is room for (here 100) stay."""
    monkeypatch.setattr(accesses, "MAX_ACCESSES", 100)

    def seen(start):
        entries = {
            AccessKey(Phase.WORKLOAD, File(b"/srv/%d" % n)): Seen(FileRight.READ)
            for n in range(start, start + 51)
        }
        return Record((Observation(Source("n", "b", 1, 1), accesses=Accesses(entries)),))

    record = seen(0).join(seen(51))
    assert len(record.observations[0].accesses.entries) == 100
    assert_judged(record, capsys, losses={"accesses_full": 1})


def test_accesses_missed_by_denials_that_were_not_seen():
    """Earlier ones, and such as were missed: notes for a record of calls, a loss for what denials make."""
    once = DenialCount(1, Sighting(1, 1, b"sh"), Sighting(1, 1, b"sh"))
    context = Text(b"u:r:web_t:s0", 12)
    key = DenialKey("allowed", SelinuxDenial(context, context, "file", ("read",), True, Text()))
    noted = Ledger({"denials_late": 1, "denials_missed": 2, "denials_unwatched": 1})
    record = Record((Observation(Source("n", "b", 1, 1), denials={key: once}, ledger=noted),))
    assert record.verdict.complete
    assert str(selinux_rules(record).ledger.verdict) == "lossy: accesses_missed 3"


def test_domain_enforcing_by_a_denial_that_took_place():
    """A permissive denial is no loss, an enforced one is the profile's: the record itself lost nothing."""

    def rules(*permissive):
        once = DenialCount(1, Sighting(1, 1, b"sh"), Sighting(1, 1, b"sh"))
        context = Text(b"u:r:web_t:s0", 12)
        denials = {
            DenialKey("denied", SelinuxDenial(context, context, "file", ("read",), each, Text())): once
            for each in permissive
        }
        return selinux_rules(Record((Observation(Source("n", "b", 1, 1), denials=denials),)))

    assert rules(True).ledger.verdict.complete
    assert str(rules(True, False).ledger.verdict) == "lossy: domain_enforcing 1"
