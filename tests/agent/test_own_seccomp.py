"""The agent under the seccomp profile that the recorder has recorded of it.

deploy/seccomp has it; scripts/record_own_profile.py makes it anew.
"""

import errno
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from recorder.model.abi import Abi
from tests.agent.exercise import exercise
from tests.truth.calls import calls

pytestmark = pytest.mark.root

HERE = Path(__file__).parent
FOLDER = HERE.parents[1] / "deploy" / "seccomp"
CONFINED = HERE / "confined.py"
NEVER = frozenset(
    """
    add_key chroot delete_module finit_module init_module ioperm iopl kexec_file_load kexec_load
    keyctl mount move_mount open_by_handle_at open_tree personality pivot_root process_vm_readv
    process_vm_writev ptrace reboot request_key setns swapon syslog umount2 unshare userfaultfd
    """.split()  # noqa: SIM905
)
"""What nobody who has taken the agent over is to have: namespaces, mounts, modules, others' memory."""


def profile() -> dict[str, Any]:
    """The form that an OCI runtime takes."""
    found: dict[str, Any] = json.loads((FOLDER / "agent.json").read_text())
    return found


def allowed(rules: list[dict[str, Any]]) -> set[str]:
    return {name for rule in rules if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}


def test_the_agent_lives_under_its_own_profile(
    tmp_path: Path, cgroup2: Path, built_programs: dict[str, Path]
) -> None:
    """A plan, captures, adoption, TLS, the spool, runtimes that are down, its end: exact, as without."""
    prefix = (sys.executable, str(CONFINED), str(FOLDER / "agent.json"))
    with exercise(tmp_path, cgroup2, built_programs, lambda _: prefix) as life:
        life.agent.agent.start()
        process = life.agent.agent.process
        assert process
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert "\nSeccomp:\t2\n" in status
        assert "\nNoNewPrivs:\t1\n" in status
        assert life.agent.agent.terminate() == 0
        life.run()


def test_both_forms_say_the_same() -> None:
    """The SeccompProfile has the defaults, ABIs and rules of the OCI form, and nothing of NEVER."""
    oci = profile()
    spec = yaml.safe_load((FOLDER / "agent.yaml").read_text())["spec"]
    for key in ("defaultAction", "architectures"):
        assert spec[key] == oci[key]
    assert allowed(spec["syscalls"]) == allowed(oci["syscalls"])
    assert allowed(oci["syscalls"]) & NEVER == set()
    assert oci["defaultAction"] == "SCMP_ACT_ERRNO"


def test_what_is_not_in_it_is_refused() -> None:
    """EPERM from the filter, also for root, for a call that this kernel would have answered otherwise."""
    numbers = {call.number for call in calls(Abi.X86_64, "unshare", "setns", "ptrace", "umount2")}
    script = (
        "import ctypes; libc = ctypes.CDLL(None, use_errno=True)\n"
        f"for number in {sorted(numbers)}:\n"
        "    print(libc.syscall(number, -1, -1, -1, -1), ctypes.get_errno())"
    )
    # pidfd -1, unknown flags, an address that is none: without the filter other errors
    for prefix, refused in (((), False), ((sys.executable, CONFINED, FOLDER / "agent.json"), True)):
        words = [*map(str, prefix), sys.executable, "-c", script]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
        answers = [line == f"-1 {errno.EPERM}" for line in done.stdout.splitlines()]
        assert answers == [refused] * len(numbers), (numbers, done.stdout)
