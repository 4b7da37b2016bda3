"""Who owns what is made below a cgroup, by its path: no event names a new cgroup's parent otherwise."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from recorder.kernel import bcc_layout
from recorder.kernel.backend import WatchRule
from recorder.kernel.hash_map import HashMap
from recorder.kernel.hierarchy import path_of
from recorder.kernel.layout import PREFIX_LENGTH, ROOT_RULES
from recorder.model.errors import BpfLimit, CgroupNotFound

Path = bcc_layout.CgroupPath


def key_of(cgroup_id: int) -> Path:
    """Of a cgroup that is there. Raises CgroupNotFound, NoCgroup2, NotPermitted, or BpfLimit."""
    path = path_of(cgroup_id)
    text = os.fsencode(path)
    if len(text) >= bcc_layout.PATH_BYTES:
        raise BpfLimit(
            f"cgroup {path}: its path has {len(text)} bytes, and the bcc loader follows paths of up to "
            f"{bcc_layout.PATH_BYTES - 1}"
        )
    return Path(text)


class Owners:
    """A slot, which has the cgroup and all below it, or a watch, by which each new one gets its own.

    A cgroup may have both: the slot comes first. Written by the kernel side as well, for
    cgroups that are new, and removed by it with the cgroup.
    """

    def __init__(
        self,
        paths: HashMap[Path, bcc_layout.Owner],
        roots: int,
        set_rules: Callable[[int, bcc_layout.RuleList], None],
    ) -> None:
        self._paths = paths
        self._roots = roots
        self._set_rules = set_rules

    def set_slot(self, path: Path, slot: int) -> int:
        """0: no slot any more. Returns 0 or a negative errno."""
        owner = self._paths.get(path) or bcc_layout.Owner()
        owner.slot = slot
        return self._paths.put(path, owner) if slot or owner.id else self._paths.remove(path)

    def forget_slot(self, slot: int) -> None:
        """Nothing that is made from now on counts for it."""
        for path, owner in self._paths.items():
            if owner.slot == slot:
                self.set_slot(path, 0)

    def watch(self, root_id: int, rules: Sequence[WatchRule]) -> None:
        """As Backend.watch. Raises BpfLimit."""
        if not 1 <= len(rules) <= ROOT_RULES:
            raise BpfLimit(f"a watched cgroup has {len(rules)} rules; it may have 1 to {ROOT_RULES}")
        given = bcc_layout.RuleList()
        for entry, rule in zip(given.rules, rules, strict=False):
            if rule.levels < 1 or len(rule.prefix) >= PREFIX_LENGTH:
                raise BpfLimit(f"{rule}: levels is below 1, or prefix has more than 15 bytes")
            entry.mode, entry.levels = rule.mode, rule.levels
            entry.mask, entry.prefix = b"\xff" * len(rule.prefix), rule.prefix
        path = key_of(root_id)
        owners = self._paths.items()
        if len({owner.id for _, owner in owners if owner.id} - {root_id}) >= self._roots:
            raise BpfLimit(f"all {self._roots} places for watched cgroups are in use")
        owner = self._paths.get(path) or bcc_layout.Owner()
        owner.id = root_id
        # Another list than it has now, if any: programs may be reading that one.
        owner.rules = min(set(range(1, self._roots + 2)) - {each.rules for _, each in owners})
        self._set_rules(owner.rules, given)
        if self._paths.put(path, owner) < 0:
            raise BpfLimit("the table of paths is full; end a recording first, or raise the number of slots")

    def unwatch(self, root_id: int) -> None:
        """A slot that it has stays."""
        try:
            path = key_of(root_id)
        except CgroupNotFound:  # the kernel side has forgotten it with its removal
            return
        owner = self._paths.get(path)
        if owner and owner.slot:
            self._paths.put(path, bcc_layout.Owner(slot=owner.slot))
        else:
            self._paths.remove(path)

    def watched(self) -> set[int]:
        """The ids of the watched cgroups."""
        return {owner.id for _, owner in self._paths.items() if owner.id}
