"""Which kinds this node can record, and why not the others: for the collector, and for people."""

from __future__ import annotations

from collections.abc import Iterator

from recorder.agent.accesses import AccessReader
from recorder.agent.denials import Denials
from recorder.kernel.security_modules import security_modules
from recorder.rpc.v1 import agent_pb2 as pb

__all__ = ["Abilities"]

DENIALS_OFF = 'agent.denials is "off" there; set it to "auto" (--denials auto)'
ACCESSES_OFF = 'agent.accesses is "off" there; set it to "auto" (--accesses auto)'


class Abilities:
    """Asked anew each time: what could not be had may be there later. denials, accesses: None where off."""

    def __init__(self, denials: Denials | None, accesses: AccessReader | None) -> None:
        self._denials = denials
        self._accesses = accesses

    @property
    def kinds(self) -> list[pb.Kind]:
        """Those that can be recorded; of denials perhaps only the calls that filters deny."""
        missing = {kind for kind, _ in self._missing()}
        return [kind for kind in (pb.KIND_SYSCALLS, pb.KIND_DENIALS, pb.KIND_ACCESSES) if kind not in missing]

    @property
    def problems(self) -> list[pb.KindProblem]:
        """Of each other kind why it cannot, and of denials why only a part can."""
        found = dict(self._missing())
        if self._denials and self._denials.problem:
            found[pb.KIND_DENIALS] = (
                f"what AppArmor and SELinux deny is not looked for: {self._denials.problem}"
            )
        return [pb.KindProblem(kind=kind, problem=problem) for kind, problem in sorted(found.items())]

    def _missing(self) -> Iterator[tuple[pb.Kind, str]]:
        if self._denials is None:
            yield pb.KIND_DENIALS, DENIALS_OFF
        if self._accesses is None:
            yield pb.KIND_ACCESSES, ACCESSES_OFF
        elif self._accesses.problem:
            yield pb.KIND_ACCESSES, f"what containers use cannot be seen: {self._accesses.problem}"

    @property
    def modules(self) -> list[pb.SecurityModule]:
        """The kernel's."""
        return [pb.SecurityModule(name=each.name, mode=each.mode) for each in security_modules()]
