"""AppArmor's denials are those of the audit multicast, record by record; needs AppArmor and kprobes."""

import contextlib
import dataclasses
import os
import uuid
from collections import Counter

import pytest

from recorder.kernel.denial_source import DenialLosses, Scope
from recorder.kernel.denial_sources import SOURCES, open_denials
from recorder.kernel.denials import DenialWatch
from recorder.kernel.denials_layout import Module
from recorder.kernel.denials_spec import DenialBounds, active_module, denials_spec
from recorder.kernel.loaded import OLDEST_KERNEL, kernel_version
from recorder.model.denial import AppArmorDenial, Lack, Verdict
from tests.guest.inside.denials.apparmor_operations import OPENED
from tests.guest.inside.denials.apparmor_truth import from_audit, from_recorder
from tests.guest.inside.denials.confined import (
    CGROUPS,
    cgroup_id,
    confined,
    full_backlog,
    new_cgroup,
    profiles,
)
from tests.truth.audit_avc import AvcReader

# 5.10 does not take the program that counts in the kernel
HERE = SOURCES[1:] if kernel_version(os.uname().release) >= OLDEST_KERNEL else SOURCES[2:]
EXACT = HERE[:-1]
MODES = {"enforce": "", "complain": "flags=(complain)"}


@contextlib.contextmanager
def watching(bounds=None):
    watch = DenialWatch(denials_spec(active_module(), bounds or DenialBounds()))
    try:
        watch.watch(cgroup_id(CGROUPS), Scope.EACH)
        watch.attach()
        yield watch
    finally:
        watch.close()


@pytest.fixture(autouse=True, scope="module")
def _needs_apparmor():
    assert active_module() == Module.MODULE_APPARMOR


def _difference(mine, truth):
    """What the recorder has too many times (+) or too few (-)."""
    both = {said: mine[said] - truth[said] for said in {*mine, *truth}}
    return sorted(((said, number) for said, number in both.items() if number), key=str)


def _said(seen, marker, ids):
    """What a source has, in the words of the audit log, each as often as it came; whose it is is checked."""
    mine = Counter()
    for each in seen:
        if marker.name.encode() in each.details.name.content or each.verdict is Verdict.OTHER:
            continue
        assert isinstance(each.details, AppArmorDenial)
        place = each.details.profile.content[4:5].decode()
        assert each.cgroup_id == ids[place]
        mine[from_recorder(each)] += each.count
    return mine


def test_two_cgroups_and_both_modes_at_once(tmp_path):
    """By each source: each record of the audit multicast is counted once, in its cgroup, and no other."""
    names = {f"two-{place}-{mode}": MODES[mode] for place in ("a", "b") for mode in MODES}
    with contextlib.ExitStack() as stack:
        cgroups = {place: stack.enter_context(new_cgroup()) for place in ("a", "b")}
        ids = {place: cgroup_id(path) for place, path in cgroups.items()}
        stack.enter_context(profiles(names))
        watches = {
            source: stack.enter_context(contextlib.closing(open_denials(source, DenialBounds()).source))
            for source in HERE
        }
        assert [watch.name for watch in watches.values()] == list(watches)
        for watch in watches.values():
            for number in ids.values():
                watch.watch(number)
            watch.attach()
        reader = stack.enter_context(AvcReader())
        runs = [stack.enter_context(confined(tmp_path / name, name, cgroups[name[4]])) for name in names]
        for run in runs:
            run.go()
        assert all(40 <= run.wait_done() < OPENED for run in runs)
        marker = tmp_path / uuid.uuid4().hex
        marker.write_text("")
        with confined(tmp_path / "marker", "two-a-enforce", cgroups["a"], str(marker), 1) as last:
            last.go()
            last.wait_done()
            records = [each for each in reader.until(marker.name.encode()) if "apparmor" in each.fields]
        for watch in watches.values():
            watch.detach()
        seen = {
            source: [each for number in ids.values() for each in watch.read(number).denials]
            for source, watch in watches.items()
        }
        losses = {source: watch.losses() for source, watch in watches.items()}
    records = [each for each in records if each.fields.get("profile", b"").startswith(b"two-")]
    truth = Counter(from_audit(each) for each in records)
    mine = {source: _said(each, marker, ids) for source, each in seen.items()}
    for source in EXACT:
        assert not any(each.lacks for each in seen[source])
        different = [f"{number:+} {said}" for said, number in _difference(mine[source], truth)]
        assert not different, f"{source}:\n" + "\n".join(different)
    kinds = Counter(said.profile.decode() for said in truth)
    assert min(kinds[name] for name in names) >= 40, kinds
    # Nobody took hints meanwhile; profiles are loaded, and others denied things, in no watched cgroup.
    for source in EXACT:
        assert dataclasses.replace(losses[source], ring_full=0, elsewhere=0) == DenialLosses()
    # Of a process that ended before it was looked at it is not known whose it was: those are counted.
    assert all(each.lacks == {Lack.FOUND_BY_PID} for each in seen["netlink"])
    assert not mine["netlink"] - truth
    missing = truth - mine["netlink"]
    assert missing.total() <= losses["netlink"].unattributed
    rest = dataclasses.replace(losses["netlink"], elsewhere=0, unattributed=0)
    assert rest == DenialLosses()


def test_a_flood_is_one_entry_and_hides_nothing(tmp_path, scaled):
    """A flood of one denial has one entry with its exact number, and 100 others elsewhere are all there.

    Whether there is room for audit records, or audit at all, makes no difference.
    """
    times = scaled(1_000_000, 2_000)  # a tenth of it in guests
    paths = [tmp_path / f"one-of-{number}" for number in range(100)]
    flood = tmp_path / "flood"
    for path in (*paths, flood):
        path.write_text("")
    with contextlib.ExitStack() as stack:
        cgroups = [stack.enter_context(new_cgroup()) for _ in range(2)]
        ids = [cgroup_id(path) for path in cgroups]
        stack.enter_context(profiles({"flooding": "", "others": ""}))
        watch = stack.enter_context(watching(DenialBounds(denials=128, per_cgroup=120, cgroups=3)))
        words = [word for path in paths for word in (str(path), 1)]
        runs = [
            stack.enter_context(confined(tmp_path / "1", "flooding", cgroups[0], str(flood), times)),
            stack.enter_context(confined(tmp_path / "2", "others", cgroups[1], *words)),
        ]
        stack.enter_context(full_backlog())
        for run in runs:
            run.go()
        for run in runs:
            run.wait_done()
        seen, losses = watch.entries(), watch.losses()
    flooding = [each for each in seen if each.cgroup_id == ids[0]]
    assert [(each.details.name.content, each.count) for each in flooding] == [(os.fsencode(flood), times)]
    others = {each.details.name.content: each.count for each in seen if each.cgroup_id == ids[1]}
    assert others == dict.fromkeys(map(os.fsencode, paths), 1)
    assert len(seen) == 101
    assert losses == DenialLosses()


def test_more_than_a_cgroup_may_have_are_counted(tmp_path):
    """A cgroup with more different denials than its bound has the rest in one number, and room is left."""
    paths = [tmp_path / f"one-of-{number}" for number in range(50)]
    for path in paths:
        path.write_text("")
    with contextlib.ExitStack() as stack:
        cgroups = [stack.enter_context(new_cgroup()) for _ in range(2)]
        stack.enter_context(profiles({"greedy": "", "modest": ""}))
        watch = stack.enter_context(watching(DenialBounds(denials=64, per_cgroup=10, cgroups=3)))
        for name, cgroup, some in (("greedy", cgroups[0], paths), ("modest", cgroups[1], paths[:5])):
            words = [word for path in some for word in (str(path), 2)]
            with confined(tmp_path / name, name, cgroup, *words) as run:
                run.go()
                run.wait_done()
        ids = [cgroup_id(path) for path in cgroups]
        seen, losses = watch.entries(), watch.losses()
    greedy = [each for each in seen if each.cgroup_id == ids[0]]
    assert [each.count for each in greedy if each.verdict is Verdict.REST] == [80]
    assert [each.count for each in greedy if each.verdict is Verdict.DENIED] == [2] * 10
    assert [each.count for each in seen if each.cgroup_id == ids[1]] == [2] * 5
    assert losses == DenialLosses()


def test_a_full_table_counts_what_it_cannot_keep(tmp_path):
    """Where no entry is free, the number of denials that have none is exact."""
    paths = [tmp_path / f"one-of-{number}" for number in range(12)]
    for path in paths:
        path.write_text("")
    with contextlib.ExitStack() as stack:
        cgroup = stack.enter_context(new_cgroup())
        stack.enter_context(profiles({"full": ""}))
        watch = stack.enter_context(watching(DenialBounds(denials=8, per_cgroup=100)))
        words = [word for path in paths for word in (str(path), 3)]
        run = stack.enter_context(confined(tmp_path / "1", "full", cgroup, *words))
        run.go()
        run.wait_done()
        seen, losses = watch.entries(), watch.losses()
    assert [each.count for each in seen] == [3] * 8
    assert losses.table_full == 3 * 4


def test_names_of_any_bytes(tmp_path):
    """Names arrive as they are; one that is too long has its true length, and two of them stay apart."""
    odd = [
        b"line\nbreak",
        b'quo"te',
        b"not utf-8 \xff\xfe",
        b"escape \x1b[31m",
        b"tab\t and \\",
        "\u00e9\u6f22".encode(),
    ]
    base = os.fsencode(tmp_path)
    deep = b"/".join([base, *([b"d" * 250] * ((3980 - len(base)) // 251))])
    os.makedirs(deep)
    long = [deep + b"/first", deep + b"/other"]
    paths = [base + b"/" + name for name in odd] + long
    for path in paths:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    with contextlib.ExitStack() as stack:
        cgroup = stack.enter_context(new_cgroup())
        stack.enter_context(profiles({"odd": ""}))
        watches = [
            stack.enter_context(contextlib.closing(open_denials(source, DenialBounds()).source))
            for source in EXACT
        ]
        for watch in watches:
            watch.watch(cgroup_id(cgroup))
            watch.attach()
        words = [word for path in paths for word in (path, 1)]
        run = stack.enter_context(confined(tmp_path / "1", "odd", cgroup, *words))
        run.go()
        run.wait_done()
        for watch in watches:
            watch.detach()
        seen = [[each.details.name for each in watch.read(cgroup_id(cgroup)).denials] for watch in watches]
    for names in seen:
        assert [name.content for name in names[:-2]] == paths[:-2]
        assert not any(name.cut for name in names[:-2])
        assert all(name.cut for name in names[-2:])
        ends = [(name.content, name.length) for name in names[-2:]]
        assert ends == [(path[:1024], len(path)) for path in long]


def test_who_and_when(tmp_path):
    """An entry has the process that was first and the one that was last, and wakes who waits."""
    path = tmp_path / "file"
    path.write_text("")
    with contextlib.ExitStack() as stack:
        cgroup = stack.enter_context(new_cgroup())
        stack.enter_context(profiles({"who": ""}))
        watch = stack.enter_context(watching())
        reader = stack.enter_context(AvcReader())
        watch.entries()
        for turn in ("1", "2"):
            with confined(tmp_path / turn, "who", cgroup, str(path), 2) as run:
                run.go()
                run.wait_done()
        marker = tmp_path / uuid.uuid4().hex
        marker.write_text("")
        with confined(tmp_path / "3", "who", cgroup, str(marker), 1) as run:
            run.go()
            run.wait_done()
            records = reader.until(marker.name.encode())
        assert watch.wait(10)
        entry = watch.entries()[0]
        assert not watch.wait(0)
    mine = [each.fields for each in records if each.fields.get("profile") == b"who"]
    assert entry.count == len(mine) == 4
    assert [entry.first.pid, entry.last.pid] == [int(mine[0]["pid"]), int(mine[-1]["pid"])]
    assert entry.first.comm == mine[0]["comm"]
    assert 0 < entry.first.time_ns < entry.last.time_ns
