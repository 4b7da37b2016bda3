"""The committed table of names is what the script makes of the installed source."""

import subprocess
import sys
from importlib.metadata import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_the_committed_table_is_fresh(tmp_path):
    """Generated anew from the same release it is the same, byte for byte."""
    output = tmp_path / "syscall_table.py"
    subprocess.run(
        [sys.executable, ROOT / "scripts" / "generate_syscall_table.py", "--output", output], check=True
    )
    assert output.read_text() == (ROOT / "recorder" / "model" / "syscall_table.py").read_text()


def test_the_sources_licence_is_the_one_that_is_stated():
    """The table's head names the licence; a new release under another one is noticed here."""
    assert metadata("system-calls")["License-Expression"] == "MIT"
