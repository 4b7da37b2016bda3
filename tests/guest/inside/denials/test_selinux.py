"""SELinux's denials are those of the audit multicast, one by one; needs SELinux, permissive, and kprobes."""

import contextlib
import dataclasses
import uuid
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

from recorder.kernel.denial_source import DenialLosses
from recorder.kernel.denial_sources import SOURCES, open_denials
from recorder.kernel.denials import DenialWatch
from recorder.kernel.denials_layout import Module
from recorder.kernel.denials_spec import DenialBounds, active_module, denials_spec
from recorder.model.denial import Denial, Lack, SelinuxDenial, Verdict
from tests.guest.inside.denials.apparmor_operations import OPENED
from tests.guest.inside.denials.confined import cgroup_id, confined, full_backlog, new_cgroup
from tests.truth.audit_avc import AvcReader, AvcRecord

ENFORCE = Path("/sys/fs/selinux/enforce")
DOMAINS = {place: f"system_u:system_r:{kind}:s0" for place, kind in (("a", "ping_t"), ("b", "chkpwd_t"))}
LACKS = {
    "lsm": {Lack.OBJECT_MISSING},
    "audit-log-end": set(),
    "netlink": {Lack.FOUND_BY_PID},
}
MARKING = "system_u:system_r:traceroute_t:s0"
AVC = {Verdict.DENIED: b"denied", Verdict.ALLOWED: b"denied", Verdict.AUDITED: b"granted"}


class Said(NamedTuple):
    """One record, without who and when."""

    avc: bytes
    permissions: frozenset[str]
    source: bytes
    target: bytes
    object_class: bytes
    permissive: bytes
    name: bytes
    capability: bytes


def from_audit(record: AvcRecord) -> Said:
    fields = record.fields
    name = fields.get("path", fields.get("name", b""))
    return Said(
        fields["avc"],
        frozenset(record.permissions),
        fields["scontext"],
        fields["tcontext"],
        fields["tclass"],
        fields.get("permissive", b"0"),
        # pipes, sockets and the like: what they are called is no name in a file system
        b"" if name.endswith(b"]") else name,
        fields.get("capability", b""),
    )


def from_recorder(denial: Denial) -> Said:
    seen = denial.details
    assert isinstance(seen, SelinuxDenial)
    return Said(
        AVC[denial.verdict],
        frozenset(seen.permissions),
        seen.source.content,
        seen.target.content,
        seen.object_class.encode(),
        b"1" if seen.permissive else b"0",
        b"" if seen.name.content.endswith(b"]") else seen.name.content,
        str(CAPABILITIES[seen.capability]).encode() if seen.capability else b"",
    )


# include/uapi/linux/capability.h, those that the operations need
CAPABILITIES = {
    "chown": 0,
    "dac_override": 1,
    "dac_read_search": 2,
    "fowner": 3,
    "fsetid": 4,
    "kill": 5,
    "setgid": 6,
    "setuid": 7,
    "net_bind_service": 10,
    "net_admin": 12,
    "net_raw": 13,
    "ipc_lock": 14,
    "sys_chroot": 18,
    "sys_ptrace": 19,
    "sys_admin": 21,
    "sys_nice": 23,
    "sys_resource": 24,
    "mknod": 27,
    "syslog": 34,
}


@contextlib.contextmanager
def enforcing(value):
    """Changed either way: a change flushes what SELinux remembers to have reported."""
    for word in ("1", "0", value):
        ENFORCE.write_text(word)
    try:
        yield
    finally:
        ENFORCE.write_text("0")


@pytest.fixture(autouse=True, scope="module")
def _needs_selinux():
    assert active_module() == Module.MODULE_SELINUX
    assert ENFORCE.read_text() == "0"


@pytest.mark.parametrize("mode", ["0", "1"], ids=["permissive", "enforcing"])
def test_two_cgroups_at_once(tmp_path, mode):
    """By each source: each record of the audit multicast is counted once, in its cgroup, and no other."""
    with contextlib.ExitStack() as stack:
        cgroups = {place: stack.enter_context(new_cgroup()) for place in DOMAINS}
        ids = {cgroup_id(path): place for place, path in cgroups.items()}
        watches = {
            source: stack.enter_context(contextlib.closing(open_denials(source, DenialBounds()).source))
            for source in SOURCES[1:]
        }
        reader = stack.enter_context(AvcReader())
        runs = [
            stack.enter_context(confined(tmp_path / place, DOMAINS[place], cgroups[place]))
            for place in DOMAINS
        ]
        for watch in watches.values():
            for number in ids:
                watch.watch(number)
            watch.attach()
        for run in runs:
            run.change()
        with enforcing(mode):
            for run in runs:
                run.start()
            for run in runs:
                assert 40 <= run.wait_done() < OPENED
        for watch in watches.values():
            watch.detach()
        seen = {
            source: [each for number in ids for each in watch.read(number).denials]
            for source, watch in watches.items()
        }
        losses = {source: watch.losses() for source, watch in watches.items()}
        marker = tmp_path / uuid.uuid4().hex
        marker.write_text("")
        with (
            enforcing("0"),
            confined(tmp_path / "marker", MARKING, cgroups["a"], str(marker), 1) as last,
        ):
            last.go()
            last.wait_done()
            records = reader.until(marker.name.encode())
    sources = {name.encode(): place for place, name in DOMAINS.items()}
    truth = Counter(from_audit(each) for each in records if each.fields.get("scontext") in sources)
    mine = {source: Counter[Said]() for source in watches}
    for source, each in ((source, each) for source, found in seen.items() for each in found):
        said = from_recorder(each)
        if said.source in sources:
            assert ids[each.cgroup_id] == sources[said.source]
            assert each.lacks <= LACKS[source]
            mine[source][said] += each.count
    for source in ("lsm", "audit-log-end"):
        found = mine[source]
        different = {
            said: (found[said], truth[said]) for said in {*found, *truth} if found[said] != truth[said]
        }
        assert not different, source + "".join(f"\n{both} {said}" for said, both in sorted(different.items()))
        # Nobody took hints meanwhile.
        assert dataclasses.replace(losses[source], ring_full=0, elsewhere=0) == DenialLosses()
    assert not mine["netlink"] - truth
    assert (truth - mine["netlink"]).total() <= losses["netlink"].unattributed
    assert len({(said.object_class, said.permissions) for said in truth}) >= 20
    assert {said.permissive for said in truth} >= {b"1" if mode == "0" else b"0"}


def test_denials_without_an_audit_record_are_counted(tmp_path, scaled):
    """No tracepoint is raised for them: each has an entry, or is in the number of those that have none."""
    times = scaled(100_000, 2_000)
    path = tmp_path / "flood"
    path.write_text("")
    with contextlib.ExitStack() as stack:
        cgroup = stack.enter_context(new_cgroup())
        watch = stack.enter_context(
            contextlib.closing(DenialWatch(denials_spec(active_module(), DenialBounds())))
        )
        watch.watch(cgroup_id(cgroup))
        run = stack.enter_context(confined(tmp_path / "1", DOMAINS["a"], cgroup, str(path), times))
        run.change()
        watch.attach()
        stack.enter_context(full_backlog())
        with enforcing("1"):
            run.start()
            run.wait_done()
        watch.detach()
        reading = watch.read(cgroup_id(cgroup))
    named = sum(each.count for each in reading.denials)
    assert reading.losses.unnamed > 0
    assert named + reading.losses.unnamed == times
    assert dataclasses.replace(reading.losses, unnamed=0) == DenialLosses()


def test_what_permissive_mode_has_reported_before(tmp_path):
    """It is reported again to who begins to watch, unless that is switched off; nothing is enforced."""
    path = tmp_path / "file"
    path.write_text("")
    counts = {}
    with new_cgroup() as cgroup:
        for number, flush in enumerate((True, True, False)):
            opened = open_denials("lsm", DenialBounds(), flush_selinux=flush)
            with (
                contextlib.closing(opened.source) as watch,
                confined(tmp_path / str(number), DOMAINS["a"], cgroup, str(path), 1) as run,
            ):
                run.change()
                watch.attach()
                watch.watch(cgroup_id(cgroup))
                run.start()
                run.wait_done()
                counts[number] = sum(each.count for each in watch.read(cgroup_id(cgroup)).denials)
                assert watch.losses().unflushed == 0
    assert ENFORCE.read_text() == "0"
    assert counts[0] == counts[1] > counts[2]
