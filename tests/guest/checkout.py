"""This checkout as a guest gets it: the package with its compiled objects, and the tests.

Python's bytecode goes with it: what this machine compiles in a second takes a guest most of a minute.
"""

import functools
import io
import py_compile
import tarfile
import tempfile
from importlib.util import cache_from_source
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


def _add_bytecode(archive: tarfile.TarFile) -> None:
    """Of each package's modules; what is no package is copied whole by tests, and must be as it is here.

    Times are compared, so a module that is changed in a guest is compiled there.
    """
    with tempfile.TemporaryDirectory() as folder:
        compiled = Path(folder) / "compiled"
        for entry in archive.getmembers():
            source = ROOT / entry.name
            if source.suffix == ".py" and source.with_name("__init__.py").exists():
                py_compile.compile(
                    str(source),
                    str(compiled),
                    f"{CHECKOUT}/{entry.name}",
                    doraise=True,
                    invalidation_mode=py_compile.PycInvalidationMode.TIMESTAMP,
                )
                archive.add(compiled, arcname=cache_from_source(entry.name))


@functools.cache
def packed() -> bytes:
    """The archive, as the files were when it was first asked for."""
    programs.build()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for part in PARTS:
            archive.add(ROOT / part, arcname=part, filter=_wanted)
        _add_bytecode(archive)
        script = tarfile.TarInfo("bin/recorder")
        script.size, script.mode = len(COMMAND), 0o755
        archive.addfile(script, io.BytesIO(COMMAND.encode()))
    return buffer.getvalue()


def push_checkout(guest: Guest) -> None:
    """After this `recorder` is a command of the guest, and /root/checkout on its Python's path."""
    guest.push_archive(packed(), CHECKOUT)
    guest.run(["ln", "-sf", f"{CHECKOUT}/bin/recorder", "/usr/local/bin/recorder"])
