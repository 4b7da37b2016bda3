"""First sights in few bytes: some hundreds of them are nine tenths of a sighting, and seldom read.

    <II                 texts, sets
    for each text       <B length, bytes: a task's comm
    for each set        <iiiI abi, phase, outcome, count
    for all of all sets <I numbers, <I texts' indexes, <Q times

A sequence is sorted, so equal first sights are equal bytes.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Collection, Mapping
from operator import attrgetter, itemgetter

from recorder.model.record import FirstSight, SightKey

__all__ = ["join", "pack", "shifted", "unpack"]

Seen = dict[tuple[int, int, int, int], tuple[int, bytes]]
"""(abi, phase, outcome, number) -> (time, comm)."""

_HEAD = struct.Struct("<II")
_SET = struct.Struct("<iiiI")
_SET_OF, _NUMBER = itemgetter(0, 1, 2), itemgetter(3)
_TIME, _COMM = attrgetter("time_ns"), attrgetter("comm")


def pack(sights: Mapping[SightKey, FirstSight]) -> bytes:
    """The bytes of first sights, sorted by key as an observation has them; empty for none."""
    seen = sights.values()
    return _packed(sights, list(map(_TIME, seen)), list(map(_COMM, seen)))


def unpack(content: bytes) -> dict[SightKey, FirstSight]:
    """The first sights; ValueError or struct.error for what `pack` did not make."""
    return {SightKey(*key): FirstSight(*sight) for key, sight in _unpacked(content).items()}


def join(content: bytes, other: bytes) -> bytes:
    """The earlier one of each, as `Observation.join` has it."""
    joined = _unpacked(content)
    for key, sight in _unpacked(other).items():
        known = joined.get(key)
        if known is None or sight < known:
            joined[key] = sight
    return _packed_seen(dict(sorted(joined.items())))


def shifted(content: bytes, nanoseconds: int) -> bytes:
    """All times later by so much; struct.error for one that leaves 64 bits."""
    return _packed_seen({key: (time + nanoseconds, comm) for key, (time, comm) in _unpacked(content).items()})


def _packed_seen(seen: Seen) -> bytes:
    return _packed(seen, [time for time, _ in seen.values()], [comm for _, comm in seen.values()])


def _packed(keys: Collection[tuple[int, int, int, int]], times: list[int], comms: list[bytes]) -> bytes:
    """Keys are sorted, so those of one set stand together."""
    count = len(keys)
    if not count:
        return b""
    texts = {comm: index for index, comm in enumerate(dict.fromkeys(comms))}
    sets = Counter(map(_SET_OF, keys))
    parts = [_HEAD.pack(len(texts), len(sets))]
    parts += [bytes((len(text),)) + text for text in texts]
    parts += [_SET.pack(*key, size) for key, size in sets.items()]
    parts.append(
        struct.pack(f"<{2 * count}I{count}Q", *map(_NUMBER, keys), *map(texts.__getitem__, comms), *times)
    )
    return b"".join(parts)


def _unpacked(content: bytes) -> Seen:
    if not content:
        return {}
    texts_count, sets_count = _HEAD.unpack_from(content)
    at = _HEAD.size
    texts = []
    for _ in range(texts_count):
        end = at + 1 + content[at]
        texts.append(content[at + 1 : end])
        at = end
    sets: list[tuple[int, int, int]] = []
    for _ in range(sets_count):
        *key, size = _SET.unpack_from(content, at)
        sets += [tuple(key)] * size
        at += _SET.size
    count = len(sets)
    values = struct.unpack_from(f"<{2 * count}I{count}Q", content, at)
    numbers, comms, times = values[:count], values[count : 2 * count], values[2 * count :]
    return {
        (*key, number): (time, texts[text])
        for key, number, text, time in zip(sets, numbers, comms, times, strict=True)
    }
