"""The compiler's process: what becomes of its failures. Headers and bcc itself are not needed."""

import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from recorder.kernel import bcc_child
from recorder.kernel.bcc_child import compile_program
from recorder.kernel.bcc_spec import BccSpec
from recorder.kernel.headers import Headers
from recorder.kernel.spec import Bounds
from recorder.model.errors import (
    BpfLoadError,
    Interrupted,
    MissingHeaders,
    MissingLibrary,
    MissingObject,
    NotPermitted,
)

HEADERS = Headers(Path("/build"), Path("/build"), "6.1.0", matching=True)


@pytest.fixture
def spec(tmp_path):
    source = tmp_path / "source.c"
    source.write_text("int x;\n")
    return BccSpec(source, structures=False, containers=False, bounds=Bounds())


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    """`stand_in(TEXT)`: Python that runs in the compiler's place; `channel` and `request` are there."""

    def use(text):
        script = tmp_path / "compiler"
        script.write_text(
            f"#!{sys.executable}\n"
            "import json, os, signal, socket, sys, time\n"
            "channel = socket.socket(fileno=int(sys.argv[3]))\n"
            "request = json.loads(channel.recv(1 << 20))\n" + text
        )
        script.chmod(0o755)
        monkeypatch.setattr(bcc_child.sys, "executable", str(script))

    return use


@pytest.mark.parametrize(
    ("kind", "error", "said"),
    [
        ("library", MissingLibrary, "python3-bpfcc"),
        ("permission", NotPermitted, "root"),
        ("compile", MissingHeaders, "linux-headers-"),
        ("headers", MissingHeaders, "linux-headers-"),
        ("load", BpfLoadError, "refuses"),
        ("unheard of", BpfLoadError, "no answer"),
    ],
)
def test_what_the_compiler_refuses_is_an_error_with_its_lines(spec, stand_in, kind, error, said):
    stand_in(
        "print('a line of clang', file=sys.stderr, flush=True)\n"
        f"channel.send(json.dumps({{'refused': {kind!r}, 'text': 'it says why'}}).encode())\n"
    )
    with pytest.raises(error) as refused:
        compile_program(spec, HEADERS)
    first = str(refused.value).splitlines()[0]
    assert said in first
    if kind in ("compile", "headers", "load"):
        assert "it says why" in first
        assert str(refused.value).splitlines()[-1] == "a line of clang"


def test_a_crash_of_clang_is_the_headers_fault(spec, stand_in):
    stand_in("os.kill(os.getpid(), signal.SIGSEGV)\n")
    with pytest.raises(MissingHeaders, match="SIGSEGV"):
        compile_program(spec, HEADERS)


def test_an_end_without_an_answer(spec, stand_in):
    stand_in("sys.exit(7)\n")
    with pytest.raises(BpfLoadError, match="ended with 7 and no answer"):
        compile_program(spec, HEADERS)


def test_an_end_before_the_request(spec, monkeypatch):
    """Nobody is there to send it to."""
    begin = bcc_child.subprocess.Popen

    def begin_and_wait(*words, **more):
        child = begin(["/bin/false"], **more)
        child.wait()
        return child

    monkeypatch.setattr(bcc_child.subprocess, "Popen", begin_and_wait)
    with pytest.raises(BpfLoadError, match="ended with 1 and no answer"):
        compile_program(spec, HEADERS)


def test_descriptors_come_by_name_and_are_not_inherited(spec, stand_in):
    stand_in(
        "fds = [os.open('/dev/null', os.O_RDONLY), os.open('/dev/zero', os.O_RDONLY)]\n"
        "answer = {'maps': ['m'], 'programs': ['p']}\n"
        "socket.send_fds(channel, [json.dumps(answer).encode()], fds)\n"
    )
    compiled = compile_program(spec, HEADERS)
    found = {
        name: os.readlink(f"/proc/self/fd/{fd}")
        for name, fd in {**compiled.maps, **compiled.programs}.items()
    }
    assert found == {"m": "/dev/null", "p": "/dev/zero"}
    for fd in (*compiled.maps.values(), *compiled.programs.values()):
        assert not os.get_inheritable(fd)
        os.close(fd)


def test_the_compiler_is_not_waited_for_without_end(spec, stand_in):
    """And it does not go on by itself."""
    stand_in("print(os.getpid(), file=sys.stderr, flush=True); time.sleep(100)\n")
    begun, before = time.monotonic(), set(psutil.Process().children())
    with pytest.raises(BpfLoadError, match="no answer in time"):
        compile_program(spec, HEADERS, seconds=0.5)
    assert time.monotonic() - begun < 30
    assert set(psutil.Process().children()) <= before


def test_a_blocked_signal_ends_it(spec, stand_in):
    """A recording takes its signals one by one, and none while it loads."""
    stand_in("os.kill(os.getppid(), signal.SIGTERM); time.sleep(100)\n")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        with pytest.raises(Interrupted, match="ended by SIGTERM"):
            compile_program(spec, HEADERS)
    finally:
        assert signal.sigtimedwait({signal.SIGTERM}, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_a_missing_source_says_how_to_install_it(spec):
    spec.source.unlink()
    with pytest.raises(MissingObject, match="make bpf"):
        compile_program(spec, HEADERS)


def test_no_descriptor_is_left_open(spec, stand_in):
    stand_in("sys.exit(1)\n")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(BpfLoadError):
            compile_program(spec, HEADERS)
    assert len(os.listdir("/proc/self/fd")) == before
