"""Kubernetes' Container Runtime Interface, as the kubelet speaks it to a runtime: runtime.v1 over gRPC.

Messages are written and read by field number, from k8s.io/cri-api's api.proto, and not by code that is
generated from a .proto of the project: so these requests are a truth for whatever is.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc

TIMEOUT = 60.0  # seconds for one call
NODE = 2  # NamespaceMode: the machine's own
Value = int | str | bytes | Mapping[int, "Value"] | Sequence["Value"]
Fields = Mapping[int, Value]
Answer = dict[int, list[int | bytes]]


def _varint(number: int) -> bytes:
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*made, number])


def encode(fields: Fields) -> bytes:
    """A protobuf message of texts, messages, numbers (none below 0) and lists of them, by field number."""
    made = b""
    for number, value in fields.items():
        for one in value if isinstance(value, list | tuple) else [value]:
            if isinstance(one, int):
                made += _varint(number << 3) + _varint(one)
                continue
            data = one.encode() if isinstance(one, str) else encode(one) if isinstance(one, Mapping) else one
            made += _varint(number << 3 | 2) + _varint(len(data)) + data
    return made


def decode(message: bytes) -> Answer:
    """Each field's values in their order: numbers, and bytes for all that has a length."""
    found: Answer = {}
    at = 0

    def varint() -> int:
        nonlocal at
        number = shift = 0
        while True:
            byte = message[at]
            at += 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return number

    while at < len(message):
        key = varint()
        values = found.setdefault(key >> 3, [])
        number = varint()  # the value, or its length
        if key & 7 == 0:
            values.append(number)
        elif key & 7 == 2:
            values.append(message[at : at + number])
            at += number
        else:
            raise ValueError(f"field {key >> 3} is of wire type {key & 7}, which these messages do not have")
    return found


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A pod's sandbox: its id, and the configuration that CreateContainer wants again."""

    identity: str
    config: Fields


class Cri:
    """A connection to a runtime's socket."""

    def __init__(self, socket: Path) -> None:
        # without the authority gRPC sends the path, which Go's HTTP/2 refuses
        self._channel = grpc.insecure_channel(f"unix:{socket}", [("grpc.default_authority", "localhost")])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()

    def call(self, method: str, fields: Fields) -> Answer:
        """One call of RuntimeService; raises grpc.RpcError with the runtime's words.

        A runtime that does not serve yet, or that is still preparing, is asked again for TIMEOUT seconds.
        """
        call = self._channel.unary_unary(f"/runtime.v1.RuntimeService/{method}")
        deadline = time.monotonic() + TIMEOUT
        while True:
            try:
                return decode(call(encode(fields), timeout=TIMEOUT, wait_for_ready=True))
            except grpc.RpcError as error:
                early = "server is not initialized yet" in (error.details() or "")
                if not early or time.monotonic() > deadline:
                    raise
            time.sleep(0.05)

    def version(self) -> str:
        """The runtime's name and version."""
        answer = self.call("Version", {1: "v1"})
        return b" ".join(bytes(answer[number][0]) for number in (2, 3)).decode()

    def run_sandbox(
        self, name: str, cgroup_parent: str, handler: str = "", namespace: str = "tests"
    ) -> Sandbox:
        """A pod on the host's network, named so; its sandbox runs afterwards."""
        config: Fields = {
            1: {1: name, 2: f"uid-of-{name}", 3: namespace},
            4: {1: ["127.0.0.1"]},  # else it copies the machine's resolv.conf, which may be missing
            6: _labels({"io.kubernetes.pod.name": name, "io.kubernetes.pod.namespace": namespace}),
            8: {1: cgroup_parent, 2: {1: {1: NODE}}},
        }
        answer = self.call("RunPodSandbox", {1: config, 2: handler})
        return Sandbox(_text(answer[1][0]), config)

    def create_container(self, sandbox: Sandbox, name: str, image: str, args: Sequence[str]) -> str:
        """A container of a pod, not started; its id."""
        labels = _labels({"io.kubernetes.container.name": name})
        config: Fields = {1: {1: name}, 2: {1: image}, 3: list(args), 9: labels}
        answer = self.call("CreateContainer", {1: sandbox.identity, 2: config, 3: sandbox.config})
        return _text(answer[1][0])

    def start_container(self, identity: str) -> None:
        """Let it run."""
        self.call("StartContainer", {1: identity})

    def exec(self, identity: str, args: Sequence[str]) -> int:
        """Run another program in a container to its end, as a probe does; its status."""
        (status,) = self.call("ExecSync", {1: identity, 2: list(args)}).get(3, [0])
        return int(status)

    def remove_container(self, identity: str) -> None:
        """Kill it, if it runs, and remove it."""
        self.call("RemoveContainer", {1: identity})

    def remove_sandbox(self, sandbox: Sandbox) -> None:
        """Stop a pod and remove it with its containers."""
        self.call("StopPodSandbox", {1: sandbox.identity})
        self.call("RemovePodSandbox", {1: sandbox.identity})


def _labels(pairs: Mapping[str, str]) -> list[Fields]:
    return [{1: key, 2: value} for key, value in pairs.items()]  # a map is a list of entries


def _text(value: int | bytes) -> str:
    assert isinstance(value, bytes)
    return value.decode()
