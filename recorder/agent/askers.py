"""Who wants containers recorded now, and what they want together."""

from __future__ import annotations

from recorder.agent.tracked import Asker, Subject

__all__ = ["Askers"]


class Askers(set[Asker]):
    """All askers of a tracker."""

    @property
    def open(self) -> bool:
        """Whether containers that are to come may be somebody's."""
        return any(each.open for each in self)

    @property
    def units(self) -> frozenset[str]:
        """Names of systemd units that are to come."""
        return frozenset(unit for each in self for unit in each.units)

    @property
    def denials(self) -> bool:
        """Whether somebody asks for what is denied."""
        return any(each.denials for each in self)

    @property
    def accesses(self) -> bool:
        """Whether somebody asks for what is used."""
        return any(each.accesses for each in self)

    def want(self, subject: Subject) -> bool:
        """Whether it is somebody's, by what is known now."""
        return any(each.wants(subject) for each in self)
