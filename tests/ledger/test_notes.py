"""Each note, made by the situation that it names: the verdict stays complete, and the note is told."""

import os
import subprocess

import pytest

from recorder.agent.denials import Denials
from recorder.agent.observation import observe
from recorder.kernel.backend import Reading, Target
from recorder.kernel.denial_source import DenialLosses
from recorder.model.abi import Abi
from recorder.model.denial import (
    MAX_DENIALS,
    DenialCount,
    DenialKey,
    SelinuxDenial,
    Sighting,
    Text,
    Verdict,
)
from recorder.model.kind import Kind
from recorder.model.ledger import Ledger
from recorder.model.record import Identity, Observation, Record, Source
from tests.ledger.judgement import assert_judged
from tests.ledger.test_losses import run, workload
from tests.member import Guest
from tests.truth import oci
from tests.truth.calls import Call, calls, safe_calls
from tests.truth.programs import EXEC, rawsys_calls, word
from tests.unit.agent.test_denials import CGROUP, Told, denial

pytestmark = pytest.mark.root


def test_ring_full_by_more_first_sights_than_it_holds(
    load, recording, scratch_cgroup, built_programs, capsys
):
    """A page holds 73 events of 56 bytes: the other calls have no time, and are there all the same."""
    cgroup = scratch_cgroup()
    taken = recording(load(ring_bytes=4096), cgroup)
    made = safe_calls(Abi.X86_64)
    run(cgroup, built_programs["rawsys"], *map(word, made))
    record = taken.finish()
    (observation,) = record.observations
    seen = workload(record)
    assert seen == EXEC | rawsys_calls(made)
    sights = len(observation.first_sights)
    assert sights == 73
    assert_judged(record, capsys, notes={"ring_full": len(seen) - sights})


def test_unknown_number_negative_and_beyond_each_limit(
    load, recording, scratch_cgroup, built_programs, capsys
):
    """Each call counts; none is folded onto a number that exists. 512 is the first beyond, 576 for x32."""
    cgroup = scratch_cgroup()
    taken = recording(load(), cgroup)
    numbers = [
        "-1",
        "-2147483648",
        "512",
        "2147483647",
        "4096",
        "i:-1",
        "i:-5",
        "i:512",
        "i:2147483647",
        "x:576",
    ]
    run(cgroup, built_programs["rawsys"], "2x", "39", *numbers)
    record = taken.finish()
    assert workload(record) == EXEC | rawsys_calls([Call(Abi.X86_64, 39)])
    assert_judged(record, capsys, notes={"unknown_number": 2 * len(numbers)})


def test_joiner_without_exec_that_has_ended(load, recording, scratch_cgroup, capsys):
    """All that it called counts as workload."""
    cgroup = scratch_cgroup()
    taken = recording(load(), cgroup)
    with Guest(cgroup) as guest:
        guest.leave()
    record = taken.finish()
    assert workload(record) == calls(Abi.X86_64, "write", "read", "exit_group")
    assert_judged(record, capsys, notes={"joiner_without_exec": 1})


def test_joiner_without_exec_that_runs_on(load, recording, scratch_cgroup, capsys):
    """The same for tasks that are still there when the recording ends; each is counted."""
    cgroup = scratch_cgroup()
    taken = recording(load(), cgroup)
    with Guest(cgroup), Guest(cgroup):
        record = taken.finish()
    assert workload(record) == calls(Abi.X86_64, "write", "read")
    assert_judged(record, capsys, notes={"joiner_without_exec": 2})


def test_undecided_while_a_task_may_be_a_runtime(
    *, load, recording, scratch_cgroup, built_programs, tmp_path, capsys
):
    """A workload that leaves its mount namespace looks like a runtime for a second; its calls are its own."""
    cgroup = scratch_cgroup()
    rootfs = oci.make_rootfs(tmp_path / "root", {"/strayed": built_programs["strayed"]})
    taken = recording(load(), cgroup, phases="container")
    with subprocess.Popen(
        [built_programs["into_cgroup"], cgroup, rootfs, "/strayed"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as container:
        assert os.read(container.stdout.fileno(), 6) == b"ready\n"
        record = taken.finish()
        container.stdin.close()
        assert container.wait(timeout=30) == 0
    made = calls(Abi.X86_64, "unshare", "getpgrp", "write")
    assert made | EXEC <= workload(record) <= made | EXEC | calls(Abi.X86_64, "read")
    assert_judged(record, capsys, notes={"undecided": 1})


def test_denials_full_by_more_different_ones_than_are_kept(capsys):
    """Of two states with 512 each that have nothing in common, 512 stay; that others were there is said."""
    once = DenialCount(1, Sighting(1, 1, b"sh"), Sighting(1, 1, b"sh"))

    def seen(start):
        denials = {
            DenialKey(
                Verdict.DENIED,
                SelinuxDenial(Text(), Text(), "file", ("read",), False, Text(b"%04d" % number, 4)),
            ): once
            for number in range(start, start + MAX_DENIALS)
        }
        return Record((Observation(Source("n", "b", 1, 1), denials=denials),))

    record = seen(0).join(seen(MAX_DENIALS))
    assert len(record.observations[0].denials) == MAX_DENIALS
    assert_judged(record, capsys, notes={"denials_full": 1})


def test_denials_unwatched_where_only_calls_are_looked_for(load, recording, scratch_cgroup, capsys):
    """Denials were asked for, and nobody saw what AppArmor or SELinux deny: one of the two parts."""
    taken = recording(load(denials=True), cgroup := scratch_cgroup())
    run(cgroup, "/bin/true")
    record = taken.finish()
    assert record.observations[0].provenance.denials == "seccomp sys_exit"
    assert_judged(record, capsys, notes={"denials_unwatched": 1})


def seen_denied(told):
    """The record of a container whose denials a source told of."""
    denials = Denials(lambda _: (told, "apparmor"))
    denials.look(True)
    denials.begin(CGROUP)
    target = Target(1, 1, CGROUP)
    reading = Reading(target, 1, 0, False, True, False, {}, Ledger(), (Kind.SYSCALLS, Kind.DENIALS))
    observation = observe(
        reading,
        node="n",
        loader="libbpf",
        phases="exec",
        identity=Identity("web"),
        ledger=Ledger(),
        sights={},
        ended=True,
        denied=denials.of(CGROUP),
    )
    return Record((observation,))


def test_denials_missed_by_a_program_that_was_skipped_and_a_record_that_could_not_be_read(capsys):
    """As many as the kernel side counts, of this container and of nobody knows whom."""
    told = Told()
    told.of_all, told.of_cgroup = DenialLosses(missed=2), DenialLosses(unreadable=1)
    assert_judged(seen_denied(told), capsys, notes={"denials_missed": 3})


def test_secret_replaced_in_the_name_of_a_file(capsys):
    """One part of a path; the record has none of it."""
    told = Told()
    told.denials = [denial(b"/run/password=swordfish7")]
    record = seen_denied(told)
    assert "swordfish" not in str(record)
    assert_judged(record, capsys, notes={"secret_replaced": 1})
