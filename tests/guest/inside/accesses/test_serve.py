"""`recorder serve`: files with ProfileRecordings in, AppArmor profiles that work out; needs AppArmor."""

import contextlib
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.collector.serve import Serve, annotation
from tests.truth import oci
from tests.truth.audit_avc import AvcReader
from tests.truth.installed import installed
from tests.truth.podman import Podman

WAITING = 300.0
"""Seconds, in emulation."""
PROGRAMS = ("sh", "cat", "mv", "rm", "mkdir", "sleep")
FIRST = "mkdir /srv/data; echo one >/srv/data/log; cat /etc/greeting"
THEN = "mv /srv/data/log /srv/data/log.1; rm /srv/data/log.1"
OUTSIDE = "/srv/secret"


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    """A few programs; one file that the workload reads, and one that it does not."""
    root = oci.make_rootfs(tmp_path / "root", {f"/bin/{name}": Path("/bin") / name for name in PROGRAMS})
    for path, text in (("etc/greeting", "hello\n"), (OUTSIDE.lstrip("/"), "secret\n")):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


@pytest.fixture
def podman(layout: oci.Layout) -> Iterator[Podman]:
    """With crun; its containers are below a directory of podman's own name."""
    with layout.ground("crun"), Podman("crun", layout) as made:
        (made.cgroup.parent / "libpod_parent").mkdir(parents=True)
        yield made


@contextlib.contextmanager
def loaded(text: str) -> Iterator[None]:
    """An installer's profile, in the kernel."""
    load = ["apparmor_parser", "--replace", "--skip-cache", "--quiet"]
    subprocess.run(load, input=text.encode(), check=True, timeout=WAITING)
    try:
        yield
    finally:
        remove = ["apparmor_parser", "--remove", "--quiet"]
        subprocess.run(remove, input=text.encode(), check=False, timeout=WAITING)


def test_a_container_runs_under_the_profile_that_was_written_of_it(tmp_path, bpffs, podman, rootfs):
    """It appears while the container runs, grows, and is final after its end; what is outside is denied."""
    parent = podman.cgroup.parent.relative_to(podman.layout.cgroup2) / "libpod_parent"
    where = ("--cgroup-parent", f"/{parent}")
    script = f"set -e; {FIRST}; until cat /go; do sleep 1; done; {THEN}"
    (tmp_path / "serve").mkdir()
    with Serve(tmp_path / "serve", bpffs, accesses="auto", wait=WAITING) as serve:
        serve.podman = str(podman.folder / "root")
        serve.record("files", labels={"app": "web"}, kind="AppArmorProfile")
        serve.record("calls", labels={"app": "web"})
        serve.start()
        serve.wait_for(lambda: serve.status("files"))
        words = ("--rm=false", "--name", "it", "--label", "app=web", "--detach", *where)
        podman.run(rootfs, ("/bin/sh", "-c", script), *words).good()
        growing = serve.wait_for(lambda: serve.profile("files-it_apparmorprofile"))
        assert growing["kind"] == "AppArmorProfile"
        assert (growing["spec"]["state"], annotation(growing, "state")) == ("Disabled", "recording")
        (rootfs / "go").write_text("go\n")
        final = serve.wait_for(
            lambda: (
                annotation(serve.profile("files-it_apparmorprofile"), "state") == "final"
                and serve.profile("files-it_apparmorprofile")
            )
        )
        assert final["spec"]["state"] == "Enabled"
        assert annotation(final, "verdict") == "complete"
        [ready] = [each for each in serve.status("files")["conditions"] if each["type"] == "Ready"]
        assert ready["status"] == "True"
        assert annotation(serve.wait_for(lambda: serve.profile("calls-it")), "verdict") == "complete"
        assert serve.terminate() == 0
    name = f"served-{uuid.uuid4().hex[:8]}"
    text = installed({**final, "metadata": {**final["metadata"], "name": name}})
    shutil.rmtree(rootfs / "srv/data")
    with loaded(text), AvcReader() as reader:
        under = (*where, "--security-opt", f"apparmor={name}")
        podman.run(rootfs, ("/bin/sh", "-c", script), *under).good()
        outside = podman.run(rootfs, ("/bin/sh", "-c", f"read line <{OUTSIDE}"), *under)
        records = [each.text for each in reader.until(OUTSIDE.encode())]
    assert outside.status != 0
    assert [each for each in records if b'"DENIED"' in each and OUTSIDE.encode() not in each] == [], text
