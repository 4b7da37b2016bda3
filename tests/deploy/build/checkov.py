"""checkov, a checker of manifests: with all that it needs in a folder of its own.

It brings some hundred packages along, of versions that are not ours: so neither in the virtual environment
nor in requirements.lock, but in checkov.lock.
"""

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.guest.build.tool import run_tool

LOCK = Path(__file__).with_name("checkov.lock")
SITE = "site"


def fetch_checkov(folder: Path) -> Mapping[str, Any]:
    """Install it below `folder`; facts: its version."""
    pip = (sys.executable, "-m", "pip", "-q", "--no-input", "--disable-pip-version-check")
    run_tool(*pip, "install", "--no-deps", "--no-compile", "--target", folder / SITE, "-r", LOCK)
    shutil.rmtree(folder / SITE / "bin", ignore_errors=True)
    lines = LOCK.read_text().splitlines()
    return {"files": [line for line in lines if line.startswith("checkov==")]}
