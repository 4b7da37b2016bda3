"""The collector's Kubernetes platform in tests: its event loop is in a thread, tests are plain functions."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from recorder.kube.connection import connect
from recorder.kube.platform import KubernetesPlatform
from recorder.kube.reviews import KubernetesAuthority
from recorder.model.recording import ProfileKind
from recorder.model.result import ResultObject
from recorder.profiles.result_marks import (
    CONTAINER_LABEL,
    NAMESPACE_LABEL,
    OWNER,
    RECORDED_BY,
    RECORDING_LABEL,
    STATE,
)
from tests.cluster.client import GROUP

SECONDS = 30.0
T = TypeVar("T")


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """What the coroutine returns."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(SECONDS)

    def start(self, coroutine: Coroutine[Any, Any, T]) -> "Future[T]":
        """The coroutine as a task; `cancel` of the future cancels it."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def close(self) -> None:
        """End it."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(SECONDS)
        self._loop.close()


class Kube:
    """A platform that runs, and the authority beside it. `kubeconfig`: whose rights it has."""

    def __init__(self, kubeconfig: Path, namespaces: tuple[str, ...] = ()) -> None:
        self._loop = Loop()
        self._changed = threading.Condition()
        self.platform, self.authority = self._loop.do(self._make(kubeconfig, namespaces))
        self._run = self._loop.start(self.platform.run(self._notify))

    async def _make(
        self, kubeconfig: Path, namespaces: tuple[str, ...]
    ) -> tuple[KubernetesPlatform, KubernetesAuthority]:
        self.client = connect(kubeconfig)
        platform = KubernetesPlatform(self.client, namespaces=namespaces, host="tests")
        return platform, KubernetesAuthority(self.client)

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """What a coroutine of the platform returns."""
        return self._loop.do(coroutine)

    def wait(self, until: Callable[[KubernetesPlatform], Any], seconds: float = SECONDS) -> None:
        """Until `until(platform)` is true; looked at after each change."""
        with self._changed:
            assert self._changed.wait_for(lambda: until(self.platform), seconds), (
                f"not within {seconds:g} s: {self.platform.recordings()} {self.platform.refused()}"
                f" {self.platform.problem}"
            )

    def close(self) -> None:
        """Stop it; an error that ended it before is raised."""
        ended = self._run.done()
        self._run.cancel()
        if ended and not self._run.cancelled():
            self._run.result()
        self._loop.do(self.client.close())
        self._loop.close()


@contextlib.contextmanager
def kube(kubeconfig: Path, namespaces: tuple[str, ...] = ()) -> Iterator[Kube]:
    """A platform that runs, with a kubeconfig's rights."""
    made = Kube(kubeconfig, namespaces)
    try:
        yield made
    finally:
        made.close()


def recording(
    namespace: str,
    name: str = "it",
    *,
    version: str = "v1",
    annotations: Mapping[str, str] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """A ProfileRecording as a person would apply it."""
    whole = {
        "kind": "SeccompProfile",
        "recorder": "Bpf",
        "podSelector": {"matchLabels": {"app": "web"}},
        **spec,
    }
    metadata: dict[str, Any] = {"name": name, "namespace": namespace}
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {
        "apiVersion": f"{GROUP}/{version}",
        "kind": "ProfileRecording",
        "metadata": metadata,
        "spec": whole,
    }


def result(
    namespace: str,
    name: str,
    names: tuple[str, ...] = ("read", "write"),
    *,
    state: str = "recording",
    architectures: tuple[str, ...] = ("SCMP_ARCH_X86_64",),
    annotations: Mapping[str, str] | None = None,
) -> ResultObject:
    """A result as the publisher would have it."""
    return ResultObject(
        kind=ProfileKind.SECCOMP,
        name=name,
        labels={RECORDING_LABEL: "it", CONTAINER_LABEL: "web", NAMESPACE_LABEL: namespace},
        annotations={RECORDED_BY: OWNER, STATE: state, **(annotations or {})},
        spec={
            "state": "Disabled" if state == "recording" else "Enabled",
            "defaultAction": "SCMP_ACT_ERRNO",
            "architectures": list(architectures),
            "syscalls": [{"names": list(names), "action": "SCMP_ACT_ALLOW"}],
        },
    )
