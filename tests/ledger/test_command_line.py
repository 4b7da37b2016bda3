"""What `recorder record` says of its ledger: all places agree, and --strict fails for a loss."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.command import Command
from tests.ledger.judgement import profile_said, record_counts, said, summary_said
from tests.member import Guest, Member
from tests.truth import oci

pytestmark = pytest.mark.root

# As `Bounds` in recorder/kernel/spec.py has them by default, which the command uses.
CHILDREN = 256
JOINERS = 512

_MAKE_CHILDREN = """
import os, pathlib, sys
own = pathlib.Path("/proc/self/cgroup").read_text().rpartition("0::")[2].strip()
for number in range(int(sys.argv[2])):
    os.mkdir(f"{sys.argv[1]}{own}/below-{number}")
"""

_CROWD = """
import os, signal, sys
pids = []
for _ in range(int(sys.argv[1])):
    pids.append(os.fork())
    if pids[-1] == 0:
        signal.pause()
print(*pids, flush=True)
sys.stdin.read()
for pid in pids:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run of the command ended: its status, its stderr, the result's text (empty: none)."""

    status: int
    stderr: str
    result: str


def record_command(
    cli: Command, folder: Path, form: str, options: list[str], argv: list[str | Path]
) -> Ended:
    """`recorder record -- COMMAND`."""
    result = folder / form
    done = cli.run("record", "-f", form, "-o", result, *options, "--", *argv)
    return Ended(done.returncode, done.stderr.decode(), result.read_text() if result.exists() else "")


Inside = Callable[[], contextlib.AbstractContextManager[object]]


def record_cgroup(
    cli: Command, folder: Path, form: str, options: list[str], *, cgroup: Path, inside: Inside
) -> Ended:
    """`recorder record --cgroup`, ended by SIGINT when what goes on inside has been entered."""
    result = folder / form
    with cli.started("record", "-f", form, "-o", result, "--cgroup", cgroup, *options) as process:
        first = process.stderr.readline()
        assert b"recording" in first, first
        with inside():
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=60)
    return Ended(process.returncode, stderr.decode(), result.read_text() if result.exists() else "")


def assert_agree(
    runs: Callable[[str, list[str]], Ended], losses: dict[str, int], notes: dict[str, int]
) -> None:
    """The same situation three times: as a record, as a profile, and with --strict."""
    expected = said(losses, notes)
    as_record = runs("record", [])
    assert as_record.status == 0, as_record.stderr
    assert record_counts(as_record.result) == {**losses, **notes}
    assert summary_said(as_record.stderr) == expected
    as_profile = runs("seccomp", [])
    assert as_profile.status == 0, as_profile.stderr
    assert summary_said(as_profile.stderr) == expected
    assert profile_said(as_profile.result) == expected
    strict = runs("names", ["--strict"])
    assert strict.status == (125 if losses else 0), strict.stderr
    assert summary_said(strict.stderr) == expected
    assert strict.result, "the result is written all the same"
    last = strict.stderr.splitlines()[-1]
    if losses:
        assert last.startswith("recorder: INCOMPLETE: "), strict.stderr
        assert expected.verdict in last
    else:
        assert last.startswith("recorder: result: "), strict.stderr


@pytest.mark.parametrize(
    ("words", "losses", "notes"),
    [
        ([], {}, {}),
        (["337", "i:222", "x:575"], {"unnamed_number": 3}, {}),
        (["-5", "i:99999", "x:576", "512"], {}, {"unknown_number": 4}),
        (["511", "512", "513"], {"unnamed_number": 1}, {"unknown_number": 2}),
    ],
)
def test_numbers_of_a_command(*, words, losses, notes, recorder_cli, built_programs, tmp_path):
    argv = [built_programs["rawsys"], "39", *words]
    assert_agree(
        lambda form, options: record_command(recorder_cli, tmp_path, form, options, argv), losses, notes
    )


def test_a_strict_failure_names_the_status_of_command(recorder_cli, tmp_path):
    """125 wins over COMMAND's own status, which is told."""
    argv = ["/bin/sh", "-c", "mkdir -p $0 && rmdir $0; exit 3", tmp_path / "x"]
    assert record_command(recorder_cli, tmp_path, "names", ["--strict"], argv).status == 3
    argv = [sys.executable, "-c", "import ctypes, os; ctypes.CDLL(None).syscall(337); os._exit(3)"]
    ended = record_command(recorder_cli, tmp_path, "names", ["--strict"], argv)
    assert ended.status == 125
    assert "COMMAND ended with status 3" in ended.stderr


def test_children_full_of_a_command(recorder_cli, cgroup2, tmp_path):
    """A command that makes more cgroups than are followed."""
    argv = [sys.executable, "-c", _MAKE_CHILDREN, cgroup2, str(CHILDREN + 3)]
    assert_agree(
        lambda form, options: record_command(recorder_cli, tmp_path, form, options, argv),
        {"children_full": 3},
        {},
    )


def test_attached_late_of_a_cgroup(recorder_cli, scratch_cgroup, tmp_path):
    cgroup = scratch_cgroup()
    with Guest(cgroup):
        assert_agree(
            lambda form, options: record_cgroup(
                recorder_cli, tmp_path, form, options, cgroup=cgroup, inside=contextlib.nullcontext
            ),
            {"attached_late": 1},
            {},
        )


def test_joiner_without_exec_of_a_cgroup(recorder_cli, scratch_cgroup, tmp_path):
    cgroup = scratch_cgroup()
    assert_agree(
        lambda form, options: record_cgroup(
            recorder_cli, tmp_path, form, options, cgroup=cgroup, inside=lambda: Guest(cgroup)
        ),
        {},
        {"joiner_without_exec": 1},
    )


@contextlib.contextmanager
def crowd(size: int) -> Iterator[list[str]]:
    """So many processes that do nothing; their ids."""
    with subprocess.Popen(
        [sys.executable, "-S", "-c", _CROWD, str(size)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process.stdout.readline().split()
        finally:
            process.stdin.close()
            assert process.wait(timeout=60) == 0


def test_joiners_full_of_a_cgroup(recorder_cli, scratch_cgroup, built_programs, tmp_path):
    """More tasks are moved in at once, none of which execs, than there are places for."""
    cgroup, outside = scratch_cgroup(), scratch_cgroup()

    @contextlib.contextmanager
    def rush() -> Iterator[None]:
        assert Member(cgroup, built_programs["five"]).wait() == 0
        for pid in pids:
            (cgroup / "cgroup.procs").write_text(pid)
        yield
        for pid in pids:
            (outside / "cgroup.procs").write_text(pid)

    with crowd(JOINERS + 2) as pids:
        assert_agree(
            lambda form, options: record_cgroup(
                recorder_cli, tmp_path, form, options, cgroup=cgroup, inside=rush
            ),
            {"joiners_full": 2},
            {},
        )


def test_no_boundary_of_a_cgroup(recorder_cli, scratch_cgroup, built_programs, tmp_path):
    """Phases of containers where no runtime is: the record says so, and no profile is made of it."""
    cgroup = scratch_cgroup()

    def program() -> Member:
        member = Member(cgroup, built_programs["five"])
        assert member.wait() == 0
        return member

    def runs(form: str, options: list[str]) -> Ended:
        phases = ["--phases", "container", *options]
        return record_cgroup(recorder_cli, tmp_path, form, phases, cgroup=cgroup, inside=program)

    as_record = runs("record", [])
    assert (as_record.status, record_counts(as_record.result)) == (0, {"no_boundary": 1})
    assert summary_said(as_record.stderr) == said({"no_boundary": 1}, {})
    assert runs("record", ["--strict"]).status == 125
    as_profile = runs("seccomp", [])
    assert (as_profile.status, as_profile.result) == (125, "")
    last = as_profile.stderr.splitlines()[-1]
    assert last.startswith("recorder: INVALID_PROFILE: "), as_profile.stderr
    assert "only set-up was seen" in last


def test_undecided_of_a_cgroup(recorder_cli, scratch_cgroup, built_programs, tmp_path):
    """A container's workload has just left its mount namespace when the recording ends."""
    cgroup = scratch_cgroup()
    rootfs = oci.make_rootfs(tmp_path / "root", {"/strayed": built_programs["strayed"]})

    @contextlib.contextmanager
    def container() -> Iterator[None]:
        argv = [built_programs["into_cgroup"], cgroup, rootfs, "/strayed"]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert os.read(process.stdout.fileno(), 6) == b"ready\n"
            yield
            process.stdin.close()
            assert process.wait(timeout=30) == 0

    def runs(form: str, options: list[str]) -> Ended:
        phases = ["--phases", "container", *options]
        return record_cgroup(recorder_cli, tmp_path, form, phases, cgroup=cgroup, inside=container)

    assert_agree(runs, {}, {"undecided": 1})
