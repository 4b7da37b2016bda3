"""SELinux's cache of decisions, emptied: what it holds in permissive mode is not reported again."""

from __future__ import annotations

from pathlib import Path

from recorder.model.errors import NotPermitted

SELINUXFS = Path("/sys/fs/selinux")


def is_permissive(selinuxfs: Path = SELINUXFS) -> bool:
    """Whether the system is; single domains may be where this is False."""
    try:
        return (selinuxfs / "enforce").read_text().strip() == "0"
    except FileNotFoundError:
        return False


def flush_cache(selinuxfs: Path = SELINUXFS) -> bool:
    """By committing the policy's booleans as they are, which changes nothing else (security_set_bools()).

    Not by writing to `enforce`, which would enforce for a moment. False: somebody has set a boolean and not
    committed that yet, so it was left. Raises NotPermitted.
    """
    try:
        for boolean in (selinuxfs / "booleans").iterdir():
            current, pending = boolean.read_text().rstrip("\0").split()
            if current != pending:
                return False
        (selinuxfs / "commit_pending_bools").write_text("1")
    except OSError as error:
        raise NotPermitted(
            f"SELinux's cache cannot be emptied ({selinuxfs}: {error.strerror}), so what was denied before "
            "in permissive mode is not seen again; run it in a domain that may, or switch it off"
        ) from error
    return True


def flush_where_permissive(selinuxfs: Path = SELINUXFS) -> bool:
    """False: it would have been needed, and could not be done."""
    if not is_permissive(selinuxfs):
        return True
    try:
        return flush_cache(selinuxfs)
    except NotPermitted:
        return False
