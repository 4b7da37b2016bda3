"""Which containers have the same permissive context of SELinux at the same time.

It reports each thing that such a context does once, whoever does it: what one of them did, the others do
unseen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recorder.kernel.denial_source import DenialReading

__all__ = ["Contexts"]


class Contexts:
    """As far as their denials tell; no more than there are entries of denials."""

    def __init__(self) -> None:
        self._cgroups: dict[bytes, set[int]] = {}
        self._sharing: set[int] = set()

    def shared(self, reading: DenialReading) -> int:
        """1 if another that was read and not forgotten had a context of this cgroup, else 0."""
        # Here and not above: who never asks for denials does without.
        from recorder.model.denial import SelinuxDenial, Verdict  # noqa: PLC0415

        cgroup_id = reading.cgroup.cgroup_id
        for each in reading.denials:
            if each.verdict == Verdict.ALLOWED and isinstance(each.details, SelinuxDenial):
                having = self._cgroups.setdefault(each.details.source.content, set())
                having.add(cgroup_id)
                if len(having) > 1:
                    self._sharing |= having
        return int(cgroup_id in self._sharing)

    def forget(self, cgroup_id: int) -> None:
        """It has ended."""
        self._sharing.discard(cgroup_id)
        for context, having in list(self._cgroups.items()):
            having.discard(cgroup_id)
            if not having:
                del self._cgroups[context]
