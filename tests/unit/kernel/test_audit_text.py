"""Texts of the audit log as values; the texts are those that kernels 6.1 to 7.3 wrote."""

import pytest

from recorder.kernel.audit_text import audit_record
from recorder.model.denial import AppArmorDenial, SelinuxDenial, Verdict

HEAD = b"audit(1700000000.123:456): "


def _details(text):
    record = audit_record(HEAD + text)
    assert record is not None
    return record.details


def test_a_file_of_apparmor():
    """Which denial, whose, and when."""
    record = audit_record(
        HEAD + b'apparmor="DENIED" operation="open" profile="docker-default" name="/etc/shadow" pid=77 '
        b'comm="cat" requested_mask="rw" denied_mask="w" fsuid=1000 ouid=0\0'
    )
    assert (record.verdict, record.pid, record.comm, record.serial) == (Verdict.DENIED, 77, b"cat", 456)
    assert record.wall_ns == 1_700_000_000_123_000_000
    seen = record.details
    assert isinstance(seen, AppArmorDenial)
    assert (seen.operation, seen.object_class, seen.complain) == ("open", "file", False)
    assert (seen.profile.content, seen.name.content, seen.owner) == (b"docker-default", b"/etc/shadow", 0)
    assert (seen.requested, seen.denied) == (("read", "write"), ("write",))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            b'apparmor="ALLOWED" operation="capable" class="cap" profile="p" pid=1 comm="x" capability=12 '
            b'capname="net_admin"',
            {"object_class": "capability", "capability": "net_admin", "complain": True},
        ),
        (
            b'apparmor="DENIED" operation="create" class="net" profile="p" pid=1 comm="x" family="inet6" '
            b'sock_type="raw" protocol=58 requested_mask="create" denied_mask="create"',
            {"object_class": "net", "family": "inet6", "socket_type": "raw", "protocol": 58},
        ),
        (
            b'apparmor="DENIED" operation="signal" class="signal" profile="p" pid=1 comm="x" '
            b'requested_mask="send" denied_mask="send" signal=usr1 peer="unconfined"',
            {"object_class": "signal", "signal": 10, "requested": ("send",)},
        ),
        (
            b'apparmor="DENIED" operation="signal" profile="p" pid=1 comm="x" requested_mask="send" '
            b'denied_mask="send" signal=rtmin+2 peer="unconfined"',
            {"object_class": "signal", "signal": 34},
        ),
        (
            b'apparmor="DENIED" operation="signal" profile="p" pid=1 comm="x" requested_mask="send" '
            b'denied_mask="send" signal=stp peer="unconfined"',
            {"object_class": "signal", "signal": 20},
        ),
        (
            b'apparmor="DENIED" operation="setrlimit" profile="p" pid=1 comm="x" rlimit=nofile value=9',
            {"object_class": "rlimits", "limit": 7},
        ),
        (
            b'apparmor="DENIED" operation="ptrace" profile="p" pid=1 comm="x" requested_mask="trace" '
            b'denied_mask="trace" peer="unconfined"',
            {"object_class": "ptrace", "denied": ("trace",)},
        ),
    ],
)
def test_what_the_other_classes_have(text, expected):
    """With the class, which is written from 6.4 on, and without."""
    seen = _details(text)
    assert {name: getattr(seen, name) for name in expected} == expected


def test_a_mounts_file_system_is_no_peer():
    """Its source is the target, as in the kernel side's entries."""
    seen = _details(
        b'apparmor="DENIED" operation="mount" info="failed flags match" error=-13 profile="p" '
        b'name="/mnt/" pid=1 comm="mount" fstype="tmpfs" srcname="none" flags="rw"'
    )
    assert (seen.object_class, seen.target.content, seen.file_system.content) == ("mount", b"none", b"tmpfs")
    assert (seen.info.content, seen.error, seen.peer.content) == (b"failed flags match", -13, b"")


def test_selinux():
    """Permissive and enforcing, a denial and a grant."""
    text = (
        b'avc:  denied  { read open } for  pid=9 comm=6120622022 path=2F612022 dev="vda" ino=3 '
        b"scontext=system_u:system_r:container_t:s0:c1,c2 tcontext=system_u:object_r:shadow_t:s0 "
        b"tclass=file permissive=%d"
    )
    record = audit_record(HEAD + text % 1)
    seen = record.details
    assert isinstance(seen, SelinuxDenial)
    assert (record.verdict, record.comm, record.pid) == (Verdict.ALLOWED, b'a b "', 9)
    assert (seen.object_class, seen.permissions, seen.permissive) == ("file", ("read", "open"), True)
    assert (seen.name.content, seen.target.content) == (b'/a "', b"system_u:object_r:shadow_t:s0")
    assert audit_record(HEAD + text % 0).verdict is Verdict.DENIED
    assert audit_record(HEAD + (text % 0).replace(b"denied", b"granted")).verdict is Verdict.AUDITED


def test_a_capability_and_a_port_of_selinux():
    """Numbers as include/uapi/linux/capability.h has them."""
    rest = b"scontext=a tcontext=b tclass=c permissive=0"
    assert (
        _details(b'avc:  denied  { x } for  pid=1 comm="a" capability=21  ' + rest).capability == "sys_admin"
    )
    assert _details(b'avc:  denied  { x } for  pid=1 comm="a" dest=443 ' + rest).port == 443


def test_names_of_any_bytes():
    """Hex where the kernel wrote hex, and not where a name only looks like it; cut as an entry is."""
    text = b'apparmor="DENIED" operation="open" profile="ABCD" name=%s pid=1 comm="x" requested_mask="r"'
    odd = b'/a\nb"c\xff\x1b[31m pid=2 x='
    assert _details(text % odd.hex().upper().encode()).name.content == odd
    assert _details(text % b'"AB"').name.content == b"AB"
    assert _details(text % b'"AB"').profile.content == b"ABCD"
    name = _details(text % (b"/" + b"n" * 3999).hex().upper().encode()).name
    assert (len(name.content), name.length, name.cut) == (1024, 4000, True)


def test_two_that_differ_behind_the_cut():
    """Their details are the same, and they are told apart; the same again is not, whoever it was."""

    def record(end, pid):
        name = (b"/" + b"n" * 3998 + end).hex().upper().encode()
        return audit_record(
            HEAD + b'apparmor="DENIED" operation="open" profile="p" name=%s pid=%d comm="x"' % (name, pid)
        )

    one, again, other = record(b"1", 1), record(b"1", 2), record(b"2", 1)
    assert one.details == other.details
    assert one.behind == again.behind != other.behind
    assert audit_record(HEAD + b'apparmor="DENIED" operation="open" name="/a" pid=1').behind == b""


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b'apparmor="DENIED"',
        HEAD + b"user pid=1 msg='x'",
        HEAD + b'apparmor="DENIED" operation="open" pid=x',
        HEAD + b"avc:  denied  { read for  pid=1",
    ],
)
def test_what_is_none_of_these_is_none(text):
    """Other records, and what nobody writes."""
    assert audit_record(text) is None
