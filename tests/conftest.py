"""What tests share: the scale of counts, honest skips, cgroups, programs and runtimes.

TEST_SCALE scales repetition counts (1 = all, 0.1 by default); every kind of case stays.
With RECORDER_REQUIRE_ALL=1 a skipped test is a failed one: so CI cannot pass by
lacking root or a program.
"""

import contextlib
import itertools
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from tests.bpffs import bpffs_in
from tests.command import Command
from tests.owner import owner
from tests.truth import oci, programs
from tests.truth.remains import SCRATCH, sweep

REQUIRE_ALL = os.environ.get("RECORDER_REQUIRE_ALL", "") not in ("", "0")
SCALE = float(os.environ.get("TEST_SCALE") or 0.1)


def pytest_report_header() -> str:
    """Say what counts and skips mean in this run."""
    return f"TEST_SCALE={SCALE:g}, RECORDER_REQUIRE_ALL={int(REQUIRE_ALL)}"


def pytest_sessionstart() -> None:
    """Remove what runs that were killed have left: their containers would be seen by this one's agents."""
    if os.geteuid() == 0:
        try:
            with contextlib.suppress(oci.OciError):  # no cgroup2: nobody could leave anything
                sweep(oci.Layout.detect())
        except TimeoutError as error:
            warnings.warn(f"left by a run that was killed: {error}", stacklevel=1)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test marked `root` is skipped, with the reason, for anybody else."""
    if item.get_closest_marker("root") and os.geteuid() != 0:
        pytest.skip("needs root (sudo make test)")


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if REQUIRE_ALL and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"RECORDER_REQUIRE_ALL is set, and this was skipped: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure where all tests are required."""
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a module that skips itself while it is imported."""
    report = yield
    _refuse_skip(report)
    return report


@pytest.fixture
def bpffs(tmp_path: Path) -> Iterator[Path]:
    """A bpffs that nobody else uses; what is pinned there is gone after the test."""
    with bpffs_in(tmp_path) as folder:
        yield folder


@pytest.fixture(scope="session")
def scaled() -> Callable[..., int]:
    """`scaled(n, least=1)`: n repetitions at the scale of this run, at least `least`."""

    def scale(count: int, least: int = 1) -> int:
        return max(least, round(count * SCALE))

    return scale


@pytest.fixture(scope="session")
def layout() -> oci.Layout:
    """This machine's cgroup mounts; skips where there is no cgroup2."""
    try:
        return oci.Layout.detect()
    except oci.OciError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def cgroup2(layout: oci.Layout) -> Path:
    """The cgroup2 mount, found by its type."""
    return layout.cgroup2


def remove_cgroup(path: Path, seconds: float = 10) -> None:
    """Kill what is in a cgroup and its children, and remove them; raises TimeoutError after `seconds`."""
    end = time.monotonic() + seconds
    while path.exists():
        with contextlib.suppress(FileNotFoundError, PermissionError):  # the latter: no file can be made here
            kill = path / "cgroup.kill"  # Linux 5.14
            kill.write_text("1")
        for folder, _, _ in sorted(os.walk(path), reverse=True):
            with contextlib.suppress(OSError):  # a task is still ending: try again
                Path(folder).rmdir()
        if path.exists():
            if time.monotonic() > end:
                left = (path / "cgroup.procs").read_text().split()
                raise TimeoutError(f"{path} cannot be removed, tasks: {left}")
            time.sleep(0.01)


_serial = itertools.count(1)


@pytest.fixture
def scratch_cgroup(cgroup2: Path) -> Iterator[Callable[..., Path]]:
    """`scratch_cgroup(name=None, parent=None)` makes a cgroup2 directory; it is gone after the test."""
    if os.geteuid() != 0:
        pytest.skip("needs root to make cgroups (sudo make test)")
    made: list[Path] = []

    def make(name: str | None = None, parent: Path | None = None) -> Path:
        path = (parent or cgroup2) / (name or f"{SCRATCH}{owner()}-{next(_serial)}")
        path.mkdir()
        made.append(path)
        return path

    yield make
    for path in reversed(made):
        remove_cgroup(path)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody can enter; the checkout and pytest's own folders may be root's alone."""
    with tempfile.TemporaryDirectory(prefix="recorder-open-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="session")
def recorder_cli() -> Command:
    """The `recorder` command: `.run(...)` to its end, `.started(...)` beside the test."""
    return Command()


@pytest.fixture(scope="session")
def built_programs() -> dict[str, Path]:
    """The programs of tests/programs by name; what each calls is `tests.truth.programs.EXPECTED`."""
    try:
        return programs.build()
    except RuntimeError as error:
        if "gcc is missing" in str(error) or "x86 programs" in str(error):
            pytest.skip(str(error))
        raise


@pytest.fixture(scope="module", params=["runc", "crun"])
def oci_runtime(request: pytest.FixtureRequest, layout: oci.Layout) -> Iterator[str]:
    """Each runtime in turn, on ground where it runs; skips what is not installed."""
    name = str(request.param)
    if os.geteuid() != 0:
        pytest.skip(f"needs root to run {name} (sudo make test)")
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed (make setup)")
    with layout.ground(name):
        yield name
