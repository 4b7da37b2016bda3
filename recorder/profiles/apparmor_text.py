"""AppArmor's own text: a profile as apparmor_parser 3 and newer load it.

Rules that only newer policies have (user namespaces, io_uring, message queues) are comments: a
policy without the abi of AppArmor 4 is not asked about them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from recorder.model.access import (
    Mount,
    MountStep,
    Peer,
    PtraceRight,
    SignalRight,
    SocketRight,
    UnixSocket,
)
from recorder.model.kernel_names import MOUNT_FLAGS, SIGNALS, SOCKET_TYPES
from recorder.model.secret import PLACEHOLDER, generalised
from recorder.profiles.apparmor_rules import AppArmorRules
from recorder.profiles.apparmor_words import SOCKET_RIGHTS
from recorder.profiles.glob import STAR, Glob, Token
from recorder.profiles.path_tree import PathRule, Permission

__all__ = ["FLAGS", "comments", "glob_text", "path_rule_text", "quoted", "rule_lines", "to_text"]

FLAGS: Final = ("attach_disconnected", "mediate_deleted")
"""The flags of every profile: those that Kubernetes' installer of AppArmorProfile objects sets, too."""

EMPTY: Final[Mapping[str, str]] = MappingProxyType({})
_LETTERS: Final = (
    (Permission.READ, "r"),
    (Permission.WRITE, "w"),
    (Permission.APPEND, "a"),
    (Permission.LOCK, "k"),
    (Permission.MAP, "m"),
    (Permission.EXECUTE, "ix"),
)
_META: Final = frozenset(b'"*?[]{}^')
# For the parser's lexer a quote behind any backslash is part of the text, so none stands before one
_PRINTABLE: Final = frozenset(range(0x20, 0x7F)) - {ord("\\")}
_SELF: Final = "@{profile_name}"

_BIND: Final = 0x1000
_MOVE: Final = 0x2000
_REMOUNT: Final = 0x20
_REC: Final = 0x4000
_PROPAGATIONS: Final = {0x20000: "unbindable", 0x40000: "private", 0x80000: "slave", 0x100000: "shared"}
_NO_OPTION: Final = 0x8000  # MS_SILENT: mount rules do not look at it


def to_text(
    rules: AppArmorRules,
    name: str,
    *,
    about: Mapping[str, str] = EMPTY,
    complain: bool = False,
    base: bool = True,
) -> str:
    """Return a profile's text, ASCII: the same rules give the same bytes.

    about: how it came to be, as comments; base: it includes abstractions/base, which every program
    with a C library needs some of.
    """
    flags = (*FLAGS, "complain") if complain else FLAGS
    lines = [
        *comments(about),
        "include <tunables/global>",
        "",
        f"profile {name} flags=({','.join(flags)}) {{",
        *(["  include <abstractions/base>", ""] if base else []),
        *(f"  {each}" for each in _rules(rules)),
        "}",
    ]
    return "\n".join(lines) + "\n"


def comments(about: Mapping[str, str]) -> Iterator[str]:
    """Yield a comment for each value that is not empty; texts may come from other machines."""
    for key, value in sorted(about.items()):
        if value:
            yield f"# {key}: {quoted(value.encode())[1:-1]}"


def rule_lines(rules: AppArmorRules) -> tuple[str, ...]:
    """Return the rules alone, a line each, without indent."""
    return tuple(line for block in _blocks(rules) for line in block)


def _rules(rules: AppArmorRules) -> Iterator[str]:
    yield "# who starts a container may end it"
    yield "signal (receive) peer=unconfined,"
    for block in _blocks(rules):
        if block:
            yield ""
            yield from block


def _blocks(rules: AppArmorRules) -> tuple[list[str], ...]:
    return (
        [f"capability {each}," for each in rules.capabilities],
        [f"network {each.family} {each.type}," for each in rules.networks],
        list(_unix(rules)),
        list(_signals(rules)),
        list(_ptraces(rules)),
        sorted({text for each in rules.mounts for text in _mount(each)}),
        list(_paths(rules)),
        [f"link {glob_text(each.name)} -> {glob_text(each.target)}," for each in rules.links],
        list(_newer(rules)),
        [f"# not in here: {quoted(each.encode())[1:-1]}" for each in rules.left_out],
    )


def _paths(rules: AppArmorRules) -> Iterator[str]:
    for each in rules.paths:
        text = path_rule_text(each)
        if text:
            seen = f"  # {each.sources.bit_count()} of {rules.sources}" if rules.sources > 1 else ""
            yield text + seen


def path_rule_text(rule: PathRule) -> str:
    """Return a rule for a path; empty for one that is only named in others."""
    letters = "".join(letter for permission, letter in _LETTERS if rule.permissions & permission)
    return f"{glob_text(rule.glob)} {letters}," if letters else ""


def glob_text(glob: Glob) -> str:
    """Return a pattern, quoted: what is special in it, and no printable ASCII, is escaped."""
    return f'"{"".join(_token(each) for each in glob.tokens)}"'


def quoted(text: bytes) -> str:
    """Return a text that is no pattern, quoted."""
    return f'"{"".join(_token(each) for each in text)}"'


def _named(text: bytes) -> str:
    """Return a name that is no file's, without quotes: `*` for what looks like a secret."""
    return STAR.text.join(quoted(piece)[1:-1] for piece in generalised(text).text.split(PLACEHOLDER))


def _token(token: Token) -> str:
    if not isinstance(token, int):
        return token.text
    if token in _META:
        return f"\\{chr(token)}"
    return chr(token) if token in _PRINTABLE else f"\\{token:03o}"


def _unix(rules: AppArmorRules) -> Iterator[str]:
    lines = set()
    for socket, rights in rules.unix:
        kind = SOCKET_TYPES.get(socket.type)
        kind = f" type={kind}" if kind else ""
        lines.add(f"unix (create, getattr, setattr, getopt, setopt, shutdown){kind},")
        own, peer = _addresses(socket)
        # the line before has `create`
        words = [word for word, right in SOCKET_RIGHTS.items() if rights & right & ~SocketRight.CREATE]
        # apparmor_parser refuses a rule with a peer that has what has none
        alone = [word for word in words if word in _ALONE and peer]
        for some, ends in ((alone, own), ([word for word in words if word not in alone], own + peer)):
            if some:
                lines.add(f"unix ({', '.join(some)}){kind}{ends},")
    yield from sorted(lines)


_ALONE: Final = frozenset({"bind", "listen"})


def _addresses(socket: UnixSocket) -> tuple[str, str]:
    """Return its own, and the peer's; only abstract ones are asked for here: paths are files."""
    own = f' addr="@{_named(socket.address[1:])}"' if socket.address[:1] == b"\0" else ""
    peer = []
    if socket.peer and (socket.peer.inside or socket.peer.label):
        peer.append(f"label={_label(socket.peer)}")
    if socket.peer_address[:1] == b"\0":
        peer.append(f'addr="@{_named(socket.peer_address[1:])}"')
    return own, f" peer=({', '.join(peer)})" if peer else ""


def _label(peer: Peer) -> str:
    if peer.inside:
        return _SELF
    return quoted(peer.label) if peer.label else '"*"'


def _signals(rules: AppArmorRules) -> Iterator[str]:
    """Both ends are asked; if both are of the container, both are this profile."""
    by_peer: dict[tuple[str, str], set[int]] = {}
    for signal, rights in rules.signals:
        words = [word for right, word in ((1, "send"), (2, "receive")) if rights & SignalRight(right)]
        access = "send, receive" if signal.peer.inside else ", ".join(words)
        if access:
            by_peer.setdefault((_label(signal.peer), access), set()).add(signal.number)
    for (peer, access), numbers in sorted(by_peer.items()):
        names = " ".join(_signal(each) for each in sorted(numbers))
        yield f"signal ({access}) set=({names}) peer={peer},"


def _signal(number: int) -> str:
    return SIGNALS[number] if 0 <= number < len(SIGNALS) else f"rtmin+{number - len(SIGNALS)}"


def _ptraces(rules: AppArmorRules) -> Iterator[str]:
    words = ((PtraceRight.READ, "read", "readby"), (PtraceRight.TRACE, "trace", "tracedby"))
    for ptrace, rights in rules.ptraces:
        found = []
        for right, forth, back in words:
            reverse = PtraceRight(int(right) << 2)
            if ptrace.peer.inside and rights & right:
                found += [forth, back]
            else:
                found += [forth] * bool(rights & right) + [back] * bool(rights & reverse)
        if found:
            yield f"ptrace ({', '.join(found)}) peer={_label(ptrace.peer)},"


def _mount(mount: Mount) -> Iterator[str]:
    """Folders may be named with their slash or without: AppArmor adds it."""
    target = _folder(mount.target)
    match mount.step:
        case MountStep.MOUNT:
            source = f' "{_named(mount.source)}"' if mount.source else ""
            kind = f"fstype={quoted(mount.file_system)}"
            yield f"mount {kind} options=({_options(mount.flags)}){source} -> {target},"
        case MountStep.REMOUNT:
            yield f"remount options=({_options(mount.flags & ~_REMOUNT)}) {target},"
        case MountStep.BIND:
            word = "rbind" if mount.flags & _REC else "bind"
            yield f"mount options=(rw, {word}) {_folder(mount.source)} -> {target},"
        case MountStep.MOVE:
            yield f"mount options=(rw, move) {_folder(mount.source)} -> {target},"
        case MountStep.PROPAGATION:
            recursive = "r" if mount.flags & _REC else ""
            for flag, word in _PROPAGATIONS.items():
                if mount.flags & flag:
                    yield f"mount options=(rw, make-{recursive}{word}) -> {target},"
        case MountStep.UMOUNT:
            yield f"umount {target},"
        case MountStep.PIVOT_ROOT:
            yield f"pivot_root oldroot={target} {_folder(mount.source)},"


def _folder(path: bytes) -> str:
    return f'"{_named(path.rstrip(b"/"))}{{,/}}"' if path.rstrip(b"/") else '"/"'


def _options(flags: int) -> str:
    skipped = _BIND | _MOVE | _NO_OPTION | 0x1
    words = [name for flag, name in MOUNT_FLAGS.items() if flags & flag & ~skipped]
    if flags & _BIND:
        words.append("bind")
    return ", ".join(["ro" if flags & 0x1 else "rw", *words])


def _newer(rules: AppArmorRules) -> Iterator[str]:
    """Comments, for a person who moves the profile to the abi of AppArmor 4."""
    found: list[str] = []
    if rules.user_namespaces:
        found.append("userns create,")
    if rules.io_uring:
        found.append("io_uring,")
    found += [f'mqueue type=posix "{_named(queue.name)}",' for queue, _ in rules.queues]
    if found:
        yield "# with the abi of AppArmor 4:"
        yield from _commented(found)


def _commented(lines: Iterable[str]) -> Iterator[str]:
    for each in lines:
        yield f"# {each}"
