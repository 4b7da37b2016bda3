"""Calls that tasks are in already: real blocked tasks of both ABIs, and what /proc may say besides."""

import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recorder.containers.in_flight import calls_in_flight, program_abi
from recorder.model.abi import Abi
from recorder.model.numbers import Numbers

X32 = 0x40000000  # __X32_SYSCALL_BIT, asm/unistd.h
PAUSE = {Abi.X86_64: 34, Abi.I386: 29}


@pytest.fixture
def blocked():
    """`blocked(PROGRAM, ARGUMENT...)`: a process of its own, asleep in a call; its pid."""
    processes = []

    def start(*argv, **more):
        process = subprocess.Popen([str(word) for word in argv], **more)
        processes.append(process)
        assert until(lambda: state(process.pid) == "S" and syscall(process.pid).isdigit())
        return process.pid

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def state(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def syscall(pid):
    return Path(f"/proc/{pid}/syscall").read_text().split()[0]


def test_a_64_bit_and_a_32_bit_process_in_pause(blocked, built_programs):
    """The same call by its number in each ABI."""
    native = blocked(built_programs["rawsys"], PAUSE[Abi.X86_64])
    compat = blocked(built_programs["rawsys32"], PAUSE[Abi.I386])
    assert calls_in_flight([native]) == {Abi.X86_64: Numbers.of([34])}
    assert calls_in_flight([compat]) == {Abi.I386: Numbers.of([29])}
    assert calls_in_flight([native, compat]) == {Abi.X86_64: Numbers.of([34]), Abi.I386: Numbers.of([29])}


def test_different_processes_add_up(blocked, built_programs):
    """A reader of a pipe and a process in pause."""
    reader = blocked("/bin/cat", stdin=subprocess.PIPE)
    pauser = blocked(built_programs["rawsys"], PAUSE[Abi.X86_64])
    assert calls_in_flight([reader, pauser]) == {Abi.X86_64: Numbers.of([0, 34])}


def test_every_thread_is_asked(blocked):
    """A thread asleep in poll beside the first one in read."""
    code = (
        "import os, select, threading\n"
        "threading.Thread(target=lambda: select.poll().poll(), daemon=True).start()\n"
        "os.read(0, 1)"
    )
    pid = blocked(sys.executable, "-c", code, stdin=subprocess.PIPE)
    assert until(lambda: calls_in_flight([pid]) == {Abi.X86_64: Numbers.of([0, 7])})


def test_a_stopped_process_is_in_no_call(blocked, built_programs):
    """Stopped in user space: /proc says -1. Stopped in a call that goes on afterwards: that call."""
    pid = blocked(built_programs["rawsys"], PAUSE[Abi.X86_64])
    os.kill(pid, signal.SIGSTOP)
    assert until(lambda: state(pid) == "T")
    assert set(calls_in_flight([pid]).get(Abi.X86_64, ())) <= {34, 219}


def test_a_running_process_is_in_no_call(built_programs):
    with subprocess.Popen(
        [sys.executable, "-c", "print(1, flush=True)\nwhile True: pass"], stdout=-1
    ) as process:
        try:
            process.stdout.readline()
            assert until(lambda: syscall(process.pid) == "running")
            assert until(lambda: calls_in_flight([process.pid]) == {})
        finally:
            process.kill()


def test_a_process_that_is_gone_is_left_out(blocked, built_programs):
    process = subprocess.Popen(["true"])
    process.wait()
    pid = blocked(built_programs["rawsys"], PAUSE[Abi.X86_64])
    assert calls_in_flight([process.pid, pid, 0]) == {Abi.X86_64: Numbers.of([34])}


def test_a_kernel_thread_has_no_program(blocked):
    """kthreadd: its exe cannot be read."""
    assert calls_in_flight([2]) == {}


class TestProc:
    """A /proc of our own making, for what cannot be had here."""

    @pytest.fixture
    def proc(self, tmp_path):
        """`proc(pid, (class, machine, order), {thread: line})`."""

        def make(pid, elf, threads):
            folder = tmp_path / str(pid)
            for thread, line in threads.items():
                (folder / "task" / str(thread)).mkdir(parents=True)
                if line is not None:
                    (folder / "task" / str(thread) / "syscall").write_text(line)
            width, machine, order = elf
            head = (
                b"\x7fELF"
                + bytes([width, order])
                + bytes(10)
                + struct.pack("<>"[order - 1] + "HH", 2, machine)
            )
            (folder / "exe").write_bytes(head)
            return tmp_path

        return make

    @pytest.mark.parametrize(
        ("elf", "abi", "number"),
        [
            ((2, 62, 1), Abi.X86_64, 5),
            ((1, 3, 1), Abi.I386, 5),
            ((1, 62, 1), Abi.X32, X32 | 5),
            ((2, 183, 1), Abi.AARCH64, 5),
            ((1, 40, 1), Abi.ARM, 5),
            ((1, 40, 2), Abi.ARM, 5),
            ((2, 243, 1), None, 5),
            ((2, 3, 1), None, 5),
        ],
    )
    def test_the_abi_is_the_programs(self, elf, abi, number, proc):
        """By class and machine of its ELF header (elf(5)); another machine's is none of ours."""
        folder = proc(1, elf, {1: f"{number} 0x0 0x0\n"})
        assert program_abi(folder / "1" / "exe") == abi
        assert calls_in_flight([1], folder) == ({abi: Numbers.of([5])} if abi else {})

    @pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", b"\x7fELF", b"\x7fELF" + bytes(10)])
    def test_what_is_no_elf_file_has_no_abi(self, content, tmp_path):
        (tmp_path / "exe").write_bytes(content)
        assert program_abi(tmp_path / "exe") is None
        assert program_abi(tmp_path / "nothing") is None

    @pytest.mark.parametrize("width", [1, 2])
    def test_the_mark_of_x32_decides_whatever_the_program_was_built_for(self, width, proc):
        """It is in the number: 520 without it is no call of x86_64, and 1 with it is none either."""
        folder = proc(1, (width, 62, 1), {1: f"{X32 | 520} 0x0\n", 2: f"{X32 | 1} 0x0\n", 3: "0 0x0\n"})
        assert calls_in_flight([1], folder) == {Abi.X86_64: Numbers.of([0]), Abi.X32: Numbers.of([1, 520])}

    @pytest.mark.parametrize(
        "line", ["running\n", "-1 0x7fff 0x400\n", "\n", "", "512 0x0\n", "99999 0x0\n", None]
    )
    def test_what_is_no_call_is_left_out(self, line, proc):
        """Running, stopped outside a call, gone, or a number that no bitmap has a place for."""
        folder = proc(1, (2, 62, 1), {1: "0 0x0\n", 2: line})
        assert calls_in_flight([1], folder) == {Abi.X86_64: Numbers.of([0])}
