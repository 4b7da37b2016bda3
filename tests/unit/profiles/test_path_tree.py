"""Paths as a tree: what each rule replaces, what a threshold unites, and nothing more."""

import os
import random
import re
import subprocess
import tempfile
from pathlib import Path

import pytest

from recorder.profiles.apparmor_rules import apparmor_rules
from recorder.profiles.apparmor_text import glob_text, path_rule_text
from recorder.profiles.path_part import RULES, Lifetime, numbered, part_of
from recorder.profiles.path_tree import THRESHOLDS, Permission, Thresholds, UsedPath, path_rules
from tests.unit.profiles.accessed import files
from tests.unit.profiles.globs import regex_of

READ, WRITE = Permission.READ, Permission.WRITE
MADE, PASSING = Lifetime(made=True), Lifetime(made=True, gone=True)
NUMBERED = Lifetime(made=True, gone=True, numbered=True)
HEX8 = "[0-9a-f]" * 8
NEVER = Thresholds({b"/": 0})


def texts(rules):
    return [path_rule_text(each) for each in rules]


def text_of(path, lifetime=None, permissions=READ):
    used = UsedPath(path, permissions, lifetime or Lifetime())
    (rule,) = path_rules([used], NEVER)
    return glob_text(rule.glob)[1:-1]


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        (b"/proc/1/status", "/proc/@{pid}/status"),
        (b"/proc/4194304/task/17/comm", "/proc/@{pid}/task/@{pid}/comm"),
        (b"/proc/4294967/stat", "/proc/@{pid}/stat"),
        (b"/proc/sys/kernel/pid_max", "/proc/sys/kernel/pid_max"),
        (b"/proc/7/fd/12", "/proc/@{pid}/fd/[0-9]*"),
        (b"/proc/7/net/tcp", "/proc/@{pid}/net/tcp"),
        (b"/dev/pts/3", "/dev/pts/[0-9]*"),
        (b"/dev/pts/ptmx", "/dev/pts/ptmx"),
        (
            b"/etc/config/..2026_11_26_10_11_12.123456/key",
            "/etc/config/.." + "[0-9]" * 4 + "_[0-9][0-9]" * 5 + ".[0-9]*/key",
        ),
        (b"/etc/config/..data", "/etc/config/..data"),
        (
            b"/var/lib/x/6f1c1d2e-0000-1111-2222-333344445555.db",
            "/var/lib/x/" + HEX8 + ("-" + "[0-9a-f]" * 4) * 3 + "-" + "[0-9a-f]" * 12 + ".db",
        ),
        (b"/cache/0123456789abcdef.bin", "/cache/" + "[0-9a-f]" * 16 + ".bin"),
        (b"/cache/0123456789012345.bin", "/cache/[0-9]*.bin"),
        (b"/log/app-20261126.log", "/log/app-[0-9]*.log"),
        (b"/lib/libfoo.so.1.2.34567", "/lib/libfoo.so.1.2.34567"),
        (b"/lib/x86_64-linux-gnu/libc.so.6", "/lib/x86_64-linux-gnu/libc.so.6"),
        (b"/lib/python3.11/site-packages/yaml.py", "/lib/python3.11/site-packages/yaml.py"),
        (b"/a/deadbeefdeadbeef", "/a/deadbeefdeadbeef"),
        (b"/run/token={secret}/x", "/run/token=*/x"),
    ],
)
def test_what_is_never_the_same_twice(path, pattern):
    """Only what a rule names is replaced, by as little as it says."""
    assert text_of(path) == pattern


@pytest.mark.parametrize(
    ("path", "lifetime", "pattern"),
    [
        (b"/tmp/tmpab12_9xk", MADE, "/tmp/tmp" + "[0-9A-Za-z_]" * 8),
        (b"/tmp/tmp.aBcDeFgHiJ", MADE, "/tmp/tmp." + "[0-9A-Za-z_]" * 10),
        (b"/tmp/ccabcdef.s", MADE, "/tmp/cc" + "[0-9A-Za-z_]" * 6 + ".s"),
        (b"/tmp/sh-thd.a1b2c3", PASSING, "/tmp/sh-thd." + "[0-9A-Za-z_]" * 6),
        (b"/etc/nginx/sedQwErTy", PASSING, "/etc/nginx/sed" + "[0-9A-Za-z_]" * 6),
        (b"/var/lib/app/state.k3jd9a", PASSING, "/var/lib/app/state." + "[0-9A-Za-z_]" * 6),
        (b"/data/temp-7.rdb", PASSING, "/data/temp-[0-9]*.rdb"),
        (b"/base/pgsql_tmp/pgsql_tmp152.8", PASSING, "/base/pgsql_tmp/pgsql_tmp[0-9]*.[0-9]*"),
        (b"/tmp/go-build2731821484", MADE, "/tmp/go-build[0-9]*"),
        (b"/tmp/app-7nzrqt", MADE, "/tmp/app-" + "[0-9A-Za-z_]" * 6),
        (b"/etc/x.abcdef", PASSING, "/etc/x." + "[0-9A-Za-z_]" * 6),
        (b"/tmp/gbdsgtpf", PASSING, "/tmp/" + "[0-9A-Za-z_]" * 8),
        (b"/dev/shm/qwerty", PASSING, "/dev/shm/" + "[0-9A-Za-z_]" * 6),
        (b"/tmp/build-ab_cd_ef", PASSING, "/tmp/build-" + "[0-9A-Za-z_]" * 8),
        (b"/tmp/build-abcdefgh.json", PASSING, "/tmp/build-" + "[0-9A-Za-z_]" * 8 + ".json"),
        (b"/tmp/work.17", PASSING, "/tmp/work.[0-9]*"),
        (b"/dev/shm/PostgreSQL.2794316658", PASSING, "/dev/shm/PostgreSQL.[0-9]*"),
        (b"/tmp/work-7.out", PASSING, "/tmp/work-[0-9]*.out"),
        (b"/srv/stabcdef", PASSING, "/srv/st" + "[0-9A-Za-z_]" * 6),
        (b"/data/pg_internal.init.17", NUMBERED, "/data/pg_internal.init.[0-9]*"),
        (b"/tmp/gbdsgtpf", MADE, "/tmp/gbdsgtpf"),
        (b"/tmp/in/gbdsgtpf", PASSING, "/tmp/in/gbdsgtpf"),
        (b"/srv/gbdsgtpf", PASSING, "/srv/gbdsgtpf"),
        (b"/tmp/lock", PASSING, "/tmp/lock"),
        (b"/tmp/work.17", MADE, "/tmp/work.17"),
        (b"/var/log/app.log.1", PASSING, "/var/log/app.log.1"),
        (b"/run/docker.pid", PASSING, "/run/docker.pid"),
        (b"/data/dump-7.rdb", PASSING, "/data/dump-7.rdb"),
        (b"/tmp/app-config", MADE, "/tmp/app-config"),
        (b"/tmp/tmpab12_9xk", Lifetime(), "/tmp/tmpab12_9xk"),
        (b"/etc/nginx/sedQwErTy", MADE, "/etc/nginx/sedQwErTy"),
        (b"/tmp/server.sock", PASSING, "/tmp/server.sock"),
        (b"/tmp/Server12.sock", PASSING, "/tmp/Server12.sock"),
        (b"/run/postmaster.pid", PASSING, "/run/postmaster.pid"),
    ],
)
def test_temporary_names(path, lifetime, pattern):
    """The random part alone, of what was made in a temporary folder, or made and gone elsewhere."""
    assert text_of(path, lifetime, READ | WRITE) == pattern


@pytest.mark.parametrize("template", ["tmp.XXXXXXXXXX", "app.XXXXXX", "app-XXXXXX", "ccXXXXXX", "sedXXXXXX"])
def test_the_pattern_of_a_temporary_name_has_all_fresh_ones(template):
    """As mktemp makes them, and gone again: whichever was recorded."""
    command = ["mktemp", "-u", "-p", "/tmp", template]
    names = [subprocess.run(command, capture_output=True, check=True).stdout.strip() for _ in range(20)]
    names = [each for each in names if not each[-6:].isdigit()]  # that is the rule for numbers
    patterns = {text_of(each, PASSING) for each in names}
    assert all(regex_of(pattern).fullmatch(name) for pattern in patterns for name in names)


def test_fresh_names_of_pythons_tempfile():
    """Files, with an ending and without, and folders."""
    for suffix in ("", ".json"):
        patterns = set()
        for _ in range(20):
            with tempfile.NamedTemporaryFile(suffix=suffix) as made:
                patterns.add(text_of(b"/tmp/" + os.path.basename(made.name).encode(), MADE))
        assert len(patterns) == 1


@pytest.mark.parametrize("prefix", ["", "app-", "pymp-"])
def test_what_pythons_tempfile_makes_has_one_pattern_whatever_it_is_called(prefix):
    """Random names that are words, or have an underscore in their midst, are no others."""
    characters = "abcdefghijklmnopqrstuvwxyz0123456789_"
    chosen = random.Random(7)
    names = [prefix + "".join(chosen.choices(characters, k=8)) for _ in range(500)]
    names = [
        each for each in names if not re.search(r"(?<![0-9A-Za-z])[0-9]{6}", each)
    ]  # the rule for numbers
    patterns = {text_of(b"/tmp/" + each.encode(), PASSING) for each in [*names, prefix + "gbdsgtpf"]}
    assert patterns == {"/tmp/" + prefix + "[0-9A-Za-z_]" * 8}


@pytest.mark.parametrize(
    ("old", "new", "is_it"),
    [
        (b"/d/state.17", b"/d/state", True),
        (b"/d/.state-17", b"/d/state", True),
        (b"/d/f.17/", b"/d/f/", True),
        (b"/d/state.17", b"/e/state", False),
        (b"/d/state17", b"/d/state", False),
        (b"/d/state.17", b"/d/other", False),
        (b"/d/log.1", b"/d/log.2", False),
        (b"/d/state.new", b"/d/state", False),
    ],
)
def test_what_is_renamed_to_itself_without_a_number(old, new, is_it):
    """In its folder, the number at the end and behind a sign."""
    assert numbered(old, new) is is_it


def test_a_pid_in_the_name_of_what_is_renamed_is_a_number():
    """Known from the rename itself."""
    seen = files("cw /d/state.17\nR /d/state.17 /d/state\ncw /d/log.1\nR /d/log.1 /d/log.2\n")
    assert texts(apparmor_rules([seen]).paths) == [
        '"/d/log.1" rw,',
        '"/d/log.2" w,',
        '"/d/state" w,',
        '"/d/state.[0-9]*" rw,',
    ]


def test_a_temporary_folder_is_one_for_all_that_is_in_it():
    """What became of a folder is known from its own path."""
    used = [
        UsedPath(b"/tmp/tmpab12_9xk/", WRITE, PASSING),
        UsedPath(b"/tmp/tmpab12_9xk/in/data.txt", READ | WRITE, PASSING),
    ]
    folder = "/tmp/tmp" + "[0-9A-Za-z_]" * 8
    assert texts(path_rules(used)) == [f'"{folder}/" w,', f'"{folder}/in/data.txt" rw,']


def test_more_files_than_the_threshold_become_a_pattern():
    """Not those of other permissions, not the folder itself, and one less stays as it is."""
    many = [UsedPath(b"/srv/d/%d" % n, READ) for n in range(11)]
    other = [UsedPath(b"/srv/d/own", READ | WRITE), UsedPath(b"/srv/d/", READ)]
    assert texts(path_rules([*many, *other])) == ['"/srv/d/" r,', '"/srv/d/*" r,', '"/srv/d/own" rw,']
    assert len(path_rules([*many[1:], *other])) == 12


def test_a_common_extension_stays():
    """`*.log` is less than `*`; libraries keep .so."""
    logs = [UsedPath(b"/srv/d/%d.log" % n, WRITE) for n in range(11)]
    libraries = [UsedPath(b"/opt/lib/lib%d.so.%d" % (n, n), READ | Permission.MAP) for n in range(11)]
    assert texts(path_rules([*logs, *libraries])) == ['"/opt/lib/*.so*" rm,', '"/srv/d/*.log" w,']


def test_more_subfolders_than_the_threshold_become_one():
    """Each has what all of them had, and no more."""
    used = [UsedPath(b"/srv/%d/in/data" % n, READ) for n in range(11)] + [UsedPath(b"/srv/3/log", WRITE)]
    assert texts(path_rules(used)) == ['"/srv/*/in/data" r,', '"/srv/*/log" w,']


def test_programs_and_the_names_of_the_root_are_never_united():
    """However many there are."""
    programs = [UsedPath(b"/opt/bin/%d" % n, Permission.EXECUTE) for n in range(25)]
    programs += [UsedPath(b"/srv/%d/bin/tool" % n, Permission.EXECUTE) for n in range(25)]
    folders = [UsedPath(b"/r%d/x" % n, READ) for n in range(50)]
    assert len(path_rules([*programs, *folders])) == 100


def test_thresholds_are_those_of_the_longest_prefix():
    """0 is never; the default of all else is that of /."""
    thresholds = Thresholds({b"/": 2, b"/srv/keep/": 0, b"/srv": 3})
    assert [thresholds.of(each) for each in (b"/", b"/a", b"/srv/x", b"/srv/keep/y", b"/srvs")] == [
        0,
        2,
        3,
        0,
        2,
    ]
    used = [UsedPath(b"/srv/keep/%d" % n, READ) for n in range(9)]
    assert len(path_rules(used, thresholds)) == 9
    assert THRESHOLDS.of(b"/proc/@{pid}") == 0


def test_each_collapse_says_why():
    """Rule, pattern, how many names, the threshold and some of the names."""
    used = [UsedPath(b"/srv/d/%02d" % n, READ) for n in range(11)] + [UsedPath(b"/proc/12/stat", READ)]
    pid, threshold = [each for rule in path_rules(used) for each in rule.collapses]
    assert (pid.rule, pid.pattern, pid.count, pid.examples) == ("pid", "/proc/@{pid}", 1, (b"12",))
    assert (threshold.rule, threshold.pattern, threshold.count, threshold.threshold) == (
        "threshold",
        "/srv/d/*",
        11,
        10,
    )
    assert threshold.examples == (b"00", b"01", b"02")


def test_rules_are_bounded_and_stay_usable():
    """Of 5,000 paths that no threshold unites, halved thresholds and then whole folders make few rules."""
    used = [UsedPath(b"/var/data/%d/%d/%d" % (n % 10, n // 10 % 10, n // 100), READ) for n in range(1000)]
    rules = path_rules(used, maximum=20)
    assert len(rules) <= 20
    assert all(any(rule.glob.matches(each.path) for rule in rules) for each in used)
    assert not any(rule.glob.matches(b"/var/other") for rule in rules)
    never = Thresholds({b"/": 10_000})
    wide = path_rules([UsedPath(b"/a/b/%d/x%d" % (n % 9, n), READ) for n in range(900)], never, 12)
    assert len(wide) <= 12
    assert {each.rule for rule in wide for each in rule.collapses} <= {"rules", "threshold"}


def test_sources_are_united_with_the_paths():
    """A pattern was seen in each record that had one of its paths."""
    used = [UsedPath(b"/srv/d/%d" % n, READ, sources=1 << (n % 3)) for n in range(11)]
    (rule,) = path_rules(used)
    assert (rule.sources, len(rule.paths)) == (0b111, 11)


def test_every_path_has_what_it_needs_and_others_have_nothing(scaled):
    """Random paths: the rules' own matching equals that of the emitted globs, and of the tree's sense.

    The sense, by hand: what a path needs is allowed; a path beside a folder that was never
    united is not.
    """
    random.seed(7)
    parts = [
        b"a",
        b"bin",
        b"conf.d",
        b"x.log",
        b"y.log",
        b"6f1c1d2e-0000-1111-2222-333344445555",
        b"123456789",
    ]
    parts += [b"n%d" % n for n in range(14)]

    def path(top):
        return b"/" + top + b"/" + b"/".join(random.choice(parts) for _ in range(random.randint(1, 3)))

    used = {path(b"srv"): random.choice([READ, WRITE, READ | WRITE]) for _ in range(400)}
    used |= {path(b"etc"): READ for _ in range(10)}
    rules = path_rules([UsedPath(each, permissions) for each, permissions in used.items()])
    expressions = [(regex_of(glob_text(rule.glob)[1:-1]), rule) for rule in rules]
    for each, needed in used.items():
        allowed = Permission(0)
        for expression, rule in expressions:
            if expression.fullmatch(each):
                allowed |= rule.permissions
        assert needed & ~allowed == Permission(0), each
    for _ in range(scaled(100_000, 2_000)):
        each = path(random.choice([b"srv", b"etc", b"opt"]))
        for expression, rule in expressions:
            assert bool(expression.fullmatch(each)) == rule.glob.matches(each), (each, rule)
        if each.startswith(b"/opt"):
            assert not any(expression.fullmatch(each) for expression, _ in expressions)


def test_a_part_without_a_rule_is_itself():
    """And says that no rule was used."""
    part = part_of(b"hosts", [b"etc"], Lifetime())
    assert (part.literal, part.rules) == (b"hosts", ())
    assert part_of(b"1", [b"proc"], Lifetime()).literal is None


def test_a_rule_that_another_has_is_left_out():
    """If it has every path and every permission; the wider one was then seen where both were."""
    used = [
        UsedPath(b"/run/{secret}", READ | WRITE, sources=1),
        UsedPath(b"/run/app", READ, sources=2),
        UsedPath(b"/run/tool", READ | Permission.EXECUTE, sources=4),
    ]
    rules = path_rules(used)
    assert texts(rules) == ['"/run/*" rw,', '"/run/tool" rix,']
    assert (rules[0].sources, rules[0].paths) == (3, (b"/run/app", b"/run/{secret}"))


def test_the_page_has_each_rule():
    """docs/accesses.md names every rule and every threshold that holds unless others are given."""
    page = (Path(__file__).parents[3] / "docs/accesses.md").read_text()
    assert [name for name in RULES if f"| `{name}` |" not in page] == []
    table = page[page.index("| below | more than |") :]
    rows = re.findall(r"^\| (`/.*`) \| (.*) \|$", table, re.M)
    found = {
        folder.encode(): 0 if count == "never" else int(count)
        for folders, count in rows
        for folder in re.findall(r"`(.*?)`", folders)
    }
    assert found == dict(THRESHOLDS.limits)


def test_what_is_appended_to_and_what_is_written_become_one_rule_that_loads():
    """A write has the right to append, and apparmor_parser refuses a rule that says both."""
    used = [UsedPath(b"/log/1234567", Permission.APPEND), UsedPath(b"/log/7654321", WRITE)]
    assert texts(path_rules(used)) == ['"/log/[0-9]*" w,']


def test_an_extension_that_looks_like_a_librarys():
    """`*.sock` is not `*.so*`."""
    sockets = [UsedPath(b"/srv/d/%d.sock" % n, READ) for n in range(11)]
    libraries = [UsedPath(b"/opt/lib/lib%d.so%s" % (n, b".1" * (n % 3)), READ) for n in range(11)]
    assert texts(path_rules([*sockets, *libraries])) == ['"/opt/lib/*.so*" r,', '"/srv/d/*.sock" r,']


def test_a_folder_that_became_a_pattern_may_still_be_listed():
    """`FOLDER/**` does not stand for the folder itself, which keeps its own permissions."""
    used = [UsedPath(b"/a/b/%d/x%d" % (n % 9, n), READ | WRITE) for n in range(900)]
    used += [UsedPath(b"/a/b/", READ), UsedPath(b"/a/b/0/", READ)]
    rules = path_rules(used, Thresholds({b"/": 10_000}), 2)
    assert texts(rules) == ['"/a/b/" r,', '"/a/b/**" rw,']
    assert all(any(rule.glob.matches(each.path) for rule in rules) for each in used)
