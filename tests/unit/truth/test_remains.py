"""Nothing is left of a run that was killed once the next one starts; what belongs to one that lives stays."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.owner import is_orphan, owner, start_time
from tests.truth.oci import Layout
from tests.truth.remains import hierarchies, sweep

pytestmark = pytest.mark.root

ROOT = Path(__file__).resolve().parents[3]
BEGIN = """
import sys
from pathlib import Path
from tests.bpffs import bpffs_in
from tests.truth.containerd import Containerd
from tests.truth.oci import Container, make_rootfs
folder = Path(sys.argv[1])
rootfs = make_rootfs(folder / "rootfs", {"/bin/sleep": Path("/bin/sleep")})
container = Container.prepare("runc", folder, rootfs, ["/bin/sleep", "1000"])
containerd = Containerd()
with bpffs_in(folder) as bpffs, container, containerd:
    container.create()
    container.start()
    print(container.identity, containerd.folder.name, containerd.process.pid, bpffs, flush=True)
    sys.stdin.read()
"""


def test_names_say_who_owns_them():
    """This process's are no orphans; those of an id that was used again are."""
    assert not is_orphan(f"runc-{owner()}-x", "runc-")
    assert not is_orphan(f"phases-{owner()}", "phases-")
    assert is_orphan(f"runc-{os.getpid()}-1-x", "runc-")
    assert not is_orphan("runc-somebody-1-x", "runc-")
    assert not is_orphan(f"crun-{os.getpid()}-1-x", "runc-")


def test_nothing_is_left_of_tests_that_were_killed(layout: Layout, tmp_path: Path):
    """Neither a container nor a daemon, cgroup, mount or folder; while they live all of it stays."""
    if shutil.which("runc") is None:
        pytest.skip("runc is not installed (make setup)")
    words = [sys.executable, "-c", BEGIN, str(tmp_path)]
    with subprocess.Popen(
        words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        identity, daemon, pid, bpffs = process.stdout.readline().split()
        names = [f"recorder-test/{identity}", f"recorder-test/{daemon}"]
        members = [
            int(line)
            for procs in (layout.cgroup2 / names[0]).rglob("cgroup.procs")
            for line in procs.read_text().split()
        ]
        assert members
        members.append(int(pid))
        sweep(layout)
        assert all(start_time(each) for each in members)
        assert os.path.ismount(bpffs)
        process.send_signal(signal.SIGKILL)
    sweep(layout)
    end = time.monotonic() + 30  # a daemon that was killed is still ending
    while left := [each for each in members if start_time(each)]:
        assert time.monotonic() < end, left
        time.sleep(0.02)
    assert not os.path.ismount(bpffs)
    assert not Path(f"/tmp/{daemon}").exists()
    assert [name for name in names for mounted in hierarchies(layout) if (mounted / name).exists()] == []
