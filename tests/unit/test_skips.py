"""The rules of tests/conftest.py: no skip passes where all tests are required; counts scale."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFTEST = "from tests.conftest import *  # noqa: F403\n"
SKIPPED = "import pytest\ndef test_it():\n    pytest.skip('no such program')\n"
EXPECTED_FAILURE = """
import pytest

@pytest.mark.xfail(reason="known", strict=True)
def test_it():
    assert False
"""
SKIPPED_MODULE = "import pytest\npytest.skip('no such module', allow_module_level=True)\n"
SCALED = "def test_it(scaled):\n    assert (scaled(100), scaled(3), scaled(3, least=2)) == {expected}\n"


def run_tests(folder: Path, source: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_it.py").write_text(source)
    inherited = {k: v for k, v in os.environ.items() if k not in ("RECORDER_REQUIRE_ALL", "TEST_SCALE")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", str(folder)],
        cwd=folder,
        env={**inherited, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("source", "reason"), [(SKIPPED, "no such program"), (SKIPPED_MODULE, "no such module")]
)
def test_a_skip_fails_with_its_reason_where_all_tests_are_required(tmp_path, source, reason):
    assert run_tests(tmp_path, source).returncode in (0, 5)  # 5: nothing was collected
    required = run_tests(tmp_path, source, RECORDER_REQUIRE_ALL="1")
    assert required.returncode not in (0, 5)
    assert f"this was skipped: Skipped: {reason}" in required.stdout


def test_an_expected_failure_is_no_skip(tmp_path):
    required = run_tests(tmp_path, EXPECTED_FAILURE, RECORDER_REQUIRE_ALL="1")
    assert required.returncode == 0, required.stdout


@pytest.mark.parametrize(
    ("scale", "expected"), [("", (10, 1, 2)), ("0.1", (10, 1, 2)), ("1", (100, 3, 3)), ("2", (200, 6, 6))]
)
def test_counts_follow_the_scale_and_stay_above_their_least(tmp_path, scale, expected):
    done = run_tests(tmp_path, SCALED.format(expected=expected), TEST_SCALE=scale)
    assert done.returncode == 0, done.stdout


def test_a_root_test_is_skipped_for_others_with_what_to_do(tmp_path):
    source = "import os\nos.geteuid = lambda: 1000\nimport pytest\n@pytest.mark.root\ndef test_it(): pass\n"
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    root: needs root\n")
    done = run_tests(tmp_path, source)
    assert "needs root (sudo make test)" in done.stdout
    assert done.returncode == 0
