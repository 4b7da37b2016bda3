"""The kinds of profiles in a real API server: what it takes, completes, refuses, prunes and merges."""

import json
from collections.abc import Callable

import pytest

from tests.cluster.api_server import ApiServer
from tests.cluster.client import Object
from tests.cluster.errors import AnswerError
from tests.cluster.objects import profile, recording, rule, seccomp

NamespaceMaker = Callable[..., str]


def refusal(server: ApiServer, thing: Object) -> str:
    """Why an object is not taken (422)."""
    with pytest.raises(AnswerError) as refused:
        server.client.create(thing, dry=True)
    assert (refused.value.status, refused.value.reason) == (422, "Invalid")
    return refused.value.message


@pytest.mark.parametrize(
    ("thing", "completed"),
    [
        (seccomp(), {"state": "Enabled"}),
        (profile("AppArmorProfile"), {"state": "Enabled", "mode": "Enforce"}),
        (
            profile("SelinuxProfile"),
            {"state": "Enabled", "mode": "Enforcing", "inherit": [{"kind": "System", "name": "container"}]},
        ),
        (profile("SelinuxProfile", inherit=[{"name": "a"}]), {"inherit": [{"kind": "System", "name": "a"}]}),
    ],
    ids=lambda value: value.get("kind", "") if isinstance(value, dict) else "",
)
def test_defaults_of_profiles(server: ApiServer, thing: Object, completed: Object) -> None:
    """What is left out is completed as SPO does."""
    made = server.client.create(thing, dry=True)["spec"]
    assert {key: made[key] for key in completed} == completed


SYSCALL = "spec.syscalls"
WRONG_PROFILES = [
    (seccomp(defaultAction="ALLOW"), "spec.defaultAction: Unsupported value"),
    (profile("SeccompProfile"), "spec.defaultAction: Required value"),
    (seccomp(state="On"), "spec.state: Unsupported value"),
    (seccomp(architectures=["SCMP_ARCH_VAX"]), "spec.architectures: Unsupported value"),
    (seccomp(architectures=["SCMP_ARCH_X86", "SCMP_ARCH_X86"]), "spec.architectures[1]: Duplicate value"),
    (seccomp(flags=["SECCOMP_FILTER_FLAG_FAST"]), "spec.flags: Unsupported value"),
    (seccomp(listenerPath="/run/agent.sock"), "spec.listenerPath"),
    (seccomp(listenerPath="/var/run/security-profiles-operator/a/b"), "spec.listenerPath"),
    (seccomp(syscalls=[rule()]), f"{SYSCALL}.names"),
    (seccomp(syscalls=[{"names": ["read"]}]), f"{SYSCALL}.action: Required value"),
    (seccomp(syscalls=[{"action": "SCMP_ACT_LOG"}]), f"{SYSCALL}.names: Required value"),
    (seccomp(syscalls=[rule("read", errnoRet=-1)]), f"{SYSCALL}.errnoRet"),
    (seccomp(syscalls=[rule("read", args=[{"index": 0, "op": "SCMP_CMP_EQ"}] * 7)]), f"{SYSCALL}.args"),
    (seccomp(syscalls=[rule("read", args=[{"index": 0}])]), "op: Required value"),
    (seccomp(syscalls=[rule("read", args=[{"op": "SCMP_CMP_EQ"}])]), "index: Required value"),
    (seccomp(syscalls=[rule("read", args=[{"index": -1, "op": "SCMP_CMP_EQ"}])]), "index"),
    (seccomp(syscalls=[rule("read", args=[{"index": 0, "op": "EQ"}])]), "op: Unsupported value"),
    (profile("AppArmorProfile", mode="enforce"), "spec.mode: Unsupported value"),
    (
        profile("AppArmorProfile", abstract={"filesystem": {"readOnlyPaths": ["/a", "/a"]}}),
        "readOnlyPaths[1]: Duplicate value",
    ),
    (profile("AppArmorProfile", abstract={"network": {"allowRaw": 1}}), "allowRaw"),
    (profile("SelinuxProfile", mode="Off"), "spec.mode: Unsupported value"),
    (profile("SelinuxProfile", inherit=[{"kind": "System"}]), "name: Required value"),
    (profile("SelinuxProfile", inherit=[{"kind": "User", "name": "a"}]), "kind: Unsupported value"),
    (profile("SelinuxProfile", allow={"etc_t": {"file": "read"}}), "spec.allow.etc_t.file"),
]


@pytest.mark.parametrize(("thing", "reason"), WRONG_PROFILES, ids=[reason for _, reason in WRONG_PROFILES])
def test_wrong_profiles_are_refused(server: ApiServer, thing: Object, reason: str) -> None:
    """By field, and why; the same with SPO's definitions."""
    assert reason in refusal(server, thing)


@pytest.mark.parametrize(
    ("kind", "old"),
    [("SeccompProfile", "v1beta1"), ("AppArmorProfile", "v1alpha1"), ("SelinuxProfile", "v1alpha2")],
)
def test_old_versions_are_served(server: ApiServer, kind: str, old: str) -> None:
    """An object of the old version is the same object in v1."""
    spec = {"defaultAction": "SCMP_ACT_LOG"} if kind == "SeccompProfile" else {}
    made = server.client.create(profile(kind, old, **spec))
    found = server.client.get(kind, made["metadata"]["name"])
    assert (found["metadata"]["uid"], found["spec"]) == (made["metadata"]["uid"], made["spec"])


def test_unknown_fields_are_pruned(server: ApiServer, namespace: NamespaceMaker) -> None:
    """At the top, in the spec, in items of lists: they are not kept, and no error."""
    thing = seccomp(syscalls=[rule("read", typo=1)], typo=1)
    made = server.client.create({**thing, "typo": 1})
    assert "typo" not in json.dumps({key: made[key] for key in made if key != "metadata"})
    assert made["spec"]["syscalls"] == [rule("read")]
    stored = server.client.create(recording(namespace(server=server), typo={"a": 1}))
    assert "typo" not in stored["spec"]


# --- who owns what: server-side apply


def test_sets_are_merged(server: ApiServer) -> None:
    """Two managers' values of a set stand side by side, and go with their manager."""
    client, thing = server.client, seccomp()

    def flags(*names: str) -> Object:
        spec = {"defaultAction": "SCMP_ACT_ERRNO", "flags": [f"SECCOMP_FILTER_FLAG_{name}" for name in names]}
        return {**thing, "spec": spec}

    client.apply(flags("LOG"), "one")
    both = client.apply(flags("TSYNC"), "two")
    assert sorted(both["spec"]["flags"]) == ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"]
    after = client.apply(flags(), "one")
    assert after["spec"]["flags"] == ["SECCOMP_FILTER_FLAG_TSYNC"]


def test_syscalls_are_replaced_as_a_whole(server: ApiServer) -> None:
    """One owner has the list of rules: another's apply is a conflict (409), and forced replaces all of it."""
    client, thing = server.client, seccomp(syscalls=[rule("read"), rule("write")])
    client.apply(thing, "one")
    other = {**thing, "spec": {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule("open")]}}
    with pytest.raises(AnswerError, match=r'conflict with "one".*\.spec\.syscalls') as refused:
        client.apply(other, "two")
    assert refused.value.status == 409
    assert client.apply(other, "two", force=True)["spec"]["syscalls"] == [rule("open")]


def test_inherit_is_replaced_as_a_whole(server: ApiServer) -> None:
    """As the rules of seccomp."""
    client, thing = (
        server.client,
        profile("SelinuxProfile", inherit=[{"kind": "System", "name": "container"}]),
    )
    client.apply(thing, "one")
    other = {**thing, "spec": {"inherit": [{"kind": "System", "name": "net_container"}]}}
    with pytest.raises(AnswerError, match=r"\.spec\.inherit"):
        client.apply(other, "two")
    assert client.apply(other, "two", force=True)["spec"]["inherit"] == other["spec"]["inherit"]


def test_paths_of_apparmor_are_merged(server: ApiServer) -> None:
    """All lists of the abstract profile are sets."""
    client, thing = server.client, profile("AppArmorProfile")
    lists = (
        ("executable", ("allowedExecutables", "allowedLibraries")),
        ("filesystem", ("readOnlyPaths", "writeOnlyPaths", "readWritePaths")),
        ("capability", ("allowedCapabilities",)),
    )
    for manager in ("one", "two"):
        abstract = {part: {name: [f"/{manager}"] for name in names} for part, names in lists}
        last = client.apply({**thing, "spec": {"abstract": abstract}}, manager)
    for part, names in lists:
        for name in names:
            assert sorted(last["spec"]["abstract"][part][name]) == ["/one", "/two"]


@pytest.mark.parametrize(
    ("kind", "columns"),
    [
        ("SeccompProfile", [("Name", 0), ("Status", 0), ("Age", 0), ("LocalhostProfile", 10)]),
        ("AppArmorProfile", [("Name", 0), ("Status", 0)]),
        ("SelinuxProfile", [("Name", 0), ("Usage", 0), ("State", 0)]),
    ],
)
def test_columns_of_profiles(server: ApiServer, kind: str, columns: list[tuple[str, int]]) -> None:
    """As SPO's."""
    found, _ = server.client.table(kind)
    assert [(one["name"], one["priority"]) for one in found] == columns
