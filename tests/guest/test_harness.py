"""The harness itself: a guest is the one that was asked for, is one of its own, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guest.build.recipe import wanted_specs
from tests.guest.cache import Cache
from tests.guest.errors import CommandError, GuestLostError, GuestTimeoutError
from tests.guest.spec import Spec
from tests.guest.vm import Guest
from tests.owner import start_time

Begin = Callable[..., Guest]
ROOT = Path(__file__).parents[2]
BOOT_ID = ["cat", "/proc/sys/kernel/random/boot_id"]


def alive(pid: int) -> bool:
    return start_time(pid) is not None


@pytest.mark.parametrize("spec", wanted_specs(), ids=str)
def test_guest_is_what_was_asked_for(bare_guest: Begin, spec: Spec) -> None:
    """The kernel is of the release that versions.lock means, and the security module is active."""
    guest = bare_guest(spec.kernel, spec.lsm, spec.init)
    release = guest.run(["uname", "-r"]).text
    assert release.endswith("-cloud-amd64")
    if spec.kernel != "newest":
        assert release.startswith(f"{spec.kernel}.")
    assert spec.lsm in guest.run(["cat", "/sys/kernel/security/lsm"]).text.split(",")
    assert guest.run(["cat", "/proc/1/comm"]).text == ("systemd" if spec.init == "systemd" else "init")
    if spec.lsm == "selinux":
        assert guest.run(["getenforce"]).text == "Permissive"
        assert guest.run(["stat", "-c", "%C", "/usr/bin/passwd"]).text == "system_u:object_r:passwd_exec_t:s0"
    else:
        assert guest.run(["cat", "/sys/module/apparmor/parameters/enabled"]).text == "Y"


@pytest.mark.parametrize("spec", wanted_specs(), ids=str)
def test_guest_has_what_tests_need(bare_guest: Begin, spec: Spec) -> None:
    """Pure cgroup v2, BTF, its own modules, Python with the recorder's packages, container runtimes."""
    guest = bare_guest(spec.kernel, spec.lsm, spec.init)
    assert guest.run(["stat", "-f", "-c", "%T", "/sys/fs/cgroup"]).text == "cgroup2fs"
    guest.run("test -s /sys/kernel/btf/vmlinux && test -s /usr/lib/modules/$(uname -r)/modules.dep")
    guest.run("modprobe overlay && grep -q overlay /proc/filesystems")
    guest.run(
        [
            *("/usr/bin/python3", "-c"),
            "import google.protobuf.json_format, google._upb._message, yaml, psutil, pytest",
        ]
    )
    guest.run(
        "for tool in strace runc crun containerd podman bpftool redis-server nginx; do which $tool; done"
    )


def test_image_compiles_for_both_widths(bare_guest: Begin) -> None:
    """One program as 64-bit and as 32-bit code; and bcc can be imported."""
    guest = bare_guest()
    guest.run("echo 'int main(void){return 7;}' >x.c && gcc -o x64 x.c && gcc -m32 -o x32 x.c", timeout=240)
    assert guest.run("./x64", check=False).status == guest.run("./x32", check=False).status == 7
    guest.run(["/usr/bin/python3", "-c", "import bcc"], timeout=120)


@pytest.mark.parametrize("kernel", ["6.1", "5.10"])
def test_headers_are_there_for_bcc(bare_guest: Begin, kernel: str) -> None:
    """Both links that Debian splits its headers over lead to files."""
    guest = bare_guest(kernel)
    modules = f"/lib/modules/{guest.run(['uname', '-r']).text}"
    guest.run(f"test -e {modules}/build/include/generated/autoconf.h")
    guest.run(f"test -e {modules}/source/include/linux/kernel.h")


def test_status_and_outputs_come_back(bare_guest: Begin) -> None:
    """A command's status, output and error are told apart; a signal is 128 and its number."""
    guest = bare_guest()
    result = guest.run("echo out; echo err >&2; exit 3", check=False)
    assert (result.status, result.stdout, result.stderr) == (3, b"out\n", b"err\n")
    assert guest.run("kill -TERM $$", check=False).status == 128 + signal.SIGTERM
    assert guest.run(["/no/such/program"], check=False).status == 127
    assert (
        guest.run(["printf", "%s|", "a b", "", "$HOME"], env={"HOME": "/x"}, cwd="/tmp").stdout
        == b"a b||$HOME|"
    )
    with pytest.raises(CommandError, match=r"status 1 in 6.1-apparmor(.|\n)*no good(.|\n)*end of console"):
        guest.run("echo no good >&2; false")


def test_much_input_and_output_is_not_lost(bare_guest: Begin) -> None:
    """8 MiB through a command and back are the same, while it writes as much as it reads."""
    data = os.urandom(8 << 20)
    assert bare_guest().run(["cat"], stdin=data, timeout=120).stdout == data


def test_commands_run_side_by_side(bare_guest: Begin) -> None:
    """A command that waits does not hold another up; a signal reaches its group."""
    guest = bare_guest()
    waiting = guest.begin("trap 'echo stopped; exit 5' TERM; echo ready; while :; do sleep 0.05; done")
    while b"ready" not in waiting.stdout:
        guest.poll()
    assert guest.run(["echo", "here"]).text == "here"
    guest.signal(waiting, signal.SIGTERM)
    result = guest.finish(waiting, check=False)
    assert (result.status, result.stdout) == (5, b"ready\nstopped\n")


def test_late_command_is_killed_and_told(bare_guest: Begin) -> None:
    """After the time-out the command is gone, the error shows its output, and the guest goes on."""
    guest = bare_guest()
    with pytest.raises(GuestTimeoutError, match=r"no end of a command in 1 s(.|\n)*so far"):
        guest.run("echo so far; exec sleep 1000", timeout=1)
    guest.run("for i in $(seq 100); do pgrep -x sleep || exit 0; sleep 0.05; done; exit 1")


def test_child_left_behind_is_not_waited_for(bare_guest: Begin) -> None:
    """A command ends when it ends, even if a child of it holds its output open."""
    result = bare_guest().run("sleep 1000 & echo done", timeout=20)
    assert result.stdout == b"done\n"


def test_files_go_in_and_come_back(bare_guest: Begin, tmp_path: Path) -> None:
    """A pushed folder and file, changed in the guest, come back with modes and links."""
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "deep/script").write_text("#!/bin/sh\necho ran\n")
    (source / "deep/script").chmod(0o755)
    (source / "link").symlink_to("deep/script")
    (tmp_path / "single").write_bytes(bytes(range(256)))
    guest = bare_guest()
    guest.push(source, "/srv/in")
    guest.push(tmp_path / "single", "/srv/in")
    assert guest.run(["/srv/in/link"]).text == "ran"
    guest.run("echo more >>/srv/in/deep/script")
    back = guest.pull("/srv/in", tmp_path / "back")
    assert (back / "deep/script").read_text() == "#!/bin/sh\necho ran\nmore\n"
    assert (back / "deep/script").stat().st_mode & 0o777 == 0o755
    assert (back / "link").readlink() == Path("deep/script")
    assert (back / "single").read_bytes() == bytes(range(256))


def test_clock_is_right_after_a_restore(bare_guest: Begin) -> None:
    """The guest's wall clock is the host's: behind by no more than the restore took, in which it was set."""
    guest = bare_guest()
    before = time.time() - guest.ready_seconds
    inside = float(guest.run(["date", "+%s.%N"]).text)
    assert before - 1 <= inside <= time.time() + 1


@pytest.mark.parametrize("init", ["agent", "systemd"])
def test_restored_guests_are_not_twins(bare_guest: Begin, init: str) -> None:
    """Two restores of one snapshot, side by side: other random numbers, other boot ids, other disks."""
    one, two = bare_guest(init=init), bare_guest(init=init)
    assert (
        one.run(["head", "-c", "16", "/dev/urandom"]).stdout
        != two.run(["head", "-c", "16", "/dev/urandom"]).stdout
    )
    boots = {one.run(BOOT_ID).text, two.run(BOOT_ID).text}
    assert len(boots) == 2
    assert one.run(BOOT_ID).text in boots, "a guest's boot id stays"
    one.run("echo mine >/etc/mark; sync")
    assert two.run("test -e /etc/mark", check=False).status == 1


def test_boot_id_of_a_new_proc_is_the_same(bare_guest: Begin) -> None:
    """A container's own /proc shows the boot id that the guest has."""
    guest = bare_guest()
    inside = guest.run(["unshare", "-fp", "--mount-proc", *BOOT_ID]).text
    assert inside == guest.run(BOOT_ID).text


def test_panic_is_told_with_the_console(bare_guest: Begin) -> None:
    """A guest whose kernel panics is reported at once, with what it said."""
    guest = bare_guest()
    with pytest.raises(GuestLostError, match="sysrq triggered crash"):
        guest.run("echo c >/proc/sysrq-trigger", timeout=30)


def test_stop_leaves_nothing(bare_guest: Begin) -> None:
    """After `stop`, and after a second one, there is neither process nor folder."""
    guest = bare_guest()
    pid = guest.qemu.process.pid
    guest.stop()
    guest.stop()
    assert not alive(pid)
    assert not guest.folder.exists()


def test_killed_harness_leaves_no_qemu(guest_cache: Cache, bare_guest: Begin) -> None:
    """After SIGKILL of the process that runs a guest, qemu ends; the next start removes its folder."""
    bare_guest().stop()  # the snapshot is there
    words = [sys.executable, "-m", "tests.guest", "run", "--", "echo begun; sleep 1000"]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE) as harness:
        assert harness.stdout is not None
        assert harness.stdout.readline() == b"begun\n"
        folder = next(path for path in guest_cache.run.iterdir() if path.name.startswith(f"{harness.pid}-"))
        qemu = int((folder / "pid").read_text())
        assert alive(qemu)
        harness.kill()
    end = time.monotonic() + 10
    while alive(qemu) and time.monotonic() < end:
        time.sleep(0.02)
    assert not alive(qemu)
    bare_guest()
    assert not folder.exists()


def test_restore_is_quick(bare_guest: Begin) -> None:
    """It takes less than two seconds of a processor (0.5 s on an idle machine), however busy that is."""
    guest = bare_guest()
    assert guest.qemu.cpu_seconds() < 2


def test_guests_start_beside_a_builder(guest_cache: Cache, bare_guest: Begin) -> None:
    """Who holds the lock of building does not keep others from starting what is there."""
    bare_guest().stop()
    held, done = threading.Event(), threading.Event()

    def build() -> None:
        with Cache(guest_cache.root).building():
            held.set()
            done.wait(60)

    builder = threading.Thread(target=build)
    builder.start()
    try:
        assert held.wait(60)
        assert bare_guest().run(["echo", "up"]).text == "up"
    finally:
        done.set()
        builder.join()
