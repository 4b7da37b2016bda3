"""`recorder record --loader bcc`: what it says, what it costs, and that nothing of it is left."""

import itertools
import json
import os
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.kernel_objects import existing, held_by, left_of

pytestmark = pytest.mark.root

BCC = ("record", "--loader", "bcc")
WAITS = ("/bin/sh", "-c", "echo $$; exec cat")


@pytest.fixture(autouse=True)
def _needs(headers):
    """Skips where there are no headers."""


def children(pid):
    """Process ids of those that a process has made and that live."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def resident(pid):
    """What of it is in memory, in KiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError(f"process {pid} has no VmRSS")


def test_the_record_names_the_loader(recorder_cli, tmp_path):
    """In its provenance; and nobody asked auto why."""
    done = recorder_cli.run(*BCC, "-f", "record", "-o", tmp_path / "record", "--", "true")
    assert done.returncode == 0, done.stderr
    assert b"recorder: verdict: complete" in done.stderr
    assert b"recorder: loader" not in done.stderr
    (observation,) = json.loads((tmp_path / "record").read_text())["observations"]
    assert observation["provenance"]["loader"] == "bcc"


def test_memory_is_that_of_libbpf(recorder_cli, tmp_path):
    """Within 3 MiB, while both record; LLVM has gone with the compiler, and so has every other child."""
    taken = {}
    for loader in ("libbpf", "bcc"):
        arguments = ("record", "--loader", loader, "-o", tmp_path / "result", "--", *WAITS)
        with recorder_cli.started(*arguments) as recorder:
            command = int(recorder.stdout.readline())
            assert children(recorder.pid) == [command]
            maps = Path(f"/proc/{recorder.pid}/maps").read_text()
            assert "LLVM" not in maps
            assert "libbcc" not in maps
            taken[loader] = resident(recorder.pid)
            recorder.communicate(timeout=60)
    assert taken["bcc"] - taken["libbpf"] < 3 * 1024, taken


def of_bcc():
    """The maps of the machine that only this loader makes, whoever holds them: its programs hold them too."""
    shown = subprocess.run(["bpftool", "-j", "map", "show"], capture_output=True, check=True).stdout
    return {each["id"] for each in json.loads(shown or "[]") if each.get("name") in {"held", "path_buffer"}}


def none_is_left(before):
    """Waits until no other is there; the kernel frees some while after the last use."""
    end = time.monotonic() + 30
    while left := of_bcc() - before:
        assert time.monotonic() < end, left
        time.sleep(0.05)


@pytest.mark.parametrize("number", [None, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left(number, recorder_cli, tmp_path, cgroup2):
    """Programs, maps, links and pins; after COMMAND's end, SIGTERM, which goes to COMMAND, and SIGKILL."""
    before = of_bcc()
    with recorder_cli.started(*BCC, "-o", tmp_path / "result", "--", *WAITS) as recorder:
        command = int(recorder.stdout.readline())
        objects = held_by(recorder.pid)
        assert {each.kind for each in objects} == {"prog", "map", "link"}
        assert existing() >= objects
        if number:
            recorder.send_signal(number)
        if number != signal.SIGTERM:
            recorder.stdin.close()
        recorder.wait(timeout=60)
    assert left_of(objects) == frozenset()
    none_is_left(before)
    if number == signal.SIGKILL:
        subprocess.run(["kill", "-9", str(command)], check=False, capture_output=True)
        # The next run removes the cgroup of the one that was killed.
        assert recorder_cli.run("record", "-o", tmp_path / "next", "--", "true").returncode == 0
    assert list(cgroup2.rglob(f"recorder-{recorder.pid}-*")) == []


def compiling(recorder, seconds):
    """A pidfd of the compiler's process, so many seconds after it began; None if it has ended before."""
    end = time.monotonic() + 30
    while not (found := children(recorder.pid)):
        assert time.monotonic() < end
        assert recorder.poll() is None
        time.sleep(0.002)
    handle = os.pidfd_open(found[0])
    if select.select([handle], [], [], seconds)[0]:
        os.close(handle)
        return None
    return handle


def ends(handle):
    """Waits for the end of a process, and forgets it."""
    assert select.select([handle], [], [], 30)[0], "the compiler goes on"
    os.close(handle)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_while_it_compiles(number, recorder_cli, tmp_path):
    """Ends it and the compiler; COMMAND was not started."""
    before = of_bcc()
    marker = tmp_path / "started"
    with recorder_cli.started(*BCC, "-o", tmp_path / "result", "--", "touch", marker) as recorder:
        handle = compiling(recorder, 0.2)
        recorder.send_signal(number)
        _, said = recorder.communicate(timeout=30)
    ends(handle)
    if number != signal.SIGKILL:
        assert recorder.returncode == 125
        assert said.decode().startswith("recorder: INTERRUPTED: ended by SIG")
    assert not marker.exists()
    none_is_left(before)


@pytest.mark.parametrize("victim", ["the recorder", "the compiler"])
def test_kill_9_at_any_moment_of_the_compilation_leaves_nothing(victim, recorder_cli, tmp_path, scaled):
    """From its start over the compiler's and the kernel's work to the hand-over: no object, no process."""
    before = of_bcc()
    step = 0.3 / scaled(30, least=3)
    for moment in itertools.count():
        arguments = (*BCC, "-o", tmp_path / "result", "--", "true")
        with recorder_cli.started(*arguments) as recorder:
            handle = compiling(recorder, moment * moment * step)
            if handle is None:
                recorder.communicate(timeout=60)
                break
            if victim == "the recorder":
                recorder.kill()
                recorder.communicate(timeout=30)
            else:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                _, said = recorder.communicate(timeout=60)
                # At the very end it had handed everything over.
                assert recorder.returncode in (0, 125)
                assert recorder.returncode == 0 or b"recorder: BPF_LOAD: the bcc loader's compiler" in said
        ends(handle)
    assert moment > 2
    none_is_left(before)


def test_no_mount_is_left(recorder_cli, tmp_path):
    """The compiler's tracefs is its own, as is the place where it unpacks an archive of headers."""

    def below_sys():
        return [line for line in Path("/proc/self/mounts").read_text().splitlines() if " /sys/" in line]

    before = below_sys()
    assert recorder_cli.run(*BCC, "-o", tmp_path / "result", "--", "true").returncode == 0
    assert below_sys() == before


def test_headers_that_are_none_are_named(recorder_cli, tmp_path):
    """With what was looked for; COMMAND is not run."""
    marker = tmp_path / "ran"
    for place, reason in ((tmp_path / "nowhere", "no such folder"), (tmp_path, "not configured")):
        done = recorder_cli.run(*BCC, "--", "touch", marker, env={"BCC_KERNEL_SOURCE": str(place)})
        assert done.returncode == 125
        last = done.stderr.decode().splitlines()[-1]
        assert last.startswith(
            f"recorder: MISSING_HEADERS: BCC_KERNEL_SOURCE names no kernel headers: {place}"
        )
        assert reason in last
    assert not marker.exists()


def test_headers_that_do_not_compile_are_named(recorder_cli, tmp_path):
    """What looks like headers and is broken: the compiler's lines, then which package to install."""
    for name in (
        "include/generated/autoconf.h",
        "include/linux/kconfig.h",
        "arch/x86/include/asm/ptrace.h",
        "arch/arm64/include/asm/ptrace.h",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("#error broken\n")
    done = recorder_cli.run(*BCC, "--", "true", env={"BCC_KERNEL_SOURCE": str(tmp_path)})
    assert done.returncode == 125
    *before, last = done.stderr.decode().splitlines()
    assert last.startswith("recorder: MISSING_HEADERS: bcc cannot compile with the kernel headers")
    assert f"linux-headers-{os.uname().release}" in last
    assert any("error" in line for line in before)


def test_containers_need_the_running_kernels_headers(recorder_cli, scratch_cgroup, headers):
    """Refused before anything is recorded, with what to install."""
    if headers.containers:
        pytest.skip("the headers are the running kernel's: it works")
    done = recorder_cli.run(*BCC, "--phases", "container", "--cgroup", scratch_cgroup())
    assert done.returncode == 125
    said = done.stderr.decode()
    assert "recorder: MISSING_HEADERS: --phases container" in said
    assert f"linux-headers-{os.uname().release}" in said or "--loader libbpf" in said
