"""A real `recorder serve` with folders and a bpffs of its own: started, killed, ended, started again."""

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from tests.command import Command

WAIT = 30.0
"""Seconds until a test that waits has failed."""

AGENT = """
[agent]
node = "test-node"
denials = "auto"
accesses = "{accesses}"
state_directory = "{folder}/agent"
spool_directory = "{folder}/spool"
pins = "{bpffs}/recorder"
[listen]
socket = "{folder}/agent.sock"
[runtimes]
cri = {cri}
docker = ""
podman = "{podman}"
"""
COLLECTOR = """
[listen]
socket = "{folder}/collector.sock"
[web]
address = "127.0.0.1:{port}"
plain_metrics = "127.0.0.1:{metrics}"
[store]
path = "{folder}/store/collector.db"
[results]
settle = "1s"
first_write = "200ms"
[folders]
poll = "100ms"
"""


@dataclass(slots=True)
class Serve:
    """Runtimes: those that are named, no others. After the `with` the process is gone.

    `cri`: sockets; `podman`: GRAPHROOT[:RUNROOT]. accesses: the agent's setting. wait: seconds until what is
    waited for fails.
    """

    folder: Path
    bpffs: Path
    cri: tuple[str, ...] = ()
    podman: str = ""
    port: int = 0
    metrics: int = 0
    accesses: str = "off"
    wait: float = WAIT
    process: subprocess.Popen[bytes] | None = field(init=False, default=None)
    lines: list[str] = field(init=False, default_factory=list)
    _said: threading.Condition = field(init=False, default_factory=threading.Condition)
    _reader: threading.Thread | None = field(init=False, default=None)

    # --- where things are

    @property
    def recordings(self) -> Path:
        """The folder of recordings."""
        return self.folder / "recordings"

    @property
    def results(self) -> Path:
        """The folder of results."""
        return self.folder / "results"

    @property
    def pins(self) -> Path:
        """The agent's."""
        return self.bpffs / "recorder"

    def arguments(self) -> list[str]:
        """Of `recorder`; the two files of settings are written."""
        agent, collector = self.folder / "agent.toml", self.folder / "collector.toml"
        values = {
            "folder": self.folder,
            "bpffs": self.bpffs,
            "cri": json.dumps(self.cri),
            "podman": self.podman,
            "accesses": self.accesses,
            "port": self.port,
            "metrics": self.metrics,
        }
        agent.write_text(AGENT.format(**values))
        text = COLLECTOR.format(**values)
        collector.write_text(text if self.port else _without_web(text))
        return [
            *("serve", "--recordings", str(self.recordings), "--results", str(self.results)),
            *("--agent-config", str(agent), "--collector-config", str(collector)),
        ]

    def record(
        self,
        name: str,
        *,
        namespace: str = "",
        labels: Mapping[str, str] | None = None,
        containers: tuple[str, ...] = (),
        merge: str = "None",
        kinds: str = "",
        kind: str = "SeccompProfile",
    ) -> None:
        """A file with a recording, as a person would write it; `kinds`: the annotation."""
        metadata: dict[str, Any] = {"name": name, **({"namespace": namespace} if namespace else {})}
        if kinds:
            metadata["annotations"] = {"recorder.x-k8s.io/kinds": kinds}
        spec: dict[str, Any] = {
            "kind": kind,
            "recorder": "Bpf",
            "mergeStrategy": merge,
            "podSelector": {"matchLabels": dict(labels)} if labels else {},
        }
        if containers:
            spec["containers"] = list(containers)
        value = {
            "apiVersion": "security-profiles-operator.x-k8s.io/v1",
            "kind": "ProfileRecording",
            "metadata": metadata,
            "spec": spec,
        }
        new = self.recordings / f".{name}.new"
        new.write_text(yaml.safe_dump(value))
        new.rename(self.recordings / f"{namespace or 'host'}-{name}.yaml")

    # --- its life

    def __enter__(self) -> Self:
        self.recordings.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        # pytest shows it with a test that failed
        print(*[line for line in self.lines if " MiB" not in line], sep="\n")

    def start(self) -> Self:
        """It serves when this returns."""
        assert self.process is None, "it runs already"
        self.process = subprocess.Popen(
            [*Command().words, *self.arguments()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.lines.append(f"--- process {self.process.pid}")
        self._reader = threading.Thread(target=self._read, args=[self.process], daemon=True)
        self._reader.start()
        assert self.says("serving on "), "\n".join(self.lines)
        return self

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr
        for line in process.stderr:
            with self._said:
                self.lines.append(line.decode(errors="replace").rstrip("\n"))
                self._said.notify_all()
        with self._said:
            self._said.notify_all()

    def says(self, text: str, seconds: float | None = None) -> bool:
        """Whether this process says a line with that text, within that time and before its end."""
        assert self._reader
        seconds = self.wait if seconds is None else seconds
        reader = self._reader
        with self._said:

            def found() -> bool:
                first = max(number for number, line in enumerate(self.lines) if line.startswith("--- "))
                return any(text in line for line in self.lines[first:])

            self._said.wait_for(lambda: found() or not reader.is_alive(), seconds)
            return found()

    def kill(self) -> None:
        """SIGKILL, if it lives; reaped when this returns."""
        if self.process is not None:
            self.process.kill()
            self._reap()

    def terminate(self) -> int:
        """SIGTERM; its status."""
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(self.wait)
        self._reap()
        return status

    def _reap(self) -> None:
        assert self.process
        assert self._reader
        assert self.process.stderr
        self.process.wait(self.wait)
        self._reader.join(self.wait)
        self.process.stderr.close()
        self.process = None

    # --- what it writes

    def profile(self, name: str) -> dict[str, Any]:
        """A result; {} while there is none."""
        path = self.results / f"{name}.yaml"
        value: dict[str, Any] = yaml.safe_load(path.read_text()) if path.exists() else {}
        return value

    def status(self, name: str) -> dict[str, Any]:
        """A recording's status; {} while there is none."""
        path = self.results / f"{name}.status.yaml"
        value: dict[str, Any] = yaml.safe_load(path.read_text())["status"] if path.exists() else {}
        return value

    def wait_for(self, what: Callable[[], Any], seconds: float | None = None) -> Any:
        """What `what` gives once it is true."""
        seconds = self.wait if seconds is None else seconds
        end = time.monotonic() + seconds
        while not (found := what()):
            assert self.process is not None
            assert self.process.poll() is None, "it has ended"
            there = sorted(path.name for path in self.results.iterdir())
            assert time.monotonic() < end, f"not within {seconds} s; results: {there}"
            time.sleep(0.05)
        return found


def _without_web(text: str) -> str:
    before, _, rest = text.partition("[web]")
    return before + rest[rest.index("[store]") :]


def names(profile: Mapping[str, Any]) -> set[str]:
    """All that a profile allows."""
    rules = profile.get("spec", {}).get("syscalls", ())
    return {name for rule in rules if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}


def annotation(profile: Mapping[str, Any], key: str) -> str:
    """One of ours; empty if it is not there."""
    text: str = profile.get("metadata", {}).get("annotations", {}).get(f"recorder.x-k8s.io/{key}", "")
    return text


def recorded(profile: Mapping[str, Any]) -> set[str]:
    """The calls that were seen, as the annotation has them."""
    return set(filter(None, annotation(profile, "recorded").split(",")))
