"""The budget: its arithmetic against the kernel and against measured processes, and what is refused."""

import dataclasses
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.agent.budget import BASE_BYTES, BOUNDS, Bound, Budget, Use, bounds_of
from recorder.agent.settings import MemorySettings
from recorder.kernel.libbpf_backend import LibbpfBackend
from recorder.kernel.spec import syscalls_spec
from recorder.model.errors import BudgetExceeded, InvalidSettings
from tests.kernel_objects import memlock

ROOT = Path(__file__).resolve().parents[2]
MIB = 1 << 20
names = st.sampled_from(sorted(BOUNDS))


def with_memory(**values):
    return Budget(dataclasses.replace(MemorySettings(), **values))


def test_the_defaults_are_within_the_budget():
    """16 MiB for the kernel, 96 MiB for the process."""
    budget = with_memory()
    budget.check()
    assert (budget.memory.kernel, budget.memory.process) == (16 * MIB, 96 * MIB)
    assert sum(budget.kernel.values()) <= 16 * MIB
    assert sum(budget.process.values()) <= 96 * MIB


def test_every_setting_of_memory_is_a_bound_or_a_budget():
    """None is forgotten in GetStatus, metrics and docs/limits.md."""
    settings = {each.name for each in dataclasses.fields(MemorySettings)}
    assert settings == set(BOUNDS) | {"kernel", "process"}


def test_denials_are_beside_the_budget():
    """What they take is explained and allowed, and nothing of it is there by default."""
    without, budget = with_memory(), dataclasses.replace(with_memory(), denials=True)
    budget.check()
    assert set(budget.process) - set(without.process) == {"denials", "looking"}
    assert budget.process["denials"] == budget.memory.denials * BOUNDS["denials"].each
    assert set(budget.kernel) - set(without.kernel) == {"lsm"}
    assert dict(without.more) == {"kernel": 0, "process": 0}
    for what, more in budget.more.items():
        assert 0 < more < 16 * MIB
        assert f"(memory.{what}, and {more / MIB:.2f} MiB for denials)" in budget.explain()
    assert (without.limit("denials"), budget.limit("denials")) == (0, budget.memory.denials)
    tight = dataclasses.replace(with_memory(process=95 * MIB), denials=True)
    with pytest.raises(BudgetExceeded):
        tight.check()


def test_accesses_are_beside_the_budget():
    """As denials, alone and together with them."""
    without, budget = with_memory(), dataclasses.replace(with_memory(), accesses=True)
    budget.check()
    assert set(budget.process) - set(without.process) == {"accesses", "seeing"}
    assert budget.process["accesses"] == budget.memory.accesses * BOUNDS["accesses"].each
    assert set(budget.kernel) - set(without.kernel) == {"accesses"}
    assert 1 * MIB < budget.more["kernel"] < 8 * MIB
    assert budget.more["process"] < 32 * MIB
    both = dataclasses.replace(budget, denials=True)
    both.check()
    for what, more in both.more.items():
        alone = dataclasses.replace(without, denials=True).more[what]
        assert more == alone + budget.more[what]
        assert f"(memory.{what}, and {more / MIB:.2f} MiB for denials and accesses)" in both.explain()
    assert (without.limit("accesses"), budget.limit("accesses")) == (0, budget.memory.accesses)


@pytest.mark.root
@pytest.mark.parametrize("denials", [False, True])
def test_the_kernel_charges_what_is_computed(denials):
    """By the kernel's own count of each map (memlock in fdinfo), for the defaults of a node."""
    budget = with_memory()
    before = set(memlock(os.getpid()))
    backend = LibbpfBackend(syscalls_spec(bounds_of(budget.memory, denials=denials)))
    try:
        charged = sum(size for number, size in memlock(os.getpid()).items() if number not in before)
    finally:
        backend.close()
    assert charged <= sum(budget.kernel.values()) * 1.02
    assert charged >= sum(budget.kernel.values()) * 0.5


@pytest.mark.parametrize(
    ("measure", "allowed"),
    [
        pytest.param("base", BASE_BYTES, marks=pytest.mark.root),
        ("container", BOUNDS["containers"].each),
        ("slot", BOUNDS["slots"].each),
        ("first_sight", BOUNDS["first_sights"].each),
        ("recording", BOUNDS["recordings"].each),
        ("stream", BOUNDS["streams"].each),
    ],
)
def test_the_constants_cover_what_is_measured(measure, allowed):
    """By the RSS of a process that makes thousands of them, and the constant is not twice too large."""
    command = [sys.executable, "-m", "benchmarks.agent_memory", "--only", measure]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    measured = float(done.stdout)
    assert allowed / 2 <= measured <= allowed


def test_a_kernel_above_the_budget_is_refused_with_the_arithmetic():
    """The message has the sum, what is allowed, the largest part, and each part."""
    budget = with_memory(slots=1 << 16)
    with pytest.raises(
        BudgetExceeded, match=r"memory\.kernel is 16\.00 MiB: .* the largest is slots"
    ) as refused:
        budget.check()
    first, *lines = str(refused.value).splitlines()
    total = sum(budget.kernel.values()) / MIB
    assert f"take {total:.2f} MiB of kernel memory" in first
    for name, size in budget.kernel.items():
        assert any(line.split()[:2] == [name, f"{size / MIB:.2f}"] for line in lines)


def test_a_process_above_the_budget_is_refused():
    """The process's part by itself."""
    with pytest.raises(BudgetExceeded, match=r"of process memory, .* the largest is containers"):
        with_memory(containers=100_000).check()
    with pytest.raises(BudgetExceeded, match=r"memory\.process is 64\.00 MiB"):
        with_memory(process=64 * MIB).check()


def test_the_explanations_lines_add_up():
    """What is printed at start, read again: parts to sums, factors to parts."""
    budget = with_memory(slots=777, streams=33)
    sums = {}
    side = ""
    for line in budget.explain().splitlines():
        if line.startswith("  "):
            name, size, _, *rest = line.split()
            sums[side] = sums[side] + float(size)
            if rest and "MiB" not in rest[1]:
                count, each = rest[1].replace(",", ""), rest[3].replace(",", "")
                assert int(count) * int(each) / MIB == pytest.approx(float(size), abs=0.006), name
        elif "memory:" in line:
            side, total = line.split()[0], float(line.split()[2])
            sums[side] = -total
    assert sums.keys() == {"kernel", "process"}
    assert all(abs(rest) < 0.006 * 15 for rest in sums.values())


def test_bounds_that_the_kernel_side_refuses_are_settings_errors():
    """Whoever makes the settings by hand gets the same kind of error."""
    with pytest.raises(InvalidSettings, match="ring_bytes: 5000 is not a power of 2"):
        bounds_of(MemorySettings(ring=5000))


def test_each_bound_says_what_happens_at_it():
    """docs/limits.md has no empty cells; a unit is bytes or a plural."""
    for each in BOUNDS.values():
        assert isinstance(each, Bound)
        assert each.what
        assert each.at
        assert each.unit.endswith("s")


def test_what_finds_no_room_is_refused_and_counted():
    """What is in use stays."""
    use = Use(with_memory(captures=2))
    assert [use.take("captures") for _ in range(4)] == [True, True, False, False]
    use.give("captures")
    assert use.take("captures")
    assert not use.take("queues", 5 * MIB)
    shown = {each.name: each for each in use.bounds()}
    assert (shown["captures"].used, shown["captures"].refused, shown["captures"].limit) == (2, 2, 2)
    assert (shown["queues"].used, shown["queues"].refused) == (0, 1)


def test_giving_back_more_than_was_taken_is_a_fault():
    """A count never becomes negative in silence."""
    use = Use(with_memory())
    use.take("streams", 2)
    with pytest.raises(ValueError, match="streams: 3 are given back, 2 in use"):
        use.give("streams", 3)


def test_what_is_counted_elsewhere_is_shown():
    """The kernel side's own counters, above a limit too."""
    use = Use(with_memory())
    use.set("slots", 5, refused=7)
    use.refuse("slots", 3)
    use.set("slots", 6)
    slots = next(each for each in use.bounds() if each.name == "slots")
    assert (slots.used, slots.refused) == (6, 10)


def test_as_messages():
    """As GetStatus has them: sorted, with units."""
    use = Use(with_memory())
    use.take("spool", 4096)
    use.refuse("spool")
    messages = [each.to_message() for each in use.bounds()]
    assert [each.name for each in messages] == sorted(BOUNDS)
    (spool,) = [each for each in messages if each.name == "spool"]
    assert (spool.limit, spool.used, spool.refused, spool.unit) == (64 * MIB, 4096, 1, "bytes")


def test_threads_lose_no_count(scaled):
    """Eight threads take and give; a bound is never exceeded, and each refusal is counted once."""
    use = Use(with_memory(captures=3))
    rounds = scaled(20_000, 2000)
    refused = []

    def work():
        own = 0
        for _ in range(rounds):
            if use.take("captures"):
                use.give("captures")
            else:
                own += 1
        refused.append(own)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    captures = next(each for each in use.bounds() if each.name == "captures")
    assert (captures.used, captures.refused) == (0, sum(refused))


@given(st.lists(st.tuples(names, st.booleans(), st.integers(1, 5)), max_size=50))
def test_use_is_a_counter_with_a_ceiling(steps):
    """Against plain integers, for any sequence of takes and gives."""
    budget = with_memory(**dict.fromkeys(BOUNDS, 4))
    use = Use(dataclasses.replace(budget, denials=True, accesses=True))
    used, refused = dict.fromkeys(BOUNDS, 0), dict.fromkeys(BOUNDS, 0)
    for name, taking, amount in steps:
        if taking:
            fits = used[name] + amount <= 4
            assert use.take(name, amount) == fits
            used[name] += amount * fits
            refused[name] += not fits
        elif amount <= used[name]:
            use.give(name, amount)
            used[name] -= amount
    assert {each.name: (each.used, each.refused) for each in use.bounds()} == {
        name: (used[name], refused[name]) for name in BOUNDS
    }
