"""Hypothesis strategies for the model's values: small ranges, so that keys collide and joins have work."""

from hypothesis import strategies as st

from recorder.model.access import (
    Capability,
    File,
    IoUring,
    MessageQueue,
    Mount,
    Peer,
    Ptrace,
    Signal,
    Socket,
    UnixSocket,
    UserNamespace,
)
from recorder.model.accesses import Accesses, AccessKey, Seen
from recorder.model.ledger import CAUSES, Ledger
from recorder.model.numbers import Numbers
from recorder.model.record import (
    CallKey,
    FirstSight,
    Identity,
    Observation,
    Provenance,
    Record,
    SightKey,
    Source,
)

UINT64 = 2**64 - 1

# Known values, and unknown ones up to the ends of int32.
enums = st.sampled_from([-(2**31), -1, 0, 1, 2, 3, 9, 2**31 - 1])
times = st.one_of(st.integers(0, 3), st.integers(0, UINT64))
texts = st.one_of(st.just(""), st.sampled_from(["a", "b"]), st.text(st.characters(codec="utf-8"), max_size=5))

numbers = st.one_of(
    st.sets(st.integers(0, 7), max_size=4).map(Numbers.of),
    st.sets(st.integers(0, 1023), max_size=20).map(Numbers.of),
)
call_keys = st.builds(CallKey, enums, enums, enums)
sight_keys = st.builds(SightKey, enums, enums, enums, st.one_of(st.integers(0, 3), st.integers(0, 2**32 - 1)))
sights = st.builds(FirstSight, times, st.one_of(st.sampled_from([b"a", b"b"]), st.binary(max_size=20)))

unknown_causes = st.from_regex(r"[a-z][a-z0-9_]{0,63}", fullmatch=True).filter(
    lambda name: name not in CAUSES
)
causes = st.one_of(st.sampled_from(sorted(CAUSES)), unknown_causes)
ledgers = st.dictionaries(causes, st.one_of(st.integers(0, 3), st.integers(0, UINT64)), max_size=5).map(
    Ledger
)

sources = st.builds(
    Source, st.sampled_from(["n1", "n2"]), st.just("boot"), st.sampled_from([1, UINT64]), st.just(0)
)
identities = st.builds(Identity, texts, texts)
provenances = st.builds(Provenance, *[texts] * 7)


def observations(of=sources):
    return st.builds(
        Observation,
        source=of,
        identity=identities,
        calls=st.dictionaries(call_keys, numbers, max_size=4),
        first_sights=st.dictionaries(sight_keys, sights, max_size=4),
        ledger=ledgers,
        provenance=provenances,
        first_seen_ns=times,
        last_seen_ns=times,
        wall_offset_ns=st.one_of(st.integers(-3, 3), st.integers(-(2**63), 2**63 - 1)),
        ended=st.booleans(),
    )


one_source = observations(st.just(Source("n", "boot", 7, 1)))
records = st.lists(observations(), max_size=4).map(lambda each: Record(tuple(each)))

paths = st.one_of(
    st.sampled_from([b"/a", b"/a/b", b"/tmp/x"]),
    st.binary(max_size=6).map(lambda each: b"/" + each.replace(b"\0", b"")),
)
peers = st.builds(Peer, st.booleans(), st.sampled_from([b"", b"unconfined"]))
subjects = st.one_of(
    st.builds(File, paths, st.one_of(st.just(b""), paths), enums, st.booleans()),
    st.builds(Socket, enums, enums, enums),
    st.builds(
        UnixSocket, enums, st.one_of(paths, st.sampled_from([b"", b"\0bus"])), st.just(b""), st.none() | peers
    ),
    st.builds(Signal, enums, peers),
    st.builds(Ptrace, peers),
    st.builds(Mount, enums, paths, paths, st.sampled_from([b"", b"tmpfs"]), st.integers(0, 2**32 - 1)),
    st.builds(Capability, st.integers(0, 40)),
    st.just(UserNamespace()),
    st.just(IoUring()),
    st.builds(MessageQueue, paths),
)
access_keys = st.builds(AccessKey, enums, subjects)
seen_accesses = st.dictionaries(
    access_keys, st.builds(Seen, st.integers(0, 2**32 - 1), st.none() | sights), max_size=5
).map(Accesses)
