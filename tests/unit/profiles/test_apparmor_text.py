"""AppArmor text: what apparmor_parser makes of it, and what each kind of access becomes."""

import re
import signal
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder.model.access import (
    Capability,
    CapabilityRight,
    File,
    FileKind,
    FileRight,
    IoUring,
    IoUringRight,
    MessageQueue,
    Mount,
    MountStep,
    Peer,
    Ptrace,
    PtraceRight,
    Signal,
    SignalRight,
    Socket,
    SocketRight,
    UnixSocket,
    UserNamespace,
)
from recorder.model.record import Phase
from recorder.profiles.apparmor_rules import apparmor_rules
from recorder.profiles.apparmor_text import glob_text, to_text
from recorder.profiles.glob import Glob
from recorder.profiles.path_tree import Thresholds
from tests.unit.profiles.accessed import did, files
from tests.unit.profiles.globs import regex_of
from tests.unit.profiles.test_glob import globs


def parsed(text, *options):
    """What apparmor_parser prints of a text that it takes, on stdout or, for debugging, on stderr."""
    command = ["apparmor_parser", "-Q", "-K", "--skip-kernel-load", *options]
    done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode("latin-1") + text
    return (done.stdout or done.stderr).decode("latin-1")


def lines(*seen):
    text = to_text(apparmor_rules(seen), "x", base=False)
    parsed(text)
    rules = [each.strip() for each in text.splitlines()[3:-1]]
    return [each for each in rules if each and each not in BOILERPLATE]


NEVER = Thresholds({b"/": 0})
BOILERPLATE = ("# who starts a container may end it", "signal (receive) peer=unconfined,")


@pytest.mark.parametrize(
    ("seen", "rules"),
    [
        ("r /etc/hosts", ['"/etc/hosts" r,']),
        ("c /a/b", ['"/a/b" w,']),
        ("a /a/log", ['"/a/log" a,']),
        ("ac /a/log", ['"/a/log" w,']),
        ("d /a/b", ['"/a/b" w,']),
        ("rk /a/db", ['"/a/db" rk,']),
        ("x /bin/sh", ['"/bin/sh" ix,']),
        ("rm /lib/libc.so.6", ['"/lib/libc.so.6" rm,']),
        ("x /a/tool\nw /a/tool", ['"/a/tool" wix,']),
        ("c /a/folder/", ['"/a/folder/" w,']),
        ("r /", ['"/" r,']),
        ("R /a/new /a/name", ['"/a/name" w,', '"/a/new" rw,']),
        ("R /a/new/ /a/name", ['"/a/name/" w,', '"/a/new/" rw,']),
        ("L /a/two /a/one\nr /a/one", ['"/a/one" r,', 'link "/a/two" -> "/a/one",']),
    ],
)
def test_rights_over_files(seen, rules):
    """The letters that AppArmor asks for each; renames and links have two names."""
    assert lines(files(seen)) == rules


def test_only_the_workload_is_allowed():
    """What the runtime did in the set-up is not."""
    seen = files("r /etc/hosts").join(files("rw /proc/sys/kernel/core_pattern", phase=Phase.SETUP))
    assert lines(seen) == ['"/etc/hosts" r,']


def test_what_has_no_name_needs_no_rule():
    """Pipes, memfds and the like are not asked about; a cut path cannot be, and is named."""
    found = lines(
        did(
            (File(b"memfd:x", kind=FileKind.ANONYMOUS), FileRight.WRITE),
            (File(b"pipe:[7]", kind=FileKind.FIFO), FileRight.READ),
            (File(b"/a/" + b"x" * 200, cut=True), FileRight.READ),
        )
    )
    assert found == ["# not in here: /a/" + "x" * 77 + "...: longer than the kernel's path is kept"]


NAMES = [bytes([each]) for each in range(1, 256) if each != ord("/")]


def test_every_byte_is_that_byte_alone():
    """apparmor_parser reads each name of one byte as that byte, and no other."""
    seen = did(*((File(b"/n/" + each + b"/f"), FileRight.READ) for each in NAMES))
    text = to_text(apparmor_rules([seen], maximum=10_000, thresholds=NEVER), "x", base=False)
    dumped = parsed(text, "-D", "rule-exprs")
    printed = re.findall(r"^rule: /n/.*?  ->  /n/(.*?)/f \(0x", dumped, re.M | re.S)
    assert sorted(byte_of(each) for each in printed) == [each[0] for each in NAMES]


def byte_of(printed):
    """A byte as the parser's dump of an expression writes it: whatever is no single byte fails."""
    if printed.startswith("\\x"):
        return int(printed[2:], 16)
    if len(printed) == 2 and printed[0] == "\\":
        return ord(
            {"a": "\a", "e": "\33", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}.get(printed[1], printed[1])
        )
    return ord(printed)


# the parser makes one slash of several, and no path of the kernel has two side by side
single = globs.filter(lambda each: "//" not in glob_text(each))


@given(st.lists(single, min_size=1, max_size=8))
@settings(max_examples=15)
def test_patterns_are_what_the_parser_makes_of_them(patterns):
    """The expressions that apparmor_parser prints match what the tests' own reading of globs matches."""
    text = "profile x {\n" + "".join(f"  {glob_text(each)} r,\n" for each in patterns) + "}\n"
    dumped = parsed(text, "-D", "rule-exprs")
    printed = [
        re.compile(each.encode("latin-1"), re.S)
        for each in re.findall(r"^aare: /.*   ->   (/.*)$", dumped, re.M)
    ]
    paths = [b"/", b"/a", b"/1", b"/b/", b"/a/a", b"/a1/b", b"/_", b"/a//1", b"/ab1", b"/11", b"/aa/1/b"]
    for path in paths:
        ours = {each.tokens for each in patterns if regex_of(glob_text(each)[1:-1]).fullmatch(path)}
        theirs = sum(1 for each in printed if each.fullmatch(path))
        assert bool(ours) == bool(theirs), (path, patterns)


def test_hostile_names_stay_names():
    """Quotes, line ends and rules inside of a name do not end the rule."""
    name = b'/a/" rwix,\n} profile y { /** rwix, #@{HOME} {a,b} \xff\\'
    seen = did((File(name), FileRight.READ))
    text = to_text(apparmor_rules([seen]), "x", base=False)
    assert text.isascii()
    assert parsed(text, "-N").split() == ["x"]
    (rule,) = apparmor_rules([seen]).paths
    assert rule.glob.matches(name)
    assert regex_of(glob_text(rule.glob)[1:-1]).fullmatch(name)


def test_sockets_by_family_and_type():
    """TCP is inet stream, UDP inet dgram, raw is raw, and each for its own family."""
    seen = did(
        (Socket(2, 1, 6), SocketRight.CREATE),
        (Socket(2, 1, 0), SocketRight.CONNECT),
        (Socket(10, 2, 17), SocketRight.CREATE),
        (Socket(2, 3, 1), SocketRight.CREATE),
        (Socket(16, 3, 0), SocketRight.CREATE),
        (Socket(99, 1, 0), SocketRight.CREATE),
    )
    assert lines(seen) == [
        "network inet raw,",
        "network inet stream,",
        "network inet6 dgram,",
        "network netlink raw,",
        "# not in here: sockets of family 99, type 1: AppArmor has no word for them",
    ]


def test_unix_sockets():
    """Abstract addresses are the rule's; those with a path are files, which are read and written."""
    seen = did(
        (UnixSocket(1, b"\0na\0me"), SocketRight.BIND | SocketRight.LISTEN),
        (UnixSocket(2, b"", b"\0log"), SocketRight.SEND),
        (UnixSocket(1, b"/run/x.sock"), SocketRight.BIND),
        (UnixSocket(1, b"", b"/run/y.sock", Peer(inside=True)), SocketRight.CONNECT),
    )
    assert lines(seen) == [
        "unix (bind) type=stream,",
        'unix (bind, listen) type=stream addr="@na\\000me",',
        "unix (connect) type=stream peer=(label=@{profile_name}),",
        "unix (create, getattr, setattr, getopt, setopt, shutdown) type=dgram,",
        "unix (create, getattr, setattr, getopt, setopt, shutdown) type=stream,",
        'unix (send) type=dgram peer=(addr="@log"),',
        '"/run/x.sock" rw,',
        '"/run/y.sock" rw,',
    ]


def test_signals_and_ptrace():
    """Both ends are asked where both are of the container; other peers are named."""
    seen = did(
        (Signal(15, Peer(inside=True)), SignalRight.SEND),
        (Signal(9, Peer(inside=True)), SignalRight.SEND),
        (Signal(0, Peer(label=b"unconfined")), SignalRight.SEND),
        (Signal(34, Peer(label=b"unconfined")), SignalRight.SEND),
        (Ptrace(Peer(inside=True)), PtraceRight.TRACE),
        (Ptrace(Peer(label=b"unconfined")), PtraceRight.READ),
    )
    assert lines(seen) == [
        'signal (send) set=(exists rtmin+2) peer="unconfined",',
        "signal (send, receive) set=(kill term) peer=@{profile_name},",
        'ptrace (read) peer="unconfined",',
        "ptrace (trace, tracedby) peer=@{profile_name},",
    ]


def test_mounts():
    """Each step has its rule; folders are named with their slash and without."""
    seen = did(
        (Mount(MountStep.MOUNT, b"none", b"/mnt", b"tmpfs", 0x2 | 0x4), 0),
        (Mount(MountStep.BIND, b"/a b", b"/c", b"", 0x1000 | 0x4000), 0),
        (Mount(MountStep.MOVE, b"/a", b"/c", b"", 0x2000), 0),
        (Mount(MountStep.REMOUNT, b"", b"/c", b"", 0x20 | 0x1000 | 0x1), 0),
        (Mount(MountStep.PROPAGATION, b"", b"/", b"", 0x40000 | 0x4000), 0),
        (Mount(MountStep.UMOUNT, b"", b"/c", b"", 2), 0),
        (Mount(MountStep.PIVOT_ROOT, b"/new", b"/new/old"), 0),
    )
    assert lines(seen) == [
        'mount fstype="tmpfs" options=(rw, nosuid, nodev) "none" -> "/mnt{,/}",',
        'mount options=(rw, make-rprivate) -> "/",',
        'mount options=(rw, move) "/a{,/}" -> "/c{,/}",',
        'mount options=(rw, rbind) "/a b{,/}" -> "/c{,/}",',
        'pivot_root oldroot="/new/old{,/}" "/new{,/}",',
        'remount options=(ro, bind) "/c{,/}",',
        'umount "/c{,/}",',
    ]


def test_capabilities_that_were_granted():
    """One that was refused each time is not allowed."""
    seen = did(
        (Capability(10), CapabilityRight.GRANTED),
        (Capability(7), CapabilityRight.GRANTED | CapabilityRight.REFUSED),
        (Capability(21), CapabilityRight.REFUSED),
        (Capability(63), CapabilityRight.GRANTED),
    )
    assert lines(seen) == [
        "capability net_bind_service,",
        "capability setuid,",
        "# not in here: capability 63: it has no name here; use a newer recorder",
    ]
    assert apparmor_rules([seen]).refused == ("sys_admin",)


def test_what_needs_a_newer_policy_is_a_comment():
    """apparmor_parser 3 knows no such rules."""
    seen = did(
        (UserNamespace(), 0),
        (IoUring(), IoUringRight.SETUP),
        (MessageQueue(b"/q"), FileRight.READ),
    )
    assert lines(seen) == [
        "# with the abi of AppArmor 4:",
        "# userns create,",
        "# io_uring,",
        '# mqueue type=posix "/q",',
    ]


def test_coverage_stands_behind_a_rule():
    """In how many of the records it was used; a single record has none."""
    both = [files("r /etc/hosts\nr /a/x"), files("r /etc/hosts"), files("r /etc/hosts\nw /a/x")]
    assert lines(*both) == ['"/a/x" rw,  # 2 of 3', '"/etc/hosts" r,  # 3 of 3']


def test_a_whole_profile_loads():
    """With the abstraction, the flags and complain mode; the same rules give the same bytes."""
    rules = apparmor_rules([files("r /etc/hosts\nx /bin/sh\nrm /lib/libc.so.6")])
    text = to_text(rules, "web-nginx", complain=True)
    assert "profile web-nginx flags=(attach_disconnected,mediate_deleted,complain) {" in text
    assert "include <abstractions/base>" in text
    assert parsed(text, "-N").split() == ["web-nginx"]
    assert (
        to_text(
            apparmor_rules([files("rm /lib/libc.so.6\nx /bin/sh\nr /etc/hosts")]), "web-nginx", complain=True
        )
        == text
    )


@given(globs)
@settings(max_examples=20)
def test_a_pattern_is_one_line(glob):
    """Whatever is in it."""
    assert "\n" not in glob_text(Glob((*glob.tokens, *b'\n"')))


def test_how_it_came_to_be_stands_above_it():
    """A line for each, whatever another machine says of itself."""
    rules = apparmor_rules([files("r /etc/hosts")])
    text = to_text(
        rules, "x", about={"verdict": "complete", "kernel": "6\n/** rwix,", "runtime": ""}, base=False
    )
    assert text.splitlines()[:2] == ["# kernel: 6\\012/\\*\\* rwix,", "# verdict: complete"]
    assert parsed(text, "-N").split() == ["x"]


def test_what_the_parser_has_no_word_for_is_named():
    """In no rule: with one the whole profile would not load."""
    seen = did(
        (Socket(2, 6, 33), SocketRight.CREATE),
        (Socket(12, 1, 0), SocketRight.CREATE),
        (Signal(65, Peer(inside=True)), SignalRight.SEND),
        (Mount(MountStep.MOUNT, b"none", b"/mnt", b"tmpfs", 0x2000002), 0),
        (Mount(MountStep.UMOUNT, b"", b"", b"", 0), 0),
        (UnixSocket(2, b"\0own", b"\0its"), SocketRight.BIND | SocketRight.SEND),
    )
    assert lines(seen) == [
        'unix (bind) type=dgram addr="@own",',
        "unix (create, getattr, setattr, getopt, setopt, shutdown) type=dgram,",
        'unix (send) type=dgram addr="@own" peer=(addr="@its"),',
        "# not in here: a mount of or at what is no path: it has no rule",
        "# not in here: a mount with flags 0x2000000: AppArmor has no word for them",
        "# not in here: signal 65: there is none of that number",
        "# not in here: sockets of family 12, type 1: AppArmor has no word for them",
        "# not in here: sockets of family 2, type 6: AppArmor has no word for them",
    ]


def test_a_name_that_ends_with_a_backslash_ends_there():
    """To the parser a quote behind a backslash is a part of the name, and the next rule would be, too."""
    seen = files('r /a/x\\\nr /a/y"rwix,\nr /a/z\\"')
    assert lines(seen) == ['"/a/x\\134" r,', '"/a/y\\"rwix," r,', '"/a/z\\134\\"" r,']


def test_every_signal_and_every_capability_has_a_word_of_the_parsers():
    """Also those that programs seldom use: one that it does not know makes the whole profile fail."""
    seen = did(
        *((Signal(number, Peer(inside=True)), SignalRight.SEND) for number in range(65)),
        *((Capability(number), CapabilityRight.GRANTED) for number in range(41)),
    )
    (sent,) = (each for each in lines(seen) if each.startswith("signal"))
    words = sent.partition("set=(")[2].partition(")")[0].split()
    assert len(set(words)) == 65
    names = {each.name[3:].lower() for each in signal.Signals if each < 32}
    assert set(words) == {"exists", "stp", *names} - {"tstp"} | {f"rtmin+{n}" for n in range(33)}


def test_who_is_looked_at_by_a_runtime_does_not_look_itself():
    """An exec into the container joins it and looks at its processes: that is set-up, and allows nothing."""
    seen = did((Ptrace(Peer(inside=True)), PtraceRight.READ_BY))
    assert lines(seen) == ["ptrace (readby) peer=@{profile_name},"]
