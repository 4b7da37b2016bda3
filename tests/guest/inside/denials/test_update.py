"""A profile that complains, completed by `recorder profile update` in one run; needs AppArmor."""

import shutil
import subprocess
import uuid
from pathlib import Path

import pytest

from tests.guest.inside.accesses.watched import confined
from tests.truth.audit_avc import AvcReader

PROFILE = """abi <abi/3.0>,
include <tunables/global>

profile {name} flags=(attach_disconnected,complain,mediate_deleted) {{
  include <abstractions/base>
  signal (receive) peer=unconfined,
  /{{usr/,}}bin/{{chown,dash,mkdir,sh}} mrix,
  /etc/{{nsswitch.conf,passwd}} r,
}}
"""
WORK = """set -e
read line <{folder}/one
echo two >{folder}/two
chown 1 {folder}/two
mkdir {folder}/three
{folder}/cat /etc/passwd >/dev/null"""


def run(*words: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [str(word) for word in words], capture_output=True, timeout=240, check=False, stdin=subprocess.DEVNULL
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "work"
    made.mkdir()
    (made / "one").write_text("one\n")
    shutil.copy("/bin/cat", made / "cat")
    return made


def test_five_rules_that_it_lacks_are_added_and_nothing_more(tmp_path, folder):
    """What was only told in complain mode is allowed afterwards, enforced; what else is tried is denied.

    One of them is a program, which complain mode puts into a profile without rules: its libraries, which
    an include allows, and what it reads, which the profile does, are told as well.
    """
    name = f"update-{uuid.uuid4().hex[:8]}"
    profile, record = tmp_path / "profile", tmp_path / "record"
    profile.write_text(PROFILE.format(name=name))
    work = WORK.format(folder=folder)
    with confined(name, profile.read_text()) as enter:
        words = ("record", "--kind", "denials", "-f", "record", "-o", record)
        done = run("recorder", *words, "--", "/bin/sh", "-c", f'{enter} exec /bin/sh -c "$0"', work)
    assert done.returncode == 0, done.stderr.decode()
    before = profile.read_text().splitlines()
    done = run("recorder", "profile", "update", profile, "--from", record)
    assert done.returncode == 0, done.stderr.decode()
    after = profile.read_text().splitlines()
    added = sorted(line.strip() for line in after if line not in before)
    assert [line for line in after if line in before] == before
    path = str(folder)
    assert added == sorted(
        [
            f'"{path}/one" r,',
            f'"{path}/two" w,',  # the shell's open has O_CREAT, which asks to create
            f'"{path}/three/" w,',
            f'"{path}/cat" rix,',
            "capability chown,",
        ]
    ), done.stderr.decode()
    said = done.stderr.decode()
    assert '"/etc/ld.so.cache" r,: is in the profile already' in said
    assert '"/etc/passwd" r,: is in the profile already' in said
    (folder / "three").rmdir()
    (folder / "two").unlink()
    enforced = profile.read_text().replace("complain,", "", 1)
    outside = folder / "four"
    with confined(name, enforced) as enter, AvcReader() as reader:
        again = run("/bin/sh", "-c", f'{enter} exec /bin/sh -c "$0"', work)
        more = run("/bin/sh", "-c", f'{enter} exec /bin/sh -c "echo four >{outside}"')
        before_that = reader.until(bytes(outside))  # its own denial comes
    assert (again.returncode, again.stderr) == (0, b"")
    assert more.returncode != 0
    assert [each.text for each in before_that if b'"DENIED"' in each.text] == []
