"""Who is at the other end of a socket or a signal, on both sides; needs a kernel that can attach."""

import os
import signal
import socket
import subprocess
import sys
import uuid
from pathlib import Path

from recorder.model.access import (
    Capability,
    CapabilityRight,
    Peer,
    Ptrace,
    PtraceRight,
    Signal,
    SignalRight,
    SocketRight,
    UnixSocket,
)
from recorder.model.record import Phase
from tests.guest.inside.accesses.watched import joining

PROGRAM = Path(__file__).parent / "peers.py"
STREAM, DATAGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM
CAP_CHOWN, CAP_SETUID = 0, 7


def test_sockets_signals_and_refused_capabilities(tmp_path, recorder):
    """Addresses are whole, peers are inside or outside, and who is signalled or looked at sees it as well."""
    outside = uuid.uuid4().hex
    tmp_path.chmod(0o777)
    with (
        socket.socket(socket.AF_UNIX) as server,
        recorder.recording() as (cgroup, target),
    ):
        server.bind("\0" + outside)
        server.listen()
        words = joining(cgroup, f"exec {sys.executable} -SE {PROGRAM} {tmp_path} {outside}")
        with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
            os.kill(process.pid, signal.SIGUSR1)
            Path(f"/proc/{process.pid}/environ").read_bytes()
            process.kill()
        found = recorder.watch.read(target, final=True).accesses
        seen = {subject: access.rights for subject, access in found.of(Phase.WORKLOAD)}
    path, inside = os.fsencode(tmp_path / "stream"), b"\0inside"
    for address in (path, inside):
        own = SocketRight.BIND | SocketRight.LISTEN | SocketRight.ACCEPT
        assert seen[UnixSocket(STREAM, address)] == own
        assert seen[UnixSocket(STREAM, b"", address, Peer(inside=True))] == SocketRight.CONNECT
    there = os.fsencode(tmp_path / "datagram")
    assert seen[UnixSocket(DATAGRAM, there)] == SocketRight.BIND
    assert seen[UnixSocket(DATAGRAM, b"", there, Peer(inside=True))] == SocketRight.SEND
    assert seen[UnixSocket(STREAM, b"", b"\0" + outside.encode(), Peer(inside=False))] == SocketRight.CONNECT
    assert seen[Signal(signal.SIGUSR1, Peer(inside=True))] == SignalRight.SEND | SignalRight.RECEIVE
    assert seen[Signal(signal.SIGUSR1, Peer(inside=False))] == SignalRight.RECEIVE
    assert seen[Signal(signal.SIGKILL, Peer(inside=False))] == SignalRight.RECEIVE
    assert seen[Ptrace(Peer(inside=False))] == PtraceRight.READ_BY
    assert seen[Capability(CAP_SETUID)] == CapabilityRight.GRANTED
    assert seen[Capability(CAP_CHOWN)] == CapabilityRight.REFUSED
