"""Which bpf(2) calls a recorder makes, as strace sees them.

While a task is in a call on an element of a map, Linux skips the programs of classic tracepoints
on its CPU (bpf_disable_instrumentation, include/linux/bpf.h); with preemption on, those of other tasks.
"""

import re
import subprocess
import sys

import pytest

pytestmark = pytest.mark.root

ELEMENTS = re.compile(r"BPF_MAP_\w*(?:ELEM|BATCH)\b")
COMMAND = re.compile(r"\bbpf\((\w+)")
TIMES = 2  # the objects that are loaded


def test_no_element_of_a_map_is_touched_by_a_call(bpffs, tmp_path, scratch_cgroup, built_programs):
    """But for one while libbpf loads an object: its constants."""
    log = tmp_path / "log"
    words = [sys.executable, "-m", "tests.leftovers.all_that_is_done"]
    arguments = [bpffs / "held", scratch_cgroup(), built_programs["five"]]
    command = ["strace", "-f", "-qq", "-e", "trace=bpf", "-o", log, *words, *arguments]
    subprocess.run(command, check=True, timeout=120)
    commands = COMMAND.findall(log.read_text())
    for made in ("BPF_PROG_TEST_RUN", "BPF_OBJ_GET", "BPF_MAP_GET_NEXT_KEY", "BPF_ITER_CREATE"):
        assert made in commands, "strace saw what it should"
    assert [each for each in commands if ELEMENTS.fullmatch(each)] == ["BPF_MAP_UPDATE_ELEM"] * TIMES
    loads = [each for each in commands if each in ("BPF_MAP_UPDATE_ELEM", "BPF_MAP_FREEZE")]
    assert loads == ["BPF_MAP_UPDATE_ELEM", "BPF_MAP_FREEZE"] * TIMES, "libbpf's, of what it freezes then"
