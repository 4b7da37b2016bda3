"""Folders whose tests run for who names them alone: they need what is built first."""

import os
from pathlib import Path

import pytest


def is_asked(folder: Path, path: Path, config: pytest.Config) -> bool:
    """Whether `path` may be collected: not in `folder`, or the command line names that or something in it."""
    if folder != path and folder not in path.parents:
        return True
    words = [
        Path(os.path.abspath(config.invocation_params.dir / each.partition("::")[0])) for each in config.args
    ]
    return any(each == folder or folder in each.parents for each in words)
