"""Images of the node: what sandboxes pause with, and one with busybox and the programs of tests/programs."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.cluster.node.cluster import Cluster
from tests.cluster.node.runtime import find_program
from tests.truth.containerd import PAUSE
from tests.truth.image import write_image

IMAGE = "localhost/programs:1"
PROGRAMS = "/programs"  # where the image has tests/programs
APPLETS = (
    *("sh", "cat", "env", "echo", "false", "hostname", "httpd", "ls", "mkdir", "mknod", "nc", "nslookup"),
    *("sleep", "touch", "true", "wget"),
)
PAUSING = ("/bin/busybox", "sleep", "2147483647")


def import_images(cluster: Cluster, programs: Mapping[str, Path], folder: Path) -> None:
    """Write both into a folder, and give them to the node."""
    root = folder / "root"
    for name in ("bin", "proc", "dev", "sys", "etc", "tmp", "run"):
        (root / name).mkdir(parents=True)
    shutil.copy(find_program("busybox"), root / "bin/busybox")
    cluster.runtime.import_image(write_image(folder / "pause.tar", PAUSE, root, PAUSING))
    for name in APPLETS:
        (root / "bin" / name).symlink_to("busybox")
    (root / PROGRAMS.lstrip("/")).mkdir()
    for name, program in programs.items():
        shutil.copy(program, root / PROGRAMS.lstrip("/") / name)
    cluster.runtime.import_image(write_image(folder / "programs.tar", IMAGE, root, ("/bin/sh",)))
