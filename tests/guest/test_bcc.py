"""Loader bcc on stock kernels with their own headers: the truth tests by it, and beside libbpf.

Compiling takes one or two minutes in a guest. So tests/bcc, which compiles once for all of its tests, is
what runs, and a few tests of the command, each of which compiles anew.
"""

import re
from collections.abc import Callable, Sequence

import pytest

from tests.guest.suites import QUICKLY, SCALE
from tests.guest.test_smoke import traced
from tests.guest.vm import Guest

SECONDS = 1800
NAMES = ("five", "int80", "x32call", "forker")
# Without what needs no other kernel, and compiles again and again.
BY_ONE_COMPILATION = ("tests/bcc", "--ignore=tests/bcc/test_command.py", "--ignore=tests/bcc/test_pins.py")
# What libbpf can do as well: containers, which need this kernel's own headers, and programs of each ABI
BESIDE_LIBBPF = (
    "tests/bcc/test_containers.py",
    *(f"tests/bcc/test_same_as_libbpf.py::test_programs_whose_calls_are_known[{name}]" for name in NAMES),
    "tests/bcc/test_mixing.py::test_below_a_watched_cgroup",
)
BY_THE_COMMAND = (
    "tests/exactness/test_record_equals_strace.py"
    "::test_a_record_holds_exactly_what_strace_saw[chain of both ABIs]",
)
if SCALE >= 1:
    BESIDE_LIBBPF = BY_ONE_COMPILATION
    BY_THE_COMMAND += (
        "tests/exactness/test_known_programs_are_recorded_exactly.py"
        "::test_a_record_of_a_cgroup_is_that_of_the_source[five32]",
    )
CONTAINERS = re.compile(r"tests/bcc/test_containers\.py (\.+) ")


def pass_in(guest: Guest, tests: Sequence[str]) -> str:
    """Runs tests in a guest, at the smallest counts; none fails, and none is skipped for what a guest has."""
    words = ["env", "TEST_SCALE=0.01", "RECORDER_REQUIRE_ALL=1", *QUICKLY, "--tb=short", *tests]
    shell = ["sh", "-c", 'cd /root/checkout && exec "$@"', "sh"]
    done = guest.run([*shell, *words], timeout=SECONDS, check=False)
    assert done.status == 0, f"{done.text[-8000:]}\n{done.stderr.decode(errors='replace')[-2000:]}"
    return done.text


@pytest.mark.timeout(2 * SECONDS)
def test_where_libbpf_cannot_bcc_is_as_exact(guest: Callable[..., Guest]) -> None:
    """5.10: exact, nothing mixed, set-up apart in commands and in containers."""
    made = guest("5.10")
    assert CONTAINERS.search(pass_in(made, BY_ONE_COMPILATION))
    pass_in(made, BY_THE_COMMAND)


@pytest.mark.timeout(2 * SECONDS)
def test_both_loaders_give_the_same_record(guest: Callable[..., Guest]) -> None:
    """6.1: of the same runs, in both modes, each beside the truth; all of tests/bcc is for this machine."""
    assert CONTAINERS.search(pass_in(guest("6.1"), BESIDE_LIBBPF))


@pytest.mark.timeout(SECONDS)
def test_without_btf_auto_takes_bcc(guest: Callable[..., Guest]) -> None:
    """6.1 with its type information hidden: `record` and `check` say which loader, and why."""
    made = guest("6.1")
    made.run(["sh", "-c", "mkdir /tmp/empty && mount --bind /tmp/empty /sys/kernel/btf"])
    why = "bcc, since there is no /sys/kernel/btf/vmlinux, which libbpf needs"
    words = ["/bin/sh", "-c", "ls / | wc -l; id -u"]
    recorded = made.run(
        ["recorder", "record", "-f", "names", "-o", "/tmp/names", "--", *words], timeout=SECONDS
    )
    assert f"recorder: loader: {why}" in recorded.stderr.decode()
    assert "verdict: complete" in recorded.stderr.decode()
    assert made.run(["cat", "/tmp/names"]).text.split() == traced(made, words)
    check = made.run(["recorder", "check"], timeout=SECONDS, check=False)
    assert re.search(f"^ok +loader +{why}$", check.text, re.MULTILINE), check.text
    assert re.search(r"^(?!ok)\S+ +BTF ", check.text, re.MULTILINE), check.text
