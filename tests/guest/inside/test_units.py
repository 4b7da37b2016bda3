"""Units of systemd in mode exec: the workload is the unit's programs' calls; systemd's own are set-up."""

import itertools
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from recorder.model.abi import Abi
from tests.command import Command
from tests.guest.inside import SECONDS
from tests.phases.recording import CgroupRecording, recording
from tests.truth.calls import calls
from tests.truth.programs import EXEC, EXPECTED, rawsys_calls, word

FIVE = EXPECTED["five"] | EXEC
BEFORE = calls(Abi.X86_64, "getpgrp")
# What its child does after it has moved itself, which it does whether it was moved already or not.
OF_SYSTEMD = calls(Abi.X86_64, "umask", "prlimit64", "capset")
UNITS = Path("/run/systemd/system")
# Each makes systemd do more between its fork and the exec.
SETTINGS = {
    "plain": "",
    "another user": "User=nobody\nGroup=nogroup\nNoNewPrivileges=yes\n",
    "mounts": "PrivateTmp=yes\nProtectSystem=strict\nProtectHome=yes\nPrivateDevices=yes\n",
    "namespaces": "PrivateNetwork=yes\nProtectHostname=yes\nRestrictNamespaces=yes\n",
    "filter": "SystemCallFilter=~@mount\nSystemCallErrorNumber=EPERM\nMemoryDenyWriteExecute=yes\n",
    "dynamic user": "DynamicUser=yes\nStateDirectory=recorder-unit\n",
}

_serial = itertools.count(1)


def systemctl(*words: str) -> None:
    subprocess.run(["systemctl", "--quiet", *words], check=True, timeout=SECONDS)


@pytest.fixture
def service(cgroup2: Path) -> Iterator[Callable[..., Path]]:
    """`service(lines)` makes a unit that is not started; returns its cgroup, which is there already.

    systemd reads a file of a new name when the unit is asked for. daemon-reload runs all generators, too:
    seconds, and a minute in a guest that has to wait for its turn.
    """
    made: list[str] = []

    def make(lines: str) -> Path:
        name = f"recorded-{next(_serial)}.service"
        (UNITS / name).write_text(f"[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=oneshot\n{lines}")
        made.append(name)
        cgroup = cgroup2 / "system.slice" / name
        cgroup.mkdir()
        return cgroup

    UNITS.mkdir(exist_ok=True)
    yield make
    for name in made:
        (UNITS / name).unlink()


@pytest.fixture
def record(
    recorder_cli: Command, tmp_path: Path
) -> Callable[[Path], AbstractContextManager[CgroupRecording]]:
    """`with record(cgroup) as recorded`: a recording in mode exec, which has begun."""
    return lambda cgroup: recording(recorder_cli, cgroup, tmp_path / "record.json", "exec")


@pytest.fixture
def run_unit() -> Callable[..., None]:
    """`run_unit(*options, program)`: a transient unit, to its end."""

    def run(*words: str | Path) -> None:
        wait = [] if "--scope" in words else ["--wait"]
        command = ["systemd-run", "--quiet", *wait, *map(str, words)]
        subprocess.run(command, stdin=subprocess.DEVNULL, check=True, timeout=SECONDS)

    return run


def test_a_transient_unit(run_unit, cgroup2, built_programs, record, scaled):
    """`systemd-run` after the recording of its cgroup began; the recording ends with the unit."""
    for step in range(scaled(20, least=3)):
        cgroup = cgroup2 / f"system.slice/transient-{step}.service"
        cgroup.mkdir()
        with record(cgroup) as recorded:
            run_unit(f"--unit={cgroup.name}", built_programs["five"])
            seen = recorded.wait()
        assert seen.problems(FIVE) == []
        assert seen.setup >= OF_SYSTEMD
        assert "verdict: complete" in recorded.stderr


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_service(service, built_programs, record, open_folder, settings):
    """A unit file with a sandbox of systemd's, and a command before the main one: both are workload."""
    for name in ("five", "rawsys"):  # where every user, and a sandbox, may run them
        (open_folder / name).write_bytes(built_programs[name].read_bytes())
        (open_folder / name).chmod(0o755)
    before = f"ExecStartPre=/unit/rawsys {' '.join(map(word, BEFORE))}\n"
    lines = f"BindReadOnlyPaths={open_folder}:/unit\n{before}ExecStart=/unit/five\n"
    cgroup = service(lines + SETTINGS[settings])
    with record(cgroup) as recorded:
        systemctl("start", cgroup.name)
        seen = recorded.wait()
    assert seen.problems(FIVE | rawsys_calls(BEFORE)) == []
    assert seen.setup >= OF_SYSTEMD


def test_a_scope(run_unit, cgroup2, built_programs, record):
    """The client itself becomes the program: what it did in the scope before is set-up."""
    cgroup = cgroup2 / "system.slice/recorded.scope"
    cgroup.mkdir()
    with record(cgroup) as recorded:
        run_unit("--scope", "--unit=recorded.scope", built_programs["five"])
        seen = recorded.wait()
    assert seen.problems(FIVE) == []


def test_a_slice(run_unit, cgroup2, built_programs, record, scaled):
    """All units of a slice as one target: each one's set-up is apart."""
    cgroup = cgroup2 / "recordedslice.slice"
    cgroup.mkdir()
    with record(cgroup) as recorded:
        for step in range(scaled(40, least=4)):
            run_unit("--slice=recordedslice.slice", f"--unit=below-{step}.service", built_programs["five"])
        seen = recorded.stop()
    systemctl("stop", cgroup.name)
    assert seen.problems(FIVE) == []
    assert seen.setup >= OF_SYSTEMD


def test_a_service_that_stays(service, built_programs, record):
    """Started, reloaded by a command of its own in the same cgroup, and stopped."""
    lines = (
        f"Type=simple\nExecStart={built_programs['signals']} 100000000\nExecReload={built_programs['five']}\n"
    )
    cgroup = service(lines)
    with record(cgroup) as recorded:
        systemctl("start", cgroup.name)
        systemctl("reload", cgroup.name)
        systemctl("stop", cgroup.name)
        seen = recorded.wait()
    running = (EXPECTED["signals"] | EXEC) - calls(Abi.X86_64, "exit_group")
    assert seen.problems(running | FIVE) == []
