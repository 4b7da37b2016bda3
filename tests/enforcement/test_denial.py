"""The reader of AUDIT_SECCOMP records that tells a container's programs from the runtime that starts them."""

import pytest

from tests.enforcement.denial import ERRNO, LOG, Answer, called, parse
from tests.truth.audit import AuditError

RECORD = (
    b"auid=0 uid=0 gid=0 ses=7 pid=75 "
    b'comm="sh" exe="/usr/bin/dash" sig=0 arch=c000003e syscall=39 compat=0 ip=0x401 code=0x50026'
)
CRUN = RECORD.replace(b"/usr/bin/dash", b"/usr/bin/crun")


def test_a_denial_has_its_action_without_the_errno_and_its_executable():
    answer = parse(RECORD)
    assert answer == Answer(session=7, pid=75, arch=0xC000003E, number=39, action=ERRNO, exe="/usr/bin/dash")
    assert answer.name == "getpid"


def test_an_executable_with_a_space_is_hex():
    record = RECORD.replace(b'"/usr/bin/dash"', b"/memfd:a (deleted)".hex().encode())
    assert parse(record).exe == "/memfd:a (deleted)"


def test_only_the_session_and_action_asked_for_count_and_not_the_runtime():
    others = [RECORD.replace(b"ses=7", b"ses=8"), RECORD.replace(b"0x50026", b"0x7ffc0000"), CRUN]
    assert called(map(parse, [RECORD, *others]), 7, "crun", ERRNO) == {"getpid"}
    assert called(map(parse, others), 7, "crun", LOG) == {"getpid"}
    assert called([parse(CRUN)], 7, "crun", ERRNO) == set()


def test_a_32_bit_call_is_named_by_its_own_table():
    assert parse(RECORD.replace(b"c000003e", b"40000003")).name == "mkdir"


def test_a_record_without_the_fields_is_an_error():
    with pytest.raises(AuditError, match="AUDIT_SECCOMP"):
        parse(b"something else")
