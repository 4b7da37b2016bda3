"""Attaches without the privileges that the agent gives up: `dropped.py CGROUP_ID`; counts at each line."""

import sys

from recorder.agent.privileges import Capability, drop
from recorder.kernel.denials import DenialWatch
from recorder.kernel.denials_spec import DenialBounds, active_module, denials_spec


def main() -> None:
    """Entry point."""
    number = int(sys.argv[1])
    watch = DenialWatch(denials_spec(active_module(), DenialBounds()), ahead=True)
    drop([Capability.BPF, Capability.PERFMON])
    for attached in (True, False, True):
        if attached:
            watch.watch(number)
            watch.attach()
        else:
            watch.detach()
        print(attached, flush=True)
        sys.stdin.readline()
        found = watch.read(number)
        print(sum(each.count for each in found.denials) if found else None, flush=True)
    watch.close()


if __name__ == "__main__":
    main()
