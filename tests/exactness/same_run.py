"""One run, watched twice: by `recorder record` and by an independent truth; and what a record holds.

Records are decoded here by the format's description (proto/recorder/record/v1), not by
the recorder's own code.
"""

import base64
import itertools
import json
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from recorder.model.abi import Abi
from tests.command import Command
from tests.truth import strace
from tests.truth.calls import Call, Truth

Found = TypeVar("Found")

# For anything that is waited for: in a guest the bcc loader compiles for a minute, beside others for ten
SECONDS = 600.0

JOIN = 'echo 0 >"$0/cgroup.procs" || exit 125; exec "$@"'
"""For `sh -c JOIN CGROUP PROGRAM...`: the shell joins and becomes the program."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A record, as far as exactness goes: the calls of each phase, and the ledger."""

    workload: frozenset[Call]
    setup: frozenset[Call]
    ledger: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, text: str) -> "Seen":
        """From the `record` format; a record of one source."""
        (observation,) = json.loads(text)["observations"]
        phases: dict[str, set[Call]] = {"PHASE_SETUP": set(), "PHASE_WORKLOAD": set()}
        for each in observation.get("calls", []):
            assert each["outcome"] == "OUTCOME_ALLOWED", each
            bits = int.from_bytes(base64.b64decode(each["numbers"]), "little")
            abi = Abi[each["abi"].removeprefix("ABI_")]
            phases[each["phase"]] |= {
                Call(abi, number) for number in range(bits.bit_length()) if bits >> number & 1
            }
        ledger = {each["cause"]: int(each["count"]) for each in observation.get("ledger", [])}
        return cls(frozenset(phases["PHASE_WORKLOAD"]), frozenset(phases["PHASE_SETUP"]), ledger)

    def by_abi(self) -> dict[int, list[int]]:
        """The workload as Truth.differences takes it."""
        found: dict[int, list[int]] = {}
        for abi, number in self.workload:
            found.setdefault(abi, []).append(number)
        return found


def differences(seen: Seen, truth: Truth) -> list[str]:
    """One line per difference between a record and the truth about the same run; [] if there is none.

    Of the ledger nothing may have moved, but for the note on numbers that no kernel has,
    which has to be there when such a number was given.
    """
    ledger = {cause for cause, count in seen.ledger.items() if count}
    expected = {"unknown_number"} if truth.unknown else set()
    moved = sorted(f"the ledger has {cause}" for cause in ledger - expected)
    still = sorted(f"the ledger lacks {cause}" for cause in expected - ledger)
    return truth.differences(seen.by_abi()) + moved + still


def until_certain(
    run: Callable[[], tuple[Found, Truth]], pending: Iterable[str] = (), times: int = 5
) -> Iterator[tuple[Found, Truth]]:
    """What `run` gives, again and again until strace is unsure of no call but those in `pending`.

    A thread that is killed at the entry of a call leaves it undecided whether it was made, and
    which it was; that happens to some programs in one of a hundred runs. AssertionError after `times`.
    """
    unsure: set[str] = set()
    for _ in range(times):
        found, truth = run()
        yield found, truth
        unsure = {str(call) for call in truth.uncertain} - set(pending)
        if not unsure:
            return
    raise AssertionError(f"in {times} runs strace was never certain, last of {sorted(unsure)}")


def wait_until(condition: Callable[[], bool], what: str, seconds: float = SECONDS) -> None:
    """Look again and again for what the kernel gives no event for; raises TimeoutError."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.002)


def _wait_for_line(process: subprocess.Popen[bytes], word: bytes) -> bytes:
    """What stderr said up to the line with `word`; raises AssertionError if it never comes."""
    assert process.stderr is not None
    said = b""
    end = time.monotonic() + SECONDS
    while word not in said or not said.endswith(b"\n"):
        ready, _, _ = select.select([process.stderr], [], [], max(0.0, end - time.monotonic()))
        part = os.read(process.stderr.fileno(), 65536) if ready else b""
        assert part, f"the recorder never said {word!r}: {said!r}"
        said += part
    return said


def is_empty(cgroup: Path) -> bool:
    """Whether no task is left in it or below it."""
    return "populated 0" in (cgroup / "cgroup.events").read_text()


@contextmanager
def recorded(
    recorder: Command, cgroup: Path, output: Path, end: signal.Signals | None = None
) -> Iterator[None]:
    """Record a cgroup into `output` (`record` format) for as long as the `with` lasts.

    It ends with the cgroup's last task: by removing the cgroup, or by the signal `end`.
    """
    arguments = ["record", "--cgroup", cgroup, "-f", "record", "-o", output]
    with recorder.started(*arguments) as process:
        _wait_for_line(process, b"recording")
        yield
        wait_until(lambda: is_empty(cgroup), f"tasks of {cgroup} end")
        if end is None:
            cgroup.rmdir()
        else:
            process.send_signal(end)
        _, said = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, said


def watch(
    recorder: Command,
    truth: Callable[..., Truth],
    words: list[str],
    cgroup: Path,
    folder: Path,
    *,
    end: signal.Signals | None = None,
) -> tuple[Seen, Truth]:
    """Run a program in `cgroup` and `folder`, recorded and watched by `truth` (strace.run, audit.run)."""
    with tempfile.TemporaryDirectory(prefix="record-") as results:
        output = Path(results) / "record.json"
        with recorded(recorder, cgroup, output, end):
            found = truth(words, cgroup, cwd=folder)
        return Seen.of(output.read_text()), found


def watch_command(
    recorder: Command, words: list[str], cgroup: Path, folder: Path, *options: str
) -> tuple[list[str], Truth]:
    """`recorder record -f names [OPTIONS] -- PROGRAM`, all of it in `cgroup` and under strace: names, truth.

    The recorder starts one process, which becomes PROGRAM by its first exec: what comes
    from there on, but for the recorder's own calls, is PROGRAM's.
    """
    with tempfile.TemporaryDirectory(prefix="record-") as results:
        log, output = Path(results) / "log", Path(results) / "names"
        command = [*recorder.words, "record", "-f", "names", "-o", str(output), *options, "--", *words]
        done = subprocess.run(
            ["sh", "-c", JOIN, str(cgroup), *strace.TRACER, "-o", str(log), *command],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
            check=False,
        )
        with log.open(encoding="utf-8", errors="replace") as lines:
            own = next(lines).partition(" ")[0]
            others = (line for line in lines if line.partition(" ")[0] != own)
            found = strace.parse(itertools.dropwhile(lambda line: "execve(" not in line, others))
        assert b"recorder: verdict: complete" in done.stderr, done.stderr
        return output.read_text().splitlines(), replace(found, status=done.returncode, stdout=done.stdout)
