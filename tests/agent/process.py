"""A real `recorder agent` with folders and a bpffs of its own: started, killed, ended, started again."""

import contextlib
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc

from recorder.agent.spool import Spool
from recorder.rpc.v1 import agent_pb2 as pb
from recorder.rpc.v1 import agent_pb2_grpc
from tests.command import Command
from tests.kernel_objects import KernelObject, held_by, left_of

WAIT = 30.0
"""Seconds until a test that waits for the agent has failed."""
NODE = "test-node"
SERVING = "serving on "
CHANNEL = (("grpc.min_reconnect_backoff_ms", 20), ("grpc.max_reconnect_backoff_ms", 100))
NO_RUNTIMES = ("--runtimes-docker", "", "--runtimes-podman", "", "--runtimes-cri", "")


@dataclass(slots=True)
class AgentProcess:
    """`settings`: more flags, which may change between two starts. Runtimes: those that are named, no others.

    Nothing of the machine's is used. After the `with` the process is gone, whatever the test did; what it
    pinned is its bpffs's matter.
    """

    folder: Path
    bpffs: Path
    settings: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = field(init=False, default=None)
    lines: list[str] = field(init=False, default_factory=list)
    objects: set[KernelObject] = field(init=False, default_factory=set)
    starts: int = field(init=False, default=0)
    _said: threading.Condition = field(init=False, default_factory=threading.Condition)
    _reader: threading.Thread | None = field(init=False, default=None)
    _channel: grpc.Channel | None = field(init=False, default=None)

    # --- where things are

    @property
    def socket(self) -> Path:
        """Of its service."""
        return self.folder / "agent.sock"

    @property
    def state(self) -> Path:
        """What it keeps for the next agent."""
        return self.folder / "state"

    @property
    def spool(self) -> Path:
        """Ended records that the collector lacks."""
        return self.folder / "spool"

    @property
    def pins(self) -> Path:
        """Its maps and links."""
        return self.bpffs / "recorder"

    @property
    def flags(self) -> list[str]:
        """All of them."""
        places = {
            "--socket": self.socket,
            "--state-directory": self.state,
            "--spool-directory": self.spool,
            "--pins": self.pins,
        }
        where = [word for flag, path in places.items() for word in (flag, str(path))]
        return [*where, "--node", NODE, *NO_RUNTIMES, *self.settings]

    # --- its life

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        # pytest shows it with a test that failed
        print(*filter(_of_interest, self.lines), sep="\n")

    def begin(self) -> None:
        """Start it; it may not serve yet."""
        assert self.process is None, "it runs already"
        self.starts += 1
        process = subprocess.Popen(
            [*Command().words, "agent", *self.flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the tests
        )
        self.process = process
        with self._said:
            self.lines.append(f"--- start {self.starts}: process {process.pid}")
        self._reader = threading.Thread(target=self._read, args=[process], daemon=True)
        self._reader.start()

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr
        for line in process.stderr:
            with self._said:
                self.lines.append(line.decode(errors="replace").rstrip("\n"))
                self._said.notify_all()
        with self._said:
            self._said.notify_all()

    def of_this_start(self) -> list[str]:
        """What this process said, its first line a headline of ours."""
        first = max(
            (number for number, line in enumerate(self.lines) if line.startswith("--- start ")), default=0
        )
        return list(filter(_of_interest, self.lines[first:]))

    def says(self, text: str, seconds: float = WAIT) -> bool:
        """Whether this process says a line with that text, within that time and before its end."""

        def found() -> bool:
            return any(text in line for line in self.of_this_start()[1:])

        assert self._reader
        reader = self._reader
        with self._said:
            self._said.wait_for(lambda: found() or not reader.is_alive() or self._over(), seconds)
            return found()

    def _over(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def start(self, seconds: float = WAIT) -> Self:
        """Start it; it serves when this returns."""
        self.begin()
        return self.wait_serving(seconds)

    def wait_serving(self, seconds: float = WAIT) -> Self:
        """Until it serves. AssertionError with its own words if it ends instead."""
        assert self.says(SERVING, seconds), "\n".join(["the agent does not serve:", *self.of_this_start()])
        self._remember()
        return self

    def _remember(self) -> None:
        if self.process:
            self.objects |= held_by(self.process.pid)

    def kill(self) -> None:
        """SIGKILL, if it lives; reaped when this returns."""
        self._close()
        if self.process is not None:
            self.process.kill()
            self._reap(WAIT)

    def terminate(self, seconds: float = 5.0) -> int:
        """SIGTERM; its status. AssertionError if it takes longer than `seconds`."""
        assert self.process
        self._remember()
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(WAIT)
            took = time.monotonic() - began
        finally:
            self._close()
            self.process.kill()
            self._reap(WAIT)
        assert took < seconds, "\n".join([f"it took {took:.1f} s to end:", *self.of_this_start()])
        return status

    def _reap(self, seconds: float) -> None:
        assert self.process
        assert self._reader
        assert self.process.stderr
        self.process.wait(seconds)
        self._reader.join(seconds)
        self.process.stderr.close()
        self.process = None

    def restart(self) -> Self:
        """SIGKILL, and a new one that serves."""
        self.kill()
        return self.start()

    def run(self, *more: str) -> subprocess.CompletedProcess[bytes]:
        """The command with the same flags to its end, such as `--remove`."""
        return Command().run("agent", *self.flags, *more)

    def left(self) -> list[object]:
        """What is there of all that it ever had, but for the spool; nothing, after an orderly end."""
        places = [self.pins, self.socket, *(self.state.iterdir() if self.state.is_dir() else ())]
        return [*left_of(frozenset(self.objects)), *(path for path in places if path.exists())]

    def spooled(self) -> set[str]:
        """Ids of the containers whose records are in the spool; to be asked when no agent lives."""
        entries = Spool(self.spool, 1 << 30).entries()
        return {each.observation.identity.container_id for each in entries}

    # --- its service

    def _close(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    @property
    def stub(self) -> agent_pb2_grpc.AgentStub:
        """Its service, for this start."""
        if self._channel is None:
            self._channel = grpc.insecure_channel(f"unix:{self.socket}", CHANNEL)
        return agent_pb2_grpc.AgentStub(self._channel)

    def status(self) -> pb.GetStatusResponse:
        """GetStatus. AssertionError with its own words if it has ended."""
        assert not self._over(), "\n".join(["the agent has ended:", *self.of_this_start()])
        answer: pb.GetStatusResponse = self.stub.GetStatus(
            pb.GetStatusRequest(), timeout=WAIT, wait_for_ready=True
        )
        return answer

    def used(self, bound: str) -> int:
        """Of a bound, as GetStatus says."""
        return next(each.used for each in self.status().bounds if each.name == bound)

    def containers(self) -> list[pb.ContainerStatus]:
        """ListContainers."""
        answer = self.stub.ListContainers(pb.ListContainersRequest(), timeout=WAIT, wait_for_ready=True)
        return list(answer.containers)

    def holds(self, identities: Iterable[str]) -> set[str]:
        """Those of these containers that have a slot for somebody."""
        held = {each.identity.container_id for each in self.containers() if each.recorded or each.ended}
        return held & set(identities)

    def wait_released(self, identities: Iterable[str], seconds: float = WAIT) -> None:
        """Until none of them has a slot: others of the machine may have theirs."""
        wanted = set(identities)
        self.wait_for(lambda _: not self.holds(wanted), seconds)

    def capture(self, request: pb.CaptureRequest) -> Iterator[pb.CaptureResponse]:
        """Capture's stream."""
        stream: Iterator[pb.CaptureResponse] = self.stub.Capture(
            request, timeout=2 * WAIT, wait_for_ready=True
        )
        return stream

    def wait_for(self, what: Callable[[pb.GetStatusResponse], bool], seconds: float = WAIT) -> None:
        """Until GetStatus says so; AssertionError with its last answer."""
        deadline = time.monotonic() + seconds
        while not what(status := self.status()):
            assert time.monotonic() < deadline, f"not within {seconds} s: {status}"
            time.sleep(0.02)


def slots_used(status: pb.GetStatusResponse) -> int:
    """Of an answer of GetStatus."""
    return next(each.used for each in status.bounds if each.name == "slots")


def _of_interest(line: str) -> bool:
    """Not its budget, nor what imports cost."""
    return " MiB" not in line


@contextlib.contextmanager
def agent_process(folder: Path, bpffs: Path, *settings: str) -> Iterator[AgentProcess]:
    """An agent that is not started yet."""
    folder.mkdir(exist_ok=True)
    with AgentProcess(folder, bpffs, settings) as agent:
        yield agent
