"""What AppArmor says of every operation, in either mode, one JSON line each, sorted: `python3 -m ...said`."""

import contextlib
import json
import re
import sys
import tempfile
from pathlib import Path

from recorder.kernel.denials import DenialWatch
from recorder.kernel.denials_spec import DenialBounds, active_module, denials_spec
from tests.guest.inside.denials.apparmor_truth import Said, from_recorder
from tests.guest.inside.denials.confined import cgroup_id, confined, new_cgroup, profiles


def _line(said: Said, folder: str) -> str:
    """Without what is another one each time: the folder, and processes' numbers."""
    words = [sorted(word) if isinstance(word, frozenset) else word.decode() for word in said]
    return re.sub(r"/proc/\d+", "/proc/N", json.dumps(words).replace(folder, "/folder"))


def main() -> None:
    """Entry point."""
    names = {"said-enforce": "", "said-complain": "flags=(complain)"}
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        cgroup = stack.enter_context(new_cgroup())
        stack.enter_context(profiles(names))
        bounds = DenialBounds()
        watch = stack.enter_context(contextlib.closing(DenialWatch(denials_spec(active_module(), bounds))))
        watch.watch(cgroup_id(cgroup))
        watch.attach()
        for name in names:
            with confined(Path(folder) / name, name, cgroup) as run:
                run.go()
                run.wait_done()
        seen = watch.entries()
        lines = {_line(from_recorder(each), folder) for each in seen if each.details}
    sys.stdout.write("".join(f"{line}\n" for line in sorted(lines)))


if __name__ == "__main__":
    main()
