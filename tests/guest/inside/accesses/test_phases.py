"""Set-up stands apart from the workload, by the rule that calls follow; needs a kernel that can attach."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from recorder.kernel.accesses import AccessLosses
from recorder.kernel.backend import WatchRule
from recorder.kernel.layout import SlotMode
from recorder.model.access import File, FileRight, Mount, MountStep, Ptrace, PtraceRight, Signal, SignalRight
from recorder.model.record import Phase
from tests.guest.inside.accesses.watched import shell
from tests.phases.watch import BELOW, WatchedContainer, watched_root
from tests.truth import oci

SHELL = b"/usr/bin/dash"
EXECUTED = FileRight.EXEC | FileRight.MMAP_EXEC | FileRight.READ
LOADED = FileRight.MMAP_EXEC | FileRight.READ


def _files(seen, phase) -> dict[bytes, int]:
    found: dict[bytes, int] = {}
    for subject, access in seen.of(phase):
        if isinstance(subject, File):
            found[subject.path] = found.get(subject.path, 0) | access.rights
    return found


def test_before_the_exec_is_set_up_and_the_exec_is_the_workloads(tmp_path, recorder):
    """What a joiner opens is set-up; the program that it becomes, and its loader, are the workload's."""
    (tmp_path / "before").write_text("x\n")
    (tmp_path / "after").write_text("x\n")
    with recorder.recording() as (cgroup, target):
        shell(
            cgroup,
            f"read line <{tmp_path}/after",
            before=f"read line <{tmp_path}/before; /bin/true;",
        )
        found = recorder.watch.read(target, final=True)
        seen, losses = found.accesses, found.losses
    setup, workload = _files(seen, Phase.SETUP), _files(seen, Phase.WORKLOAD)
    assert setup[bytes(tmp_path / "before")] == FileRight.READ
    assert bytes(tmp_path / "before") not in workload
    assert workload[bytes(tmp_path / "after")] == FileRight.READ
    assert bytes(tmp_path / "after") not in setup
    assert workload[SHELL] == setup[SHELL] == EXECUTED
    [loader] = [path for path in workload if b"/ld-linux" in path]
    assert workload[loader] == LOADED
    assert losses == AccessLosses()
    assert recorder.watch.missed() == 0


def test_who_never_executes_is_workload(tmp_path, recorder):
    """What a process uses that joins and stays what it is counts as workload."""
    (tmp_path / "file").write_text("x\n")
    with recorder.recording() as (cgroup, target):
        shell(cgroup, "", before=f"read line <{tmp_path}/file; exit;")
        seen = recorder.watch.read(target, final=True).accesses
    assert _files(seen, Phase.WORKLOAD)[bytes(tmp_path / "file")] == FileRight.READ
    assert not list(seen.of(Phase.SETUP))


@pytest.fixture
def container(oci_runtime, layout, built_programs, tmp_path) -> Iterator[WatchedContainer]:
    """One whose program waits, with a shell and two files."""
    root = oci.make_rootfs(
        tmp_path / "root", {"/signals": built_programs["signals"], "/bin/cat": Path("/bin/cat")}
    )
    for name in ("second", "third"):
        (root / name).write_text("x\n")
    parent = watched_root(layout)
    parent.mkdir(parents=True)
    yield WatchedContainer.prepare(oci_runtime, tmp_path, root, ("/signals", "100000"))
    layout.remove(BELOW)


def test_a_container_and_what_executes_in_it_later(container, layout, recorder):
    """A runtime's mounts and files are set-up; each exec adds what its program uses and clears nothing."""
    recorder.backend.watch(watched_root(layout).stat().st_ino, WatchRule(SlotMode.MODE_CONTAINER))
    with container as it:
        it.create()
        it.start()
        it.wait_for_output("ready")
        [target] = recorder.backend.targets()
        first = recorder.watch.read(target).accesses
        for name in ("/second", "/third"):
            it.exec("/bin/cat", name).good()
        found = recorder.watch.read(target, final=True)
        last, losses = found.accesses, found.losses
    recorder.release(target)
    assert _files(first, Phase.WORKLOAD) == {b"/signals": EXECUTED}
    steps = {subject.step for subject, _ in first.of(Phase.SETUP) if isinstance(subject, Mount)}
    assert steps >= {MountStep.MOUNT, MountStep.UMOUNT, MountStep.PIVOT_ROOT}
    workload = _files(last, Phase.WORKLOAD)
    assert workload.pop(b"/signals") == EXECUTED
    assert workload.pop(b"/bin/cat") == EXECUTED
    assert workload.pop(b"/second") == workload.pop(b"/third") == FileRight.READ
    # the rest is its loader's: libraries, and where it looks for them
    assert all(b"/lib" in path or path.startswith(b"/etc/ld.so") for path in workload), workload
    # A runtime signals the container's program, and looks into which namespaces it is to go; no more
    others = {
        subject: seen.rights for subject, seen in last.of(Phase.WORKLOAD) if not isinstance(subject, File)
    }
    for subject, rights in others.items():
        assert isinstance(subject, (Signal, Ptrace)), others
        assert rights == (SignalRight.RECEIVE if isinstance(subject, Signal) else PtraceRight.READ_BY), others
    assert set(first.entries) <= set(last.entries)
    assert losses == AccessLosses()
    assert recorder.watch.missed() == 0
