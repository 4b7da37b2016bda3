"""The small policy, for all tests of this folder."""

import contextlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guest.inside.selinux import policy


def _auditctl(*words: str) -> str:
    command = ["auditctl", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


@contextlib.contextmanager
def room_for_records() -> Iterator[None]:
    """As much as the rules of auditd make on nodes: the kernel's 64 are few for a container's start."""
    before = re.search(r"^backlog_limit (\d+)$", _auditctl("-s"), re.MULTILINE)
    assert before
    _auditctl("-b", "8192")
    try:
        yield
    finally:
        _auditctl("-b", before[1])


@pytest.fixture(scope="package")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Its text, to be compiled with blocks; it is loaded without any, and the system enforces."""
    folder = tmp_path_factory.mktemp("policy")
    text = folder / "base.cil"
    text.write_text(policy.base_text())
    with policy.restored(), room_for_records():
        policy.load(policy.compiled(folder, text, []))
        policy.enforce()
        yield text
