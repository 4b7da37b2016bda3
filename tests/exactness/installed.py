"""Which programs this machine has, and where."""

import glob
import shutil

# The system's own first: on PATH may be a version manager's wrapper, another program with
# calls of its own. Servers are not on everybody's PATH.
_PLACES = (
    "/usr/bin",
    "/bin",
    "/usr/sbin",
    "/sbin",
    *sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True),
)


class NotInstalledError(LookupError):
    """A program that a workload needs is not on this machine."""


def find(program: str) -> str:
    """The path of a program; raises NotInstalledError."""
    found = shutil.which(program, path=":".join(_PLACES)) or shutil.which(program)
    if found is None:
        raise NotInstalledError(f"{program} is not installed (make setup)")
    return found
