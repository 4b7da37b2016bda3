"""Accesses for tests of profiles: a few words make what a container did."""

from recorder.model.access import File, FileKind, FileRight
from recorder.model.accesses import Accesses, AccessKey, Seen
from recorder.model.record import Phase

RIGHTS = {
    "r": FileRight.READ,
    "w": FileRight.WRITE,
    "a": FileRight.APPEND,
    "c": FileRight.CREATE,
    "d": FileRight.REMOVE,
    "x": FileRight.EXEC,
    "m": FileRight.MMAP_EXEC,
    "k": FileRight.LOCK,
    "R": FileRight.RENAME,
    "L": FileRight.LINK,
}


def rights(letters):
    found = FileRight(0)
    for each in letters:
        found |= RIGHTS[each]
    return found


def did(*subjects, phase=Phase.WORKLOAD):
    """Pairs of a subject and its rights."""
    entries = {}
    for subject, bits in subjects:
        key = AccessKey(phase, subject)
        entries[key] = entries.get(key, Seen()).join(Seen(bits))
    return Accesses(entries)


def files(text, phase=Phase.WORKLOAD):
    """Lines of letters, path and, for R and L, the other path; a path with a slash at its end is a folder."""
    subjects = []
    for line in text.strip().splitlines():
        letters, path, *target = line.split()
        kind = FileKind.FOLDER if path.endswith("/") and path != "/" else FileKind.REGULAR
        name = path.rstrip("/") or "/"
        other = target[0].encode() if target else b""
        subjects.append((File(name.encode(), other, kind), rights(letters)))
    return did(*subjects, phase=phase)


def recorded(used):
    """What a record has of paths (tests.truth.stated_paths): in temporary folders they were made."""
    subjects = []
    for each in used:
        temporary = each.path.startswith((b"/tmp/", b"/var/tmp/"))
        letters = ["c" if letter == "w" and temporary else letter for letter in each.letters]
        kind = FileKind.FOLDER if each.path.endswith(b"/") else FileKind.REGULAR
        subjects.append((File(each.path.rstrip(b"/"), kind=kind), rights(letters)))
    return did(*subjects)
