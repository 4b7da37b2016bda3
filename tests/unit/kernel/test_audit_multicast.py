"""Whose a record of the audit multicast is: by the number of its process, while that lives and afterwards."""

import contextlib
import socket
import struct
import subprocess
import time

import pytest

from recorder.kernel import audit_multicast
from recorder.kernel.denial_source import DenialLosses, Scope
from recorder.kernel.denial_table import DenialTable
from recorder.kernel.denials_spec import DenialBounds
from recorder.model.denial import Lack, Verdict
from recorder.model.errors import UnsupportedKernel

pytestmark = pytest.mark.root


@pytest.fixture
def kernel(monkeypatch):
    """The other end of the listener's socket, and the number of lost records that is told."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    lost = [7]
    monkeypatch.setattr(audit_multicast, "open_multicast", lambda _: here)
    monkeypatch.setattr(audit_multicast, "lost_records", lambda: lost[0])
    with there:
        yield there, lost


def _record(pid, wall_ns=None, kind=1400):
    seconds, rest = divmod(wall_ns or time.time_ns(), 10**9)
    text = (
        f"audit({seconds}.{rest // 10**6:03}:1): avc:  denied  {{ read }} for  pid={pid} "
        'comm="x" name="y" scontext=a tcontext=b tclass=file permissive=0'
    ).encode()
    return struct.pack("=IHHII", len(text), kind, 0, 0, 0) + text


@contextlib.contextmanager
def _member(cgroup):
    with subprocess.Popen(["sleep", "100"]) as process:
        (cgroup / "cgroup.procs").write_text(str(process.pid))
        try:
            yield process
        finally:
            process.kill()


def test_whose_a_record_is(kernel, scratch_cgroup):
    """A living process, one that was seen and has ended, one that nobody saw, one that is younger."""
    there, lost = kernel
    cgroup = scratch_cgroup()
    number = cgroup.stat().st_ino
    with (
        contextlib.closing(DenialTable(DenialBounds())) as table,
        contextlib.closing(audit_multicast.AuditMulticast()) as listener,
    ):

        def take(*arguments, **more):
            there.send(_record(*arguments, **more))
            listener.take(table)
            return sum(each.count for each in table.read(number).denials)

        table.watch(number, Scope.WHOLE)
        with _member(cgroup) as seen, _member(cgroup) as unseen:
            assert take(seen.pid) == 1
            assert take(seen.pid, kind=1300) == 1  # no denial
            assert take(seen.pid, time.time_ns() - 3600 * 10**9) == 1
            assert listener.lost()["unattributed"] == 1
            with _member(scratch_cgroup()) as other:
                assert take(other.pid) == 1
            assert table.losses() == DenialLosses(elsewhere=1)
            unseen.kill()
            unseen.wait()
            listener.look(table)
        assert take(unseen.pid) == 1
        assert take(seen.pid) == 2
        lost[0] += 5
        assert listener.lost() == {"audit_lost": 5, "overruns": 0, "unattributed": 2}
        (denial,) = table.read(number).denials
        assert denial.verdict is Verdict.DENIED
        assert (denial.lacks, denial.last.pid, denial.last.comm) == ({Lack.FOUND_BY_PID}, seen.pid, b"x")
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        assert now - 60 * 10**9 < denial.first.time_ns <= denial.last.time_ns <= now


def test_another_network_namespace_is_refused(kernel, tmp_path):
    """Nothing would be heard there, and nobody would notice."""
    for name, target in (("self", "a"), ("1", "b")):
        (tmp_path / name / "ns").mkdir(parents=True)
        (tmp_path / target).write_text("")
        (tmp_path / name / "ns" / "net").symlink_to(tmp_path / target)
    with pytest.raises(UnsupportedKernel, match="initial network namespace"):
        audit_multicast.AuditMulticast(tmp_path)
