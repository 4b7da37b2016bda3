"""Podman's storage as files: what it names, and files of users that are not what they should be.

The shapes are those that podman 4.3 with containers/storage 1.43 wrote; tests/containers has a real one.
"""

import asyncio
import json
import os
import sqlite3

import pytest

from recorder.containers.container import Manager
from recorder.containers.podman import MAX_FILE, PodmanSource, Storage, storages
from recorder.model.errors import RuntimeUnreachable
from tests.unit.containers.fake_cri import hex_id

IMAGE, DIGEST = "f" * 64, f"sha256:{'b' * 64}"
UID = os.geteuid()


def entry(identity, name, image=IMAGE):
    metadata = {"image-name": "localhost/web:1" if image else "", "name": name}
    return {"id": identity, "names": [name], "image": image, "metadata": json.dumps(metadata)}


@pytest.fixture
def storage(tmp_path):
    """A storage with one container and one image."""
    made = Storage(tmp_path / "root", tmp_path / "run", UID)
    for folder, name, what in (
        ("overlay-containers", "containers.json", [entry(hex_id(1), "web")]),
        ("overlay-images", "images.json", [{"id": IMAGE, "digest": DIGEST}, {"id": "a" * 64}]),
    ):
        (made.graph_root / folder).mkdir(parents=True)
        (made.graph_root / folder / name).write_text(json.dumps(what))
    data = made.graph_root / "overlay-containers" / hex_id(1) / "userdata"
    data.mkdir(parents=True)
    (data / "config.json").write_text(
        json.dumps({"linux": {"cgroupsPath": f"/libpod_parent/libpod-{hex_id(1)}"}})
    )
    return made


def find(*found, number=1):
    return asyncio.run(PodmanSource(found).find(hex_id(number)))


def test_a_container(storage):
    """Name, image, digest and cgroup; it does not run, so it is not in the list."""
    found = find(storage)
    assert (found.id, found.name, found.manager) == (hex_id(1), "web", Manager.PODMAN)
    assert (found.image, found.image_digest) == ("localhost/web:1", DIGEST)
    assert found.cgroup_path == f"/libpod_parent/libpod-{hex_id(1)}"
    assert found.pid == 0
    assert asyncio.run(PodmanSource([storage]).list()) == []


def labelled(path, labels):
    """libpod's SQLite database with the configuration of one container."""
    path.parent.mkdir(exist_ok=True)
    made = sqlite3.connect(path)
    made.execute(
        "CREATE TABLE ContainerConfig(ID TEXT PRIMARY KEY NOT NULL, Name TEXT, PodID TEXT, JSON TEXT)"
    )
    made.execute(
        "INSERT INTO ContainerConfig VALUES (?, 'web', NULL, ?)", (hex_id(1), json.dumps({"labels": labels}))
    )
    made.commit()
    return made


@pytest.mark.parametrize("place", ["root/db.sql", "root/libpod/db.sql", "run/db.sql"])
def test_labels_of_a_newer_podman(storage, tmp_path, place):
    """From SQLite, wherever its database is; what is no text is no label."""
    labelled(tmp_path / place, {"app": "web", "number": 1})
    assert dict(find(storage).labels) == {"app": "web"}
    assert dict(find(storage, number=1).labels) == {"app": "web"}


def test_labels_while_somebody_writes(storage, tmp_path):
    """What a transaction that is not over has written does not count, and is waited for in vain."""
    made = labelled(tmp_path / "root/db.sql", {"app": "web"})
    made.execute("PRAGMA cache_size = 1")
    made.execute("PRAGMA cache_spill = 1")
    text = json.dumps({"labels": {"app": "other"}, "more": "x" * 100_000})
    made.execute("UPDATE ContainerConfig SET JSON = ?", (text,))
    assert (tmp_path / "root/db.sql-journal").exists()
    source = PodmanSource([storage])
    found = asyncio.run(source.find(hex_id(1)))
    assert (found.name, dict(found.labels)) == ("web", {})
    assert "written all the time" in source.status().problem
    made.commit()
    assert dict(asyncio.run(source.find(hex_id(1))).labels) == {"app": "other"}
    assert source.status().problem == ""


def test_a_database_that_is_none(storage, tmp_path):
    """Bytes, a link to another's file, a pipe: the container has its name, and the status says why."""
    database = tmp_path / "root/db.sql"
    other = tmp_path / "other.sql"
    labelled(other, {"app": "other"}).close()
    for make in (
        lambda: database.write_bytes(b"no database"),
        lambda: database.symlink_to(other),
        lambda: os.mkfifo(database),
    ):
        make()
        source = PodmanSource([storage])
        found = asyncio.run(source.find(hex_id(1)))
        assert (found.name, dict(found.labels)) == ("web", {})
        assert source.status().problem.startswith("labels are not known")
        assert source.status().reachable
        database.unlink()


def test_what_it_does_not_know(storage):
    """None; a storage that is not there is an empty one."""
    assert find(storage, number=2) is None
    assert asyncio.run(PodmanSource([storage]).find("../x")) is None
    assert find(Storage(storage.graph_root / "none", storage.run_root)) is None
    assert find() is None


def test_volatile_containers(storage):
    """Newer storages keep those of `--rm` in the run root."""
    folder = storage.run_root / "overlay-containers"
    folder.mkdir(parents=True)
    (folder / "volatile-containers.json").write_text(json.dumps([entry(hex_id(2), "brief", image="")]))
    found = find(storage, number=2)
    assert (found.name, found.image, found.image_digest) == ("brief", "", "")


def test_a_pid_counts_only_in_its_cgroup(storage):
    """Whoever writes the file cannot make another process the container's."""
    data = storage.run_root / "overlay-containers" / hex_id(1) / "userdata"
    data.mkdir(parents=True)
    for text in (str(os.getpid()), "1", "0", "-5", "99999999999999999999", "x", ""):
        (data / "pidfile").write_text(text)
        assert find(storage).pid == 0
    proc = storage.run_root / "proc"
    (proc / "5").mkdir(parents=True)
    (proc / "5/cgroup").write_text(f"0::/machine.slice/libpod-{hex_id(1)}.scope/container\n")
    (data / "pidfile").write_text("5\n")
    assert asyncio.run(PodmanSource([storage], proc=proc).find(hex_id(1))).pid == 5


def test_the_first_storage_has_the_container(storage, tmp_path):
    """root's is before those of users: nobody renames root's containers."""
    other = Storage(tmp_path / "other", tmp_path / "run2", UID)
    (other.graph_root / "vfs-containers").mkdir(parents=True)
    listed = [entry(hex_id(1), "liar"), entry(hex_id(2), "own")]
    (other.graph_root / "vfs-containers/containers.json").write_text(json.dumps(listed))
    assert find(storage, other).name == "web"
    assert find(storage, other, number=2).name == "own"


UNREADABLE = ["[", "x", "[" * 100_000]


@pytest.mark.parametrize("text", ["", "{}", "null", "[1]", '[{"id": 5}]', "[[]]", '"x"', *UNREADABLE])
def test_lists_that_are_none(storage, text):
    """Of root it is an error, and never another one; of a user it is a remark."""
    path = storage.graph_root / "overlay-containers/containers.json"
    path.write_text(text)
    for uid in (0, 1234):
        source = PodmanSource([Storage(storage.graph_root, storage.run_root, uid)])
        if text in UNREADABLE and uid == 0:
            with pytest.raises(RuntimeUnreachable, match=str(path)):
                asyncio.run(source.find(hex_id(1)))
        else:
            assert asyncio.run(source.find(hex_id(1))) is None
        assert source.status().reachable == (text not in UNREADABLE or uid > 0)
        assert bool(source.status().problem) == (text in UNREADABLE)


@pytest.mark.root
def test_files_that_are_not_files(storage, tmp_path):
    """A link, a pipe, a device, one of somebody else's, one without an end: none is read, none blocks."""
    path = storage.graph_root / "overlay-containers/containers.json"
    elsewhere = tmp_path / "elsewhere.json"
    path.rename(elsewhere)

    def long():
        with path.open("wb") as file:
            file.truncate(MAX_FILE + 1)

    def another():
        path.write_bytes(elsewhere.read_bytes())
        os.chown(path, 4321, 0)

    for make in (
        lambda: path.symlink_to(elsewhere),
        lambda: os.mkfifo(path),
        path.mkdir,
        long,
        another,
    ):
        make()
        source = PodmanSource([Storage(storage.graph_root, storage.run_root, 1234)])
        assert asyncio.run(asyncio.wait_for(source.find(hex_id(1)), 5)) is None
        assert source.status().problem
        path.rmdir() if path.is_dir() else path.unlink()


def test_storages_of_a_machine(tmp_path):
    """The configured one, and those of users that have one; not of users without."""
    for folder in ("etc/containers", "srv/graph", "home/ann/.local/share/containers/storage", "home/bob"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etc/passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\nbob:x:1001:1001::/home/bob:/bin/sh\nodd\n"
    )
    (tmp_path / "etc/containers/storage.conf").write_text(
        '[storage]\ndriver = "overlay"\ngraphroot = "/srv/graph"\nrunroot = "/srv/run"\n'
    )
    ann = tmp_path / "home/ann/.local/share/containers/storage"
    assert storages(tmp_path) == [
        Storage(tmp_path / "srv/graph", tmp_path / "srv/run"),
        Storage(ann, tmp_path / "run/user/1000/containers", 1000),
    ]
    (tmp_path / "etc/containers/storage.conf").write_text("[[[")
    assert [each.uid for each in storages(tmp_path)] == [1000]
