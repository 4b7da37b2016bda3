"""What a guest needs of a stock Debian kernel.

A kernel's artefact: `vmlinux`; `modules.cpio`, an initramfs with the modules that the guest's disks and the
agent's port need; `kernel.ext4`, a disk with all its modules and, where asked for, its headers.
"""

import lzma
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.guest.build.apt import Apt, Package
from tests.guest.build.bzimage import vmlinux_in
from tests.guest.build.cpio import archive
from tests.guest.build.ext4 import make_ext4
from tests.guest.build.tool import run_tool
from tests.guest.errors import BuildError

BOOT_MODULES = ("virtio_pci", "virtio_blk", "virtio_console", "ext4")


def build_kernel(apt: Apt, version: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """Write a kernel's files into `folder`."""
    release = version["release"]
    unpacked, disk = folder / "unpacked", folder / "disk"
    unpacked.mkdir()
    for package in apt.download([Package(**package) for package in version["packages"]], folder):
        run_tool("dpkg-deb", "-x", package, unpacked)
        package.unlink()
    if (unpacked / "lib").is_dir() and not (unpacked / "lib").is_symlink():  # packages before the merged /usr
        shutil.copytree(unpacked / "lib", unpacked / "usr/lib", symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(unpacked / "lib")
    modules = unpacked / "usr/lib/modules" / release
    images = [path for path in (unpacked / f"boot/vmlinuz-{release}", modules / "vmlinuz") if path.exists()]
    if not images or not (modules / "kernel").is_dir():
        raise BuildError(f"the packages of {release} hold no kernel or no modules")
    (folder / "vmlinux").write_bytes(vmlinux_in(images[0].read_bytes()))
    (modules / "vmlinuz").unlink(missing_ok=True)
    (unpacked / "lib").symlink_to("usr/lib")  # where depmod looks
    run_tool("depmod", "-b", unpacked, release)
    (folder / "modules.cpio").write_bytes(_boot_modules(modules))
    disk.mkdir()
    (unpacked / "usr/lib/modules").rename(disk / "modules")
    headers = (unpacked / "usr/src").is_dir()
    if headers:
        (unpacked / "usr/src").rename(disk / "src")
    (disk / "src").mkdir(exist_ok=True)
    make_ext4(disk, folder / "kernel.ext4", "kernel", spare=0)
    shutil.rmtree(unpacked)
    shutil.rmtree(disk)
    return {"release": release, "headers": headers, "packages": version["packages"]}


def _boot_modules(modules: Path) -> bytes:
    lines = (modules / "modules.dep").read_text().splitlines()
    needs = {path: rest.split() for path, _, rest in (line.partition(":") for line in lines)}
    by_name = {os.path.basename(path).partition(".")[0].replace("-", "_"): path for path in needs}
    order: list[str] = []
    for name in BOOT_MODULES:
        if name in by_name:  # else it is built in
            # modules.dep names the deepest dependency last
            order += [path for path in [*reversed(needs[by_name[name]]), by_name[name]] if path not in order]
    files: dict[str, bytes] = {}
    for path in order:
        data = (modules / path).read_bytes()
        files[os.path.basename(path).removesuffix(".xz")] = (
            lzma.decompress(data) if path.endswith(".xz") else data
        )
    files["modules.list"] = "".join(f"/{name}\n" for name in files).encode()
    return archive([], files)
