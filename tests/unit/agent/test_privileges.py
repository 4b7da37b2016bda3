"""Privileges: what is dropped is refused by the kernel, and what is kept is enough, and not too much."""

import ctypes
import os
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from recorder.agent import privileges
from recorder.agent.privileges import NEEDED, Capability, drop, held, needed
from recorder.containers.in_flight import calls_in_flight
from recorder.kernel import pins
from recorder.kernel.backend import WatchRule
from recorder.kernel.layout import SlotMode
from recorder.kernel.libbpf_backend import LibbpfBackend
from recorder.kernel.spec import Bounds, syscalls_spec
from recorder.model.abi import Abi
from recorder.model.errors import InternalError
from recorder.model.numbers import Numbers
from recorder.model.record import CallKey, Outcome, Phase

pytestmark = pytest.mark.root

OTHER = 1234
BOUNDS = Bounds(slots=8, ring_bytes=1 << 14)
DONE = "done"


def in_child(work):
    """What a forked child that ran `work` came to: `done`, its answer, or its error."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        answer = "ended"
        try:
            answer = work() or DONE
        except BaseException as error:  # noqa: BLE001 -- the parent compares it
            answer = f"{type(error).__name__}: {error}"
        finally:
            os.write(writing, answer.encode())
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read().decode()
    os.waitpid(pid, 0)
    return answer


def dropped(work, keep=None):
    """`work` after dropping all but `keep` (what the agent needs here)."""

    def child():
        drop(needed() if keep is None else keep)
        return work()

    return in_child(child)


@pytest.fixture
def others_process(open_folder):
    """A process of another user, whose program only that user may read; it sleeps."""
    program = open_folder / "private"
    shutil.copy("/bin/sleep", program)
    os.chown(program, OTHER, OTHER)
    program.chmod(0o700)
    with subprocess.Popen([program, "1000"], user=OTHER, group=OTHER, extra_groups=()) as process:
        try:
            deadline = time.monotonic() + 10
            while "nanosleep" not in Path(f"/proc/{process.pid}/wchan").read_text():
                assert time.monotonic() < deadline
                time.sleep(0.01)
            yield process.pid
        finally:
            process.kill()


def record(backend, root):
    """Everything that a recording asks of a backend; the cgroup root/child is made and removed."""
    backend.watch(root.stat().st_ino, WatchRule(SlotMode.MODE_CONTAINER))
    child = root / "child"
    child.mkdir()
    try:
        (target,) = backend.targets()
        assert target.cgroup_id == child.stat().st_ino
        backend.drop(target)
        backend.release(target)
        backend.unwatch(root.stat().st_ino)
        target = backend.add(child.stat().st_ino, SlotMode.MODE_EXEC)
        backend.adopt(target, [1])
        key = CallKey(Abi.X86_64, Phase.WORKLOAD, Outcome.ALLOWED)
        backend.see(target, {key: Numbers.of([33])})
        subprocess.run(["sh", "-c", f"echo $$ > {child}/cgroup.procs; exec /bin/true"], check=True)
        reading = backend.read(target, final=True)
        assert {33, 59, 231} <= set(reading.calls[key])  # dup2 in flight, execve and exit_group of true
        assert backend.ledger().verdict.complete
        backend.wait(0)
        backend.events()
        backend.drop(target)
        backend.release(target)
        assert backend.targets() == []
    finally:
        child.rmdir()


def test_a_backend_works_that_was_made_before(scratch_cgroup, bpffs):
    """Watch, add, adopt, see, read, drop, release, pin: all of it after the drop."""
    root = scratch_cgroup()
    backend = LibbpfBackend(syscalls_spec(BOUNDS))

    def work():
        record(backend, root)
        backend.pin(bpffs / "held")
        record(backend, root)

    try:
        assert dropped(work) == DONE
        assert (bpffs / "held" / "maps" / "slots").exists()
    finally:
        backend.close()


def test_pins_are_adopted_and_a_backend_is_made_afterwards(scratch_cgroup, bpffs):
    """The next agent's, and one whose BPF object is loaded only when it is needed."""
    root = scratch_cgroup()
    before = LibbpfBackend(syscalls_spec(BOUNDS))
    before.pin(bpffs / "held")
    before.close()

    def work():
        for folder in (bpffs / "held", None):
            backend = LibbpfBackend(syscalls_spec(BOUNDS), adopt=folder)
            record(backend, root)
            backend.close()
        pins.unpin(bpffs / "held")

    assert dropped(work) == DONE
    assert not (bpffs / "held").exists()


def test_calls_in_flight_of_another_users_program_are_read(others_process):
    """The call and the program's ABI: a sleeping program is in clock_nanosleep."""

    def work():
        (numbers,) = calls_in_flight([others_process]).values()
        return str(list(numbers))

    assert dropped(work) in ("[230]", "[115]")  # x86_64, aarch64


def test_what_was_dropped_is_refused(tmp_path, others_process):
    """Mounting, changing owners, raw sockets, signals to others and more, by the kernel."""
    libc = ctypes.CDLL(None, use_errno=True)
    file = tmp_path / "file"
    file.touch()

    def check(result):
        if result < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    attempts = {
        "mount": lambda: check(libc.mount(b"none", os.fsencode(tmp_path), b"tmpfs", 0, None)),
        "chown": lambda: os.chown(file, OTHER, OTHER),
        "setuid": lambda: os.setuid(OTHER),
        "chroot": lambda: os.chroot(tmp_path),
        "mknod": lambda: os.mknod(tmp_path / f"device-{os.getpid()}", 0o20600, os.makedev(1, 1)),
        "raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close(),
        "sethostname": lambda: socket.sethostname(socket.gethostname()),
        "priority": lambda: os.setpriority(os.PRIO_PROCESS, 0, -20),
        "signal": lambda: os.kill(others_process, 0),
        "trusted attribute": lambda: os.setxattr(file, "trusted.recorder", b"x"),
    }
    for name, attempt in attempts.items():
        if name != "mount":  # that would stay
            assert in_child(attempt) == DONE, name
        assert dropped(attempt, NEEDED).startswith("PermissionError: "), name


LACKING = {
    Capability.BPF: "load",
    Capability.PERFMON: "load",
    Capability.SYS_PTRACE: "namespace",
    Capability.DAC_READ_SEARCH: "program",
}


def test_every_needed_one_has_a_trial():
    """The table has nothing that is kept to be safe."""
    assert set(LACKING) == set(NEEDED)


@pytest.mark.parametrize("capability", LACKING)
def test_without_one_of_the_needed_something_is_refused(capability, others_process):
    """With all the others; and with all of them nothing is."""
    attempts = {
        "load": lambda: LibbpfBackend(syscalls_spec(BOUNDS)).close(),
        "namespace": lambda: Path(f"/proc/{others_process}/ns/mnt").stat() and None,
        "program": lambda: Path(f"/proc/{others_process}/exe").read_bytes() and None,
    }
    attempt = attempts[LACKING[capability]]
    assert dropped(attempt, NEEDED) == DONE
    without = dropped(attempt, set(NEEDED) - {capability})
    assert without.startswith(("NotPermitted", "PermissionError"))


def test_all_sets_are_cut():
    """As the kernel says in /proc, of the process and of a root program that it runs."""
    answer = dropped(lambda: Path("/proc/self/status").read_text())
    shown = dropped(
        lambda: (
            subprocess.run(["cat", "/proc/self/status"], check=True, capture_output=True, text=True).stdout
        )
    )
    kept = f"{sum(1 << each for each in needed()):016x}"
    for status in (answer, shown):
        fields = dict(line.split(":\t", 1) for line in status.splitlines())
        assert (fields["CapPrm"], fields["CapEff"], fields["CapBnd"]) == (kept, kept, kept)
        assert (int(fields["CapInh"], 16), int(fields["CapAmb"], 16)) == (0, 0)
        assert fields["NoNewPrivs"] == "1"


def test_it_may_be_repeated_with_less():
    """A second drop needs no privilege that the first took."""

    def work():
        assert drop(NEEDED) == ()
        assert drop([Capability.SYS_PTRACE]) == ()
        return str(sorted(held().permitted))

    assert in_child(work) == f"[{Capability.SYS_PTRACE}]"


def test_what_is_missing_is_said():
    """An agent whose container was not given all of them can say so."""

    def work():
        drop([Capability.BPF])
        return str(drop(NEEDED))

    missing = tuple(sorted(set(NEEDED) - {Capability.BPF}))
    assert in_child(work) == str(missing)


def test_sys_admin_stands_for_the_two_that_are_newer():
    """A container runtime that does not know CAP_BPF and CAP_PERFMON gives CAP_SYS_ADMIN."""

    def work():
        drop([Capability.SYS_ADMIN, Capability.SYS_PTRACE, Capability.DAC_READ_SEARCH])
        assert drop(NEEDED) == ()
        LibbpfBackend(syscalls_spec(BOUNDS)).close()
        return str(sorted(held().permitted))

    expected = sorted([Capability.SYS_ADMIN, Capability.SYS_PTRACE, Capability.DAC_READ_SEARCH])
    assert in_child(work) == str([int(each) for each in expected])


def test_threads_that_exist_would_keep_theirs():
    """So it is refused, and nothing is dropped."""

    def work():
        done = threading.Event()
        thread = threading.Thread(target=done.wait)
        thread.start()
        before = held()
        try:
            with pytest.raises(InternalError, match="before threads are made, there are 2"):
                drop(NEEDED)
            assert held() == before
        finally:
            done.set()
            thread.join()

    assert in_child(work) == DONE


@pytest.mark.parametrize(
    ("preemptible", "paranoid", "admin"), [(True, "3", True), (True, "2", False), (False, "3", False)]
)
def test_classic_tracepoints_where_perf_is_restricted_need_sys_admin(
    monkeypatch, tmp_path, preemptible, paranoid, admin
):
    """Only there is it kept."""
    monkeypatch.setattr(privileges, "programs_are_preemptible", lambda: preemptible)
    monkeypatch.setattr(privileges, "PARANOID", tmp_path / "paranoid")
    (tmp_path / "paranoid").write_text(f"{paranoid}\n")
    assert (Capability.SYS_ADMIN in needed()) is admin
    assert set(NEEDED) <= set(needed())
