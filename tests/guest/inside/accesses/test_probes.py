"""What is executed into a running container adds what it does itself, and no more; needs two runtimes."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from recorder.kernel.accesses import AccessLosses
from recorder.kernel.backend import WatchRule
from recorder.kernel.layout import SlotMode
from recorder.profiles.apparmor_rules import AppArmorRules, apparmor_rules
from recorder.profiles.apparmor_text import path_rule_text, rule_lines
from tests.guest.inside.accesses.workloads import WORKLOADS
from tests.phases.watch import BELOW, WatchedContainer, watched_root
from tests.truth import oci

TOOLS = ("sh", "mktemp", "mv", "ln", "cat", "sort", "tee", "chmod", "truncate", "mkdir", "rm", "head")
PROBE = ("/bin/head", "-n1", "/srv/probe")
# again and again until it is told to end, each time with fresh temporary names
TEXT = f"while :; do ({WORKLOADS['pipeline'].text}) || exit 1; echo done; test -e /srv/stop && exit 0; done"
# A runtime looks into which namespaces the probe is to go: who is outside asks, the container does nothing.
# One in Go preempts threads by a signal now and then.
BY_THE_RUNTIME = ("ptrace (readby) peer=", "signal (receive) set=(urg) peer=")


@pytest.fixture
def root(tmp_path) -> Path:
    """A root file system with what the workload runs."""
    made = oci.make_rootfs(tmp_path / "root", {f"/bin/{name}": Path(f"/bin/{name}") for name in TOOLS})
    (made / "srv").mkdir()
    (made / "srv/probe").write_text("x\n")
    return made


@pytest.fixture
def parent(layout, recorder) -> Iterator[Path]:
    """The cgroup below which each new container is recorded."""
    place = watched_root(layout)
    place.mkdir(parents=True, exist_ok=True)
    identity = place.stat().st_ino
    recorder.backend.watch(identity, WatchRule(SlotMode.MODE_CONTAINER))
    yield place
    recorder.backend.unwatch(identity)
    for target in recorder.backend.targets():
        recorder.release(target)
    layout.remove(BELOW)


def _recorded(recorder, tmp_path, runtime, root, words, probes=0):
    """What a container's workload used by its end; with probes in the meantime, each second one."""
    stop = root / "srv/stop"
    stop.unlink(missing_ok=True)
    with WatchedContainer.prepare(runtime, tmp_path, root, words) as container:
        container.create()
        container.start()
        if probes:
            container.wait_for_output("done", timeout=240)
        following = time.monotonic()
        for _ in range(probes):
            assert container.exec(*PROBE).good().stdout == "x\n"
            following += 1
            time.sleep(max(0.0, following - time.monotonic()))
        stop.write_text("")
        container.wait(timeout=240)
        [target] = recorder.backend.targets()
        found = recorder.watch.read(target, final=True)
        recorder.release(target)
    assert found.losses == AccessLosses()
    assert not found.accesses.cut_at
    return found.accesses


def _only(some: AppArmorRules, others: AppArmorRules) -> list[str]:
    """The rules of the first that the second has not: neither the same, nor a pattern that covers it."""
    there = set(rule_lines(others))
    paths = {path_rule_text(rule): rule for rule in some.paths}
    missing = []
    for line in rule_lines(some):
        rule = paths.get(line)
        covered = rule is not None and any(
            other.glob.covers(rule.glob) and not rule.permissions & ~other.permissions
            for other in others.paths
        )
        if line not in there and not covered:
            missing.append(line)
    return missing


@pytest.mark.parametrize("runtime", ["crun", "runc"])
def test_probes_add_what_they_do_themselves(runtime, tmp_path, recorder, parent, root, scaled):
    """The rules are those of a run without, and of the probe as a container of its own."""
    shell = ("/bin/sh", "-c", TEXT)
    alone = _recorded(recorder, tmp_path, runtime, root, shell)
    probe = _recorded(recorder, tmp_path, runtime, root, PROBE)
    expected = apparmor_rules([alone.join(probe)])
    assert '"/srv/probe" r,' in rule_lines(expected)
    assert '"/srv/probe" r,' not in rule_lines(apparmor_rules([alone]))
    probes = scaled(600, least=3)  # in a guest, at full counts, a minute of them
    found = apparmor_rules([_recorded(recorder, tmp_path, runtime, root, shell, probes)])
    assert _only(expected, found) == []
    more = _only(found, expected)
    assert all(line.startswith(BY_THE_RUNTIME) for line in more), more
