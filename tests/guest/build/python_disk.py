"""A disk with the Python packages that the recorder and its tests need, for the guest's /usr/bin/python3.

Artefact: `python.ext4`, mounted at /usr/local/lib/python3.11/dist-packages. The versions are those of
requirements.lock. Its checkout.pth puts a pushed checkout on the path.
"""

import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.guest.build.ext4 import make_ext4
from tests.guest.build.tool import run_tool

REQUIREMENTS = Path(__file__).parents[3] / "requirements.lock"
CHECKOUT = "/root/checkout"  # where a checkout is pushed to
NEEDED = (
    *("googleapis-common-protos", "grpcio", "grpcio-health-checking", "protobuf", "psutil", "PyYAML"),
    *("prometheus_client", "typing_extensions"),
    *("hypothesis", "iniconfig", "packaging", "pluggy", "Pygments", "pyroute2"),
    *("pytest", "pytest-timeout", "sortedcontainers", "SQLAlchemy", "system-calls", "tomlkit"),
)
# wheels for the guest's Python, whatever runs the build
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux2010_x86_64")


def requirements() -> list[str]:
    """The lines of requirements.lock that a guest needs."""
    pins = re.findall(r"^([\w.-]+)==(\S+)$", REQUIREMENTS.read_text(), re.MULTILINE)
    return [f"{name}=={version}" for name, version in pins if name in NEEDED]


def build_python_disk(folder: Path) -> Mapping[str, Any]:
    """Write the disk into `folder`."""
    tree = folder / "tree"
    run_tool(
        *(
            sys.executable,
            "-m",
            "pip",
            "--disable-pip-version-check",
            "--no-input",
            "-q",
            "install",
            "--no-deps",
        ),
        *("--no-compile", "--target", tree, "--python-version", "3.11", "--implementation", "cp"),
        *("--only-binary=:all:", *(f"--platform={platform}" for platform in PLATFORMS)),
        *requirements(),
    )
    run_tool(
        sys.executable,
        "-m",
        "compileall",
        "-q",
        "-s",
        tree,
        "-p",
        "/usr/local/lib/python3.11/dist-packages",
        tree,
    )
    (tree / "checkout.pth").write_text(f"{CHECKOUT}\n")
    run_tool("chown", "-R", "0:0", tree)
    make_ext4(tree, folder / "python.ext4", "python", spare=0)
    shutil.rmtree(tree)
    return {"packages": requirements()}
