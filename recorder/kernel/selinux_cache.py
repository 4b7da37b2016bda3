"""SELinux's cache of decisions, emptied: it hides what was reported of a permissive domain before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from recorder.model.errors import NotPermitted

SELINUXFS: Final = (Path("/sys/fs/selinux"), Path("/proc/1/root/sys/fs/selinux"))
"""Where it may be: in a container that has the machine's processes, only behind the first of them."""


def flush_cache(selinuxfs: Sequence[Path] = SELINUXFS) -> bool:
    """By committing the policy's booleans as they are, which changes nothing else (security_set_bools()).

    Not by writing to `enforce`, which would change that for a moment. False: somebody has set a boolean and
    not committed that yet, so it was left; or the policy has none, and then the kernel empties nothing.
    Raises NotPermitted.
    """
    place = next((each for each in selinuxfs if _there(each)), selinuxfs[0])
    count = 0
    try:
        for boolean in (place / "booleans").iterdir():
            current, pending = boolean.read_text().rstrip("\0").split()
            if current != pending:
                return False
            count += 1
        if count:
            (place / "commit_pending_bools").write_text("1")
    except OSError as error:
        raise NotPermitted(
            f"SELinux's cache cannot be emptied ({place}: {error.strerror}), so what was denied before in a"
            " permissive domain is not seen again; mount selinuxfs there, or run it in a domain that may"
        ) from error
    return count > 0


def flush_if_possible(selinuxfs: Sequence[Path] = SELINUXFS) -> bool:
    """False: it could not be done.

    On an enforcing system too: single domains may be permissive there, and it is not told which.
    """
    try:
        return flush_cache(selinuxfs)
    except NotPermitted:
        return False


def _there(place: Path) -> bool:
    try:
        return (place / "enforce").exists()
    except OSError:
        return False
