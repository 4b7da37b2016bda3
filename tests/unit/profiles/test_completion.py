"""Completing a profile: what was denied and no more, and the reasons for what is not added."""

import dataclasses
import re
import subprocess
from pathlib import Path

import pytest

from recorder.cli.apparmor_folder import ApparmorFolder
from recorder.model.abi import Abi
from recorder.model.denial import (
    AppArmorDenial,
    DenialCount,
    DenialKey,
    Sighting,
    Text,
)
from recorder.model.errors import InvalidProfile, InvalidRecord
from recorder.model.numbers import Numbers
from recorder.model.record import CallKey, Observation, Outcome, Phase, Record, Source
from recorder.model.syscall import syscall_number
from recorder.profiles.apparmor_profile import AppArmorProfile, abstract_profile
from recorder.profiles.apparmor_rules import apparmor_rules
from recorder.profiles.apparmor_text import to_text
from recorder.profiles.apparmor_yaml import to_yaml
from recorder.profiles.completion import (
    completed_apparmor,
    completed_seccomp,
    completed_selinux,
    completed_text,
    text_profile,
)
from recorder.profiles.seccomp_profile import ALLOW, ERRNO, Rule, SeccompProfile
from recorder.profiles.selinux_yaml import SelinuxProfile
from tests.truth.compiled_policy import NotCompiledError, compiled
from tests.unit.profiles.accessed import files
from tests.unit.profiles.test_selinux import avc
from tests.unit.profiles.test_selinux import record as selinux_record

ONCE = DenialCount(1, Sighting(1, 1, b"sh"), Sighting(1, 1, b"sh"))


def text(content):
    return Text(content.encode(), len(content.encode()))


def denial(operation, object_class, words, name="", profile="web", peer="", **values):
    words = tuple(words.split())
    return AppArmorDenial(
        operation,
        object_class,
        text(profile),
        Text(),
        True,
        words,
        words,
        text(name),
        values.pop("target", Text()),
        text(peer),
        Text(),
        -13,
        **values,
    )


def record(*denials, verdict="allowed"):
    entries = {DenialKey(verdict, each): ONCE for each in denials}
    return Record((Observation(Source("n", "b", 1, 1), denials=entries),))


FIVE = (
    denial("open", "file", "read", "/etc/app.conf"),
    denial("mknod", "file", "create", "/var/run/app.pid"),
    denial("exec", "file", "exec", "/bin/date"),
    denial("create", "net", "create", family="inet", socket_type="stream", protocol=6),
    denial("capable", "capability", "", capability="net_bind_service"),
)
BEFORE = "x /bin/sh\nr /etc/hosts\nrw /var/log/app"


def test_five_rules_that_a_text_lacks():
    """They are added, and nothing else changes; the parser takes the result."""
    before = to_text(apparmor_rules([files(BEFORE)]), "web", complain=True)
    done = completed_text(before, record(*FIVE))
    assert sorted(done.added) == [
        '"/bin/date" ix,',
        '"/etc/app.conf" r,',
        '"/var/run/app.pid" w,',
        "capability net_bind_service,",
        "network inet stream,",
    ]
    old, new = before.splitlines(), done.profile.splitlines()
    assert [line for line in new if line.strip() not in done.added] == old
    assert len(new) == len(old) + 5
    command = ["apparmor_parser", "-Q", "-K", "--skip-kernel-load"]
    subprocess.run(command, input=done.profile.encode(), capture_output=True, check=True, timeout=60)
    assert done.left_out == ()


def test_five_rules_that_an_object_lacks():
    """Each in its list; once more adds nothing, and says that it is there."""
    before = abstract_profile(apparmor_rules([files(BEFORE)]), "web")
    done = completed_apparmor(before, record(*FIVE))
    assert sorted(done.added) == [
        "allowTcp: true",
        "allowedCapabilities: net_bind_service",
        "allowedExecutables: /bin/date",
        "readOnlyPaths: /etc/app.conf",
        "writeOnlyPaths: /var/run/app.pid",
    ]
    expected = dataclasses.replace(
        before,
        executables=("/bin/date", "/bin/sh"),
        read_only=("/etc/app.conf", "/etc/hosts"),
        write_only=("/var/run/app.pid",),
        tcp=True,
        capabilities=("net_bind_service",),
    )
    assert to_yaml(done.profile) == to_yaml(expected)
    again = completed_apparmor(done.profile, record(*FIVE))
    assert (again.added, again.profile) == ((), done.profile)
    assert "/etc/app.conf: is in the profile already" in again.left_out


def test_a_list_whose_denial_would_win_is_left():
    """A path of its own moves to readWritePaths; below a pattern nothing is added, and it is said why."""
    before = AppArmorProfile("web", read_only=("/etc/x", "/srv/*"), write_only=("/var/y",))
    done = completed_apparmor(
        before,
        record(
            denial("open", "file", "write", "/etc/x"),
            denial("open", "file", "write", "/srv/z"),
            denial("open", "file", "read", "/var/y"),
        ),
    )
    assert (done.profile.read_only, done.profile.write_only) == (("/srv/*",), ())
    assert done.profile.read_write == ("/etc/x", "/var/y")
    assert [each.split(";")[0] for each in done.left_out] == ["/srv/z: /srv/* denies it, and a denial wins"]


def test_names_that_are_new_each_time_are_patterns_and_no_folder_is():
    """Twenty files of one folder are twenty rules; a temporary name is one pattern."""
    many = [denial("open", "file", "read", f"/srv/d/{n}") for n in range(20)]
    passing = denial("mknod", "file", "create delete", "/tmp/tmpab12_9xk")
    done = completed_text('profile web {\n  "/x" r,\n}\n', record(*many, passing))
    assert len(done.added) == 21
    assert f'"/tmp/tmp{"[0-9A-Za-z_]" * 8}" w,' in done.added


def test_what_complain_mode_puts_below_a_profile_is_the_profiles():
    """A program that had no rule ran in web//null-/bin/date."""
    seen = record(denial("open", "file", "read", "/etc/localtime", profile="web//null-/bin/date"))
    assert completed_text("profile web {\n}\n", seen).added == ('"/etc/localtime" r,',)


NULL = "web//null-/bin/date"
ETC = ApparmorFolder(Path("/etc/apparmor.d"))
WITH_BASE = """include <tunables/global>
profile web flags=(complain) {
  include <abstractions/base>
  /srv/{a,b} r,
  deny /srv/secret r,
  capability chown,
}
"""


def below(operation, object_class, words, name="", **values):
    return denial(operation, object_class, words, name, profile=NULL, **values)


def test_what_a_program_without_rules_was_denied_and_the_profile_allows_is_not_added():
    """By its includes and its own patterns, right by right; what it lacks, or denies, is told apart."""
    libc = "/usr/lib/x86_64-linux-gnu/libc.so.6"
    seen = record(
        denial("exec", "file", "exec", "/bin/date"),
        below("open", "file", "read", "/bin/date"),
        below("open", "file", "read", libc),
        below("file_mmap", "file", "read mmap", libc),
        below("open", "file", "write", libc),
        below("open", "file", "read", "/srv/a"),
        below("open", "file", "read", "/srv/c"),
        below("open", "file", "read", "/srv/secret"),
        below("capable", "capability", "", capability="chown"),
        below("capable", "capability", "", capability="kill"),
        below("signal", "signal", "send", peer="web", signal=15),
        denial("signal", "signal", "receive", peer=NULL, signal=15),
    )
    done = completed_text(WITH_BASE, seen, ETC)
    assert sorted(done.added) == [
        '"/bin/date" rix,',
        '"/srv/c" r,',
        f'"{libc}" w,',
        "capability kill,",
    ]
    assert sorted(done.left_out) == [
        '"/srv/a" r,: is in the profile already',
        '"/srv/secret" r,: a deny rule has it, and a denial wins',
        f'"{libc}" rm,: is in the profile already',
        "capability chown,: is in the profile already",
        "signal (send, receive) set=(term) peer=@{profile_name},: is in the profile already",
    ]
    assert done.notes == ()


def test_what_the_profile_itself_denied_is_added_whatever_its_includes_say():
    """They were asked, and did not have it: those of this machine may be others."""
    seen = record(
        denial("open", "file", "read", "/srv/a"),
        denial("open", "file", "read", "/lib/x.so"),
        below("open", "file", "read", "/lib/x.so"),
    )
    done = completed_text(WITH_BASE, seen, ETC)
    assert (sorted(done.added), done.left_out) == (['"/lib/x.so" r,', '"/srv/a" r,'], ())


@pytest.mark.parametrize(
    ("rule", "changes"), [("px", 1), ("Cx -> other", 1), ("pix", 1), ("ix", 0), ("rux", 1)]
)
def test_a_program_that_a_rule_has_run_under_another_profile_gets_no_second_rule(rule, changes):
    """It is denied if that profile is not loaded; apparmor_parser takes no two ways of executing one file."""
    before = f"profile web {{\n  /bin/date {rule},\n}}\n"
    seen = record(denial("exec", "file", "exec", "/bin/date"), denial("open", "file", "read", "/bin/x"))
    done = completed_text(before, seen)
    assert done.added == (('"/bin/x" r,',) if changes else ('"/bin/date" ix,', '"/bin/x" r,'))
    said = "/bin/date: a rule has it executed under another profile, which was not loaded"
    assert done.left_out == ((said,) if changes else ())
    assert compiled(done.profile)
    if changes:
        with pytest.raises(NotCompiledError, match="conflicting x modifiers"):
            compiled(before.replace("}\n", '  "/bin/date" ix,\n}\n'))


def test_includes_that_are_not_there_are_named_if_it_matters():
    """Then what they may allow is added; without such a program nothing is read."""
    text = WITH_BASE.replace("abstractions/base", "abstractions/none")
    seen = record(below("open", "file", "read", "/etc/ld.so.cache"))
    done = completed_text(text, seen, ETC)
    assert done.added == ('"/etc/ld.so.cache" r,',)
    assert done.notes == ("include <abstractions/none>: there is no such file",)
    assert completed_text(text, record(below("open", "file", "read", "/srv/a")), ETC).notes == ()
    assert completed_text(text, record(*FIVE), ETC).notes == ()


def test_an_object_has_the_base_abstraction_of_its_installer():
    """What each version of it allows is not added, but what is not known of it, or lacks, is."""
    seen = record(
        below("open", "file", "read", "/usr/lib/x/libc.so.6"),
        below("file_mmap", "file", "read mmap", "/usr/lib/x/libc.so.6"),
        below("open", "file", "read write", "/dev/null"),
        below("open", "file", "read", "/opt/data"),
        below("open", "file", "read write", "/lib/state"),
        denial("open", "file", "write", "/lib/written"),
        denial("open", "file", "write", "/opt/written"),
        below("signal", "signal", "send", peer=NULL, signal=15),
    )
    done = completed_apparmor(AppArmorProfile("web"), seen)
    assert done.added == (
        "readWritePaths: /lib/state",  # a list that denies reading would take it away again
        "readWritePaths: /lib/written",
        "readOnlyPaths: /opt/data",
        "writeOnlyPaths: /opt/written",
    )
    assert set(done.left_out) == {
        "/dev/null: is in the profile already",
        "/usr/lib/x/libc.so.6: is in the profile already",
    }
    own = completed_apparmor(AppArmorProfile("web", read_only=("/opt/*",)), seen)
    assert own.added == ("readWritePaths: /lib/state", "readWritePaths: /lib/written")


def test_a_record_of_another_profile_is_refused():
    """What of it is another's is named where some is its own."""
    other = denial("open", "file", "read", "/x", profile="db")
    with pytest.raises(InvalidRecord, match=r"other profiles \(db\)"):
        completed_apparmor(AppArmorProfile("web"), record(other))
    with pytest.raises(InvalidRecord, match="--kind denials"):
        completed_text("profile web {\n}\n", Record())
    done = completed_text("profile web {\n}\n", record(*FIVE[:1], other))
    assert (len(done.added), done.left_out) == (1, ("denials of profile db: this one is web",))


def test_what_no_rule_can_be_made_of_is_named():
    """Limits, changes of profile, names that are not whole, words that are not known."""
    cut = dataclasses.replace(denial("open", "file", "read"), name=Text(b"/a/b", 5000))
    seen = record(
        denial("setrlimit", "rlimits", "", limit=7),
        denial("open", "file", "0x80000", "/x"),
        denial("open", "file", "read", "no/path"),
        cut,
        denial("create", "net", "create", family="99", socket_type="stream"),
    )
    done = completed_text("profile web {\n}\n", seen)
    assert done.added == ()
    assert [each.split(":")[0] for each in done.left_out] == [
        "create of class net",
        "open of class file",
        "open of class file",
        "open of class file",
        "setrlimit of class rlimits",
    ]


def test_signals_ptrace_mounts_and_links():
    """A peer of the same profile is the profile itself, by its own name."""
    seen = record(
        denial("signal", "signal", "send", peer="web", signal=15),
        denial("ptrace", "ptrace", "read", peer="unconfined"),
        denial("mount", "mount", "", "/mnt/", target=text("none"), file_system=text("tmpfs"), mount_flags=2),
        denial("umount", "mount", "", "/mnt/"),
        denial("link", "file", "link", "/a/new", target=text("/a/old")),
        denial("sendmsg", "net", "send", family="unix", socket_type="dgram"),
    )
    assert sorted(completed_text("profile web {\n}\n", seen).added) == [
        'link "/a/new" -> "/a/old",',
        'mount fstype="tmpfs" options=(rw, nosuid) "none" -> "/mnt{,/}",',
        'ptrace (read) peer="unconfined",',
        "signal (send, receive) set=(term) peer=@{profile_name},",
        'umount "/mnt{,/}",',
        "unix (create, getattr, setattr, getopt, setopt, shutdown) type=dgram,",
        "unix (send) type=dgram,",
    ]


def test_audited_and_other_records_are_no_denials():
    """What was allowed and logged needs no rule."""
    with pytest.raises(InvalidRecord):
        completed_text("profile web {\n}\n", record(*FIVE, verdict="audited"))


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("profile web {\n}\n", "web"),
        ('abi <abi/3.0>,\nprofile "my web" /bin/x flags=(complain) {\n  /x r,\n}\n', "my web"),
        ("/usr/sbin/nginx {\n  @{PROC}/1 r,\n}\n", "/usr/sbin/nginx"),
    ],
)
def test_the_name_of_a_text(content, name):
    """With the keyword and without."""
    assert text_profile(content)[0] == name


@pytest.mark.parametrize("content", ["", "profile a {\n}\nprofile b {\n}\n", "profile a {"])
def test_a_text_that_is_not_one_profile_is_refused(content):
    """Nobody guesses where the rules go."""
    with pytest.raises(InvalidProfile, match="one is completed at a time"):
        text_profile(content)


def test_selinux_objects():
    """Permissions of the profile's own type; what an installer refuses is named and not added."""
    before = SelinuxProfile("web", {("etc_t", "file"): ("read",)})
    seen = selinux_record(
        avc("web.process", "etc_t", "file", "read open"),
        avc("web.process", "web.process", "capability", "setuid"),
        avc("db.process", "etc_t", "file", "write"),
    )
    done = completed_selinux(before, seen)
    assert done.added == ("etc_t file: open",)
    assert done.profile.allow == {("etc_t", "file"): ("open", "read")}
    assert len(done.left_out) == 2
    with pytest.raises(InvalidProfile, match=re.escape("mail.process")):
        completed_selinux(SelinuxProfile("mail"), seen)


def called(allowed="", denied="", abi=Abi.X86_64):
    sets = {}
    for outcome, names in ((Outcome.ALLOWED, allowed), (Outcome.DENIED, denied)):
        numbers = Numbers.of(syscall_number(abi, name) for name in names.split())
        sets[CallKey(abi, Phase.WORKLOAD, outcome)] = numbers
    return Record((Observation(Source("n", "b", 1, 1), calls=sets),))


def test_seccomp_profiles():
    """What was refused, or called meanwhile, is allowed, and taken from the rules that refuse it."""
    before = SeccompProfile(
        "web",
        ERRNO,
        ("SCMP_ARCH_X86_64",),
        (Rule(("read",), ALLOW), Rule(("clone3", "statx"), ERRNO, 38)),
    )
    done = completed_seccomp(before, called("read write", "statx").join(called()))
    assert done.added == ("SCMP_ACT_ALLOW: statx", "SCMP_ACT_ALLOW: write")
    assert done.profile.rules == (Rule(("read", "statx", "write"), ALLOW), Rule(("clone3",), ERRNO, 38))
    assert completed_seccomp(done.profile, called("read write", "statx")).added == ()


def test_seccomp_of_another_architecture_and_of_a_rule_that_decides_first():
    """Neither is guessed over; both are said."""
    rules = (Rule(("mount",), ERRNO, 1), Rule(("read",), ALLOW))
    before = SeccompProfile("web", ERRNO, ("SCMP_ARCH_X86_64",), rules)
    foreign = completed_seccomp(before, called(denied="getpid", abi=Abi.I386))
    assert (foreign.added, foreign.profile) == ((), before)
    assert foreign.left_out == ("i386:getpid: the profile does not list that architecture",)
    decided = completed_seccomp(before, called(denied="mount"))
    assert decided.added == ()
    assert decided.left_out == ("mount: a rule before the one that allows decides it",)
    with pytest.raises(InvalidRecord):
        completed_seccomp(before, Record())
