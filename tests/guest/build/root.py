"""The root disk of every guest: one Debian system for all kernels, SELinux labels on every file.

Artefact: `root.ext4`. Kernel modules and Python packages are on disks of their own, so that a new kernel or
a new version of a package does not mean a new system.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.guest.build.apt import Sites, fetch_options
from tests.guest.build.ext4 import make_ext4
from tests.guest.build.tool import run_tool
from tests.guest.build.versions import read_lock
from tests.guest.errors import BuildError

PACKAGES = Path(__file__).parent / "root.packages"
SPARE = 2048  # MiB for what commands write: only a scratch layer of the guest grows
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
# Daemons that are there to be recorded, and timers: a booted systemd runs none of them by itself
QUIET = (
    "auditd.service containerd.service nginx.service postgresql.service redis-server.service podman.service "
    "podman.socket podman-restart.service podman-auto-update.service podman-auto-update.timer "
    "dpkg-db-backup.timer fstrim.timer apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer "
    "e2scrub_reap.service systemd-timesyncd.service"
)
EXCLUDED = " ".join(f"-e {path}" for path in ("/proc", "/sys", "/dev", "/run", "/tmp"))
# What it mounts in the new system is not to be seen outside, and ends with the one that builds: a folder
# with somebody's /sys in it must not be left to be removed
ALONE = (
    *("setpriv", "--pdeathsig", "KILL", "--"),
    *(
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "--",
    ),
)
# Debian's PostgreSQL makes a cluster when it is installed: 40 MiB that no test uses
BEFORE = (
    'mkdir -p "$1/etc/postgresql-common"',
    'echo create_main_cluster=false >"$1/etc/postgresql-common/createcluster.conf"',
)
HOOKS = (
    f'systemctl -q --root="$1" disable {QUIET} 2>&1 || true',
    'systemctl -q --root="$1" set-default multi-user.target',
    f'chroot "$1" setfiles -F {EXCLUDED} /etc/selinux/default/contexts/files/file_contexts /',
    # how this machine fetches packages is nobody's business in a guest, which has no network
    'rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap" "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/*',
    'rm -f "$1/etc/resolv.conf" "$1/etc/hostname" && echo guest >"$1/etc/hostname"',
    'printf "127.0.0.1 localhost guest\\n::1 localhost\\n" >"$1/etc/hosts"',
    'mkdir -p "$1/usr/local/lib/python3.11/dist-packages" "$1/usr/lib/modules" "$1/usr/src"',
)


def wanted_packages() -> list[str]:
    """The names in root.packages."""
    lines = (line.partition("#")[0].strip() for line in PACKAGES.read_text().splitlines())
    return [line for line in lines if line]


def build_root(folder: Path) -> Mapping[str, Any]:
    """Write the root disk into `folder`; needs root, for owners and labels."""
    if os.geteuid() != 0:
        raise BuildError("not root: a guest's file system has other people's files in it (sudo make guests)")
    suite = read_lock()["root"]
    sources, options, tree = folder / "sources.list", folder / "fetch.conf", folder / "tree"
    sources.write_text(Sites.of_this_machine().lines([suite, f"{suite}-updates"], [f"{suite}-security"]))
    options.write_text(fetch_options())
    run_tool(
        *ALONE,
        *("mmdebstrap", "--mode=root", "--variant=essential", "--format=directory", "--quiet"),
        *(
            f"--include={','.join(wanted_packages())}",
            f"--aptopt={options}",
            '--aptopt=APT::Install-Recommends "false"',
        ),
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT),
        *(f"--essential-hook={hook}" for hook in BEFORE),
        *(f"--customize-hook={hook}" for hook in HOOKS),
        *(suite, tree, sources),
    )
    version = (tree / "etc/debian_version").read_text().strip()
    make_ext4(tree, folder / "root.ext4", "root", SPARE)
    shutil.rmtree(tree)
    sources.unlink()
    options.unlink()
    return {"suite": suite, "debian_version": version}
