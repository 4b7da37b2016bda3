"""What a denial costs in the kernel, in ns of the program's runs, as JSON; a clock may count instructions.

Of the first one, of 1,000 times the same one, of one that nobody watches.
"""

import contextlib
import json
import sys
import tempfile
from pathlib import Path

from recorder.kernel.denials import DenialWatch
from recorder.kernel.denials_spec import DenialBounds, active_module, denials_spec
from tests.guest.inside.denials.confined import Confined, cgroup_id, confined, new_cgroup, profiles

STATISTICS = Path("/proc/sys/kernel/bpf_stats_enabled")


def _cost(watch: DenialWatch, run: Confined, number: int, expected: int) -> int:
    """Of the runs while it opens its path number `number`, on the average."""
    before_ns, before = watch.runs()["on_apparmor"]
    run.open(number)
    after_ns, after = watch.runs()["on_apparmor"]
    assert after - before == expected
    return (after_ns - before_ns) // expected


def main() -> None:
    """Entry point."""
    STATISTICS.write_text("1")
    found = {}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "file").write_text("")
        stack.enter_context(profiles({"cost": ""}))
        watch = stack.enter_context(
            contextlib.closing(DenialWatch(denials_spec(active_module(), DenialBounds())))
        )
        for name in ("watched", "elsewhere"):
            cgroup = stack.enter_context(new_cgroup())
            if name == "watched":
                watch.watch(cgroup_id(cgroup))
            words = [str(folder / "file"), 1, str(folder / "file"), 1000]
            run = stack.enter_context(confined(folder / name, "cost", cgroup, *words))
            run.change()
            watch.attach()
            for number, (which, times) in enumerate((("first", 1), ("again", 1000)), 1):
                found[f"{name} {which}"] = _cost(watch, run, number, times)
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
