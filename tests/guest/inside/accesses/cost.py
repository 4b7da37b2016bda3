"""What an access costs in the kernel, in ns of the program's runs, as JSON; a clock may count instructions.

Of the first open of a file, of 200 times the same one, by the length of its path; of what is no target's.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.guest.inside.accesses.watched import Watched, joining, new_cgroup, watched

STATISTICS = Path("/proc/sys/kernel/bpf_stats_enabled")
TIMES = 200
OPENER = """import os, sys
for line in sys.stdin:
    os.close(os.open(line[:-1], os.O_RDONLY))
    print(flush=True)
"""


class _Opener:
    """A process in a cgroup that opens what it is told to."""

    def __init__(self, cgroup: Path, program: Path) -> None:
        words = joining(cgroup, f"exec {sys.executable} -SE {program}")
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def open(self, path: Path) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(bytes(path) + b"\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == b"\n"

    def close(self) -> None:
        self._process.communicate()


def _cost(recorder: Watched, opener: _Opener, path: Path, times: int) -> int:
    """Of the runs, on the average."""
    before_ns, before = recorder.watch.runs()["on_file_open"]
    for _ in range(times):
        opener.open(path)
    after_ns, after = recorder.watch.runs()["on_file_open"]
    assert after - before == times, (before, after, times)
    return (after_ns - before_ns) // times


def _paths(folder: Path) -> Iterator[tuple[str, Path]]:
    """Files by what is special about their paths."""
    plain = folder / "file"
    deep = folder.joinpath(*["d"] * 40, "file")
    long = folder.joinpath(*["l" * 250] * 14, "file")
    for name, path in (("plain", plain), ("40 folders", deep), ("3,500 bytes", long)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
        yield name, path


def main() -> None:
    """Entry point."""
    STATISTICS.write_text("1")
    found: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as name, watched() as recorder:
        program = Path(name) / "opener.py"
        program.write_text(OPENER)
        with recorder.recording() as (cgroup, _), new_cgroup() as other:
            opener = _Opener(cgroup, program)
            opener.open(program)  # all that it needs for that is loaded then
            for kind, path in _paths(Path(name)):
                found[f"{kind} first"] = _cost(recorder, opener, path, 1)
                found[f"{kind} again"] = _cost(recorder, opener, path, TIMES)
            opener.close()
            opener = _Opener(other, program)
            opener.open(program)
            found["elsewhere"] = _cost(recorder, opener, program, TIMES)
            opener.close()
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
