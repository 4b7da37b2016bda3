"""A whole policy for the kernel that runs, small enough to be compiled in a moment.

It has the classes, types and capabilities of the loaded one, so that every file keeps its label, and two
rules: what runs the tests may do everything, and files may be in every file system. What containers may do
comes with the blocks that are compiled with it. Levels are there, and constrain nothing.
"""

import contextlib
import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

SELINUXFS = Path("/sys/fs/selinux")
FILE_CONTEXTS = Path("/etc/selinux/default/contexts/files/file_contexts")
HERE = Path(__file__).parent
CONTAINER = HERE / "container.cil"
RECORDING = HERE.parents[3] / "deploy/selinux/recording.cil"
ROOT = "kernel_t"
"""The type of what runs the tests."""
MARKER = "recorder_marker_t"
"""Of a file that is told of whenever it is opened."""
OTHERS = ("recorder_first_t", "recorder_second_t", "recorder_third_t")
"""Of files that no workload uses."""

# security/selinux/include/initial_sid_to_string.h: their numbers are their places here
_SIDS = (
    *("kernel", "security", "unlabeled", "fs", "file", "file_labels", "init", "any_socket"),
    *("port", "netif", "netmsg", "node", "igmp_packet", "icmp_socket", "tcp_socket"),
    *("sysctl_modprobe", "sysctl", "sysctl_fs", "sysctl_kernel", "sysctl_net", "sysctl_net_unix"),
    *("sysctl_vm", "sysctl_dev", "kmod", "policy", "scmp_packet", "devnull"),
)
_SID_TYPES = {
    "kernel": ROOT,
    "security": "security_t",
    "fs": "fs_t",
    "port": "port_t",
    "netif": "netif_t",
    "netmsg": "netlabel_peer_t",
    "node": "node_t",
}
_XATTR = ("ext4", "overlay", "xfs", "btrfs")
_BY_CREATOR = {
    "tmpfs": "tmpfs_t",
    "shm": "tmpfs_t",
    "devpts": "devpts_t",
    "mqueue": "tmpfs_t",
    "hugetlbfs": "tmpfs_t",
}
_BY_PATH = {
    "proc": "proc_t",
    "sysfs": "sysfs_t",
    "cgroup2": "cgroup_t",
    "bpf": "bpf_t",
    "selinuxfs": "security_t",
    "tracefs": "tracefs_t",
    "securityfs": "sysfs_t",
}


def _context(name: str, role: str = "object_r") -> str:
    return f"(system_u {role} {name} (low low))"


def _classes() -> Iterator[str]:
    names = sorted(path.name for path in (SELINUXFS / "class").iterdir())
    for name in names:
        permissions = sorted(path.name for path in (SELINUXFS / "class" / name / "perms").iterdir())
        yield f"(class {name} ({' '.join(permissions)}))"
        yield f"(allow {ROOT} everything ({name} (all)))"
    yield f"(classorder ({' '.join(names)}))"


def _types() -> Iterator[str]:
    of_files = set(re.findall(r"system_u:object_r:(\w+):s0", FILE_CONTEXTS.read_text()))
    others = {
        ROOT,
        MARKER,
        *OTHERS,
        "unlabeled_t",
        *_SID_TYPES.values(),
        *_BY_CREATOR.values(),
        *_BY_PATH.values(),
    }
    for name in sorted(of_files | others):
        yield f"(type {name})"
    yield f"(roletype system_r {ROOT})"


def base_text() -> str:
    """The policy as CIL, without any block."""
    capabilities = [
        path.name for path in (SELINUXFS / "policy_capabilities").iterdir() if path.read_text() == "1"
    ]
    categories = " ".join(f"c{number}" for number in range(1024))
    lines = [
        "(handleunknown allow)",
        "(mls true)",
        *(f"(policycap {name})" for name in sorted(capabilities)),
        *(f"(sid {name})" for name in _SIDS),
        f"(sidorder ({' '.join(_SIDS)}))",
        "(user system_u)",
        "(role system_r)",
        "(role object_r)",
        "(userrole system_u system_r)",
        "(userrole system_u object_r)",
        "(sensitivity s0)",
        "(sensitivityorder (s0))",
        *(f"(category c{number})" for number in range(1024)),
        f"(categoryorder ({categories}))",
        "(sensitivitycategory s0 (range c0 c1023))",
        "(level low (s0))",
        "(level high (s0 (range c0 c1023)))",
        "(userlevel system_u low)",
        "(userrange system_u (low high))",
        "(typeattribute everything)",
        "(typeattributeset everything (all))",
        "(roletype object_r everything)",
        *_types(),
        *_classes(),
        # A policy without one cannot be told to forget what it has reported.
        "(boolean recorder_nothing false)",
        f"(booleanif recorder_nothing (true (allow {ROOT} {MARKER} (file (read)))))",
        "(allow everything everything (filesystem (associate)))",
        f"(auditallow {ROOT} {MARKER} (file (open)))",
    ]
    for name in _SIDS:
        kind = _SID_TYPES.get(name, "unlabeled_t")
        lines.append(f"(sidcontext {name} {_context(kind, 'system_r' if name == 'kernel' else 'object_r')})")
    lines += [f"(fsuse xattr {name} {_context('fs_t')})" for name in _XATTR]
    lines += [f"(fsuse trans {name} {_context(kind)})" for name, kind in _BY_CREATOR.items()]
    lines += [f"(genfscon {name} / {_context(kind)})" for name, kind in _BY_PATH.items()]
    return "\n".join(lines) + "\n"


def compiled(folder: Path, base: Path, blocks: Iterable[Path]) -> bytes:
    """The policy as the kernel takes it, by secilc. AssertionError with what it says."""
    version = (SELINUXFS / "policyvers").read_text()
    output = folder / "policy"
    words = ["secilc", "-c", version, "-o", output, "-f", folder / "contexts", base, CONTAINER, RECORDING]
    done = subprocess.run([*words, *blocks], capture_output=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return output.read_bytes()


def load(policy: bytes) -> None:
    """In one piece, as the kernel wants it."""
    descriptor = os.open(SELINUXFS / "load", os.O_WRONLY | os.O_CLOEXEC)
    try:
        assert os.write(descriptor, policy) == len(policy)
    finally:
        os.close(descriptor)


def enforce() -> None:
    """Until `restored` ends: types that are not permissive."""
    (SELINUXFS / "enforce").write_text("1")


@contextlib.contextmanager
def restored() -> Iterator[None]:
    """Afterwards the policy of before is loaded, and nothing is enforced."""
    before = (SELINUXFS / "policy").read_bytes()
    try:
        yield
    finally:
        (SELINUXFS / "enforce").write_text("0")
        load(before)
