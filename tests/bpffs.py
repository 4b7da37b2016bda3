"""A bpffs of a test's own."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from recorder.kernel import pins
from tests.owner import owner

SOURCE = "recorder-test-"  # of such a mount, with the owner behind it


@contextlib.contextmanager
def bpffs_in(folder: Path) -> Iterator[Path]:
    """Mounted below the folder; what is pinned there is gone afterwards."""
    mounted = folder / "bpffs"
    mounted.mkdir()
    subprocess.run(["mount", "-t", "bpf", f"{SOURCE}{owner()}", mounted], check=True)
    try:
        yield mounted
    finally:
        for pinned in mounted.iterdir():
            if pinned.is_dir():
                pins.unpin(pinned)
        subprocess.run(["umount", mounted], check=True)
