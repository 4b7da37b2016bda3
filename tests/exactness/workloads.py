"""Real programs that do real work and end by themselves: what each is, and how it is started.

A workload gets an empty folder of its own that every user may use, and writes nowhere else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.exactness import stressors
from tests.exactness.installed import find

SCRIPTS = Path(__file__).parent / "scripts"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a workload runs: its folder, the programs of tests/programs by name, and a copy of SCRIPTS.

    Folder and scripts are open to every user, as a checkout need not be.
    """

    folder: Path
    built: Mapping[str, Path]
    scripts: Path


@dataclass(frozen=True, slots=True)
class Workload:
    """A program to record.

    `command` gives its words; the first is a path. `needs` names what has to be installed.
    `steady`: it makes the same calls in every run, whoever watches, so that different runs
    can be compared; a program whose threads or processes race cannot promise that.
    `pending`: calls that strace may show only as begun, in a process that was killed meanwhile.
    `absent`: calls that it tries and that are kept from the kernel. `status` is its exit status.
    """

    name: str
    command: Callable[[Place], list[str]]
    needs: tuple[str, ...] = ()
    steady: bool = False
    pending: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    status: int = 0

    def words(self, place: Place) -> list[str]:
        """The command line; raises NotInstalledError."""
        for program in self.needs:
            find(program)
        return self.command(place)


def _script(name: str, interpreter: str, *more: Callable[[Place], str]) -> Callable[[Place], list[str]]:
    """A script, given the workload's folder, then `more`."""

    def command(place: Place) -> list[str]:
        words = [find(interpreter), *(["-B"] if interpreter == "python3" else []), str(place.scripts / name)]
        return [*words, str(place.folder), *(each(place) for each in more)]

    return command


def _program(name: str, *arguments: str) -> Callable[[Place], list[str]]:
    return lambda _: [find(name), *arguments]


def _built(name: str, *arguments: str) -> Callable[[Place], list[str]]:
    return lambda place: [str(place.built[name]), *arguments]


def _where(program: str) -> Callable[[Place], str]:
    return lambda _: find(program)


def _chain(place: Place) -> list[str]:
    programs = [str(place.built[name]) for name in ("five", "five32", "threads32")]
    return [find("sh"), str(place.scripts / "chain.sh"), *programs]


def _brief(place: Place) -> list[str]:
    return [find("sh"), "-c", f"for _ in $(seq 20); do {place.built['brief']}; done"]


def _stressor(name: str) -> Callable[[Place], list[str]]:
    return lambda place: stressors.command([name], place.folder, 20)


def _postgres(place: Place) -> list[str]:
    # not as root: postgres refuses
    drop = [find("setpriv"), "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    words = [
        find("sh"),
        str(place.scripts / "postgres.sh"),
        str(place.folder),
        str(Path(find("initdb")).parent),
    ]
    return [*drop, *words]


WORKLOADS = (
    Workload("true", _program("true"), steady=True),
    Workload("ls", _program("ls", "-lR", "/etc/default"), steady=True),
    Workload("coreutils", _script("coreutils.sh", "sh")),
    Workload("bash", _script("bash.sh", "bash")),
    Workload("dash", _script("dash.sh", "sh"), status=5),
    Workload("archive", _script("archive.sh", "sh"), ("tar", "gzip")),
    Workload("find", _program("find", "/etc", "-name", "*.conf", "-size", "+1k"), steady=True),
    Workload("ps", _program("ps", "-ef"), ("ps",)),
    Workload("ip", _program("ip", "-details", "address"), ("ip",), steady=True),
    Workload("python", _program("python3", "-BIc", "import json, ssl, sqlite3"), steady=True),
    Workload("python threads", _script("threads.py", "python3")),
    Workload("python subprocess", _script("subprocesses.py", "python3")),
    Workload("python asyncio", _script("events.py", "python3")),
    Workload("python multiprocessing", _script("processes.py", "python3")),
    Workload("perl", _script("perl.pl", "perl"), ("perl",), steady=True),
    Workload("node", _script("node.js", "node"), ("node",)),
    Workload("git", _script("git.sh", "sh"), ("git",)),
    Workload("openssl", _script("openssl.sh", "sh"), ("openssl",)),
    Workload("redis", _script("redis.sh", "sh"), ("redis-server", "redis-benchmark", "redis-cli")),
    Workload("nginx", _script("nginx.py", "python3", _where("nginx")), ("nginx",)),
    Workload("postgres", _postgres, ("initdb", "setpriv")),
    Workload("runc", _script("runc.sh", "sh", _where("runc")), ("runc",)),
    Workload("busybox", _script("busybox.sh", "sh", _where("busybox")), ("busybox",), pending=("kill",)),
    Workload("make and gcc", _script("compile.sh", "sh"), ("make", "gcc")),
    Workload("namespaces", _script("namespaces.sh", "sh"), ("unshare", "ip")),
    Workload("nested cgroups", _script("cgroups.sh", "sh")),
    Workload("killed and failing", _script("endings.sh", "sh"), ("perl",), status=127),
    Workload("chain of both ABIs", _chain, pending=("i386:pause",)),
    Workload("twenty under a millisecond", _brief, steady=True),
    Workload("static threads", _built("threads", "100", "/bin/true"), pending=("pause",)),
    Workload("32-bit threads", _built("threads32", "100", "/bin/true"), pending=("i386:pause",)),
)

# Where strace is no truth: a traced task cannot be traced again, CLONE_UNTRACED hides a child,
# and a call that a filter or the dispatch to user space stops never reaches the kernel, but is shown.
UNTRACEABLE = (
    Workload("strace", _program("strace", "-f", "-o", "/dev/null", "sh", "-c", "ls / | wc -l"), ("strace",)),
    Workload(
        "strace of a 32-bit program",
        lambda place: [find("strace"), "-f", "-o", "/dev/null", str(place.built["five32"])],
    ),
    Workload(
        "strace that changes a call",
        _program("strace", "-o", "/dev/null", "-e", "inject=getppid:retval=7", "sh", "-c", "echo $PPID"),
        absent=("getppid",),
    ),
    Workload("untraced child", _built("untraced")),
    Workload("own filter", _script("filtered.py", "python3"), absent=("getppid", "getpgrp")),
    Workload("user dispatch", _stressor("usersyscall"), ("stress-ng", "setpriv")),
    Workload("nested tracing", _stressor("ptrace"), ("stress-ng", "setpriv")),
)
