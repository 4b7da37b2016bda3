"""Sightings and recordings for the tests of what results are made of; numbers are written out by hand."""

import json
from dataclasses import replace

from recorder.collector.store.sighting import Confirmation, Sighting
from recorder.model.abi import Abi
from recorder.model.ledger import Ledger
from recorder.model.numbers import Numbers
from recorder.model.record import (
    CallKey,
    Identity,
    Observation,
    Outcome,
    Phase,
    Pod,
    Provenance,
    Source,
)
from recorder.model.recording import Means, MergeStrategy, ProfileKind, Recording, RecordingName
from recorder.model.result import Placement
from recorder.model.selector import LabelSelector

# arch/x86/entry/syscalls/syscall_64.tbl
X86_64 = {
    "read": 0,
    "write": 1,
    "open": 2,
    "socket": 41,
    "execve": 59,
    "mkdir": 83,
    "chmod": 90,
    "openat": 257,
}
# arch/x86/entry/syscalls/syscall_32.tbl
I386 = {"read": 3, "write": 4, "execve": 11, "socketcall": 102, "mmap2": 192, "socket": 359}
# include/uapi/asm-generic/unistd.h
AARCH64 = {"openat": 56, "read": 63, "write": 64, "socket": 198, "execve": 221}
TABLES = {Abi.X86_64: X86_64, Abi.I386: I386, Abi.AARCH64: AARCH64}

ALWAYS_X86_64 = {
    *("exit", "exit_group", "rt_sigreturn", "restart_syscall"),
    *("clock_getres", "clock_gettime", "getcpu", "gettimeofday", "time"),
}
"""The ends of a program, the way back from a signal, a call that is resumed, what the vDSO answers."""

SECOND = 1_000_000_000
EPOCH = 1_700_000_000 * SECOND  # 2023-11-14T22:13:20Z


def calls(names, abi=Abi.X86_64, phase=Phase.WORKLOAD, outcome=Outcome.ALLOWED):
    """Calls of one ABI as an observation has them; names are separated by spaces."""
    return {CallKey(int(abi), phase, outcome): Numbers.of(TABLES[abi][name] for name in names.split())}


def observation(
    seen,
    container="app",
    pod=("web-5d4-aaaaa", "uid-a"),
    *,
    namespace="ns",
    cgroup=1,
    node="n1",
    machine="x86_64",
    ended=True,
    last=60,
    ledger=None,
    **identity,
):
    """What one run of a container did; `pod`: name and uid, None outside of Kubernetes."""
    return Observation(
        Source(node, "boot", cgroup, 1),
        Identity(name=container, pod=Pod(namespace, *pod) if pod else None, **identity),
        calls=seen,
        ledger=Ledger(ledger or {}),
        provenance=Provenance("0.1.0", "6.1.0", machine, "libbpf", "container", "crun", "1.8.1"),
        first_seen_ns=1 * SECOND,
        last_seen_ns=last * SECOND,
        wall_offset_ns=EPOCH,
        ended=ended,
    )


def sighting(seen, *args, generate="web-5d4-", confirmation=Confirmation.CONFIRMED, number=1, **values):
    """An observation as the store has it, its pod confirmed and made from a template."""
    observed = seen if isinstance(seen, Observation) else observation(seen, *args, **values)
    pod = observed.identity.pod
    placement = None
    if pod and confirmation is Confirmation.CONFIRMED:
        placement = Placement(pod.namespace, pod.name, pod.uid, observed.source.node, generate)
    return Sighting(number, observed, frozenset({"uid-rec"}), placement, confirmation)


def recording(name="rec", namespace="ns", **values):
    """A recording of all pods of its namespace; its uid is `uid-<name>`."""
    asked = Recording(
        RecordingName(namespace, name, f"uid-{name}"),
        ProfileKind.SECCOMP,
        Means.BPF,
        MergeStrategy.NONE,
        LabelSelector(),
    )
    return replace(asked, **values)


CONTAINERS = recording(merge=MergeStrategy.CONTAINERS)


def replicas(*, ended=True):
    """Three pods of one template, each with a call that no other makes."""
    own = {"a": "mkdir", "b": "chmod", "c": "socket"}
    return [
        sighting(
            calls(f"execve read write {call}"),
            "app",
            (f"web-5d4-{letter * 5}", f"uid-{letter}"),
            cgroup=index,
            node=f"n{index}",
            ended=ended,
        )
        for index, (letter, call) in enumerate(own.items(), 1)
    ]


def data(result):
    """An object as text, each of its bytes in it."""
    return json.dumps(
        [result.kind, result.name, dict(result.labels), dict(result.annotations), dict(result.spec)]
    )
