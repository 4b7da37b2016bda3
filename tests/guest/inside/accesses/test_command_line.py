"""`recorder record --kind accesses`, from a command to a record; needs a kernel that can attach."""

import subprocess

from recorder.model import wire
from recorder.model.access import File, FileRight
from recorder.model.record import Phase


def test_a_command_and_its_record(tmp_path):
    """The record has what the command used, is complete, and says what was looked for."""
    words = ("recorder", "record", "--kind", "accesses", "-f", "record", "-o", tmp_path / "record")
    done = subprocess.run(
        [*words, "--", "/bin/sh", "-c", f"echo x >{tmp_path}/made; mv {tmp_path}/made {tmp_path}/moved"],
        capture_output=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    record = wire.from_json((tmp_path / "record").read_text())
    assert record.verdict.complete
    [observation] = record.observations
    assert observation.provenance.kinds == "syscalls,accesses"
    seen = {subject: each.rights for subject, each in observation.accesses.of(Phase.WORKLOAD)}
    made, moved = bytes(tmp_path / "made"), bytes(tmp_path / "moved")
    rights = FileRight.CREATE | FileRight.WRITE | FileRight.TRUNCATE
    mine = {(each.path, each.target): right for each, right in seen.items() if isinstance(each, File)}
    assert mine[made, b""] == rights
    assert mine[made, moved] == FileRight.RENAME
    assert mine[moved, b""] == FileRight.CREATE
    assert mine[b"/usr/bin/mv", b""] & FileRight.EXEC
