"""Images of the node: what sandboxes pause with, and one with busybox and the programs of tests/programs."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.cluster.node.cluster import Cluster
from tests.cluster.node.runtime import find_program
from tests.truth.containerd import PAUSE
from tests.truth.image import write_image
from tests.truth.oci import copy_program

IMAGE = "localhost/programs:1"
PROGRAMS = "/programs"  # where the image has tests/programs
APPLETS = (
    *("sh", "cat", "env", "echo", "false", "hostname", "httpd", "ls", "mkdir", "mknod", "nslookup"),
    *("sleep", "touch", "true"),
)
# `bash -c ASK HOST PORT PATH`: the body that a web server sends, asked for until it answers.
ASK = r"""
until exec 3<>"/dev/tcp/$0/$1"; do sleep 0.1; done 2>/dev/null
printf 'GET %s HTTP/1.0\r\n\r\n' "$2" >&3
while read -r line && [ "$line" != $'\r' ]; do :; done <&3
cat <&3
"""
PAUSING = ("/bin/busybox", "sleep", "2147483647")


def write_pause(folder: Path) -> Path:
    """The image that sandboxes pause with, written into a folder."""
    root = folder / "pause"
    for name in ("bin", "proc", "dev", "sys", "etc"):
        (root / name).mkdir(parents=True)
    shutil.copy(find_program("busybox"), root / "bin/busybox")
    return write_image(folder / "pause.tar", PAUSE, root, PAUSING)


def import_images(cluster: Cluster, programs: Mapping[str, Path], folder: Path) -> None:
    """Write both into a folder, and give them to the node."""
    cluster.runtime.import_image(write_pause(folder))
    root = folder / "root"
    for name in ("bin", "proc", "dev", "sys", "etc", "tmp", "run"):
        (root / name).mkdir(parents=True)
    shutil.copy(find_program("busybox"), root / "bin/busybox")
    for name in APPLETS:
        (root / "bin" / name).symlink_to("busybox")
    # a static busybox cannot look names up where there is no libc
    copy_program(find_program("bash"), root, "/bin/bash")
    (root / PROGRAMS.lstrip("/")).mkdir()
    for name, program in programs.items():
        shutil.copy(program, root / PROGRAMS.lstrip("/") / name)
    cluster.runtime.import_image(write_image(folder / "programs.tar", IMAGE, root, ("/bin/sh",)))
