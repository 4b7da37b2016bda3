"""Entries of shared memory as values; numbers and bytes are from the kernel's sources and audit records."""

import ctypes

import pytest

from recorder.kernel import denials_names
from recorder.kernel.denials_layout import Entry, Flag, Kind, Module, Text
from recorder.kernel.denials_reading import denial_of
from recorder.model.denial import AppArmorDenial, Lack, SelinuxDenial, Sighting, Verdict

PLACES = {
    "operation": Text.TEXT_OPERATION,
    "info": Text.TEXT_INFO,
    "space": Text.TEXT_SPACE,
    "subject": Text.TEXT_SUBJECT,
    "peer": Text.TEXT_PEER,
    "target": Text.TEXT_TARGET,
    "name": Text.TEXT_NAME,
}


def _entry(module=Module.MODULE_APPARMOR, texts=None, **what):
    entry = Entry(cgroup_id=77, first_ns=5, last_ns=9, count=3, first_pid=10, last_pid=11)
    entry.first_comm, entry.last_comm = b"first", b"last"
    entry.what.module = module
    for name, value in what.items():
        setattr(entry.what, name, value)
    for name, content in (texts or {}).items():
        field = getattr(Entry, name)
        # what an earlier denial left behind the end is no part of it
        room = (content + b"\0" + b"old" * field.size)[: field.size]
        ctypes.memmove(ctypes.addressof(entry) + field.offset, room, field.size)
        entry.length[PLACES[name]] = len(content)
    return entry


def test_a_file_of_apparmor():
    """`requested_mask="wc"` is write (2) and create (0x10) in security/apparmor/include/perms.h."""
    texts = {"operation": b"mknod", "subject": b"docker-default", "name": b"/proc/x"}
    found = denial_of(_entry(texts=texts, kind=2, object_class=2, requested=0x12, denied=0x10, owner=1000))
    assert (found.cgroup_id, found.count, found.verdict) == (77, 3, Verdict.DENIED)
    assert (found.first, found.last) == (Sighting(5, 10, b"first"), Sighting(9, 11, b"last"))
    seen = found.details
    assert isinstance(seen, AppArmorDenial)
    assert (seen.operation, seen.object_class, seen.complain) == ("mknod", "file", False)
    assert (seen.profile.content, seen.name.content) == (b"docker-default", b"/proc/x")
    assert (seen.requested, seen.denied, seen.owner) == (("write", "create"), ("create",), 1000)
    assert (seen.family, seen.capability, seen.signal) == (None, None, None)


def test_a_capability_and_a_socket():
    """capability=21 is sys_admin; family 10 and type 3 are inet6 and raw (include/linux/socket.h)."""
    found = denial_of(_entry(kind=1, object_kind=3, capability=21, mode=1)).details
    assert (found.capability, found.object_class, found.complain) == ("sys_admin", "capability", True)
    found = denial_of(_entry(object_class=14, family=10, socket_type=3, protocol=58, requested=0x10)).details
    assert (found.family, found.socket_type, found.protocol) == ("inet6", "raw", 58)
    assert found.requested == ("create",)


def test_a_mounts_file_system_is_no_peer():
    """A mount has its source as target, and its file system's type beside it."""
    texts = {"operation": b"mount", "target": b"none", "peer": b"tmpfs", "name": b"/mnt/"}
    found = denial_of(_entry(texts=texts, object_class=7, mount_flags=32)).details
    assert (found.target.content, found.file_system.content, found.peer.content) == (b"none", b"tmpfs", b"")
    assert found.mount_flags == 32


@pytest.mark.parametrize(
    ("object_class", "mask", "words"),
    [
        (10, 0x2, ("send",)),
        (9, 0x6, ("trace", "read")),
        (9, 0x8, ("tracedby",)),
        (15, 0x300000, ("accept", "bind")),
        (20, 0x8, ("userns_create",)),
        (2, 0x80000001, ("exec", "0x80000000")),
    ],
)
def test_a_mask_means_what_its_class_says(object_class, mask, words):
    """The same bit has another name in each class; one that has none is shown as it is."""
    assert denials_names.bits(mask, denials_names.class_bits(object_class)) == words


def test_numbers_that_nobody_knows_stay_numbers():
    """A newer kernel's capability, family and class."""
    found = denial_of(_entry(object_class=14, family=99, socket_type=77)).details
    assert (found.family, found.socket_type) == ("99", "77")
    assert denial_of(_entry(object_class=99)).details.object_class == "99"
    assert denial_of(_entry(object_class=3, capability=60)).details.capability == "60"


def test_the_last_of_each_list_has_its_number():
    """CAP_CHECKPOINT_RESTORE is 40, AF_MCTP 45: no name before them is missing."""
    assert denials_names.numbered(40, denials_names.CAPABILITIES) == "checkpoint_restore"
    assert denials_names.numbered(45, denials_names.FAMILIES) == "mctp"
    assert denials_names.numbered(16, denials_names.FAMILIES) == "netlink"


def test_selinux():
    """Permissions as the kernel's table names them, one after the other with a space behind each."""
    texts = {
        "operation": b"file",
        "info": b"read open ",
        "subject": b"system_u:system_r:container_t:s0:c1,c2",
        "peer": b"system_u:object_r:shadow_t:s0",
        "name": b"/etc/shadow",
    }
    found = denial_of(_entry(Module.MODULE_SELINUX, texts, kind=1, mode=1))
    seen = found.details
    assert isinstance(seen, SelinuxDenial)
    assert found.verdict is Verdict.ALLOWED
    assert (seen.object_class, seen.permissions, seen.permissive) == ("file", ("read", "open"), True)
    assert seen.source.content == b"system_u:system_r:container_t:s0:c1,c2"
    assert seen.target.content == b"system_u:object_r:shadow_t:s0"
    assert seen.name.content == b"/etc/shadow"


def test_names_of_any_bytes_and_those_that_were_cut():
    """Bytes are kept as they are; a text that the kernel has longer than its room is marked."""
    odd = b'/a\nb"c\xff\x1b[31m'
    assert denial_of(_entry(texts={"name": odd})).details.name.content == odd
    name = denial_of(_entry(texts={"name": b"n" * 4000})).details.name
    assert (name.content, name.length, name.cut) == (b"n" * 1024, 4000, True)
    name = denial_of(_entry(texts={"name": b"n" * 1024})).details.name
    assert (len(name.content), name.cut) == (1024, False)
    assert denial_of(_entry(texts={"operation": b"\xffop"})).details.operation == "\\xffop"


def test_what_an_entry_lacks():
    """Each flag has its word."""
    entry = _entry(flags=Flag.FLAG_UNREADABLE | Flag.FLAG_PATH_CUT)
    assert denial_of(entry).lacks == {Lack.UNREADABLE, Lack.PATH_CUT}


def test_the_rest_of_a_cgroup_has_no_details():
    """Only its number is known."""
    found = denial_of(_entry(kind=Kind.KIND_REST))
    assert (found.verdict, found.details, found.count) == (Verdict.REST, None, 3)
