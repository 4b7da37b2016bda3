"""Pods of every kind that there is are recorded rightly: each program's calls are known from its source.

All of them run at the same time, and their profiles are looked at when all have ended.
"""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from recorder.model.abi import Abi
from tests.cluster.client import Object
from tests.cluster.installed.installation import Installation, is_final, mark, recorded
from tests.cluster.node.pods import container, deployment, is_ready, job, phase, pod, restarts
from tests.truth.calls import Call, call_number, calls
from tests.truth.programs import EXEC, EXPECTED, rawsys_calls, word

pytestmark = pytest.mark.root
STEADY = ("signals", "1000000")  # runs until it is killed
STEADY_CALLS = calls(Abi.X86_64, "rt_sigaction", "write", "clock_nanosleep")
ENDS_BADLY = ("waiter",)  # its standard input ends at once: status 1
BAD_CALLS = calls(Abi.X86_64, "rt_sigaction", "write", "poll", "read", "exit_group")
COVERAGE = "spo.x-k8s.io/syscall-coverage"


def making(*names: str) -> tuple[str, ...]:
    """The command that makes these calls and ends."""
    return ("rawsys", *(word(each) for each in sorted(calls(Abi.X86_64, *names))))


def made(*names: str) -> frozenset[Call]:
    """What it calls."""
    return rawsys_calls(calls(Abi.X86_64, *names))


@dataclass(frozen=True, slots=True)
class Seen:
    """What a profile has to say: `calls` without the exec that starts the program; of so many records.

    records of 0: as many as the pods that the Job made.
    """

    calls: frozenset[Call]
    records: int = 1


@dataclass
class Kinds:
    """The namespace, and its profiles as they are when all has ended."""

    installation: Installation
    place: str
    brief: int
    tries: int

    def records(self, name: str) -> int:
        """How many its profile is made of. A Job may be tried once more than it asks for."""
        return WANTED[name].records or self.tries

    def profile(self, name: str) -> Object:
        return self.installation.client.get("SeccompProfile", name)


def probe(*command: str) -> Object:
    """Each second."""
    return {"exec": {"command": ["/programs/" + command[0], *command[1:]]}, "periodSeconds": 1}


def manifests(place: str, brief: int) -> Iterator[tuple[str, Object]]:
    """What runs, and the recording that it is for."""
    for runtime, name in (("runc", "getpriority"), ("crun", "getrlimit")):
        bare = f"bare-{runtime}"
        labels = {"app": bare}
        yield (
            bare,
            pod(
                *(place, bare, container("main", *making("getuid", name))),
                labels=labels,
                restartPolicy="Never",
                runtimeClassName=runtime,
            ),
        )
        probed = f"probed-{runtime}"
        yield (
            probed,
            pod(
                *(place, probed, container("main", *STEADY, livenessProbe=probe(*making(name)))),
                labels={"app": probed},
                runtimeClassName=runtime,
            ),
        )
    yield (
        "several",
        deployment(
            place,
            "several",
            container("one", *STEADY),
            container("two", *STEADY),
            container("three", *STEADY),
        ),
    )
    yield (
        "specific",
        pod(
            *(place, "specific", container("one", "five"), container("two", "forker")),
            labels={"app": "specific"},
            restartPolicy="Never",
        ),
    )
    yield (
        "init",
        pod(
            *(place, "init", container("main", *making("getpgrp"))),
            labels={"app": "init"},
            restartPolicy="Never",
            initContainers=[container("first", "five"), container("second", "int80")],
        ),
    )
    yield "replicas", deployment(place, "replicas", container("main", *STEADY), replicas=2)
    yield (
        "again",
        pod(*(place, "again", container("main", *making("times", "getgid"))), labels={"app": "again"}),
    )
    yield "failing", job(place, "failing", container("main", *ENDS_BADLY), tries=1)
    for each in range(brief):
        yield (
            "brief",
            pod(
                *(place, f"brief-{each}", container("main", "brief")),
                labels={"app": "brief"},
                restartPolicy="Never",
            ),
        )


WANTED = {
    "bare-runc-main": Seen(made("getuid", "getpriority")),
    "bare-crun-main": Seen(made("getuid", "getrlimit")),
    "probed-runc-main": Seen(STEADY_CALLS | made("getpriority")),
    "probed-crun-main": Seen(STEADY_CALLS | made("getrlimit")),
    "several-one": Seen(STEADY_CALLS),
    "several-two": Seen(STEADY_CALLS),
    "several-three": Seen(STEADY_CALLS),
    "specific-two": Seen(EXPECTED["forker"]),
    "init-first": Seen(EXPECTED["five"]),
    "init-second": Seen(EXPECTED["int80"]),
    "init-main": Seen(made("getpgrp")),
    "replicas-main": Seen(STEADY_CALLS | made("mknod"), 2),
    "again-main": Seen(made("times", "getgid")),
    "failing-main": Seen(BAD_CALLS, 0),
}


@pytest.fixture(scope="module")
def kinds(installation: Installation, scaled) -> Iterator[Kinds]:
    """All have run and ended."""
    brief = scaled(40, 4)
    place = installation.opted_in(f"kinds-{os.getpid()}")
    runs = [*manifests(place, brief)]
    asked = sorted({recording for recording, _ in runs})
    for each in asked:
        only = {"containers": ["two"]} if each == "specific" else {}
        installation.record(place, each, mergeStrategy="Containers", **only)
    installation.planned()
    for _, each in runs:
        installation.client.create(each)
    pods = installation.pods
    pods.wait("probed-runc", place, is_ready)
    pods.wait("probed-crun", place, is_ready)
    one, _ = _out(installation, place, "replicas")
    _out(installation, place, "several")
    pods.exec(one["metadata"]["name"], place, "/programs/rawsys", *making("mknod")[1:])
    pods.wait("again", place, lambda found: restarts(found) >= 1)
    _until_ended(installation, place, brief)
    tries = len(pods.of(place, "app=failing"))
    for name in ("probed-runc-main", "probed-crun-main"):  # a probe has been seen
        installation.profile(name, lambda each: {"getpriority", "getrlimit"} & recorded(each))
    for name in ("several", "replicas"):
        installation.client.delete("Deployment", name, place)
    for each in pods.of(place):
        installation.client.delete("Pod", each["metadata"]["name"], place)
    pods.gone(place, "app notin (failing)")
    those = Kinds(installation, place, brief, tries)
    for name in WANTED:
        installation.profile(
            name,
            lambda each, name=name: is_final(each) and mark(each, "records") == str(those.records(name)),
        )
    yield those
    for each in asked:
        installation.client.delete("ProfileRecording", each, place)
    installation.client.delete("Namespace", place)
    installation.client.delete_all("SeccompProfile", labels=f"spo.x-k8s.io/recording-namespace={place}")
    installation.client.wait("Namespace", place, lambda found: found is None, seconds=90)


def _out(installation: Installation, place: str, name: str) -> list[Object]:
    installation.pods.rolled_out("Deployment", name, place)
    return installation.pods.of(place, f"app={name}")


def _until_ended(installation: Installation, place: str, brief: int) -> None:
    end = time.monotonic() + 120
    selector = "app in (bare-runc,bare-crun,specific,init,failing,brief)"
    while True:
        found = {each["metadata"]["name"]: phase(each) for each in installation.pods.of(place, selector)}
        # four pods, two or more of the Job, and the brief ones
        failed = installation.client.get("Job", "failing", place).get("status", {}).get("conditions")
        if failed and len(found) >= 6 + brief and set(found.values()) <= {"Succeeded", "Failed"}:
            return
        assert time.monotonic() < end, found
        time.sleep(0.2)


@pytest.mark.parametrize("name", sorted(WANTED))
def test_what_each_kind_called(kinds: Kinds, name: str) -> None:
    """Exactly the program's calls, of all its records; complete."""
    profile = kinds.profile(name)
    assert recorded(profile) == {str(each) for each in WANTED[name].calls | EXEC}
    assert mark(profile, "verdict") == "complete"
    assert mark(profile, "records") == str(kinds.records(name))


def test_only_the_containers_that_were_asked_for(kinds: Kinds) -> None:
    """There is no profile of the other one."""
    labels = f"spo.x-k8s.io/recording-id=specific,spo.x-k8s.io/recording-namespace={kinds.place}"
    found = kinds.installation.client.objects("SeccompProfile", labels=labels)
    assert {each["metadata"]["labels"]["spo.x-k8s.io/container-id"] for each in found} == {"two"}


def test_two_replicas_are_merged_with_their_coverage(kinds: Kinds) -> None:
    """The call that one of them made is in one of two records."""
    said = json.loads(kinds.profile("replicas-main")["metadata"]["annotations"][COVERAGE])
    assert said["total"] == 2
    assert said["syscalls"]["mknod"] == 1
    assert said["syscalls"]["clock_nanosleep"] == 2


def test_no_pod_is_too_short(kinds: Kinds) -> None:
    """Each of those that live for milliseconds is in the profile."""
    profile = kinds.installation.profile(
        "brief-main", lambda each: is_final(each) and mark(each, "records") == str(kinds.brief)
    )
    assert recorded(profile) == {str(each) for each in EXPECTED["brief"] | EXEC}
    assert mark(profile, "verdict") == "complete"
    said = json.loads(profile["metadata"]["annotations"][COVERAGE])
    assert said["total"] == said["syscalls"]["gettid"] == kinds.brief


def test_an_i386_call_keeps_its_name(kinds: Kinds) -> None:
    """The init container's program calls by int $0x80."""
    profile = kinds.profile("init-second")
    assert set(profile["spec"]["architectures"]) == {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86"}


def test_numbers_are_those_of_the_table() -> None:
    """The commands above make the calls that they name."""
    assert call_number(Abi.X86_64, "mknod") == 133
    assert making("mknod") == ("rawsys", "133")
