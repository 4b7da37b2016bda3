"""Folders as the platform: results are written whole, and what people changed in them is theirs."""

import asyncio
import json
import logging
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from recorder.collector.folders.platform import Folders
from recorder.model.errors import PlatformUnreachable, StorageError
from recorder.model.record import Pod
from recorder.model.recording import ProfileKind, RecordingName
from recorder.model.recording_status import Condition, RecordingEvent, RecordingStatus, ResultStatus
from recorder.model.result import Edit, Outcome, ResultObject
from tests.unit.collector.test_folders_recordings import text

EDITED = "recorder.x-k8s.io/edited"
SECCOMP = ProfileKind.SECCOMP


def result(*names, state="Disabled", name="web-nginx", labels=None, **annotations):
    return ResultObject(
        kind=SECCOMP,
        name=name,
        labels={"spo.x-k8s.io/recording-id": "web", **(labels or {})},
        annotations={"recorder.x-k8s.io/recorded-by": "profile-recorder", **annotations},
        spec={
            "state": state,
            "defaultAction": "SCMP_ACT_ERRNO",
            "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [{"names": list(names), "action": "SCMP_ACT_ALLOW"}],
        },
    )


@pytest.fixture
def results(tmp_path):
    return tmp_path / "results"


@pytest.fixture
def folders(tmp_path, results):
    (tmp_path / "recordings").mkdir()
    return Folders(tmp_path / "recordings", results, tmp_path / "state" / "folders.json", poll=0.01)


def apply(folders, wanted, uid=""):
    return asyncio.run(folders.apply(wanted, uid))


def read(path):
    return yaml.safe_load(path.read_text())


def edit(path, change):
    """As a person does: another file in its place, in another style."""
    value = read(path)
    change(value)
    path.unlink()
    path.write_text("# mine\n" + yaml.dump(value, default_flow_style=True))


def names(path):
    return read(path)["spec"]["syscalls"][0]["names"]


async def looks(folders, until, seconds=10):
    """Follow the folders until it is so; how often a change was told."""
    told = []
    running = asyncio.create_task(folders.run(lambda: told.append(1)))
    try:
        async with asyncio.timeout(seconds):
            while not until(told):
                await asyncio.sleep(0.005)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return len(told)


def test_a_result_is_a_file_that_the_api_server_would_take(folders, results):
    """apiVersion, kind, name, labels, annotations and spec, and nothing hidden beside it."""
    made = apply(folders, result("read", "write", note="on"))
    assert (made.outcome, made.edits) == (Outcome.CREATED, ())
    value = read(results / "web-nginx.yaml")
    assert value.keys() == {"apiVersion", "kind", "metadata", "spec"}
    assert (value["apiVersion"], value["kind"]) == (
        "security-profiles-operator.x-k8s.io/v1",
        "SeccompProfile",
    )
    assert value["metadata"].keys() == {"name", "labels", "annotations"}
    assert value["metadata"]["annotations"]["note"] == "on"
    assert value["spec"] == result("read", "write").spec
    assert os.listdir(results) == ["web-nginx.yaml"]
    assert (results / "web-nginx.yaml").stat().st_mode & 0o777 == 0o644


def test_a_result_of_another_kind_has_its_own_file_and_its_edits_are_found(folders, results, tmp_path):
    """Also one that was edited while nobody looked; there is none for runtimes beside it."""
    wanted = replace(
        result(),
        kind=ProfileKind.APPARMOR,
        spec={
            "state": "Enabled",
            "mode": "Enforce",
            "abstract": {"filesystem": {"readOnlyPaths": ["/etc/a"]}},
        },
    )
    uid = apply(folders, wanted).uid
    assert os.listdir(results) == ["web-nginx_apparmorprofile.yaml"]
    path = results / "web-nginx_apparmorprofile.yaml"
    value = read(path)
    assert (value["kind"], value["spec"]) == ("AppArmorProfile", wanted.spec)
    edit(path, lambda each: each["spec"].update(mode="Complain"))
    again = Folders(tmp_path / "recordings", results, tmp_path / "state" / "folders.json", poll=0.01)
    asyncio.run(looks(again, lambda told: told))
    assert again.touched() == {(ProfileKind.APPARMOR, "web-nginx")}
    made = apply(again, wanted, uid)
    assert [each.field for each in made.edits] == ["spec.mode"]
    assert read(path)["spec"]["mode"] == "Complain"


def test_the_same_result_is_not_written_again(folders, results):
    """Same bytes, same file."""
    uid = apply(folders, result("read")).uid
    before = (results / "web-nginx.yaml").stat()
    assert apply(folders, result("read"), uid).outcome is Outcome.UPDATED
    assert (results / "web-nginx.yaml").stat() == before
    apply(folders, result("read", "write"), uid)
    assert names(results / "web-nginx.yaml") == ["read", "write"]


def test_readers_never_see_a_part_of_a_file(folders, results, scaled):
    """Each read of many while it is written is a whole object of one of the states."""
    many = [f"call{number}" for number in range(400)]
    uid = apply(folders, result(*many)).uid
    seen = set()

    async def write():
        for count in range(scaled(300, least=40)):
            await folders.apply(result(*many[: 1 + count % 400]), uid)
            value = read(results / "web-nginx.yaml")
            seen.add(len(value["spec"]["syscalls"][0]["names"]))

    async def watch():
        while True:
            await asyncio.to_thread(read, results / "web-nginx.yaml")

    async def both():
        watching = asyncio.create_task(watch())
        await write()
        watching.cancel()
        [ended] = await asyncio.gather(watching, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError)

    asyncio.run(both())
    assert len(seen) == scaled(300, least=40)


def test_somebody_elses_file_is_never_written(folders, results, tmp_path):
    """A file, a link, a link to nowhere or a folder of that name: it is taken, and stays as it is."""
    target = tmp_path / "target"
    target.write_text("precious")
    results.joinpath("a.yaml").write_text("apiVersion: v1\nkind: Secret\n")
    results.joinpath("b.yaml").symlink_to(target)
    results.joinpath("c.yaml").symlink_to(tmp_path / "nowhere")
    results.joinpath("d.yaml").mkdir()
    results.joinpath("e.yaml").write_text("not: [yaml")
    os.mkfifo(results / "f.yaml")
    before = sorted((each.name, each.lstat().st_mtime_ns) for each in results.iterdir())
    for name in "abcdef":
        assert apply(folders, result("read", name=name)).outcome is Outcome.TAKEN
        found = asyncio.run(folders.result(SECCOMP, name))
        assert found is not None
        assert not found.ours
    assert sorted((each.name, each.lstat().st_mtime_ns) for each in results.iterdir()) == before
    assert target.read_text() == "precious"
    assert not (tmp_path / "nowhere").exists()


def test_a_result_of_ours_is_not_taken_over_without_its_uid(folders):
    """As an object that is there and was to be made; with it, it is updated."""
    uid = apply(folders, result("read")).uid
    assert apply(folders, result("write")).outcome is Outcome.TAKEN
    found = asyncio.run(folders.result(SECCOMP, "web-nginx"))
    assert (found.ours, found.uid, found.spec["state"]) == (True, uid, "Disabled")
    assert found.labels == {"spo.x-k8s.io/recording-id": "web"}
    assert apply(folders, result("write"), found.uid).outcome is Outcome.UPDATED
    assert asyncio.run(folders.result(SECCOMP, "nothing")) is None


def test_a_persons_edit_stays_and_the_rest_goes_on(folders, results):
    """The list with a name added and one removed is theirs; state and annotations are still ours."""
    path = results / "web-nginx.yaml"
    uid = apply(folders, result("read", "write")).uid
    edit(path, lambda value: value["spec"]["syscalls"][0].update(names=["read", "ptrace"]))
    made = apply(folders, result("read", "write", "mkdir", state="Enabled", coverage="3"), uid)
    assert made.edits == (Edit("spec.syscalls", "root"),)
    assert names(path) == ["read", "ptrace"]
    assert read(path)["spec"]["state"] == "Enabled"
    annotations = read(path)["metadata"]["annotations"]
    assert annotations["coverage"] == "3"
    assert json.loads(annotations[EDITED]) == {"spec.syscalls": "root"}
    again = apply(folders, result("read", "write", "mkdir", "open"), uid)
    assert again.edits == made.edits
    assert names(path) == ["read", "ptrace"]
    edit(path, lambda value: value["spec"]["syscalls"][0].update(names=["ptrace"]))
    apply(folders, result("read", "close"), uid)
    assert names(path) == ["ptrace"]


def test_taking_the_annotation_away_gives_the_fields_back(folders, results):
    """All of them, or the one that is taken out of it."""
    path = results / "web-nginx.yaml"
    uid = apply(folders, result("read")).uid

    def change(value):
        value["spec"]["syscalls"][0].update(names=["ptrace"])
        value["metadata"]["labels"]["spo.x-k8s.io/recording-id"] = "mine"

    edit(path, change)
    made = apply(folders, result("read"), uid)
    assert [each.field for each in made.edits] == [
        "metadata.labels[spo.x-k8s.io/recording-id]",
        "spec.syscalls",
    ]

    def give_back_one(value):
        annotations = value["metadata"]["annotations"]
        left = json.loads(annotations[EDITED])
        del left["spec.syscalls"]
        annotations[EDITED] = json.dumps(left)

    edit(path, give_back_one)
    made = apply(folders, result("read", "write"), uid)
    assert [each.field for each in made.edits] == ["metadata.labels[spo.x-k8s.io/recording-id]"]
    assert names(path) == ["read", "write"]
    edit(path, lambda value: value["metadata"]["annotations"].pop(EDITED))
    assert apply(folders, result("read", "write"), uid).edits == ()
    assert read(path)["metadata"]["labels"] == {"spo.x-k8s.io/recording-id": "web"}
    assert EDITED not in read(path)["metadata"]["annotations"]


def test_what_people_add_stays(folders, results):
    """Labels, annotations and keys that were never ours are kept over our writes, and are no edits."""
    path = results / "web-nginx.yaml"
    uid = apply(folders, result("read")).uid

    def add(value):
        value["metadata"]["labels"]["team"] = "shop"
        value["metadata"]["annotations"]["note"] = "tried on Friday"
        value["spec"]["baseProfileName"] = "runtime"

    edit(path, add)
    assert apply(folders, result("read", "write"), uid).edits == ()
    value = read(path)
    assert names(path) == ["read", "write"]
    assert value["metadata"]["labels"]["team"] == "shop"
    assert value["metadata"]["annotations"]["note"] == "tried on Friday"
    assert value["spec"]["baseProfileName"] == "runtime"


def test_a_field_that_is_ours_no_more_goes_unless_it_was_edited(folders, results):
    """A label that later results do not have."""
    path = results / "web-nginx.yaml"
    uid = apply(folders, result("read", labels={"old": "1", "kept": "1"})).uid
    edit(path, lambda value: value["metadata"]["labels"].update(kept="2"))
    apply(folders, result("read"), uid)
    assert read(path)["metadata"]["labels"] == {"spo.x-k8s.io/recording-id": "web", "kept": "2"}


def test_an_edit_that_says_the_same_is_none(folders, results):
    """Another style, another order of keys, or what we are about to write anyway."""
    path = results / "web-nginx.yaml"
    uid = apply(folders, result("read")).uid
    edit(path, lambda value: value["spec"]["syscalls"][0].update(names=["read", "write"]))
    assert apply(folders, result("read", "write"), uid).edits == ()
    assert apply(folders, result("read", "write", "open"), uid).edits == ()


def test_a_file_that_is_broken_or_replaced_meanwhile_is_a_persons(folders, results):
    """It stays as it is, and the edit says so; when it is mended, ours go on."""
    path = results / "web-nginx.yaml"
    uid = apply(folders, result("read")).uid
    whole = path.read_text()
    for other in (whole[: len(whole) // 2] + "\n  {", "kind: Pod\n", ""):
        path.write_text(other)
        made = apply(folders, result("read", "write"), uid)
        assert made.edits == (Edit("(the file)", "root"),)
        assert path.read_text() == other
    path.write_text(whole)
    assert apply(folders, result("read", "write"), uid).edits == ()
    assert names(path) == ["read", "write"]


def test_a_file_that_was_deleted_is_made_anew(folders, results):
    """As an object would be."""
    uid = apply(folders, result("read")).uid
    (results / "web-nginx.yaml").unlink()
    assert apply(folders, result("read"), uid).outcome is Outcome.CREATED
    assert names(results / "web-nginx.yaml") == ["read"]


@pytest.mark.parametrize("annotation", ["{", "[]", "null", '{"spec.syscalls": 5}', '{"x": "y"}'])
def test_bookkeeping_that_was_changed_by_hand_takes_nothing(folders, results, annotation):
    """What stands there differs from what we would write: it is kept as a person's."""
    path = results / "web-nginx.yaml"
    uid = apply(folders, result("read")).uid

    def change(value):
        value["spec"]["syscalls"][0].update(names=["ptrace"])
        value["metadata"]["annotations"]["recorder.x-k8s.io/applied"] = annotation

    edit(path, change)
    assert "spec.syscalls" in [each.field for each in apply(folders, result("read"), uid).edits]
    assert names(path) == ["ptrace"]


def test_a_runtime_gets_a_file_of_its_own_once_the_profile_is_enabled(folders, results):
    """The same calls in the OCI format; not while it grows, and never over a person's file."""
    uid = apply(folders, result("read")).uid
    runtime = results / "web-nginx.json"
    assert not runtime.exists()
    apply(folders, result("read", "write", state="Enabled"), uid)
    value = json.loads(runtime.read_text())
    assert value["defaultAction"] == "SCMP_ACT_ERRNO"
    assert value["syscalls"] == [{"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"}]
    apply(folders, result("read", state="Enabled"), uid)
    assert json.loads(runtime.read_text())["syscalls"][0]["names"] == ["read"]
    runtime.write_text("{}")
    apply(folders, result("read", "open", state="Enabled"), uid)
    assert runtime.read_text() == "{}"


def test_the_runtimes_file_follows_an_edit(folders, results):
    """What a person put into the profile is what a runtime gets."""
    path = results / "web-nginx.yaml"
    uid = apply(folders, result("read", state="Enabled")).uid
    edit(path, lambda value: value["spec"]["syscalls"][0].update(names=["read", "ptrace"]))
    apply(folders, result("read", "write", state="Enabled"), uid)
    assert json.loads((results / "web-nginx.json").read_text())["syscalls"][0]["names"] == ["ptrace", "read"]


def test_a_result_is_removed_with_its_runtimes_file_unless_it_was_edited(folders, results):
    """Another uid removes nothing; an edited one is a person's."""
    uid = apply(folders, result("read", state="Enabled")).uid
    asyncio.run(folders.remove(SECCOMP, "web-nginx", "another"))
    assert sorted(os.listdir(results)) == ["web-nginx.json", "web-nginx.yaml"]
    asyncio.run(folders.remove(SECCOMP, "web-nginx", uid))
    asyncio.run(folders.remove(SECCOMP, "web-nginx", uid))
    assert os.listdir(results) == []
    uid = apply(folders, result("read")).uid
    edit(results / "web-nginx.yaml", lambda value: value["spec"].update(state="Enabled"))
    asyncio.run(folders.remove(SECCOMP, "web-nginx", uid))
    assert os.listdir(results) == ["web-nginx.yaml"]


@pytest.mark.parametrize("name", ["a" * 253, "a" * 201, ".".join(["b" * 50] * 5)])
def test_a_long_name_has_a_file(folders, results, name):
    """A file's name has 255 bytes at most; two long names do not share one."""
    assert apply(folders, result("read", name=name)).outcome is Outcome.CREATED
    assert apply(folders, result("write", name=name[:-1] + "z")).outcome is Outcome.CREATED
    found = [read(each) for each in results.iterdir()]
    assert sorted(each["metadata"]["name"] for each in found) == sorted([name, name[:-1] + "z"])


def test_no_result_has_the_file_of_a_status(folders):
    """A container may be called app.status."""
    assert apply(folders, result("read", name="web-app.status")).outcome is Outcome.TAKEN


def test_a_folder_that_cannot_be_written_is_an_outage(folders, results):
    """It is said; afterwards it goes on."""
    uid = apply(folders, result("read")).uid
    shutil.rmtree(results)
    results.write_text("in the way")
    with pytest.raises(PlatformUnreachable, match="Not a directory"):
        apply(folders, result("read"), uid)
    results.unlink()
    results.mkdir()
    assert apply(folders, result("read"), uid).outcome is Outcome.CREATED


@pytest.mark.root
def test_a_full_disk_is_an_outage_and_the_old_file_stays(tmp_path, results, mounted):
    """Whatever the size of the new one."""
    mounted(results, "1m")
    (tmp_path / "recordings").mkdir()
    folders = Folders(tmp_path / "recordings", results, tmp_path / "state" / "folders.json")
    uid = apply(folders, result("read")).uid
    before = (results / "web-nginx.yaml").read_text()
    (results / "filler").write_bytes(b"x" * 1_000_000)
    with pytest.raises(PlatformUnreachable, match="No space left"):
        apply(folders, result("read", note="x" * 100_000), uid)
    assert (results / "web-nginx.yaml").read_text() == before
    assert sorted(os.listdir(results)) == ["filler", "web-nginx.yaml"]
    (results / "filler").unlink()
    assert apply(folders, result("read", note="x" * 100_000), uid).outcome is Outcome.UPDATED


@pytest.fixture
def mounted():
    """`mounted(folder, size)`: a small file system; gone after the test."""
    mounts = []

    def mount(folder: Path, size: str) -> None:
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], check=True)
        mounts.append(folder)

    yield mount
    for each in mounts:
        subprocess.run(["umount", each], check=True)


def test_what_people_do_is_noticed(folders, results):
    """An edit and a deletion are told once each; our own writes are not."""

    async def run():
        uid = (await folders.apply(result("read"), "")).uid
        await folders.apply(result("read", name="other"), "")
        await looks(folders, lambda told: len(told) >= 1)
        assert folders.touched() == frozenset()
        await folders.apply(result("read", "write"), uid)
        (results / "other.yaml").unlink()
        await looks(folders, lambda told: len(told) >= 1)
        assert folders.touched() == {(SECCOMP, "other")}
        edit(results / "web-nginx.yaml", lambda value: value["spec"].update(state="Enabled"))
        await looks(folders, lambda told: len(told) >= 1)
        assert folders.touched() == {(SECCOMP, "web-nginx")}
        await folders.apply(result("read", "write"), uid)
        assert folders.touched() == frozenset()

    asyncio.run(run())


def test_what_people_did_while_nobody_looked_is_noticed(folders, results, tmp_path):
    """A new process tells of edits and of what was given back; not of what is as it was written."""
    uids = {name: apply(folders, result("read", name=name)).uid for name in ("same", "edited", "given")}
    edit(results / "given.yaml", lambda value: value["spec"].update(state="Enabled"))
    apply(folders, result("read", name="given"), uids["given"])
    edit(results / "given.yaml", lambda value: value["metadata"]["annotations"].pop(EDITED))
    edit(results / "edited.yaml", lambda value: value["spec"].update(state="Enabled"))
    (results / "another.yaml").write_text("kind: Pod\n")

    async def run():
        later = Folders(tmp_path / "recordings", results, tmp_path / "state" / "folders.json", poll=0.01)
        await looks(later, lambda told: len(told) >= 1)
        assert later.touched() == {(SECCOMP, "edited"), (SECCOMP, "given")}

    asyncio.run(run())


@pytest.mark.parametrize("kind", list(ProfileKind))
def test_results_of_every_kind_and_of_long_names_are_looked_back_at(folders, results, tmp_path, kind):
    """One name may be that of several kinds: each has a file of its own, whose edits are told."""
    name = "long" * 60
    for each in ProfileKind:
        apply(folders, replace(result("read", name=name), kind=each))
    (mine,) = (each for each in results.glob("*.yaml") if read(each)["kind"] == kind)
    edit(mine, lambda value: value["spec"].update(state="Enabled"))

    async def run():
        later = Folders(tmp_path / "recordings", results, tmp_path / "state" / "folders.json", poll=0.01)
        await looks(later, lambda told: len(told) >= 1)
        assert later.touched() == {(kind, name)}

    asyncio.run(run())


def test_recordings_are_followed_and_a_lost_folder_deletes_none(folders, tmp_path, caplog):
    """Not ready before the first look; an outage is said once, and its end."""
    caplog.set_level(logging.INFO)
    place = tmp_path / "recordings"

    async def run():
        assert not folders.ready
        (place / "web.yaml").write_text(text())
        await looks(folders, lambda told: len(told) >= 1)
        assert folders.ready
        [known] = folders.recordings().values()
        place.rename(tmp_path / "away")
        await looks(folders, lambda told: len(caplog.records) >= 1)
        assert list(folders.recordings().values()) == [known]
        (tmp_path / "away").rename(place)
        await looks(folders, lambda told: len(caplog.records) >= 2)
        assert list(folders.recordings().values()) == [known]
        (place / "web.yaml").unlink()
        await looks(folders, lambda told: not folders.recordings())

    asyncio.run(run())
    assert [each.levelname for each in caplog.records] == ["ERROR", "INFO"]


STATUS = RecordingStatus(
    observed_generation=1,
    conditions=(Condition("Ready", True, "Recording", "1 container is recorded"),),
    active_workloads=("nginx",),
    results=(ResultStatus(SECCOMP, "web-nginx", "nginx", "recording", 12, 1, 1, "complete"),),
    ledger={"attached_late": 2},
)


def test_a_status_stands_beside_the_results(folders, results, tmp_path):
    """Written when it says something new; the time of a condition is that of its last turn."""
    (tmp_path / "recordings" / "web.yaml").write_text(text())
    (tmp_path / "recordings" / "shop.yaml").write_text(text(namespace="shop"))

    async def run():
        await looks(folders, lambda told: told)
        plain, shop = sorted(each.name for each in folders.recordings().values())
        await folders.report(plain, STATUS)
        await folders.report(shop, STATUS)
        await folders.report(RecordingName("", "gone", "of-another"), STATUS)
        assert sorted(os.listdir(results)) == ["shop_web.status.yaml", "web.status.yaml"]
        path = results / "web.status.yaml"
        value = read(path)
        assert value["metadata"] == {"name": "web", "uid": plain.uid}
        status = value["status"]
        assert status["results"] == [
            {
                "kind": "SeccompProfile",
                "name": "web-nginx",
                "container": "nginx",
                "state": "recording",
                "syscalls": 12,
                "denied": 1,
                "coverage": 1,
                "verdict": "complete",
            }
        ]
        assert (status["activeWorkloads"], status["resultCount"]) == (["nginx"], 1)
        assert status["ledger"] == [{"cause": "attached_late", "count": 2}]
        before = path.stat()
        await folders.report(plain, STATUS)
        assert path.stat() == before
        path.write_text(path.read_text().replace(status["conditions"][0]["lastTransitionTime"], "long ago"))
        longer = replace(STATUS, active_workloads=())
        await folders.report(plain, longer)
        assert read(path)["status"]["conditions"][0]["lastTransitionTime"] == "long ago"
        turned = replace(longer, conditions=(replace(STATUS.conditions[0], status=False),))
        await folders.report(plain, turned)
        assert read(path)["status"]["conditions"][0]["lastTransitionTime"] != "long ago"
        (tmp_path / "recordings" / "web.yaml").unlink()
        await looks(folders, lambda told: not path.exists())
        await folders.report(plain, STATUS)
        assert os.listdir(results) == ["shop_web.status.yaml"]

    asyncio.run(run())


def test_an_event_is_in_the_log(folders, caplog):
    """With the recording's name; a warning as one."""
    caplog.set_level(logging.INFO)
    asyncio.run(
        folders.event(RecordingName("shop", "web", "1"), RecordingEvent("Loss", "slots_full 3", warning=True))
    )
    [record] = caplog.records
    assert (record.levelname, record.getMessage()) == ("WARNING", "recording shop/web: Loss: slots_full 3")


@pytest.mark.parametrize(
    ("pod", "template"),
    [("web-5d4f7c9b8-x7k2p", "web-5d4f7c9b8-"), ("db-0", ""), ("cache", ""), ("web-aaaaa", "")],
)
def test_pods_are_believed(folders, pod, template):
    """A name with five characters of the API server's alphabet at its end is from a template."""
    placement = asyncio.run(folders.placement(Pod("shop", pod, "uid-1")))
    assert (placement.name, placement.uid, placement.node) == (pod, "uid-1", "")
    assert placement.generate_name == template


def test_folders_that_cannot_be_used_are_refused(tmp_path):
    """With what to do."""
    with pytest.raises(StorageError, match="make it"):
        Folders(tmp_path / "none", tmp_path / "results", tmp_path / "state" / "folders.json")
    (tmp_path / "none").mkdir()
    with pytest.raises(StorageError, match="cannot make the folder"):
        Folders(tmp_path / "none", tmp_path / "a" / "b", tmp_path / "state" / "folders.json")
