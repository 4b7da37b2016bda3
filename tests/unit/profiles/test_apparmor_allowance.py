"""What a profile allows and denies, as the automaton says that apparmor_parser makes of it."""

import random
from pathlib import Path

import pytest

from recorder.cli.apparmor_folder import ApparmorFolder
from recorder.model.access import (
    Capability,
    File,
    FileKind,
    FileRight,
    Peer,
    Ptrace,
    PtraceRight,
    Signal,
    SignalRight,
    Socket,
    SocketRight,
    UnixSocket,
)
from recorder.model.kernel_names import CAPABILITIES
from recorder.profiles.apparmor_allowance import Allowance
from recorder.profiles.apparmor_pattern import NotAPatternError, patterns
from recorder.profiles.apparmor_source import profile_source
from recorder.profiles.base_abstraction import LEAST, least_allowance
from recorder.profiles.glob import Glob
from tests.truth.compiled_policy import Policy

ETC = ApparmorFolder(Path("/etc/apparmor.d"))
GLOBAL = "include <tunables/global>\n"
LETTERS = {
    FileRight.READ: "r",
    FileRight.WRITE: "w",
    FileRight.APPEND: "a",
    FileRight.LOCK: "k",
    FileRight.MMAP_EXEC: "m",
    FileRight.EXEC: "x",
}
ALL = sum(LETTERS)
ABSTRACTIONS = ("base", "nameservice", "python", "private-files")
RULES = """
  /a/*/b r,
  /a/**.so* mr,
  "/with space/{x,y{1,2,},}z" rw,
  rk /first/[a-c0-9]?,
  /not/[^a-c] w,
  /run/prog{,s} ix,
  /run/other px -> some,
  /run/mapped cix,
  /log/* a,
  file /word/** rwk,
  @{PROC}/@{pid}/{maps,fd/x*} r,
  @{HOME}/.config/** rw,
  owner /mine/** rw,
  /escaped/\\{a\\,b\\} r,
  /octal/\\101 r,
  /a/denied/** rw,
  deny /a/denied/*.key rw,
  audit deny /a/*/b w,
  /x{/,}*y r,
"""


def allowance(body, name="probe", head=GLOBAL):
    return Allowance(name, profile_source(f"{head}profile {name} {{\n{body}\n}}\n", ETC))


def of_patterns(chance: random.Random, text: str, variables) -> set[bytes]:
    """Paths that patterns of a rule stand for, and such with a byte changed, left out or added."""
    found = set()
    globs = patterns(text, variables)
    for glob in chance.sample(globs, min(len(globs), 12)):
        path = instance(chance, glob)
        at = chance.randrange(len(path))
        changed = bytes([chance.choice(b"ax09/.{")])
        found |= {path, path[:at] + changed + path[at + 1 :], path[:at] + path[at + 1 :], path + b"x"}
    return {each for each in found if each.startswith(b"/") and b"//" not in each}


def instance(chance: random.Random, glob: Glob) -> bytes:
    made = b""
    for token in glob.tokens:
        if isinstance(token, int):
            made += bytes([token])
            continue
        for atom in token.atoms:
            fits = [byte for byte in b"abz0194._-/" if atom.mask >> byte & 1]
            made += bytes(chance.choices(fits, k=chance.choice((0, 1, 2)) if atom.repeated else 1))
    return made


def asked(body, seed):
    """Paths for all rules of a body."""
    source = profile_source(f"{GLOBAL}profile p {{\n{body}\n}}\n", ETC)
    chance = random.Random(seed)
    found = set()
    for rule in source.rules:
        for word in rule.split():
            try:
                found |= of_patterns(chance, word, source.variables)
            except NotAPatternError:
                continue
    return found


def file(path):
    return File(path, kind=FileKind.FOLDER if path.endswith(b"/") else FileKind.REGULAR)


@pytest.mark.parametrize(
    "body",
    [RULES, "file,\ndeny @{HOME}/** w,", *(f"include <abstractions/{name}>" for name in ABSTRACTIONS)],
)
def test_paths_as_the_compiled_policy_has_them(body):
    """Each letter, no more and no less: what only an owner may is left to be asked again."""
    policy = Policy(f"{GLOBAL}profile probe {{\n{body}\n}}\n")
    judged = allowance(body)
    allowed = 0
    paths = asked(body, 20261126)
    assert len(paths) > 3
    for path in paths:
        got = judged.allows(file(path), ALL)
        theirs = policy.allows(path) - {"l"}
        theirs |= {"a"} if "w" in theirs else set()
        assert {letter for right, letter in LETTERS.items() if got & right} == theirs, path
        allowed += bool(got)
    assert allowed > len(paths) / 5 or "private" in body


def test_a_run_beside_a_brace_is_never_wider():
    """There apparmor_parser takes no byte at all for a run, which it does not elsewhere."""
    body = "/a/{*,b}/c w,\n/d/{e,f/*} r,\n/g/*{h,} r,\n/i{/,j}* r,"
    policy, judged = Policy(f"profile probe {{\n{body}\n}}\n"), allowance(body)
    for path in (*asked(body, 5), b"/a//c", b"/d/f/", b"/g/", b"/i/", b"/i"):
        got = judged.allows(File(path), ALL)
        theirs = policy.allows(path) | ({"a"} if "w" in policy.allows(path) else set())
        assert {letter for right, letter in LETTERS.items() if got & right} <= theirs, path
    assert judged.allows(File(b"/d/f/x"), ALL) == FileRight.READ


def test_the_least_that_every_base_allows():
    """This machine's abstractions/base has all of it."""
    policy = Policy(f"{GLOBAL}profile probe {{\ninclude <abstractions/base>\n}}\n")
    body = LEAST.partition("{\n")[2].rpartition("}")[0]
    paths = asked(body, 7) | {b"/etc/ld.so.cache", b"/dev/null", b"/lib/x/libc.so.6"}
    allowed = 0
    for path in paths:
        got = least_allowance().allows(file(path), ALL)
        theirs = policy.allows(path) | ({"a"} if "w" in policy.allows(path) else set())
        assert {letter for right, letter in LETTERS.items() if got & right} <= theirs, path
        allowed += bool(got)
    assert allowed > len(paths) / 5


@pytest.mark.parametrize(
    "path",
    [
        "@{nobody}/x", "relative", "//namespace", "/a/***", "/a/[", "/a/[]b]", "/a/{b", "/a/b}", "/a/\\n",
        "/a/\\d", "/{0,1}" * 11, "/" + "{" * 20 + "}" * 20, "@{again}", "/a/\\000", "/a/\\", "/[z-a]",
    ],
)  # fmt: skip
def test_what_is_no_pattern_here_allows_nothing(path):
    """Unknown variables and signs, too many, too deep, a variable of itself."""
    with pytest.raises(NotAPatternError):
        patterns(path, {"again": ("/x@{again}",)})
    head = "@{again}=/x@{again}\n"
    assert allowance(f"{path} r,", head=head).allows(File(b"/a/b"), ALL) == 0


@pytest.mark.parametrize(
    "rule",
    [
        "owner /a r,", "/a r -> /b", "/a rz", "link /a -> /b", "change_profile -> x", "mount", "dbus", "if x",
        "other /a r", "priority=1 /a r", "/a", "r", "r r", "/a /b",
    ],
)  # fmt: skip
def test_rules_that_are_not_judged_allow_nothing(rule):
    """Words that are not known here, and what depends on who asks."""
    body = f"{rule.removesuffix(',')},"
    assert allowance(body).allows(File(b"/a"), ALL) == 0
    assert allowance(f"deny {body}").denies(File(b"/a"), ALL) == 0


def test_a_link_is_judged_by_no_rule_for_one_name():
    """Its old name has to be allowed, too."""
    wide = allowance("/** rwlk,")
    rights = FileRight.LINK | FileRight.WRITE | FileRight.RENAME
    assert wide.allows(File(b"/a", b"/b"), rights) == FileRight.WRITE | FileRight.RENAME


BODY = """
  capability chown setuid,
  deny capability setuid,
  network inet stream,
  network raw,
  network (send) inet6,
  network netlink,
  unix (create, bind) type=stream,
  unix (connect) peer=(addr=x),
  signal (send) set=(hup, term) peer=other,
  signal peer=@{profile_name},
  signal (receive) peer=unconfined,
  signal (receive, send) set=("exists"),
  ptrace (readby),
  ptrace (read, trace) peer=probe,
  signal (send) peer=g*,
"""


def number(capability):
    return CAPABILITIES.index(capability)


INSIDE = Peer(inside=True)


@pytest.mark.parametrize(
    ("subject", "rights", "allowed"),
    [
        (Capability(number("chown")), 1, 1),
        (Capability(number("setuid")), 1, 0),
        (Capability(number("kill")), 1, 0),
        (Socket(2, 1, 6), 1, 1),
        (Socket(2, 2, 0), 1, 0),
        (Socket(10, 3, 0), 1, 1),
        (Socket(10, 1, 0), SocketRight.SEND, 0),
        (Socket(16, 2, 0), 3, 3),
        (Socket(999, 2, 0), 3, 0),
        (UnixSocket(1), 0x1F, 3),
        (UnixSocket(2), 3, 0),
        (Signal(15, Peer(label=b"other")), 3, SignalRight.SEND),
        (Signal(9, Peer(label=b"other")), 3, 0),
        (Signal(0, Peer(label=b"who")), 3, 3),
        (Signal(9, INSIDE), 3, 3),
        (Signal(9, Peer(label=b"unconfined")), 3, SignalRight.RECEIVE),
        (Signal(9, Peer(label=b"gone")), 3, 0),
        (Ptrace(INSIDE), 0xF, PtraceRight.READ | PtraceRight.TRACE | PtraceRight.READ_BY),
        (Ptrace(Peer(label=b"who")), 0xF, PtraceRight.READ_BY),
    ],
)
def test_what_is_no_file(subject, rights, allowed):
    """By the rules above: a denial wins, and a rule with more conditions than are known here is none."""
    assert allowance(BODY).allows(subject, rights) == allowed
    whole = allowance("capability,\nnetwork,\nunix,\nsignal,\nptrace,")
    known = not (isinstance(subject, Socket) and subject.family == 999)
    assert whole.allows(subject, rights) == rights * known
