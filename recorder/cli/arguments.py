"""The argument parser, with usage errors as errors of ours."""

from __future__ import annotations

import argparse
from typing import NoReturn, TypeAlias

from recorder.model.errors import UsageError


class Parser(argparse.ArgumentParser):
    """argparse exits with 2 and words of its own; here a wrong usage is an error like any other."""

    def error(self, message: str) -> NoReturn:
        """Raises UsageError."""
        raise UsageError(f"{message}; see: {self.prog} --help")


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"
"""Where each command declares its own parser."""
