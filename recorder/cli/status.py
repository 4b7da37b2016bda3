"""Exit statuses, and how a failure is said."""

from __future__ import annotations

import sys

from recorder.model.errors import (
    BpfError,
    CommandNotExecutable,
    CommandNotFound,
    InputError,
    RecorderError,
)

# `record`, as env(1) and timeout(1)
RECORDER_FAILED = 125
NOT_EXECUTABLE = 126
NOT_FOUND = 127
SIGNALLED = 128  # + the signal's number

# all others
DONE = 0
ANSWER_IS_NO = 1
INPUT_ERROR = 2
COULD_NOT = 3


def say_failure(error: RecorderError) -> None:
    """The last line on stderr: `recorder: CODE: text`; what a library said goes before it."""
    text, _, detail = str(error).partition("\n")
    if detail:
        print(detail, file=sys.stderr)
    print(f"recorder: {error.code}: {text}", file=sys.stderr)


def record_status(error: RecorderError) -> int:
    """The status of a failed `record`."""
    if isinstance(error, CommandNotFound):
        return NOT_FOUND
    if isinstance(error, CommandNotExecutable):
        return NOT_EXECUTABLE
    return RECORDER_FAILED


def other_status(error: RecorderError) -> int:
    """The status of any other failed command."""
    if isinstance(error, InputError) and not isinstance(error, BpfError):
        return INPUT_ERROR
    return COULD_NOT
