"""What containers accessed, as agents tell it, for tests of what is made of it."""

from recorder.model.access import (
    Capability,
    CapabilityRight,
    File,
    FileKind,
    FileRight,
    Mount,
    MountStep,
    Signal,
    SignalRight,
    Socket,
    SocketRight,
)
from recorder.model.accesses import Accesses, AccessKey, Seen
from recorder.model.first_sight import FirstSight
from recorder.model.record import Phase

_LETTERS = {
    "r": FileRight.READ,
    "w": FileRight.WRITE,
    "c": FileRight.CREATE,
    "d": FileRight.REMOVE,
    "x": FileRight.EXEC,
    "m": FileRight.MMAP_EXEC,
}

WEB = """
rx /usr/sbin/nginx
rm /lib/x86_64-linux-gnu/libc.so.6
rm /lib/x86_64-linux-gnu/libcrypt.so.1
r /etc/nginx/nginx.conf
r /etc/nginx/mime.types
r /etc/passwd
w /var/log/nginx/access.log
rwc /run/nginx.pid
cwd /var/lib/nginx/body/0000000001
r /usr/share/nginx/html/index.html
"""
"""A web server's files, as a recording of nginx in a container has them."""


def accesses(lines: str = WEB, phase: int = Phase.WORKLOAD, **others: bool) -> Accesses:
    """Lines of letters and a path; others: tcp, signal, mount, bind_service."""
    entries: dict[AccessKey, Seen] = {}
    for number, line in enumerate(lines.strip().splitlines()):
        letters, path = line.split(" ", 1)
        rights = FileRight(0)
        for letter in letters:
            rights |= _LETTERS[letter]
        file = File(path.encode(), b"", FileKind.REGULAR)
        entries[AccessKey(phase, file)] = Seen(rights, FirstSight(1_000_000_000 + number, b"nginx"))
    for name, wanted in others.items():
        subject, rights_of = _OTHERS[name]
        if wanted:
            entries[AccessKey(phase, subject)] = Seen(int(rights_of))
    return Accesses(entries)


_OTHERS = {
    "tcp": (Socket(2, 1), SocketRight.CREATE | SocketRight.BIND | SocketRight.LISTEN),
    "signal": (Signal(15), SignalRight.SEND),
    "mount": (Mount(MountStep.MOUNT, b"tmpfs", b"/mnt", b"tmpfs"), 0),
    "bind_service": (Capability(10), CapabilityRight.GRANTED),
}
