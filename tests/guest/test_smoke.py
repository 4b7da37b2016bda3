"""On each kernel: the recorder says that it can record, and records what strace sees."""

import re
from collections.abc import Callable

import pytest

from tests.guest.build.recipe import wanted_specs
from tests.guest.spec import Spec
from tests.guest.vm import Guest

PROGRAMS = {
    "true": ["/bin/true"],
    "children": ["/bin/sh", "-c", "ls / | wc -l; id -u"],
}
# without typed raw tracepoints and atomic fetch instructions libbpf's object is refused, and bcc compiles
BY_BCC = ("5.10",)
SPECS = wanted_specs()
COMPILING = 700  # seconds at most: in a guest a minute or two of a processor, of which it may get a fifth


def traced(guest: Guest, words: list[str]) -> list[str]:
    """The names of all calls that strace shows for a command and its children."""
    guest.run(["strace", "-f", "-qq", "-e", "signal=none", "-o", "/tmp/strace.log", *words], timeout=120)
    log = guest.run(["cat", "/tmp/strace.log"]).stdout.decode(errors="replace")
    return sorted(set(re.findall(r"^\d+ +(?:<\.\.\. )?(\w+)(?:\(| resumed>)", log, re.MULTILINE)))


@pytest.mark.timeout(3 * COMPILING)
@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_recorder_records_what_strace_sees(guest: Callable[..., Guest], spec: Spec) -> None:
    """`recorder check` passes; `recorder record -f names` has exactly strace's names."""
    made = guest(spec.kernel, spec.lsm, spec.init)
    check = made.run(["recorder", "check"], timeout=COMPILING, check=False)
    assert check.status == 0, f"{check.text}\n{check.stderr.decode()}"
    # there no program of the kind that counts in the kernel can be loaded either
    source = "audit-log-end, since lsm cannot" if spec.kernel in BY_BCC else "lsm, since"
    assert re.search(f"^ok +denials +{spec.lsm} by {source}", check.text, re.MULTILINE), check.text
    loader = "bcc, since libbpf cannot" if spec.kernel in BY_BCC else "libbpf, since"
    assert re.search(f"^ok +loader +{loader}", check.text, re.MULTILINE), check.text
    # each recording by bcc compiles anew
    for words in [PROGRAMS["children"]] if spec.kernel in BY_BCC else PROGRAMS.values():
        recorded = made.run(
            ["recorder", "record", "-f", "names", "-o", "/tmp/names", "--", *words], timeout=COMPILING
        )
        names, truth = made.run(["cat", "/tmp/names"]).text.split(), traced(made, words)
        assert b"verdict: complete" in recorded.stderr, recorded.stderr.decode()
        assert names == truth


@pytest.mark.parametrize("kernel", BY_BCC)
def test_libbpf_says_why_it_cannot(guest: Callable[..., Guest], kernel: str) -> None:
    """Where it is asked for and no program of it can be loaded, it says so, and the command does not run."""
    made = guest(kernel)
    words = ["recorder", "record", "--loader", "libbpf", "--", "touch", "/tmp/ran"]
    result = made.run(words, timeout=120, check=False)
    said = (result.stdout + result.stderr).decode()
    assert result.status == 125, said
    assert "Traceback" not in said, said
    assert f"kernel {kernel}" in said, said
    assert made.run(["test", "-e", "/tmp/ran"], check=False).status == 1
