"""The guest's first process, and the initramfs that brings it.

Artefact: `agent.cpio`. A kernel's `modules.cpio` and this one, one after the other, are its initramfs.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.guest.build.cpio import archive
from tests.guest.build.tool import run_tool

SOURCES = sorted((Path(__file__).parent.parent / "agent").glob("*.[ch]"))


def build_agent(folder: Path) -> Mapping[str, Any]:
    """Compile the agent, static, and write its archive into `folder`."""
    program = folder / "agent"
    units = [source for source in SOURCES if source.suffix == ".c"]
    run_tool("gcc", "-O2", "-static", "-Wall", "-Wextra", "-Werror", "-o", program, *units)
    (folder / "agent.cpio").write_bytes(
        archive(["dev", "proc", "sys", "root"], {"init": program.read_bytes()})
    )
    program.unlink()
    return {"bytes": (folder / "agent.cpio").stat().st_size}
