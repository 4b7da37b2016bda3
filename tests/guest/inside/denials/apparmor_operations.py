"""A program that does what AppArmor mediates: `apparmor_operations.py FOLDER PROFILE CGROUP [PATH TIMES]...`.

It joins the cgroup, changes its profile, and then does every operation once, or opens the paths that are
given, each so often, whatever comes of it. Its status says how many operations it did. Everything is
imported and opened before, since it may do nothing afterwards. FOLDER is an empty one of its own.
"""

import contextlib
import ctypes
import fcntl
import mmap
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
MS_REMOUNT, MS_BIND, MS_MOVE, MS_PRIVATE = 32, 4096, 8192, 1 << 18
CLONE_NEWUSER = 0x10000000
PTRACE_ATTACH, PTRACE_DETACH = 16, 17
SYS_PIVOT_ROOT = 155
CHANGED, STARTED, ALL = 1, 2, 255  # what FOLDER/state says, its first byte; between: one path more each
OPENED = 100  # the status of who opened paths instead


def operations(folder: Path, other: int) -> Iterator[tuple[str, Callable[[], object]]]:
    """Names and what to do; `other` is a process that sleeps, unconfined."""
    for name in ("read", "write", "append", "gone", "moved", "linked", "mode", "owner", "cut", "locked"):
        (folder / name).write_text(name)
    (folder / "empty").mkdir()
    (folder / "mounted").mkdir()
    (folder / "second").mkdir()
    here = os.fspath(folder)
    locked = os.open(f"{here}/locked", os.O_RDWR)
    program = os.open("/bin/true", os.O_RDONLY)
    held = os.open(f"{here}/read", os.O_RDONLY)
    stream = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.bind(("127.0.0.1", 0))
    six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)

    def attached() -> None:
        if LIBC.ptrace(PTRACE_ATTACH, other, None, None) == 0:
            os.waitpid(other, 0)
            LIBC.ptrace(PTRACE_DETACH, other, None, None)

    def ran(*command: str) -> None:
        child = os.fork()
        if not child:
            with contextlib.suppress(OSError):
                os.execv(command[0], command)  # noqa: S606  it is what is tried
            os._exit(1)
        os.waitpid(child, 0)

    def apart(act: Callable[[], object]) -> None:
        child = os.fork()
        if not child:
            with contextlib.suppress(OSError):
                act()
            os._exit(0)
        os.waitpid(child, 0)

    def written(place: str, text: str) -> None:
        fd = os.open(place, os.O_WRONLY)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)

    yield "open to read", lambda: os.open(f"{here}/read", os.O_RDONLY)
    yield "open to write", lambda: os.open(f"{here}/write", os.O_WRONLY)
    yield "open to append", lambda: os.open(f"{here}/append", os.O_WRONLY | os.O_APPEND)
    yield "open both ways", lambda: os.open(f"{here}/mode", os.O_RDWR)
    yield "create", lambda: os.open(f"{here}/new", os.O_WRONLY | os.O_CREAT)
    yield "list", lambda: os.listdir(here)
    yield "stat", lambda: os.stat(f"{here}/moved")
    yield "mkdir", lambda: os.mkdir(f"{here}/made")
    yield "rmdir", lambda: os.rmdir(f"{here}/empty")
    yield "fifo", lambda: os.mkfifo(f"{here}/fifo")
    yield "device", lambda: os.mknod(f"{here}/device", 0o20600, os.makedev(1, 3))
    yield "symlink", lambda: os.symlink("read", f"{here}/symlink")
    yield "link", lambda: os.link(f"{here}/linked", f"{here}/hard")
    yield "rename", lambda: os.rename(f"{here}/moved", f"{here}/there")
    yield "unlink", lambda: os.unlink(f"{here}/gone")
    yield "truncate", lambda: os.truncate(f"{here}/cut", 1)
    yield "chmod", lambda: os.chmod(f"{here}/mode", 0o600)
    yield "chown", lambda: os.chown(f"{here}/owner", 1, 1)
    yield "exec", lambda: ran("/bin/true")
    yield "exec another", lambda: ran("/bin/echo")
    yield "map to execute", lambda: mmap.mmap(program, 4096, mmap.MAP_PRIVATE, mmap.PROT_EXEC)
    yield "lock", lambda: fcntl.flock(locked, fcntl.LOCK_EX)
    yield "read what was open", lambda: os.read(held, 10)
    yield "own attributes", lambda: written("/proc/self/oom_score_adj", "1")
    yield "stream socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    yield "datagram socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    yield "ipv6 socket", lambda: socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    yield "netlink socket", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    yield "raw socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)
    yield "packet socket", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
    yield "unix socket", lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    yield "bind", lambda: datagram.bind(("127.0.0.1", 0))
    yield "listen", lambda: bound.listen(1)
    yield "connect", lambda: datagram.connect(("127.0.0.1", 9))
    yield "send", lambda: six.sendto(b"x", ("::1", 9))
    yield "socket option", lambda: stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    yield "ask a socket option", lambda: stream.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    yield "own name", bound.getsockname
    yield "shutdown", lambda: stream.shutdown(socket.SHUT_RDWR)
    yield "signal 0", lambda: os.kill(other, 0)
    yield "SIGUSR1", lambda: os.kill(other, signal.SIGUSR1)
    yield "SIGURG", lambda: os.kill(other, signal.SIGURG)
    yield "trace", attached
    yield "read another's memory", lambda: os.open(f"/proc/{other}/mem", os.O_RDONLY)
    yield "mount", lambda: LIBC.mount(b"none", f"{here}/mounted".encode(), b"tmpfs", 0, None)
    yield (
        "bind mount",
        lambda: LIBC.mount(f"{here}/empty".encode(), f"{here}/second".encode(), None, MS_BIND, None),
    )
    yield "remount", lambda: LIBC.mount(b"none", f"{here}/mounted".encode(), b"", MS_REMOUNT, None)
    yield "propagation", lambda: LIBC.mount(b"", f"{here}/mounted".encode(), b"", MS_PRIVATE, None)
    yield "umount", lambda: LIBC.umount2(f"{here}/mounted".encode(), 2)
    yield "pivot_root", lambda: LIBC.syscall(SYS_PIVOT_ROOT, here.encode(), here.encode())
    yield "host name", lambda: LIBC.sethostname(b"guest", 5)
    yield "chroot", lambda: apart(lambda: os.chroot(here))
    yield "nice", lambda: os.nice(-1)
    yield "kernel log", lambda: LIBC.klogctl(3, ctypes.create_string_buffer(10), 10)
    yield "hard limit", lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 1 << 20))
    yield "set uid", lambda: apart(lambda: os.setuid(1))
    yield "user namespace", lambda: apart(lambda: LIBC.unshare(CLONE_NEWUSER))
    yield (
        "message queue",
        lambda: LIBC.mq_open(f"/{folder.name}".encode(), os.O_CREAT | os.O_RDWR, 0o600, None),
    )
    yield "another profile", lambda: apart(lambda: written("/proc/self/attr/current", "changeprofile none"))
    yield "next profile", lambda: apart(lambda: written("/proc/self/attr/exec", "exec none"))


def opened(path: str, times: int) -> None:
    raw = path.encode(errors="surrogateescape")
    for _ in range(times):
        with contextlib.suppress(OSError):
            os.close(os.open(raw, os.O_RDONLY))


def main() -> None:
    folder, profile, cgroup, *paths = sys.argv[1:]
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    other = os.fork()
    if not other:
        os.close(1)  # who reads sees when the program itself ends
        while True:
            signal.pause()
    todo = list(operations(Path(folder), other)) if not paths else []
    state = mmap.mmap(os.open(f"{folder}/state", os.O_RDWR), 2)
    join = os.open(f"{cgroup}/cgroup.procs", os.O_WRONLY)
    change = os.open("/proc/self/attr/current", os.O_WRONLY)
    os.write(join, str(os.getpid()).encode())
    os.close(join)
    print("ready", flush=True)
    sys.stdin.readline()
    # a context of SELinux has colons
    os.write(change, (profile if ":" in profile else f"changeprofile {profile}").encode())
    # From here on only memory is sure to be had.
    state[0] = CHANGED
    while state[0] < STARTED:
        time.sleep(0.01)
    for _, act in todo:
        with contextlib.suppress(OSError, ValueError):
            act()
    for number, (path, times) in enumerate(zip(paths[::2], paths[1::2], strict=True), 1):
        while state[0] < min(STARTED + number, ALL):
            time.sleep(0.01)
        opened(path, int(times))
        state[1] = number & 255
    # How many it did: it may not be allowed to write to anybody.
    os._exit(len(todo) or OPENED)


if __name__ == "__main__":
    main()
