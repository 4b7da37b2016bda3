"""Backends with small bounds, and recordings by them as the command makes them."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from recorder.cli.cgroup_recording import record_cgroup
from recorder.cli.recording import Recording
from recorder.containers.cgroup import find_cgroup
from recorder.kernel.libbpf_backend import LibbpfBackend
from recorder.kernel.spec import Bounds, ObjectSpec, syscalls_spec


@pytest.fixture
def load() -> Iterator[Callable[..., LibbpfBackend]]:
    """`load(slots=1, ...)` or `load(spec=...)`: a backend, closed after the test."""
    made: list[LibbpfBackend] = []

    def make(*, spec: ObjectSpec | None = None, **bounds: int) -> LibbpfBackend:
        made.append(LibbpfBackend(spec or syscalls_spec(Bounds(**bounds))))
        return made[-1]

    yield make
    for backend in made:
        backend.close()


@pytest.fixture
def recording() -> Callable[..., Recording]:
    """`recording(backend, cgroup, phases="exec")`."""

    def begin(backend: LibbpfBackend, cgroup: Path, phases: str = "exec") -> Recording:
        return record_cgroup(backend, find_cgroup(str(cgroup)), phases, "judged")

    return begin


@pytest.fixture(scope="session")
def recursing_object(tmp_path_factory) -> Path:
    """tests/ledger/recursion.bpf.c, compiled with the flags of the Makefile."""
    source = Path(__file__).with_name("recursion.bpf.c")
    target = tmp_path_factory.mktemp("bpf") / "recursion.bpf.o"
    flags = [
        "-O2",
        "-g",
        "-target",
        "bpf",
        "-mcpu=v3",
        "-D__TARGET_ARCH_x86",
        "-I/usr/include/x86_64-linux-gnu",
    ]
    command = ["clang", *flags, "-c", str(source), "-o", str(target)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    except FileNotFoundError:
        pytest.skip("clang is not installed (make setup)")
    assert done.returncode == 0, done.stderr
    return target
