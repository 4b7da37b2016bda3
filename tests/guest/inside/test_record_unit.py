"""`recorder record --unit` with systemd: units from their first calls, and one that runs already."""

import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from recorder.model.abi import Abi
from recorder.model.wire import from_json
from tests.command import Command
from tests.guest.inside import SECONDS
from tests.phases.seen import Seen
from tests.truth.calls import calls
from tests.truth.programs import EXEC, EXPECTED

FIVE = EXPECTED["five"] | EXEC
# What its child does after it has moved itself.
OF_SYSTEMD = calls(Abi.X86_64, "umask", "prlimit64", "capset")
SLEEPING = calls(Abi.X86_64, "clock_nanosleep")
FOREVER = ("signals", "100000000")
UNITS = Path("/run/systemd/system")
TEMPLATE = "recorder-unit@.service"


@pytest.fixture
def record(recorder_cli: Command, tmp_path: Path) -> Iterator[Callable[[str], Callable[[], Seen]]]:
    """`finish = record(unit)`: a recording that has begun; `finish()` gives what it saw, at its end."""
    output = tmp_path / "record.json"
    entered = []

    def begin(unit: str) -> Callable[[], Seen]:
        started = recorder_cli.started("record", "--unit", unit, "-f", "record", "-o", output)
        process = started.__enter__()
        entered.append(started)
        assert process.stderr
        said = [b""]
        while not said[-1].startswith(b"recorder: recording unit "):
            said.append(process.stderr.readline())
            assert said[-1], said

        def finish() -> Seen:
            _, rest = process.communicate(timeout=SECONDS)
            assert process.returncode == 0, rest
            found = from_json(output.read_text())
            assert [each.identity.name for each in found.observations] == [unit]
            return Seen.of_record(found)

        return finish

    yield begin
    for each in entered:
        each.__exit__(None, None, None)


def run_unit(*words: str | Path) -> None:
    """systemd-run, which returns when the unit has started, or with --wait when it has ended."""
    command = ["systemd-run", "--quiet", *map(str, words)]
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True, timeout=SECONDS)


def systemctl(*words: str) -> None:
    """To its end."""
    subprocess.run(["systemctl", "--quiet", *words], check=True, timeout=SECONDS)


def test_units(record, built_programs, scaled):
    """Transient ones, an instance of a template, one that runs already: exact; systemd's part is set-up."""
    for step in range(scaled(20, least=2)):
        unit = f"recorder-unit-{step}.service"
        finish = record(unit)
        run_unit("--wait", f"--unit={unit.replace('-unit-', '-unit-other-')}", built_programs["brief"])
        run_unit("--wait", f"--unit={unit}", built_programs["five"])
        seen = finish()
        assert seen.problems(FIVE) == [], step
        assert seen.setup >= OF_SYSTEMD
    UNITS.mkdir(exist_ok=True)
    (UNITS / TEMPLATE).write_text(f"[Service]\nType=oneshot\nExecStart={built_programs['five']}\n")
    try:
        finish = record("recorder-unit@1.service")  # its slice is not there yet
        systemctl("start", "recorder-unit@1.service")
        assert finish().problems(FIVE) == []
    finally:
        (UNITS / TEMPLATE).unlink()
    run_unit("--unit=recorder-running.service", built_programs[FOREVER[0]], FOREVER[1])
    finish = record("recorder-running.service")
    systemctl("kill", f"--signal={signal.SIGKILL.value}", "recorder-running.service")
    assert finish().problems(SLEEPING, attached_late=1) == []
    systemctl("reset-failed", "recorder-running.service")
