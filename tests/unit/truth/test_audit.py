"""The parser of AUDIT_SECCOMP records."""

import pytest

from recorder.model.abi import Abi
from tests.truth.audit import AuditError, Entry, parse, truth
from tests.truth.calls import Call, Truth

RECORD = (
    b"audit(1795620784.448:2): auid=0 uid=0 gid=0 ses=7 pid=75 "
    b'comm="five" exe="/five" sig=0 arch=c000003e syscall=39 compat=0 ip=0x401 code=0x7ffc0000'
)


def test_reads_session_pid_architecture_and_number():
    assert parse(RECORD) == Entry(session=7, pid=75, arch=0xC000003E, number=39)


def test_reads_a_record_with_an_lsm_label_and_a_negative_number():
    record = RECORD.replace(b"ses=7", b"ses=7 subj=unconfined").replace(b"syscall=39", b"syscall=-1")
    assert parse(record) == Entry(7, 75, 0xC000003E, -1)


def test_a_record_of_another_action_is_not_the_log_filters():
    assert parse(RECORD.replace(b"0x7ffc0000", b"0x80000000")) is None


def test_a_record_without_the_fields_is_an_error():
    with pytest.raises(AuditError, match="AUDIT_SECCOMP"):
        parse(b"audit(1.2:3): something else")


def test_abis_come_from_the_architecture_and_the_x32_bit():
    entries = [
        Entry(7, 75, 0xC000003E, 39),
        Entry(7, 75, 0xC000003E, 0x40000000 | 39),
        Entry(7, 75, 0x40000003, 20),
    ]
    expected = frozenset({Call(Abi.X86_64, 39), Call(Abi.X32, 39), Call(Abi.I386, 20)})
    assert truth(entries, status=3) == Truth(expected, status=3)


def test_numbers_that_no_kernel_has_are_kept_apart():
    entries = [Entry(7, 75, 0xC000003E, number) for number in (-1, 600, 0x7FFFFFFF)]
    assert truth(entries) == Truth(frozenset(), unknown=frozenset({-1, 600, 0x7FFFFFFF}))


def test_an_architecture_without_an_abi_is_an_error():
    with pytest.raises(AuditError, match="0x1234"):
        truth([Entry(7, 75, 0x1234, 1)])
