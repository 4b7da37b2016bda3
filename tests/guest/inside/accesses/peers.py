"""Talks to itself and to OUTSIDE, an abstract address, by sockets of AF_UNIX: `peers.py FOLDER OUTSIDE`."""

import os
import signal
import socket
import sys

FOLDER, OUTSIDE = sys.argv[1:]


def main() -> None:
    for address in (f"{FOLDER}/stream", "\0inside"):
        with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
            server.bind(address)
            server.listen()
            client.connect(address)
            server.accept()[0].close()
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as two,
    ):
        two.bind(f"{FOLDER}/datagram")
        one.sendto(b"x", f"{FOLDER}/datagram")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("\0" + OUTSIDE)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    os.kill(os.getpid(), signal.SIGUSR1)
    try:
        os.setuid(65534)
        os.chown("/", 1, 1)
    except PermissionError:
        os.write(1, b"ready\n")
    signal.pause()


if __name__ == "__main__":
    main()
