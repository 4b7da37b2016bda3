"""The only module that imports bcc, and the only process: a short-lived child of the loader.

`python -m recorder.kernel.bcc_compiler SOCKET`, started by recorder.kernel.bcc_child: reads a
request (JSON, one message), compiles and loads, sends the descriptors of maps and programs
(SCM_RIGHTS) with their names, and ends, and with it LLVM's memory. What bcc prints goes
to stderr.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

_CLONE_NEWNS = 0x00020000
_MS_REC_PRIVATE = 0x4000 | 0x40000
_PR_SET_PDEATHSIG = 1
_TRACEFS = Path("/sys/kernel/tracing")
# Always there where cgroups are, and nothing that compiling needs: the private place for an archive.
_UNPACKED = Path("/sys/fs/cgroup")


class _RefusedError(Exception):
    """What the parent is told: a kind, and a text."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def _own_mounts(libc: ctypes.CDLL) -> None:
    """Mounts from here on are this process's own, and end with it."""
    if libc.unshare(_CLONE_NEWNS) or libc.mount(b"none", b"/", None, _MS_REC_PRIVATE, None):
        code = ctypes.get_errno()
        raise _RefusedError("permission", f"cannot make a mount namespace: {os.strerror(code)}")


def _mount(libc: ctypes.CDLL, kind: str, where: Path) -> None:
    if libc.mount(kind.encode(), os.fsencode(where), kind.encode(), 0, None):
        raise _RefusedError("load", f"cannot mount {kind} at {where}: {os.strerror(ctypes.get_errno())}")


def _compile(request: dict[str, Any]) -> Any:
    try:
        from bcc import BPF
    except ImportError as error:
        raise _RefusedError("library", str(error)) from error
    os.environ["BCC_KERNEL_SOURCE"] = request["source_tree"]
    try:
        return BPF(text=request["text"], cflags=request["flags"])
    except Exception as error:  # bcc raises the root class
        raise _RefusedError("compile", str(error)) from error


def _load(bpf: Any, name: str, *, raw: bool) -> int:
    try:
        kind = bpf.RAW_TRACEPOINT if raw else bpf.TRACEPOINT
        return int(bpf.load_func(name, kind).fd)
    except Exception as error:  # as above
        raise _RefusedError("load", str(error)) from error


def _work(request: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
    libc = ctypes.CDLL(None, use_errno=True)
    _own_mounts(libc)
    if request["archive"]:
        _mount(libc, "tmpfs", _UNPACKED)
        done = subprocess.run(["tar", "-xf", request["archive"], "-C", str(_UNPACKED)], check=False)
        if done.returncode:
            raise _RefusedError("headers", f"cannot unpack {request['archive']}: see tar's lines")
        request["source_tree"] = str(_UNPACKED)
    if not (_TRACEFS / "events").is_dir():
        _mount(libc, "tracefs", _TRACEFS)
    bpf = _compile(request)
    from bcc.libbcc import lib

    maps = {name: int(lib.bpf_table_fd(bpf.module, name.encode())) for name in request["maps"]}
    missing = [name for name, fd in maps.items() if fd < 0]
    if missing:
        raise _RefusedError("load", f"the kernel did not make the maps {', '.join(missing)}")
    programs = {name: _load(bpf, name, raw=raw) for name, raw in request["programs"].items()}
    answer = {"maps": list(maps), "programs": list(programs)}
    return answer, [*maps.values(), *programs.values()]


def main() -> int:
    """0 when the answer was sent, whatever it says."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        message = channel.recv(1 << 20)
        if not message:  # the parent has ended already
            return 1
        try:
            answer, fds = _work(json.loads(message))
        except _RefusedError as refusal:
            answer, fds = {"refused": refusal.kind, "text": str(refusal)}, []
        socket.send_fds(channel, [json.dumps(answer).encode()], fds)
        # Without what bcc does at exit: the kernel closes all that is left.
        sys.stderr.flush()
        os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
