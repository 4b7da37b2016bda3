"""Options that are a number of seconds."""

from __future__ import annotations

import argparse

from recorder.model.errors import UsageError


def check_seconds(options: argparse.Namespace, *names: str) -> None:
    """That each of these options, if it is given, is above 0 and can be waited for. Raises UsageError."""
    for name in names:
        seconds = getattr(options, name)
        if seconds is not None and not 0 < seconds < 1e9:
            raise UsageError(f"--{name.replace('_', '-')}: {seconds} is not a number of seconds above 0")
