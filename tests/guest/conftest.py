"""Fixtures of the tests that run in guests: when asked for by path (`make test-guest`), not with the others.

A test that fails shows the ends of its guests' consoles.
"""

import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from tests.asked import is_asked
from tests.guest.build.recipe import MissingKernelError
from tests.guest.cache import Cache
from tests.guest.checkout import push_checkout
from tests.guest.spec import Spec
from tests.guest.start import start
from tests.guest.suites import Suites
from tests.guest.vm import Guest

HERE = Path(__file__).parent
INSIDE = HERE / "inside"  # run by test_truth.py, in guests
CONSOLES = pytest.StashKey[list[Guest]]()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Collect this folder only for who names it, or something in it; what is in INSIDE likewise."""
    return None if all(is_asked(each, collection_path, config) for each in (HERE, INSIDE)) else True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the consoles of a failed test's guests."""
    report = yield
    if report.when == "call" and report.failed:
        for guest in item.stash.get(CONSOLES, []):
            report.sections.append((f"guest {guest.spec}", guest.qemu.last_words()))
    return report


@pytest.fixture(scope="session")
def guest_cache() -> Cache:
    """The cache of this user."""
    if os.geteuid() != 0:
        pytest.skip("needs root to build guests (sudo make test-guest)")
    return Cache.default()


@pytest.fixture(scope="session", autouse=True)
def suites(request: pytest.FixtureRequest) -> Iterator[Suites | None]:
    """The suites that tests of this run wait for, begun before the first test; None if there are none."""
    parameters = (getattr(item, "callspec", None) for item in request.session.items)
    wanted = [found.params["suite"] for found in parameters if found and "suite" in found.params]
    if not wanted:
        yield None
        return
    made = Suites(wanted, request.getfixturevalue("guest_cache"))
    yield made
    made.close()


@pytest.fixture
def bare_guest(request: pytest.FixtureRequest, guest_cache: Cache) -> Iterator[Callable[..., Guest]]:
    """`bare_guest(kernel="6.1", lsm="apparmor", init="agent", *, audit=True, counted=False, fresh=False)`.

    A guest as it was saved. A kernel that is not to be had is an expected failure with the reason (a skip may
    be forbidden); what is missing in the cache is made first.
    """
    guests: list[Guest] = []
    request.node.stash[CONSOLES] = guests

    def begin(
        kernel: str = "6.1",
        lsm: str = "apparmor",
        init: str = "agent",
        *,
        audit: bool = True,
        counted: bool = False,
        fresh: bool = False,
    ) -> Guest:
        try:
            guests.append(
                start(Spec(kernel, lsm, init, audit=audit, counted=counted), guest_cache, fresh=fresh)
            )
        except MissingKernelError as error:
            pytest.xfail(str(error))
        return guests[-1]

    yield begin
    for guest in guests:
        guest.stop()


@pytest.fixture
def guest(bare_guest: Callable[..., Guest]) -> Callable[..., Guest]:
    """The same, with this checkout in it: `recorder` is a command there, and `tests` can be imported."""

    def begin(*words: str, **more: object) -> Guest:
        made = bare_guest(*words, **more)
        push_checkout(made)
        return made

    return begin
