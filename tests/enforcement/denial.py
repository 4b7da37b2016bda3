"""What the kernel logs of a filter's answers in a container: who called what, and what it was told."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from recorder.model.abi import Abi
from tests.truth import audit
from tests.truth.calls import call_name

LOG = audit.SECCOMP_RET_LOG
_ACTION = 0xFFFF0000  # SECCOMP_RET_ACTION_FULL (linux/seccomp.h): below it the errno
ERRNO = 0x00050000

# a name with a space or a quote is hex, so the value cannot fake a field
_TEXT = re.compile(
    rb"\bses=(?P<session>\d+) .*?\bpid=(?P<pid>\d+) .*\bexe=(?P<exe>\S+) .*arch=(?P<arch>[0-9a-f]+)"
    rb" syscall=(?P<number>-?\d+) .* code=0x(?P<code>[0-9a-f]+)"
)
_ABIS = {0xC000003E: Abi.X86_64, 0x40000003: Abi.I386}


@dataclass(frozen=True, slots=True)
class Answer(audit.Entry):
    """One call in the log, the action that it met (SECCOMP_RET_*), and the caller's executable."""

    action: int
    exe: str

    @property
    def name(self) -> str | None:
        """The call's name."""
        return call_name(_ABIS[self.arch], self.number)


def parse(text: bytes) -> Answer | None:
    """An AUDIT_SECCOMP record's text, whatever action wrote it."""
    match = _TEXT.search(text)
    if match is None:
        raise audit.AuditError(f"not the text of an AUDIT_SECCOMP record: {text!r}")
    exe = match["exe"].decode()
    return Answer(
        session=int(match["session"]),
        pid=int(match["pid"]),
        arch=int(match["arch"], 16),
        number=int(match["number"]),
        action=int(match["code"], 16) & _ACTION,
        exe=exe.strip('"') if exe.startswith('"') else bytes.fromhex(exe).decode(),
    )


def called(entries: Iterable[audit.Entry], session: int, runtime: str, action: int) -> set[str]:
    """The names that a container's own programs called, not the runtime that starts them."""
    answers = (entry for entry in entries if isinstance(entry, Answer))
    return {
        answer.name or f"#{answer.number}"
        for answer in answers
        if answer.session == session and answer.action == action and runtime not in answer.exe
    }
