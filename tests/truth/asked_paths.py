"""Paths that are asked for: those that were used, changed in many ways, and random ones."""

import random
from collections.abc import Iterator

from tests.truth.stated_paths import HOSTILE, WORDS, Used


def _other_sibling(chance: random.Random, path: bytes) -> bytes:
    return path.rpartition(b"/")[0] + b"/" + chance.choice((*WORDS, *HOSTILE, b"name99", b"sub99", b"zz"))


def _deeper(chance: random.Random, path: bytes) -> bytes:
    return path + b"/" + chance.choice((*WORDS, *HOSTILE))


def _shallower(chance: random.Random, path: bytes) -> bytes:
    return path[: chance.choice([n for n, each in enumerate(path) if each == 47])] or b"/"


def _other_extension(chance: random.Random, path: bytes) -> bytes:
    stem = path.rpartition(b".")[0] or path
    return stem + chance.choice((b"", b".", b".log", b".log2", b".so", b".so.9", b".sock", b".LOG", b".db"))


def _longer_digits(chance: random.Random, path: bytes) -> bytes:
    """A hash, a number, a random name with a character more or less."""
    at = chance.randrange(len(path))
    return path[:at] + chance.choice((b"0", b"a", b"F", b"_", b"-", b"g", b"")) + path[at:]


def _one_byte(chance: random.Random, path: bytes) -> bytes:
    at = chance.randrange(1, len(path)) if len(path) > 1 else 0
    return path[:at] + bytes([chance.randint(1, 255)]) + path[at + 1 :]


def _cut(chance: random.Random, path: bytes) -> bytes:
    return path[: chance.randrange(1, len(path) + 1)]


def _unicode(chance: random.Random, path: bytes) -> bytes:
    at = chance.randrange(1, len(path) + 1)
    return path[:at] + chance.choice(("\u00e9", "\u202e", "\uff0f", "\uff11")).encode() + path[at:]


def _dots(chance: random.Random, path: bytes) -> bytes:
    at = chance.choice([n for n, each in enumerate(path) if each == 47])
    return path[:at] + chance.choice((b"/..", b"/.", b"/../..")) + path[at:]


def _slash(chance: random.Random, path: bytes) -> bytes:
    return path[:-1] if path.endswith(b"/") else path + b"/"


def _as_glob(chance: random.Random, path: bytes) -> bytes:
    """A part that reads as a pattern, in the place of one."""
    parts = path.split(b"/")
    parts[chance.randrange(1, len(parts))] = chance.choice(HOSTILE)
    return b"/".join(parts)


def _itself(chance: random.Random, path: bytes) -> bytes:
    return path


def _of_nothing(chance: random.Random, path: bytes) -> bytes:
    size = chance.randint(0, 30)
    return b"/" + bytes(chance.choice(b"/ab1.*\xff\n") for _ in range(size))


MUTATIONS = (
    *(_itself, _other_sibling, _deeper, _shallower, _other_extension, _longer_digits, _one_byte, _cut),
    *(_unicode, _dots, _slash, _as_glob, _of_nothing),
)


def asked_paths(chance: random.Random, used: list[Used], count: int) -> Iterator[bytes]:
    """`count` paths without NUL: of those that were used, changed once or twice, and others; each kind."""
    for n in range(count):
        path = chance.choice(used).path
        for mutation in (MUTATIONS[n % len(MUTATIONS)], *([chance.choice(MUTATIONS)] * (n % 3 == 0))):
            path = mutation(chance, path)
        yield path
