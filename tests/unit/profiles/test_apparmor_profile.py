"""The abstract form: which list each path is in, what is denied to whom, what it cannot say."""

import re
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml

from recorder.model.access import (
    Capability,
    CapabilityRight,
    File,
    FileRight,
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
)
from recorder.model.errors import InvalidProfile
from recorder.model.record import Observation, Provenance, Record, Source
from recorder.profiles.annotations import PREFIX
from recorder.profiles.apparmor_annotations import apparmor_annotations, explanation
from recorder.profiles.apparmor_profile import abstract_profile
from recorder.profiles.apparmor_rules import apparmor_rules
from recorder.profiles.apparmor_yaml import from_yaml, to_object, to_yaml
from recorder.profiles.path_tree import THRESHOLDS, Thresholds
from tests.truth.installed import installed
from tests.unit.profiles.accessed import did, files
from tests.unit.profiles.globs import regex_of

CRD = yaml.safe_load((Path(__file__).parents[3] / "deploy/crds/apparmorprofile.yaml").read_text())
SCHEMA = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
# As the API states it, less the exception for ptrace
TAKEN = re.compile(r"^(?:/[a-zA-Z0-9_./*?+@{} -]*)$")


def profile_of(*seen):
    return abstract_profile(apparmor_rules(seen), "web")


def permissions(profile):
    """Per path text: which permissions an installer allows and denies, by the API's own rules."""
    rules = []
    for texts, allowed, denied in (
        (profile.executables, "ixr", ""),
        (profile.libraries, "mr", ""),
        (profile.read_only, "r", "wlk"),
        (profile.write_only, "wlk", "r"),
        (profile.read_write, "rwlk", ""),
    ):
        rules += [(regex_of(text), set(allowed), set(denied)) for text in texts]
    return rules


def may(profile, path, letters):
    """Whether an installed profile lets a path be used so: denials win."""
    rules = [(allowed, denied) for regex, allowed, denied in permissions(profile) if regex.fullmatch(path)]
    allowed = set().union(*(each for each, _ in rules)) - set().union(*(each for _, each in rules))
    return set(letters) <= allowed


def test_each_path_is_in_the_list_of_its_rights():
    """Executed, mapped, read, written, both; a program that is also written is in two lists."""
    profile = profile_of(
        files(
            "x /bin/sh\nrm /lib/libc.so.6\nr /etc/hosts\nw /var/log/x\nrw /var/db\na /var/log/y\n"
            "rx /a/tool\nw /a/tool\nrk /a/lock\nr /etc/\nc /a/folder/"
        )
    )
    assert profile.executables == ("/a/tool", "/bin/sh")
    assert profile.libraries == ("/lib/libc.so.6",)
    assert profile.read_only == ("/etc/", "/etc/hosts")
    assert profile.write_only == ("/a/folder/", "/var/log/x", "/var/log/y")
    assert profile.read_write == ("/a/lock", "/a/tool", "/var/db")


def test_what_every_installed_profile_denies_is_said():
    """Writing what is not a process's in /proc, and a few files at all; reading the rest is not."""
    denied = [
        "rw /proc/sys/net/core/somaxconn",
        "w /proc/sysrq-trigger",
        "r /sys/firmware/efi/efivars/Boot0000",
    ]
    allowed = [
        "r /proc/sys/net/core/rmem_max",
        "rw /proc/7/oom_score_adj",
        "w /proc/sys/kernel/shmmax",
        "r /proc/stat",
    ]
    warnings = profile_of(files("\n".join(denied + allowed))).warnings
    said = {each.partition(":")[0] for each in warnings if "in every profile" in each}
    assert said == {each.split()[1] for each in denied}


def test_a_pattern_never_denies_what_another_path_needs():
    """A read-only pattern over a written path is taken apart; each path keeps what it had."""
    seen = "".join(f"r /etc/app/{n:02d}.conf\n" for n in range(20)) + "rw /etc/app/99.conf\n"
    profile = profile_of(files(seen))
    assert len(profile.read_only) == 20
    assert may(profile, b"/etc/app/99.conf", "rw")
    assert may(profile, b"/etc/app/07.conf", "r")
    assert not may(profile, b"/etc/app/07.conf", "w")
    assert any("path by path" in each for each in profile.warnings)


def test_a_write_only_pattern_does_not_take_reading_away():
    """Temporary names cannot be taken apart: what would be denied is allowed, and it is said."""
    seen = did(
        (File(b"/tmp/tmp.aB3xYz9k1Q"), FileRight.CREATE | FileRight.WRITE | FileRight.REMOVE),
        (File(b"/tmp/tmp.{secret}"), FileRight.READ),
    )
    profile = profile_of(seen)
    assert may(profile, b"/tmp/tmp.aB3xYz9k1Q", "w")
    assert may(profile, b"/tmp/tmp.zzzzzzzzzz", "rw")
    assert may(profile, b"/tmp/tmp.other", "r")
    assert any("may be read and written" in each for each in profile.warnings)


def test_a_hard_link_has_what_its_file_has():
    """The kernel asks that the new name may do no more than the old one."""
    profile = profile_of(files("L /a/two /a/one\nr /a/one"))
    assert (profile.read_write, profile.write_only) == (("/a/one",), ("/a/two",))
    assert may(profile, b"/a/one", "rwlk")
    assert may(profile, b"/a/two", "wlk")
    assert any("hard link" in each for each in profile.warnings)


def test_names_that_an_installer_refuses_become_patterns():
    """One refused path would be the whole profile's end: a ? stands for each such byte, with a warning."""
    names = ["/a/é", "/a/x y", "/a/[b]", "/a/x,y", '/a/"', "/a/#", "/a/\n", "/a/(x)", "/a/x:y", "/a/{x}"]
    seen = did(*((File(each.encode()), FileRight.READ) for each in names))
    profile = profile_of(seen)
    assert all(TAKEN.fullmatch(each) for each in profile.read_only)
    assert all(may(profile, each.encode(), "r") for each in names)
    assert "/a/??" in profile.read_only
    assert sum("installer refuses" in each for each in profile.warnings) == len(set(profile.read_only))


def test_protocols_are_those_that_were_used():
    """TCP only for inet stream, UDP only for inet datagram, raw only for raw."""

    def flags(*sockets):
        profile = profile_of(files("r /x").join(did(*((each, SocketRight.CREATE) for each in sockets))))
        return (profile.tcp, profile.udp, profile.raw)

    assert flags() == (False, False, False)
    assert flags(Socket(2, 1)) == flags(Socket(10, 1, 6)) == (True, False, False)
    assert flags(Socket(2, 2, 17)) == (False, True, False)
    assert flags(Socket(2, 3, 1)) == flags(Socket(16, 3)) == flags(Socket(17, 3)) == (False, False, True)
    assert flags(Socket(16, 2), Socket(40, 1), Socket(17, 2)) == (False, False, False)


def test_what_it_cannot_say_is_warned_of():
    """Each sort once."""
    seen = files("r /x").join(
        did(
            (UnixSocket(1, b"\0x"), SocketRight.BIND),
            (Signal(15), SignalRight.SEND),
            (Ptrace(), PtraceRight.READ),
            (Mount(MountStep.UMOUNT, b"", b"/mnt"), 0),
            (Socket(16, 3), SocketRight.CREATE),
            (Socket(40, 1), SocketRight.CREATE),
            (Capability(21), CapabilityRight.GRANTED),
        )
    )
    profile = profile_of(seen)
    assert profile.capabilities == ("sys_admin",)
    begin = [each.split(":")[0] for each in profile.warnings]
    assert begin == [
        "UNIX sockets",
        "mount, umount and pivot_root",
        "network netlink raw",
        "network vsock stream",
        "ptrace",
        "signals",
    ]


def test_what_the_base_abstraction_has_is_not_missing():
    """To be looked at and traced, and signalled by who is unconfined; by a profile's processes is more."""
    base = did(
        (File(b"/a"), FileRight.READ),
        (Ptrace(), PtraceRight.READ_BY | PtraceRight.TRACED_BY),
        (Signal(15, Peer(label=b"unconfined")), SignalRight.RECEIVE),
        (Signal(9), SignalRight.RECEIVE),
    )
    assert profile_of(base).warnings == ()
    more = did((File(b"/a"), FileRight.READ), (Signal(15, Peer(label=b"other")), SignalRight.RECEIVE))
    assert [each.split(":")[0] for each in profile_of(more).warnings] == ["signals"]


def test_the_object_is_the_apis():
    """It has the fields of the CRD and no other, and reads back."""
    seen = files("x /bin/sh\nrm /lib/l.so\nr /etc/hosts\nw /a\nrw /b").join(
        did((Socket(2, 1), 1), (Socket(2, 2), 1), (Socket(2, 3), 1), (Capability(7), 1))
    )
    record = Record(
        (
            Observation(
                Source("n", "b", 1, 1),
                accesses=seen,
                provenance=Provenance(kernel_release="6.1", kinds="accesses"),
            ),
        )
    )
    rules = apparmor_rules([each.accesses for each in record.observations])
    plain = abstract_profile(rules, "web")
    profile = type(plain)(
        **{
            **{name: getattr(plain, name) for name in plain.__slots__},
            "annotations": apparmor_annotations(record, rules, plain),
        }
    )
    written = to_object(profile)
    jsonschema.validate(written, SCHEMA)
    assert unknown(written["spec"], SCHEMA["properties"]["spec"]) == []
    assert written["spec"]["abstract"]["network"] == {
        "allowRaw": True,
        "allowedProtocols": {"allowTcp": True, "allowUdp": True},
    }
    assert profile.annotations[f"{PREFIX}/kernel"] == "6.1"
    read = from_yaml(to_yaml(profile))
    assert to_yaml(read) == to_yaml(profile)
    assert (read.tcp, read.executables, read.capabilities) == (True, ("/bin/sh",), ("setuid",))


def unknown(value, schema, path="spec"):
    if isinstance(value, dict):
        known = schema.get("properties", {})
        found = [f"{path}.{key}" for key in value if key not in known]
        return found + [
            each for key in value if key in known for each in unknown(value[key], known[key], f"{path}.{key}")
        ]
    return []


def test_nothing_is_refused_with_a_reason():
    """A profile that allows nothing starts no program."""
    with pytest.raises(InvalidProfile, match="--kind accesses"):
        profile_of(files(""))
    with pytest.raises(InvalidProfile, match="lower-case"):
        abstract_profile(apparmor_rules([files("r /x")]), "Web")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mode": "Off"}, "spec.mode"),
        ({"abstract": {"files": {}}}, "spec.abstract.files"),
        ({"abstract": {"network": {"allowRaw": "yes"}}}, "spec.abstract.network.allowRaw"),
        ({"abstract": {"filesystem": {"readOnlyPaths": "/x"}}}, "spec.abstract.filesystem.readOnlyPaths"),
    ],
)
def test_an_object_that_is_wrong_is_refused(change, said):
    """With the field's path."""
    value = to_object(profile_of(files("r /x")))
    value["spec"] |= change
    with pytest.raises(InvalidProfile, match=re.escape(said)):
        from_yaml(yaml.safe_dump(value))


def test_generalisation_is_counted_in_the_object_and_explained_beside_it():
    """Counts by rule and one digest; the lines have the names."""
    seen = files("".join(f"r /srv/d/{n:02d}\n" for n in range(11)) + "r /proc/12/stat\nr /proc/13/maps")
    rules = apparmor_rules([seen])
    lines = explanation(rules)
    assert lines == (
        "/proc/@{pid}: pid: 1 names: 12",
        "/proc/@{pid}: pid: 1 names: 13",
        "/srv/d/*: threshold: 11 names (more than 10): 00, 01, 02, ...",
    )
    found = apparmor_annotations(Record(), rules, abstract_profile(rules, "x"))
    assert re.fullmatch(r'\{"pid":1,"sha256":"[0-9a-f]{64}","threshold":1\}', found[f"{PREFIX}/generalised"])


def test_what_is_installed_loads():
    """An installer takes every path, also of hostile names, and the parser the text that it makes."""
    hostile = [bytes([each]) for each in (*range(1, 0x30, 3), *b'"*?[]{}()^@#,\\ \t\n', 0x7F, 0x80, 0xFF)]
    hostile = [each for each in hostile if each != b"/"]
    seen = did(
        *((File(b"/h/" + each), FileRight.READ) for each in hostile),
        *((File(b"/x/" + each), FileRight.EXEC) for each in hostile),
        *((File(b"/m/%d/" % n + each), FileRight.MMAP_EXEC) for n, each in enumerate(hostile)),
        *((File(b"/w/" + each + b"/f"), FileRight.WRITE) for each in hostile),
        (File(b"/proc/7/stat"), FileRight.READ),
        (File(b"/tmp/tmp.aB3xYz9k1Q"), FileRight.CREATE),
        (Socket(2, 1), SocketRight.CREATE),
        (Socket(16, 3), SocketRight.CREATE),
        (Capability(17), CapabilityRight.GRANTED),
    )
    for thresholds in (THRESHOLDS, Thresholds({b"/": 0})):
        profile = abstract_profile(apparmor_rules([seen], thresholds, 5_000), "web.nginx-1")
        text = installed(to_object(profile))
        command = ["apparmor_parser", "-Q", "-K", "--skip-kernel-load"]
        done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr.decode()


def test_names_that_are_new_each_time_are_not_listed_one_by_one():
    """Also where a threshold united more: another run has other names, and the pattern would deny them."""
    seen = files(
        "\n".join(f"r /srv/{n}/id-{n}123456" for n in range(12)) + "\nw /srv/0/id-written\nr /srv/0/own"
    )
    profile = abstract_profile(apparmor_rules([seen]), "x")
    assert profile.read_write == ("/srv/*/id-?*",)
