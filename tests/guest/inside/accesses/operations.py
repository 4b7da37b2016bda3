"""A program that does what AppArmor mediates: `operations.py FOLDER PROFILE CGROUP MARKER`.

It prepares all, says `ready`, waits for a line, joins the cgroup, changes to the profile and does each
operation once, whatever comes of it; last it opens MARKER. Its status says how many it did. FOLDER is
an empty one of its own.
"""

import array
import contextlib
import ctypes
import fcntl
import mmap
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
MS_REMOUNT, MS_BIND, MS_MOVE, MS_PRIVATE = 32, 4096, 8192, 1 << 18
CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
PTRACE_ATTACH, PTRACE_DETACH = 16, 17
SYS_PIVOT_ROOT, SYS_RENAMEAT2, SYS_IO_URING_SETUP = 155, 316, 425
RENAME_EXCHANGE = 2
AT_FDCWD = -100
PROT_READ_EXEC = mmap.PROT_READ | mmap.PROT_EXEC

Operation = tuple[str, Callable[[], object]]
FILES = (
    *("read", "write", "append", "both", "cut at open", "gone", "moved", "moved over", "below", "linked"),
    *("first of two", "second of two", "mode", "mode by fd", "owner", "owner by fd", "cut", "cut by fd"),
    *("locked", "locked shared", "locked by record", "mapped shared", "passed", "deleted", "seen as link"),
)


def apart(act: Callable[[], object]) -> None:
    """In a process of its own."""
    child = os.fork()
    if not child:
        with contextlib.suppress(OSError):
            act()
        os._exit(0)
    os.waitpid(child, 0)


def execute(path: str | int) -> None:
    """In a process of its own."""
    apart(lambda: os.execve(path, ["it", "x"], {}))  # noqa: S606  it is what is tried


def files(here: str) -> Iterator[Operation]:
    """Those on files and folders; what begins the list is prepared before."""
    folder = Path(here)
    for name in FILES:
        (folder / name).write_text(name)
    for name in ("empty", "old folder", "listed", "odd \n name", "d" * 200):
        (folder / name).mkdir()
    (folder / "script").write_text("#!/bin/true\n")
    (folder / "script").chmod(0o755)
    (folder / "link to read").symlink_to("read")
    (folder / "link to remove").symlink_to("read")

    def opened(name: str, flags: int) -> Callable[[], object]:
        return lambda: os.close(os.open(f"{here}/{name}", flags, 0o600))

    def held(name: str, act: Callable[[int], object]) -> Callable[[], object]:
        """With a file that is opened for it: AppArmor does not ask again about one from before."""
        return lambda: act(os.open(f"{here}/{name}", os.O_RDWR))

    memory = os.memfd_create("in memory", 0)
    os.write(memory, Path("/bin/true").read_bytes())
    LIBC.mmap.restype = ctypes.c_void_p
    LIBC.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long)
    LIBC.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)

    def executable_later() -> None:
        program = os.open("/bin/cat", os.O_RDONLY)
        LIBC.mprotect(
            LIBC.mmap(None, 4096, mmap.PROT_READ, mmap.MAP_PRIVATE, program, 0), 4096, PROT_READ_EXEC
        )

    def passed(file: int) -> None:
        left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        left.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file]))])
        right.recvmsg(1, 64)

    gone = os.open(f"{here}/deleted", os.O_RDONLY)
    os.unlink(f"{here}/deleted")

    yield "open to read", opened("read", os.O_RDONLY)
    yield "open to write", opened("write", os.O_WRONLY)
    yield "open to append", opened("append", os.O_WRONLY | os.O_APPEND)
    yield "open both ways", opened("both", os.O_RDWR)
    yield "open and cut", opened("cut at open", os.O_WRONLY | os.O_TRUNC)
    yield "create", opened("new", os.O_WRONLY | os.O_CREAT)
    yield "create alone", opened("exclusive", os.O_RDWR | os.O_CREAT | os.O_EXCL)
    yield "create what is there", opened("both", os.O_RDONLY | os.O_CREAT)
    yield "a file without a name", lambda: os.close(os.open(here, os.O_TMPFILE | os.O_RDWR, 0o600))
    yield "open by a link", opened("link to read", os.O_RDONLY)
    yield "open what is deleted", lambda: os.close(os.open(f"/proc/self/fd/{gone}", os.O_RDONLY))
    yield "open a path only", opened("read", os.O_PATH)
    yield "list", lambda: os.listdir(f"{here}/listed")
    yield "stat", lambda: os.stat(f"{here}/moved")
    yield "mkdir", lambda: os.mkdir(f"{here}/made")
    yield "mkdir in an odd one", lambda: os.mkdir(f"{here}/odd \n name/x\xe9\x01")
    yield "mkdir in a long one", lambda: os.mkdir(f"{here}/{'d' * 200}/{'e' * 200}")
    yield "rmdir", lambda: os.rmdir(f"{here}/empty")
    yield "fifo", lambda: os.mkfifo(f"{here}/fifo")
    yield "device", lambda: os.mknod(f"{here}/device", 0o20600, os.makedev(1, 3))
    yield "symlink", lambda: os.symlink("read", f"{here}/symlink")
    yield "link", lambda: os.link(f"{here}/linked", f"{here}/hard")
    yield "rename", lambda: os.rename(f"{here}/moved", f"{here}/there")
    yield "rename over another", lambda: os.rename(f"{here}/moved over", f"{here}/below")
    yield "rename a folder", lambda: os.rename(f"{here}/old folder", f"{here}/new folder")
    yield (
        "exchange",
        lambda: LIBC.syscall(
            *(SYS_RENAMEAT2, AT_FDCWD, f"{here}/first of two".encode(), AT_FDCWD),
            *(f"{here}/second of two".encode(), RENAME_EXCHANGE),
        ),
    )
    yield "unlink", lambda: os.unlink(f"{here}/gone")
    yield "unlink a symlink", lambda: os.unlink(f"{here}/link to remove")
    yield "truncate", lambda: os.truncate(f"{here}/cut", 1)
    yield "ftruncate", held("cut by fd", lambda file: os.ftruncate(file, 1))
    yield "chmod", lambda: os.chmod(f"{here}/mode", 0o600)
    yield "fchmod", held("mode by fd", lambda file: os.fchmod(file, 0o600))
    yield "chown", lambda: os.chown(f"{here}/owner", 1, 1)
    yield "fchown", held("owner by fd", lambda file: os.fchown(file, 1, 1))
    yield "lock", held("locked", lambda file: fcntl.flock(file, fcntl.LOCK_EX))
    yield "lock together", held("locked shared", lambda file: fcntl.flock(file, fcntl.LOCK_SH))
    yield "lock a record", held("locked by record", lambda file: fcntl.lockf(file, fcntl.LOCK_EX, 1))
    yield "map together", held("mapped shared", lambda file: mmap.mmap(file, 8))
    yield (
        "map to execute",
        lambda: mmap.mmap(os.open("/bin/ls", os.O_RDONLY), 4096, mmap.MAP_PRIVATE, PROT_READ_EXEC),
    )
    yield "map, then to execute", executable_later
    yield "execute", lambda: execute("/bin/true")
    yield "execute another", lambda: execute("/bin/echo")
    yield "execute a script", lambda: execute(f"{here}/script")
    yield "execute what is in memory", lambda: execute(memory)
    yield "receive a file", held("passed", passed)
    yield "walk by a relative path", lambda: apart(lambda: (os.chdir(here), os.mkdir("relative")))
    yield "open in a new root", lambda: apart(lambda: (os.chroot(here), os.mkdir("/in a new root")))


def sockets(here: str) -> Iterator[Operation]:
    """Those on sockets."""
    kinds = {"stream": socket.SOCK_STREAM, "datagram": socket.SOCK_DGRAM, "raw": socket.SOCK_RAW}
    made = {name: socket.socket(socket.AF_INET, kind, 0 if kind < 3 else 1) for name, kind in kinds.items()}
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.bind(("127.0.0.1", 0))
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.bind(("127.0.0.1", 0))
    listening.listen(1)
    client = socket.create_connection(listening.getsockname())
    six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    get = socket.socket

    yield "a stream socket", lambda: get(socket.AF_INET, socket.SOCK_STREAM)
    yield "a datagram socket", lambda: get(socket.AF_INET, socket.SOCK_DGRAM)
    yield "an ipv6 socket", lambda: get(socket.AF_INET6, socket.SOCK_STREAM)
    yield "a netlink socket", lambda: get(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    yield "a raw socket", lambda: get(socket.AF_INET, socket.SOCK_RAW, 1)
    yield "a packet socket", lambda: get(socket.AF_PACKET, socket.SOCK_DGRAM)
    yield "a unix socket", lambda: get(socket.AF_UNIX, socket.SOCK_STREAM)
    yield "a pair", lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    yield "bind", lambda: made["datagram"].bind(("127.0.0.1", 0))
    yield "listen", lambda: bound.listen(1)
    yield "accept", listening.accept
    yield "connect", lambda: made["datagram"].connect(("127.0.0.1", 9))
    yield "send", lambda: six.sendto(b"x", ("::1", 9))
    yield "send on a stream", lambda: client.send(b"x")
    yield "receive", lambda: made["stream"].recv(1, socket.MSG_DONTWAIT)
    yield "bind to a path", lambda: get(socket.AF_UNIX, socket.SOCK_STREAM).bind(f"{here}/socket")


def tasks(here: str, other: int) -> Iterator[Operation]:
    """Those on tasks, mounts and the machine; `other` is a process that sleeps, unconfined."""
    for name in ("mounted", "second", "third"):
        Path(here, name).mkdir()

    def attached() -> None:
        if LIBC.ptrace(PTRACE_ATTACH, other, None, None) == 0:
            os.waitpid(other, 0)
            LIBC.ptrace(PTRACE_DETACH, other, None, None)

    def mount(source: str, place: str, kind: str | None, flags: int = 0) -> None:
        LIBC.mount(source.encode(), f"{here}/{place}".encode(), kind and kind.encode(), flags, None)

    yield "signal 0", lambda: os.kill(other, 0)
    yield "SIGUSR1", lambda: os.kill(other, signal.SIGUSR1)
    yield "SIGURG", lambda: os.kill(other, signal.SIGURG)
    yield "trace", attached
    yield "read another's memory", lambda: os.close(os.open(f"/proc/{other}/mem", os.O_RDONLY))
    yield "mount", lambda: mount("none", "mounted", "tmpfs")
    yield "open on it", lambda: os.close(os.open(f"{here}/mounted/file", os.O_CREAT | os.O_RDWR))
    yield "bind mount", lambda: mount(f"{here}/listed", "second", None, MS_BIND)
    yield "open below it", lambda: os.mkdir(f"{here}/second/inside")
    yield "move a mount", lambda: mount(f"{here}/second", "third", None, MS_MOVE)
    yield "remount", lambda: mount("none", "mounted", None, MS_REMOUNT)
    yield "propagation", lambda: mount("", "mounted", None, MS_PRIVATE)
    yield "umount", lambda: LIBC.umount2(f"{here}/mounted".encode(), 2)
    yield "umount the moved one", lambda: LIBC.umount2(f"{here}/third".encode(), 2)
    yield "pivot_root", lambda: LIBC.syscall(SYS_PIVOT_ROOT, here.encode(), here.encode())
    yield "host name", lambda: LIBC.sethostname(b"guest", 5)
    yield "nice", lambda: os.nice(-1)
    yield "kernel log", lambda: LIBC.klogctl(3, ctypes.create_string_buffer(10), 10)
    yield "set uid", lambda: apart(lambda: os.setuid(1))
    yield "a mount namespace", lambda: apart(lambda: LIBC.unshare(CLONE_NEWNS))
    yield "a user namespace", lambda: apart(lambda: LIBC.unshare(CLONE_NEWUSER))


def main() -> None:
    folder, profile, cgroup, marker = sys.argv[1:]
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    other = os.fork()
    if not other:
        os.close(1)  # who reads sees when the program itself ends
        while True:
            signal.pause()
    todo = [*files(folder), *sockets(folder), *tasks(folder, other)]
    join = os.open(f"{cgroup}/cgroup.procs", os.O_WRONLY)
    change = os.open("/proc/self/attr/current", os.O_WRONLY)
    print("ready", flush=True)
    sys.stdin.readline()
    os.write(change, f"changeprofile {profile}".encode())
    os.write(join, str(os.getpid()).encode())
    for _, act in todo:
        with contextlib.suppress(OSError, ValueError):
            act()
    with contextlib.suppress(OSError):
        os.open(marker, os.O_RDONLY)
    os._exit(len(todo))


if __name__ == "__main__":
    main()
