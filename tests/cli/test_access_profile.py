"""`recorder profile` for accesses: a record in, an AppArmor profile out."""

import subprocess

import pytest
import yaml

from recorder.model.record import Identity, Observation, Record, Source
from recorder.model.wire import to_json
from recorder.profiles.apparmor_profile import AppArmorProfile
from recorder.profiles.apparmor_yaml import to_yaml
from tests.unit.profiles.accessed import files
from tests.unit.profiles.test_completion import FIVE, denial
from tests.unit.profiles.test_completion import record as denied


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    """A record of two replicas."""
    path = tmp_path_factory.mktemp("record") / "record.json"
    seen = "x /bin/sh\nr /etc/hosts\n" + "".join(f"r /srv/d/{n}\n" for n in range(6))
    both = [
        Observation(Source("n", "b", n, 1), Identity(name="web"), accesses=files(text))
        for n, text in enumerate((seen, "x /bin/sh"))
    ]
    path.write_text(to_json(Record(tuple(both))))
    return path


def test_text_loads(recorder_cli, record):
    """apparmor_parser takes it; each rule has how many of the records used it."""
    done = recorder_cli.run("profile", "-f", "apparmor-text", record)
    assert done.returncode == 0, done.stderr
    assert b'"/bin/sh" ix,  # 2 of 2' in done.stdout
    assert b"# verdict: complete\n" in done.stdout
    assert b"# policy: abstractions/base; libraries as they were mapped\n" in done.stdout
    command = ["apparmor_parser", "-Q", "-K", "--skip-kernel-load", "-N"]
    assert subprocess.run(command, input=done.stdout, capture_output=True, check=True).stdout == b"web\n"


def test_object_with_thresholds_and_explanation(recorder_cli, record):
    """The threshold of a folder is the given one, and what it does is said."""
    done = recorder_cli.run("profile", "-f", "apparmor", "--threshold", "/srv=5", "--explain", record)
    assert done.returncode == 0, done.stderr
    files_of = yaml.safe_load(done.stdout)["spec"]["abstract"]["filesystem"]
    assert files_of == {"readOnlyPaths": ["/etc/hosts", "/srv/d/*"]}
    assert b"pattern: /srv/d/*: threshold: 6 names (more than 5): 0, 1, 2, ..." in done.stderr


@pytest.mark.parametrize("given", ["srv=5", "/srv", "/srv=-1", "/srv=x"])
def test_a_threshold_that_is_none_is_refused(recorder_cli, record, given):
    """Before anything is read."""
    done = recorder_cli.run("profile", "-f", "apparmor", "--threshold", given, record)
    assert done.returncode == 2
    assert b"recorder: USAGE: --threshold" in done.stderr


def test_a_record_without_accesses_is_refused(recorder_cli, tmp_path):
    """It says how to record them."""
    path = tmp_path / "record.json"
    path.write_text(to_json(Record()))
    done = recorder_cli.run("profile", "-f", "apparmor-text", "--name", "x", path)
    assert done.returncode == 2
    assert b"--kind accesses" in done.stderr


def test_update_shows_what_it_adds_and_writes_it(recorder_cli, tmp_path):
    """The file is replaced; a second time there is nothing to add."""
    profile, path = tmp_path / "web.yaml", tmp_path / "record.json"
    profile.write_text(to_yaml(AppArmorProfile("web", executables=("/bin/sh",))))
    path.write_text(to_json(denied(*FIVE)))
    done = recorder_cli.run("profile", "update", profile, "--from", path)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.decode().splitlines()
    assert len([line for line in lines if line.startswith("+ ")]) == 5
    abstract = yaml.safe_load(profile.read_text())["spec"]["abstract"]
    assert abstract["executable"] == {"allowedExecutables": ["/bin/date", "/bin/sh"]}
    written = profile.read_bytes()
    again = recorder_cli.run("profile", "update", profile, "--from", path)
    assert b"recorder: nothing to add" in again.stderr
    assert profile.read_bytes() == written


def test_update_reads_what_the_profile_includes(recorder_cli, tmp_path):
    """In the folder that is named; an include that is not there is said, with what that means."""
    profile, path, etc = tmp_path / "web", tmp_path / "record.json", tmp_path / "etc"
    text = "profile web {\n  include <more>\n}\n"
    profile.write_text(text)
    path.write_text(to_json(denied(denial("open", "file", "read", "/x", profile="web//null-/bin/date"))))
    etc.mkdir()
    command = ("profile", "update", profile, "--from", path, "--apparmor-dir", etc)
    done = recorder_cli.run(*command, "-o", "-")
    assert done.stdout.decode() == text.replace("}", '  "/x" r,\n}')
    assert b"recorder: include <more>: there is no such file; what it allows may be among" in done.stderr
    (etc / "more").write_text("/{x,y} r,\n")
    done = recorder_cli.run(*command)
    assert done.returncode == 0, done.stderr
    assert b'recorder: not added: "/x" r,: is in the profile already' in done.stderr
    assert b"recorder: nothing to add" in done.stderr
    assert profile.read_text() == text


def test_update_refuses_a_record_of_another_profile(recorder_cli, tmp_path):
    """And leaves the file as it is."""
    profile, path = tmp_path / "db.txt", tmp_path / "record.json"
    profile.write_text("profile db {\n}\n")
    path.write_text(to_json(denied(*FIVE)))
    done = recorder_cli.run("profile", "update", profile, "--from", path, "-o", tmp_path / "out")
    assert done.returncode == 2
    assert b"recorder: INVALID_RECORD: the record is of other profiles (web)" in done.stderr
    assert not (tmp_path / "out").exists()
