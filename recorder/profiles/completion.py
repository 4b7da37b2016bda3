"""Completing a profile: exactly what it denied is added, and what is not added is named with the reason."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Generic, TypeVar

from recorder.model.access import File, FileRight
from recorder.model.accesses import Accesses
from recorder.model.errors import InvalidProfile, InvalidRecord
from recorder.model.record import Outcome, Phase, Record
from recorder.model.syscall import syscall_name
from recorder.profiles.apparmor_allowance import Allowance
from recorder.profiles.apparmor_profile import AppArmorProfile, plain_glob, plain_text, shown, unsayable
from recorder.profiles.apparmor_rules import AppArmorRules, apparmor_rules
from recorder.profiles.apparmor_source import PolicyFiles, profile_source
from recorder.profiles.apparmor_text import rule_lines
from recorder.profiles.base_abstraction import least_allowance
from recorder.profiles.glob import Glob
from recorder.profiles.lacking import EXACT, Lacking
from recorder.profiles.names import spell
from recorder.profiles.path_tree import NOTHING, PathRule, Permission
from recorder.profiles.seccomp_profile import ALLOW, Rule, SeccompProfile
from recorder.profiles.selinux_rules import selinux_rules
from recorder.profiles.selinux_yaml import SelinuxProfile, needs_a_human

__all__ = ["Completion", "completed_apparmor", "completed_seccomp", "completed_selinux", "completed_text"]
__all__ += ["MAX_ADDED", "text_profile"]

MAX_ADDED: Final = 2_000
"""Patterns for paths that are added to an object at a time."""

_P = TypeVar("_P")


@dataclass(frozen=True, slots=True)
class Completion(Generic[_P]):
    """A profile with what it denied. added: what is new, a line each; left_out: sentences.

    coverage: of AppArmorProfiles, in how many records each line of `added` was denied. notes: sentences
    on what may have been added though the profile's includes allow it.
    """

    profile: _P
    added: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    coverage: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def completed_apparmor(profile: AppArmorProfile, *records: Record) -> Completion[AppArmorProfile]:
    """Return an object with what it denied. InvalidRecord if the records are of other profiles.

    At most MAX_ADDED patterns for paths, in their order; `left_out` says how many more there are.
    """
    lacking = Lacking(profile.name, *records)
    lacking.judge(least_allowance())
    rules, left_out = lacking.rules(), lacking.left_out
    lists = _Lists(profile)
    for rule in rules.paths[:MAX_ADDED]:
        lists.add(rule)
    if len(rules.paths) > MAX_ADDED:
        left_out.add(f"{len(rules.paths) - MAX_ADDED} more paths: {MAX_ADDED} at most are added at a time")
    left_out |= lists.left_out | unsayable(rules) | lists.without(lacking.allowed().paths)
    flags = _flags(rules)
    added = dict(lists.added)
    parts = [apparmor_rules([_without_files(each)], EXACT) for each in lacking.accesses]
    for name, needed in flags.items():
        if needed and not getattr(profile, name):
            added[f"allow{name.capitalize()}: true"] = sum(_flags(each)[name] for each in parts)
    missing = sorted(set(rules.capabilities) - set(profile.capabilities))
    for each in missing:
        added[f"allowedCapabilities: {each}"] = sum(each in part.capabilities for part in parts)
    changed = replace(
        profile,
        executables=lists.sorted("executables"),
        libraries=lists.sorted("libraries"),
        read_only=lists.sorted("read_only"),
        write_only=lists.sorted("write_only"),
        read_write=lists.sorted("read_write"),
        raw=profile.raw or flags["raw"],
        tcp=profile.tcp or flags["tcp"],
        udp=profile.udp or flags["udp"],
        capabilities=(*profile.capabilities, *missing),
    )
    return Completion(changed, tuple(added), tuple(sorted(left_out)), added)


def _without_files(accesses: Accesses) -> Accesses:
    entries = accesses.entries
    return Accesses({key: seen for key, seen in entries.items() if not isinstance(key.subject, File)})


def _flags(rules: AppArmorRules) -> dict[str, bool]:
    """Which of an object's switches for networks are needed."""
    networks = {(each.family, each.type) for each in rules.networks}
    inet = {kind for family, kind in networks if family in ("inet", "inet6")}
    return {
        "raw": any(kind == "raw" for _, kind in networks),
        "tcp": "stream" in inet,
        "udp": "dgram" in inet,
    }


def completed_text(text: str, record: Record, files: PolicyFiles | None = None) -> Completion[str]:
    """Return AppArmor text with rules for what its profile denied. InvalidRecord as completed_apparmor.

    files: where what it includes is read; None: nowhere, and `notes` has what was not read. It is read
    if programs were executed for which there was no rule, or no profile: what they were denied may be in
    an include.
    """
    name, end = text_profile(text)
    lacking = Lacking(name, record)
    notes: tuple[str, ...] = ()
    if lacking.learned or lacking.executed:
        source = profile_source(text, files)
        lacking.judge(Allowance(name, source))
        notes = source.problems if lacking.learned else ()
    rules, left_out = lacking.rules(), lacking.left_out
    left_out |= {f"{line}: a deny rule has it, and a denial wins" for line in rule_lines(lacking.refused())}
    there = {line.split("  #")[0].strip() for line in text.splitlines()}
    lines = rule_lines(rules)
    comments = {line for line in lines if line.startswith("#")}
    added = tuple(line for line in lines if line not in there and line not in comments)
    already = {line for line in lines if line in there} | {*rule_lines(lacking.allowed())} - {*added}
    left_out |= {f"{line}: is in the profile already" for line in already}
    left_out |= {
        line.removeprefix("# not in here: ") for line in comments if line.startswith("# not in here")
    }
    block = "".join(f"  {line}\n" for line in added)
    return Completion(text[:end] + block + text[end:], added, tuple(sorted(left_out)), notes=notes)


def completed_selinux(
    profile: SelinuxProfile, record: Record, domain: str = ""
) -> Completion[SelinuxProfile]:
    """Return an object with what SELinux denied to its processes, as an installer takes it."""
    rules = selinux_rules(record, domain or f"{profile.name.replace('.', '_')}.process")
    allow = {key: set(names) for key, names in profile.allow.items()}
    added = []
    for key, names in rules.installable.items():
        for name in names:
            if name not in allow.setdefault(key, set()):
                allow[key].add(name)
                added.append(f"{key[0]} {key[1]}: {name}")
    changed = replace(profile, allow={key: tuple(sorted(names)) for key, names in allow.items()})
    return Completion(changed, tuple(added), (*needs_a_human(rules), *rules.left_out))


def completed_seccomp(profile: SeccompProfile, record: Record) -> Completion[SeccompProfile]:
    """Return a profile that allows what the workload called, or was refused, and it did not allow.

    Names go into its first rule that allows without conditions. A call of an ABI that it does not
    list is left out: the ABI is a decision of its own.
    """
    needed: set[str] = set()
    left_out: set[str] = set()
    for outcome in (Outcome.ALLOWED, Outcome.DENIED):
        for abi, numbers in record.calls(Phase.WORKLOAD, outcome).items():
            for number in numbers:
                name = syscall_name(abi, number)
                if name is None:
                    left_out.add(f"{spell(abi, number)}: no call that has a name here")
                elif profile.abis and abi not in profile.abis:
                    left_out.add(f"{spell(abi, number)}: the profile does not list that architecture")
                else:
                    needed.add(name)
    if not needed and not left_out:
        raise InvalidRecord("the record has no call of the workload: record it again, from its start")
    rules = list(profile.rules)
    place = next((n for n, rule in enumerate(rules) if rule.action == ALLOW and not rule.args), len(rules))
    first = rules[place] if place < len(rules) else Rule((), ALLOW)
    # Of the rules without conditions that name a call the first decides.
    before = {name for rule in rules[:place] if not rule.args for name in rule.names}
    decided = {
        name for rule in rules if rule.action == ALLOW and not rule.args for name in rule.names
    } - before
    left_out |= {f"{name}: a rule before the one that allows decides it" for name in needed & before}
    added = sorted(needed - decided - before)
    if added:
        rules[place : place + 1] = [replace(first, names=tuple(sorted({*first.names, *added})))]
        rules[place + 1 :] = [
            replace(rule, names=kept)
            for rule in rules[place + 1 :]
            if (kept := tuple(name for name in rule.names if rule.args or name not in added))
        ]
    changed = replace(profile, rules=tuple(rules))
    return Completion(changed, tuple(f"{ALLOW}: {name}" for name in added), tuple(sorted(left_out)))


_PROFILE: Final = re.compile(r'^[ \t]*(?:profile[ \t]+)?(?P<name>"[^"]+"|[^\s"{}#]+)[^\n{}#]*\{[ \t]*$', re.M)


def text_profile(text: str) -> tuple[str, int]:
    """Return the name of the one profile of a text, and where its closing brace's line begins."""
    found = list(_PROFILE.finditer(text))
    end = text.rfind("\n}")
    if len(found) != 1 or end < found[0].end() - 1:
        raise InvalidProfile(
            f"the text has {len(found)} profiles; one is completed at a time: a line with its name and"
            " a brace at the end, and a closing brace on a line of its own"
        )
    return found[0]["name"].strip('"'), end + 1


_ALLOWS: Final = {
    "executables": Permission.EXECUTE | Permission.READ | Permission.MAP,
    "libraries": Permission.MAP | Permission.READ,
    "read_only": Permission.READ,
    "write_only": Permission.WRITE | Permission.APPEND | Permission.LOCK | Permission.LINK,
    "read_write": Permission.READ | Permission.WRITE | Permission.APPEND | Permission.LOCK | Permission.LINK,
}
_DENIES: Final = {
    "read_only": Permission.WRITE | Permission.APPEND | Permission.LOCK | Permission.LINK,
    "write_only": Permission.READ,
}
_FIELDS: Final = {
    "executables": "allowedExecutables",
    "libraries": "allowedLibraries",
    "read_only": "readOnlyPaths",
    "write_only": "writeOnlyPaths",
    "read_write": "readWritePaths",
}


class _Lists:
    """The five lists of paths, as they grow."""

    def __init__(self, profile: AppArmorProfile) -> None:
        self.added: dict[str, int] = {}  # with in how many records it was denied
        self.left_out: set[str] = set()
        self._texts: dict[str, dict[str, Glob]] = {name: {} for name in _FIELDS}
        self._wild: dict[tuple[str, str], Glob] = {}  # those of them that are patterns
        for name in _FIELDS:
            for text in getattr(profile, name):
                self._put(name, text, plain_glob(text))

    def _put(self, name: str, text: str, glob: Glob) -> None:
        self._texts[name][text] = glob
        if glob.wild:
            self._wild[name, text] = glob

    def without(self, allowed: Iterable[PathRule]) -> set[str]:
        """Sentences on what is allowed without these lists, and was added to none."""
        added = {each.partition(": ")[2] for each in self.added}
        paths = {plain_text(each.glob) or shown(each.glob) for each in allowed}
        return {f"{each}: is in the profile already" for each in paths - added}

    def sorted(self, name: str) -> tuple[str, ...]:
        return tuple(sorted(self._texts[name]))

    def add(self, rule: PathRule) -> None:
        needed = rule.permissions & ~Permission.NAMED
        text = plain_text(rule.glob)
        if not needed:
            return
        if text is None:
            self.left_out.add(f"{shown(rule.glob)}: the installer takes no such path")
            return
        glob = plain_glob(text)
        for name, denied in _DENIES.items():
            if text in self._texts[name] and needed & denied:
                del self._texts[name][text]
                self._wild.pop((name, text), None)
                needed |= _ALLOWS[name] & (Permission.READ | Permission.WRITE)
        by = [each for name, each, _ in self._over(text, glob) if _DENIES.get(name, NOTHING) & needed]
        if by:
            self.left_out.add(
                f"{text}: {by[0]} denies it, and a denial wins; take that pattern apart, or move it to"
                " readWritePaths"
            )
            return
        allowed = NOTHING
        for name, _, each in self._over(text, glob):
            if each.covers(glob):
                allowed |= _ALLOWS[name]
        missing = needed & ~allowed
        if not missing:
            self.left_out.add(f"{text}: is in the profile already")
        anyway = _allowed_anyway(rule)
        for name in self._new(text, glob, missing, needed | allowed, anyway):
            if text not in self._texts[name]:
                self._put(name, text, glob)
                self.added[f"{_FIELDS[name]}: {text}"] = rule.sources.bit_count()

    def _over(self, text: str, glob: Glob) -> Iterator[tuple[str, str, Glob]]:
        """Yield the paths of all lists that stand for some of the same names."""
        if glob.wild:
            for name, texts in self._texts.items():
                yield from ((name, each, other) for each, other in texts.items() if other.overlaps(glob))
            return
        for name, texts in self._texts.items():  # of those that are no patterns only the same
            if text in texts:
                yield name, text, texts[text]
        for (name, each), other in self._wild.items():
            if other.overlaps(glob):
                yield name, each, other

    def _new(
        self, text: str, glob: Glob, missing: Permission, all_of_it: Permission, anyway: Permission
    ) -> Iterator[str]:
        """anyway: what is allowed without these lists, and must not be denied by one."""
        if missing & Permission.EXECUTE:
            yield "executables"
        elif missing & Permission.MAP:
            yield "libraries"
        reads, writes = missing & Permission.READ, missing & _ALLOWS["write_only"]
        shared = anyway or any(True for _ in self._over(text, glob))
        all_of_it |= anyway
        if reads and (writes or all_of_it & Permission.LOCK):
            yield "read_write"
        elif writes:
            yield "read_write" if shared or missing & Permission.LOCK else "write_only"
        elif reads and not missing & (Permission.EXECUTE | Permission.MAP):
            yield "read_write" if shared and all_of_it & Permission.WRITE else "read_only"


def _allowed_anyway(rule: PathRule) -> Permission:
    """Whether an installer's base abstraction has some of its names read, or written."""
    least, found = least_allowance(), NOTHING
    for right, permission in ((FileRight.READ, Permission.READ), (FileRight.WRITE, Permission.WRITE)):
        if any(least.allows(File(path), right) for path in rule.paths):
            found |= permission
    return found
