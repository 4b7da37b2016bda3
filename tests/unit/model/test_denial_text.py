"""Denials as words, as a line, and as JSON: whatever bytes the kernel's names are made of."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.model.abi import Abi
from recorder.model.denial import AppArmorDenial, SelinuxDenial, Text
from recorder.model.denial_text import (
    denial_object,
    denial_text,
    denied_call_object,
    denied_call_text,
    json_text,
    line,
    shown,
)

MKDIR = 83  # of x86-64: arch/x86/entry/syscalls/syscall_64.tbl
ALL_BYTES = bytes(range(1, 256))
names = st.binary(max_size=600).map(lambda name: name.replace(b"\0", b""))


def text(content, length=0):
    return Text(content, length or len(content))


def apparmor(name=b"", /, **changed):
    given = {
        "operation": "open",
        "object_class": "file",
        "profile": text(b"docker-default"),
        "namespace": Text(),
        "complain": False,
        "requested": ("write", "create"),
        "denied": ("write",),
        "name": text(name),
        "target": Text(),
        "peer": Text(),
        "info": Text(),
        "error": -13,
    }
    return AppArmorDenial(**{**given, **changed})


def selinux(name=b"", /, **changed):
    given = {
        "source": text(b"system_u:system_r:container_t:s0:c1,c2"),
        "target": text(b"system_u:object_r:shadow_t:s0"),
        "object_class": "file",
        "permissions": ("read", "open"),
        "permissive": False,
        "name": text(name),
    }
    return SelinuxDenial(**{**given, **changed})


def said(details, verdict="denied", **more):
    return line(denial_text(verdict, details), **more)


LINES = {
    "a file": (
        said(apparmor(b"/etc/shadow"), count=3, comm=b"cat"),
        "apparmor denied open(write) /etc/shadow of docker-default, 3 times, by cat",
    ),
    "once": (said(apparmor(b"/x"), count=1), "apparmor denied open(write) /x of docker-default, once"),
    "a link": (
        said(apparmor(b"/b", operation="link", target=text(b"/a b"), denied=("link",))),
        r"apparmor denied link(link) /b -> /a\x20b of docker-default",
    ),
    "complain mode": (
        said(apparmor(b"/x", denied=()), "allowed"),
        "apparmor allowed open(write,create) /x of docker-default",
    ),
    "a capability": (
        said(
            apparmor(
                operation="capable",
                object_class="capability",
                requested=(),
                denied=(),
                capability="net_admin",
            )
        ),
        "apparmor denied capable net_admin of docker-default",
    ),
    "a socket": (
        said(
            apparmor(
                operation="create",
                object_class="net",
                denied=("create",),
                family="inet",
                socket_type="dgram",
                port=53,
            )
        ),
        "apparmor denied create(create) inet dgram port=53 of docker-default",
    ),
    "a signal": (
        said(
            apparmor(
                operation="signal",
                object_class="signal",
                denied=("send",),
                signal=9,
                peer=text(b"un confined"),
            )
        ),
        r"apparmor denied signal(send) signal=9 peer=un\x20confined of docker-default",
    ),
    "a mount": (
        said(
            apparmor(
                b"/mnt/",
                operation="mount",
                object_class="mount",
                requested=(),
                denied=(),
                file_system=text(b"tmpfs"),
                info=text(b"failed flags match"),
            )
        ),
        r"apparmor denied mount /mnt/ type=tmpfs of docker-default (failed\x20flags\x20match)",
    ),
    "a limit": (
        said(apparmor(operation="setrlimit", object_class="rlimits", requested=(), denied=(), limit=7)),
        "apparmor denied setrlimit limit=7 of docker-default",
    ),
    "a namespace": (
        said(apparmor(b"/x", namespace=text(b"lxd"))),
        "apparmor denied open(write) /x of :lxd:docker-default",
    ),
    "of SELinux": (
        said(selinux(b"/etc/shadow")),
        "selinux denied file(read,open) /etc/shadow tcontext=system_u:object_r:shadow_t:s0"
        " of system_u:system_r:container_t:s0:c1,c2",
    ),
    "a port of SELinux": (
        said(selinux(object_class="tcp_socket", permissions=("name_bind",), family="inet6", port=80)),
        "selinux denied tcp_socket(name_bind) inet6 port=80 tcontext=system_u:object_r:shadow_t:s0"
        " of system_u:system_r:container_t:s0:c1,c2",
    ),
    "a call": (line(denied_call_text(Abi.X86_64, MKDIR), comm=b"sh"), "seccomp denied mkdir x86_64, by sh"),
    "a number without a name": (line(denied_call_text(9, 999)), "seccomp denied #999 abi9"),
    "the rest": (line(denial_text("rest", None), count=7), "rest rest more-than-are-kept, 7 times"),
    "what is lacking": (
        line(denial_text("denied", apparmor(), ("path_cut", "class_unknown"))),
        "apparmor denied open(write) of docker-default (class_unknown, path_cut)",
    ),
}


@pytest.mark.parametrize("case", LINES)
def test_a_denial_is_one_line(case):
    """Who, what, to which object, under which profile."""
    given, expected = LINES[case]
    assert given == expected


@pytest.mark.parametrize(
    "name",
    [
        ALL_BYTES,
        b"\n" * 20,
        b"\"'`$(x)",
        b"\x1b[2J\x9b31m",
        b"\xff\xfe",
        "\u202e\u2028é".encode(),
        b"x" * 4000,
    ],
    ids=["every byte", "newlines", "quotes", "escape codes", "no UTF-8", "bidirectional", "4,000 characters"],
)
def test_no_name_breaks_a_line(name):
    """Not of a path, a peer, a context, a task: each stays printable, without a space, and bounded."""
    hostile = text(name)
    apart = apparmor(name, target=hostile, peer=hostile, info=hostile, profile=hostile, file_system=hostile)
    for details in (apart, selinux(name, source=hostile, target=hostile)):
        told = line(denial_text("denied", details), count=1, comm=name[:15])
        assert told.isprintable()
        assert len(told) < 7 * 4 * 300
    assert " " not in shown(hostile)


@given(names, names)
def test_two_names_never_look_the_same(one, other):
    """As long as all of both is shown."""
    if max(len(one), len(other)) <= 60 and one != other:
        raw = (one + other).decode("utf-8", "surrogateescape")
        if not any("\x80" <= each < "\xa1" or "\udc80" <= each <= "\udcff" for each in raw):
            assert shown(text(one)) != shown(text(other))


def test_words_are_bounded():
    """Those of a module come by way of an agent: a class, an operation, as many permissions as a mask has."""
    words = ("\U0010ffff" * 256,) * 64
    for details in (apparmor(denied=words), selinux(permissions=words, object_class="x" * 256)):
        found = denial_text("denied", details)
        assert len(found.action) == 253
        assert found.action.endswith("…")
        assert len(found.object_class) <= 65


def test_a_name_that_is_cut_says_so():
    """What the kernel side did not keep, and what is not shown: with the bytes that it had."""
    assert shown(text(b"/abc", 4000)) == "/abc…[4000B]"
    assert shown(text(b"x" * 254)) == "x" * 253 + "…[254B]"
    assert shown(text(b"x" * 253)) == "x" * 253


@pytest.mark.parametrize("byte", range(1, 256))
def test_every_byte_comes_back_from_json(byte):
    """As text, or in base64 if it is no UTF-8: in one line of ASCII that holds no control."""
    name = b"/a" + bytes((byte,)) + b"b"
    told = json_text(denial_object("denied", apparmor(name)))
    assert told.isascii()
    assert told.isprintable()
    found = json.loads(told)
    if byte < 0x80:
        assert found["name"].encode() == name
        assert "nameBase64" not in found
    else:
        assert found["name"] == rf"/a\x{byte:02x}b"
        assert base64.b64decode(found["nameBase64"]) == name


def test_json_of_apparmor_has_all_that_there_is():
    """And nothing of what there is not."""
    told = denial_object("denied", apparmor(b"/etc/shadow", owner=1000), ("path_cut",))
    assert told == {
        "kind": "apparmor",
        "verdict": "denied",
        "operation": "open",
        "objectClass": "file",
        "profile": "docker-default",
        "complain": False,
        "requested": ["write", "create"],
        "denied": ["write"],
        "name": "/etc/shadow",
        "error": -13,
        "owner": 1000,
        "lacks": ["path_cut"],
    }


def test_json_of_selinux_has_all_that_there_is():
    """Contexts, class, permissions; a name that is cut with the length that it had."""
    told = denial_object("allowed", selinux(b"/x", name=text(b"/x", 4000), permissive=True))
    assert told == {
        "kind": "selinux",
        "verdict": "allowed",
        "source": "system_u:system_r:container_t:s0:c1,c2",
        "target": "system_u:object_r:shadow_t:s0",
        "objectClass": "file",
        "permissions": ["read", "open"],
        "permissive": True,
        "name": "/x",
        "nameLength": 4000,
    }


def test_json_of_calls_and_of_the_rest():
    """A number that has no name has none."""
    call = {"kind": "seccomp", "verdict": "denied", "abi": "x86_64", "number": MKDIR, "syscall": "mkdir"}
    assert denied_call_object(Abi.X86_64, MKDIR) == call
    assert denied_call_object(9, 999) == {
        "kind": "seccomp",
        "verdict": "denied",
        "abi": "abi9",
        "number": 999,
    }
    assert denial_object("rest", None) == {"kind": "rest", "verdict": "rest"}


@given(names)
def test_json_of_any_name_is_that_name(name):
    """Of up to 600 bytes; nothing is shortened."""
    found = json.loads(json_text(denial_object("denied", selinux(name))))
    told = base64.b64decode(found["nameBase64"]) if "nameBase64" in found else found.get("name", "").encode()
    assert told == name
