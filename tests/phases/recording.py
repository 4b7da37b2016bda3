"""`recorder record --cgroup` beside a test, and the record that it writes."""

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from recorder.model import wire
from recorder.model.record import Record
from tests.command import Command
from tests.phases.seen import Seen

TIMEOUT = 240.0  # seconds


@dataclass(slots=True)
class CgroupRecording:
    """It records from now on, until the cgroup is removed or somebody stops it."""

    process: subprocess.Popen[bytes]
    output: Path
    stderr: str = field(init=False, default="")

    def stop(self) -> Seen:
        """Ctrl-C, and the result."""
        self.process.send_signal(signal.SIGINT)
        return self.wait()

    def wait(self) -> Seen:
        """Its own end, which comes with that of the cgroup, and the result."""
        return Seen.of_record(self.record())

    def record(self) -> Record:
        """The record, once it has ended."""
        _, said = self.process.communicate(timeout=TIMEOUT)
        self.stderr = said.decode()
        assert self.process.returncode == 0, self.stderr
        return wire.from_json(self.output.read_text())


@contextlib.contextmanager
def recording(
    cli: Command, cgroup: Path, output: Path, phases: str = "container"
) -> Iterator[CgroupRecording]:
    """Records a cgroup; entered once the recording has begun."""
    words = ("record", "--cgroup", cgroup, "--phases", phases, "-f", "record", "-o", output)
    with cli.started(*words) as process:
        assert process.stderr
        said = [process.stderr.readline()]  # it may say first which loader it took
        while said[-1] and not said[-1].startswith(b"recorder: recording "):
            said.append(process.stderr.readline())
        assert said[-1], said
        yield CgroupRecording(process, output)
