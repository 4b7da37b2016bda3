"""One `recorder record -- true` in this process, with a clock at the ends of its steps.

python -m benchmarks.start_phases BEGUN, as root; BEGUN: CLOCK_MONOTONIC in ns when it was
started. Prints, as JSON, for each phase its ms and the process's peak RSS so far in KiB.
"""

from __future__ import annotations

import os
import sys
import time


def _peak_kib() -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


class _Clock:
    """Each mark ends a phase."""

    def __init__(self, begun_ns: int) -> None:
        self._last = begun_ns
        self.phases: dict[str, dict[str, float]] = {}

    def mark(self, phase: str) -> None:
        now = time.monotonic_ns()
        self.phases[phase] = {"ms": (now - self._last) / 1e6, "peak_kib": _peak_kib()}
        self._last = time.monotonic_ns()

    def after(self, phase: str, owner: object, name: str) -> None:
        """From now on the phase ends whenever that function of a class or module has ended."""
        function = getattr(owner, name)

        def timed(*arguments: object, **options: object) -> object:
            result = function(*arguments, **options)
            self.mark(phase)
            return result

        setattr(owner, name, timed)


# Imports are what is measured here: none of ours before the first mark.
def main() -> int:
    """The command's own status."""
    clock = _Clock(int(sys.argv[1]))
    clock.mark("interpreter")
    from recorder.cli import main as program  # noqa: PLC0415
    from recorder.cli import record  # noqa: PLC0415

    clock.mark("import")
    clock.after("load", record, "_backend")
    clock.after("attach", record, "Recording")
    clock.after("run", record, "_follow")
    clock.after("finish", record, "_record_command")
    clock.after("profile", record, "_write")
    status = program.main(["record", "-o", os.devnull, "--", "true"])

    import json  # noqa: PLC0415

    print(json.dumps(clock.phases))
    return status


if __name__ == "__main__":
    sys.exit(main())
