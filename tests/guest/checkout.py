"""This checkout as a guest gets it: the package with its compiled objects, and the tests."""

import functools
import io
import tarfile
from pathlib import Path

from tests.guest.build.python_disk import CHECKOUT
from tests.guest.vm import Guest
from tests.truth import programs

ROOT = Path(__file__).parents[2]
# The test programs are pushed built: gcc in a guest takes most of a minute for them.
PARTS = ("recorder", "tests", "bpf", "deploy/selinux", "build/programs", "pyproject.toml")
COMMAND = """#!/usr/bin/python3
import sys
from recorder.cli.main import main
sys.exit(main())
"""


def _wanted(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if "/__pycache__" in entry.name else entry


@functools.cache
def packed() -> bytes:
    """The archive, as the files were when it was first asked for."""
    programs.build()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for part in PARTS:
            archive.add(ROOT / part, arcname=part, filter=_wanted)
        script = tarfile.TarInfo("bin/recorder")
        script.size, script.mode = len(COMMAND), 0o755
        archive.addfile(script, io.BytesIO(COMMAND.encode()))
    return buffer.getvalue()


def push_checkout(guest: Guest) -> None:
    """After this `recorder` is a command of the guest, and /root/checkout on its Python's path."""
    guest.push_archive(packed(), CHECKOUT)
    guest.run(["ln", "-sf", f"{CHECKOUT}/bin/recorder", "/usr/local/bin/recorder"])
