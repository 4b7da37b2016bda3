"""`recorder profile`: records in, one profile out."""

import json

import pytest
import yaml

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def records(recorder_cli, built_programs, tmp_path_factory):
    """Of a 64-bit and a 32-bit program that make the same calls, and of one that makes another."""
    folder = tmp_path_factory.mktemp("records")
    for name in ("five", "five32", "brief"):
        done = recorder_cli.run(*("record", "-f", "record", "-o", folder / name, "--", built_programs[name]))
        assert done.returncode == 0, done.stderr
    return folder


def test_one_record_gives_what_recording_gave(recorder_cli, records):
    """The same bytes, whichever way the record came."""
    once = recorder_cli.run("profile", records / "five").stdout
    assert once == recorder_cli.run("profile", "-", stdin=(records / "five").read_bytes()).stdout
    assert yaml.safe_load(once)["metadata"]["name"] == "five"


def test_several_are_joined(recorder_cli, records):
    """The union of their calls, in any order, and the same one given twice changes nothing."""
    paths = [records / name for name in ("five", "five32", "brief")]
    names = recorder_cli.run("profile", "-f", "names", *paths).stdout.decode().split()
    assert {"getpid", "i386:getpid", "gettid"} <= set(names)
    again = [paths[2], paths[0], paths[0], paths[1]]
    assert recorder_cli.run("profile", "-f", "names", *again).stdout.decode().split() == names
    oci = json.loads(recorder_cli.run("profile", "-f", "oci", *paths).stdout)
    assert oci["architectures"] == ["SCMP_ARCH_X86", "SCMP_ARCH_X86_64"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"{}", b"INVALID_PROFILE"),
        (b"\xff", b"INVALID_RECORD"),
        (b"no record", b"INVALID_RECORD"),
        (None, b""),
    ],
)
def test_what_is_no_record_is_refused(recorder_cli, tmp_path, content, code):
    """Status 2, the file's name, nothing written."""
    path = tmp_path / "some-file"
    if content is not None:
        path.write_bytes(content)
    done = recorder_cli.run("profile", "-o", tmp_path / "out", path)
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith(b"recorder: " + code)
    assert content == b"{}" or b"some-file" in done.stderr
    assert b"Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
