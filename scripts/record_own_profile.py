"""Records the seccomp profiles of our own services, by the recorder: deploy/seccomp/NAME.json and NAME.yaml.

    sudo .venv/bin/python scripts/record_own_profile.py agent|collector [RECORD...]

The agent lives through tests/agent/exercise.py, the collector through tests/cluster/collector_life.py (which
needs `make cluster`), in a cgroup that `recorder record` records, more than once, since some calls are
a matter of timing. RECORDs, of other machines or kernels (made with --record FILE), are joined with what
is seen here. What this machine has no use for is in the subject's `elsewhere`.
"""

import argparse
import contextlib
import io
import itertools
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from tests.cluster import crds  # noqa: E402
from tests.cluster.client import Client  # noqa: E402
from tests.cluster.collector_life import collector_life  # noqa: E402
from tests.cluster.start import find_programs, open_cache, running  # noqa: E402
from tests.command import Command  # noqa: E402
from tests.truth import oci, programs  # noqa: E402
from tests.truth.calls import calls  # noqa: E402

FOLDER = ROOT / "deploy" / "seccomp"
BEGINS = b"Ctrl-C ends it\n"
_JOIN = 'echo 0 > "$0" && exec "$@"'


@dataclass(frozen=True, slots=True)
class Subject:
    """A service of ours. `live`: one life in a folder, with words before those of its process.

    `elsewhere`: calls that it makes elsewhere, or so seldom that a recording may lack them, with why.
    `needless`: calls that are made, but are refused with and without the profile, each with why.
    """

    live: Callable[[Path, Path, Sequence[str]], None]
    elsewhere: Mapping[str, str]
    needless: Mapping[str, str] = field(default_factory=dict)


def _agent(folder: Path, mount: Path, prefix: Sequence[str]) -> None:
    with (
        contextlib.redirect_stdout(io.StringIO()),  # the agents' logs
        exercise(folder, mount, programs.build(), lambda _: prefix) as life,
    ):
        try:
            life.run()
        except BaseException:
            print(*life.agent.agent.lines, sep="\n", file=sys.stderr)
            raise


def _collector(folder: Path, _: Path, prefix: Sequence[str]) -> None:
    cache = open_cache()
    with (
        contextlib.redirect_stdout(io.StringIO()),  # the collectors' logs
        running(cache, find_programs(cache)) as server,
    ):
        crds.install(server.client, ROOT / "deploy/crds")
        numbers = itertools.count(1)

        def namespace(labels: Mapping[str, str] | None = None) -> str:
            return _namespace(server.client, f"life-{next(numbers)}", labels or {})

        with collector_life(server, namespace, folder, prefix) as life:
            try:
                life.run()
            except BaseException:
                print(life.collector.log, file=sys.stderr)
                raise


def _namespace(client: Client, name: str, labels: Mapping[str, str]) -> str:
    metadata = {"name": name, "labels": dict(labels)}
    client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    client.wait("ServiceAccount", "default", lambda account: account is not None, name)
    return name


SUBJECTS: Mapping[str, Subject] = {
    "agent": Subject(
        _agent,
        elsewhere={
            "perf_event_open": "Linux 7: programs are attached to classic tracepoints",
            "ioctl": "the same, to switch them on",
            "fsopen": "the same, where tracefs is not mounted: tracepoints' numbers are in a mount of ours",
            "fsconfig": "the same",
            "fsmount": "the same",
            "clone": "threads and processes where the C library is no glibc, or before 2.34; runc",
            "sendmmsg": "glibc asks the DNS for both kinds of addresses at once; gRPC does not",
            "sched_yield": "locks of gRPC that many threads want",
            "epoll_pwait": "Go waits for files by it: an OCI runtime that is asked for its version",
            "kill": "an OCI runtime whose --version does not end is ended",
        },
        needless={
            "mount": "crun --version tries a read-only copy of itself, and has another way",
        },
    ),
    "collector": Subject(
        _collector,
        elsewhere={
            "clone": "threads where the C library is no glibc, or older than 2.34",
            "sendmmsg": "glibc asks the DNS for both kinds of addresses at once: the API server by its name",
            "sched_yield": "locks of gRPC that many threads want",
            "rename": "a damaged store is set aside; the C library may do it by this or another call",
            "renameat2": "the same",
            "mremap": "a large allocation that grows",
            "ftruncate": "SQLite cuts its log when it has grown",
            "pwrite64": "SQLite, with another file system's block size",
            "fallocate": "the same",
            "fsync": "the same",
            "fdatasync": "the same",
        },
    ),
}


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


def record(subject: Subject, output: Path) -> None:
    """One life."""
    mount = oci.Layout.detect().cgroup2
    with (
        tempfile.TemporaryDirectory(prefix="recorder-exercise-") as folder,
        own_cgroup(mount) as cgroup,
        recorded(cgroup, output),
    ):
        subject.live(Path(folder), mount, ("sh", "-c", _JOIN, str(cgroup / "cgroup.procs")))


def of_elsewhere(subject: Subject, name: str) -> Record:
    """`elsewhere`, as if they had been seen."""
    names = calls(Abi.X86_64, *subject.elsewhere)
    seen = {
        CallKey(Abi.X86_64, Phase.WORKLOAD, Outcome.ALLOWED): Numbers.of(
            sorted(each.number for each in names)
        )
    }
    return Record((Observation(Source("elsewhere", "", 0, 0), Identity(name), seen),))


def without_needless(subject: Subject, record: Record) -> Record:
    """The record but for `needless`."""
    gone = {call.number for call in calls(Abi.X86_64, *subject.needless)}

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
    parser.add_argument("subject", choices=sorted(SUBJECTS))
    parser.add_argument("--record", type=Path, help="write what is seen here to this file, and no profile")
    parser.add_argument("--lives", type=int, default=3, help="how many are recorded here (default: 3)")
    parser.add_argument("records", nargs="*", type=Path, metavar="RECORD", help="join these too")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("it records with BPF: run it by sudo", file=sys.stderr)
        return 2
    subject, name = SUBJECTS[options.subject], f"recorder-{options.subject}"
    if options.record:
        record(subject, options.record)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        lives = [Path(folder, f"life-{number}.json") for number in range(options.lives)]
        for each in lives:
            record(subject, each)
        records = []
        for number, each in enumerate([*lives, *options.records]):
            records.append(Path(folder, f"needed-{number}.json"))
            records[-1].write_text(to_json(without_needless(subject, from_json(each.read_text()))))
        records.append(Path(folder, "elsewhere.json"))
        records[-1].write_text(to_json(of_elsewhere(subject, name)))
        FOLDER.mkdir(exist_ok=True)
        for form, ending in (("oci", "json"), ("seccomp", "yaml")):
            output = FOLDER / f"{options.subject}.{ending}"
            words = ["profile", "-f", form, "-o", output, "--name", name]
            done = Command().run(*words, *records)
            if done.returncode:
                print(done.stderr.decode(), file=sys.stderr)
                return done.returncode
            print(f"{output.relative_to(ROOT)} is written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
