"""The small policy, for all tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guest.inside.selinux import policy


@pytest.fixture(scope="package")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Its text, to be compiled with blocks; it is loaded without any, and the system enforces."""
    folder = tmp_path_factory.mktemp("policy")
    text = folder / "base.cil"
    text.write_text(policy.base_text())
    with policy.restored():
        policy.load(policy.compiled(folder, text, []))
        policy.enforce()
        yield text
