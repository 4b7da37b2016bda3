"""Records the agent's own seccomp profile, by the recorder: deploy/seccomp/agent.json and agent.yaml.

    sudo .venv/bin/python scripts/record_agent_profile.py [RECORD...]

The agent lives through tests/agent/exercise.py in a cgroup that `recorder record` records, more than
once, since some calls are a matter of timing. RECORDs, of other machines or kernels (made with
--record FILE), are joined with what is seen here. What this machine has no use for is in ELSEWHERE.
"""

import argparse
import contextlib
import io
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from recorder.model.abi import Abi  # noqa: E402
from recorder.model.numbers import Numbers  # noqa: E402
from recorder.model.record import (  # noqa: E402
    CallKey,
    Identity,
    Observation,
    Outcome,
    Phase,
    Record,
    Source,
)
from recorder.model.wire import from_json, to_json  # noqa: E402
from tests.agent.exercise import exercise  # noqa: E402
from tests.agent.fake_node import own_cgroup  # noqa: E402
from tests.command import Command  # noqa: E402
from tests.truth import oci, programs  # noqa: E402
from tests.truth.calls import calls  # noqa: E402

FOLDER = ROOT / "deploy" / "seccomp"
NAME = "recorder-agent"
BEGINS = b"Ctrl-C ends it\n"
_JOIN = 'echo 0 > "$0" && exec "$@"'

ELSEWHERE: Mapping[str, str] = {
    "perf_event_open": "Linux 7: programs are attached to classic tracepoints",
    "ioctl": "the same, to switch them on",
    "fsopen": "the same, where tracefs is not mounted: tracepoints' numbers are read by a mount of its own",
    "fsconfig": "the same",
    "fsmount": "the same",
    "clone": "threads and processes where the C library is no glibc, or older than 2.34; runc without one",
    "sendmmsg": "glibc asks the DNS for both kinds of addresses at once; gRPC does not",
    "sched_yield": "locks of gRPC that many threads want",
    "epoll_pwait": "Go waits for files by it: an OCI runtime that is asked for its version, now and then",
    "kill": "an OCI runtime whose --version does not end is ended",
}
"""Calls that the agent makes on another machine, or so seldom that a recording may lack them, with why."""

NEEDLESS: Mapping[str, str] = {
    "mount": "crun --version tries a read-only copy of itself; the agent lacks CAP_SYS_ADMIN, and crun has"
    " another way",
}
"""Calls that are made, but are refused with and without the profile, each with why."""


@contextlib.contextmanager
def recorded(cgroup: Path, output: Path) -> Iterator[None]:
    """`recorder record` of a cgroup, from its first task on. RuntimeError if the record is not complete."""
    options = ["--cgroup", str(cgroup), "--phases", "exec", "--strict", "-f", "record", "-o", str(output)]
    with subprocess.Popen([*Command().words, "record", *options], stderr=subprocess.PIPE) as process:
        said = b""
        try:
            for line in process.stderr or ():
                said += line
                if line.endswith(BEGINS):
                    break
            else:
                raise RuntimeError(said.decode())
            yield
            process.send_signal(signal.SIGINT)
            said += process.communicate(timeout=60)[1]
        finally:
            process.kill()
    if process.returncode:
        raise RuntimeError(said.decode())


def record(output: Path) -> None:
    """One life of an agent."""
    mount = oci.Layout.detect().cgroup2
    with (
        tempfile.TemporaryDirectory(prefix="recorder-exercise-") as folder,
        own_cgroup(mount) as cgroup,
        recorded(cgroup, output),
        contextlib.redirect_stdout(io.StringIO()),  # the agents' logs
    ):
        prefix = ("sh", "-c", _JOIN, str(cgroup / "cgroup.procs"))
        with exercise(Path(folder), mount, programs.build(), lambda _: prefix) as life:
            try:
                life.run()
            except BaseException:
                print(*life.agent.agent.lines, sep="\n", file=sys.stderr)
                raise


def of_elsewhere() -> Record:
    """ELSEWHERE, as if they had been seen."""
    names = calls(Abi.X86_64, *ELSEWHERE)
    seen = {
        CallKey(Abi.X86_64, Phase.WORKLOAD, Outcome.ALLOWED): Numbers.of(
            sorted(each.number for each in names)
        )
    }
    return Record((Observation(Source("elsewhere", "", 0, 0), Identity(NAME), seen),))


def without_needless(record: Record) -> Record:
    """The record but for NEEDLESS."""
    gone = {call.number for call in calls(Abi.X86_64, *NEEDLESS)}

    def left(each: Observation) -> Observation:
        seen = {
            key: Numbers.of(sorted(set(numbers) - gone)) if key.abi == Abi.X86_64 else numbers
            for key, numbers in each.calls.items()
        }
        return replace(each, calls=seen, first_sights={})

    return Record(tuple(map(left, record.observations)))


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--record", type=Path, help="write what is seen here to this file, and no profile")
    parser.add_argument("--lives", type=int, default=3, help="how many are recorded here (default: 3)")
    parser.add_argument("records", nargs="*", type=Path, metavar="RECORD", help="join these too")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("it records with BPF, and the agent needs root: run it by sudo", file=sys.stderr)
        return 2
    if options.record:
        record(options.record)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        lives = [Path(folder, f"life-{number}.json") for number in range(options.lives)]
        for each in lives:
            record(each)
        records = []
        for number, each in enumerate([*lives, *options.records]):
            records.append(Path(folder, f"needed-{number}.json"))
            records[-1].write_text(to_json(without_needless(from_json(each.read_text()))))
        records.append(Path(folder, "elsewhere.json"))
        records[-1].write_text(to_json(of_elsewhere()))
        FOLDER.mkdir(exist_ok=True)
        for form, name in (("oci", "agent.json"), ("seccomp", "agent.yaml")):
            words = ["profile", "-f", form, "-o", FOLDER / name, "--name", NAME]
            done = Command().run(*words, *records)
            if done.returncode:
                print(done.stderr.decode(), file=sys.stderr)
                return done.returncode
            print(f"{(FOLDER / name).relative_to(ROOT)} is written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
