"""A guest that was booted once, saved, and is restored whenever one is needed.

Artefact: `state` (devices and processors), `memory` (the guest's, mapped privately by each restored guest, so
that they share what they do not write), `disk.qcow2` (what booting wrote over the root disk), `initramfs`.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.guest.build.recipe import Parts, Recipes
from tests.guest.cache import Artefact, Cache, digest_of
from tests.guest.errors import GuestError
from tests.guest.machine import Machine, overlay, version
from tests.guest.runs import new_run
from tests.guest.spec import Spec
from tests.guest.vm import Guest

HERE = Path(__file__).parent
SAVE_SECONDS = 120.0
# Read what every test wants into the page cache. Nothing here may read the boot id, nor seed a random
# generator of its own: all restored guests would share it.
WARM = (
    "python3 -c 'import ctypes, json, mmap, subprocess, google.protobuf.json_format, yaml, psutil'; "
    "cat /usr/bin/tar /usr/bin/env /usr/bin/strace /usr/sbin/runc /usr/bin/crun "
    "/usr/lib/x86_64-linux-gnu/libbpf.so.1 >/dev/null; sync"
)
SYSTEMD_IS_UP = "systemctl is-system-running --wait || systemctl --no-pager --failed; "


def machine_of(spec: Spec, parts: Parts, folder: Path, disk: Path, **more: Any) -> Machine:
    """The machine of a guest: `disk` lies over the root disk, the initramfs is in `folder`."""
    return Machine(
        spec, parts.kernel / "vmlinux", folder / "initramfs", disk, tuple(parts.disks()[1:]), **more
    )


def build_snapshot(cache: Cache, spec: Spec, parts: Parts, folder: Path) -> Mapping[str, Any]:
    """Boot a guest and save it into `folder`."""
    (folder / "initramfs").write_bytes(parts.initramfs())
    disk, memory = folder / "disk.qcow2", folder / "memory"
    root = parts.disks()[0]
    # relative, so that the cache may be moved: from making/X and from artefacts/X it is the same way
    overlay(Path("../../artefacts") / root.parent.name / root.name, "raw", disk)
    with Guest(
        spec, machine_of(spec, parts, folder, disk, memory=memory, share=True), new_run(cache.run)
    ) as guest:
        guest.wait_for_boot()
        guest.run((SYSTEMD_IS_UP if spec.init == "systemd" else "") + WARM, timeout=300)
        release = guest.run(["uname", "-r"]).text
        _save(guest, folder / "state")
        return {"release": release, "boot_seconds": round(guest.ready_seconds, 1)}


def _save(guest: Guest, state: Path) -> None:
    ask = guest.qemu.ask
    # the memory is in its file already
    ask("migrate-set-capabilities", capabilities=[{"capability": "x-ignore-shared", "state": True}])
    ask("migrate-set-parameters", **{"max-bandwidth": 10 << 30})
    with state.open("wb") as file:
        ask("getfd", fd=file.fileno(), fdname="state")
        ask("migrate", uri="fd:state")
    end = time.monotonic() + SAVE_SECONDS
    while (status := ask("query-migrate").get("status")) != "completed":
        if status == "failed" or time.monotonic() > end:
            raise GuestError(f"{guest.spec} could not be saved: {status}\n{guest.qemu.last_words()}")
        time.sleep(0.02)
    ask("quit")
    guest.qemu.process.wait(30)


def snapshot_of(recipes: Recipes, spec: Spec) -> tuple[Parts, Artefact]:
    """The snapshot of a kind of guest, made if it is missing, and what it was made from."""
    parts = recipes.parts(spec)
    key = digest_of(
        *(parts.key(), repr(spec), spec.command_line(), version()),
        *(HERE / name for name in ("snapshot.py", "machine.py")),
    )

    def build(folder: Path) -> Mapping[str, Any]:
        return build_snapshot(recipes.cache, spec, parts, folder)

    return parts, recipes.make(f"snapshot-{spec}", key, build)
