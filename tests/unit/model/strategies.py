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
from recorder.model.denial import (
    AppArmorDenial,
    DenialCount,
    DenialKey,
    Lack,
    SelinuxDenial,
    Sighting,
    Text,
    Verdict,
)
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
provenances = st.builds(Provenance, *[texts] * 9)


@st.composite
def _kernel_texts(draw):
    """Any bytes but NUL, whole or cut."""
    content = draw(st.one_of(st.sampled_from([b"", b"/a"]), st.binary(max_size=5))).replace(b"\0", b"n")
    return Text(content, len(content) + draw(st.sampled_from([0, 0, 1, 9000])))


def _optional(values):
    return st.one_of(st.none(), values)


words = st.lists(texts, max_size=2).map(tuple)
uint32 = st.one_of(st.integers(0, 2), st.integers(0, 2**32 - 1))
int32 = st.one_of(st.integers(-2, 2), st.integers(-(2**31), 2**31 - 1))
kernel_texts = _kernel_texts()
apparmor_denials = st.builds(
    AppArmorDenial,
    operation=texts,
    object_class=texts,
    profile=kernel_texts,
    namespace=kernel_texts,
    complain=st.booleans(),
    requested=words,
    denied=words,
    name=kernel_texts,
    target=kernel_texts,
    peer=kernel_texts,
    info=kernel_texts,
    error=int32,
    capability=_optional(texts),
    family=_optional(texts),
    socket_type=_optional(texts),
    protocol=_optional(uint32),
    port=_optional(uint32),
    signal=_optional(int32),
    limit=_optional(int32),
    file_system=kernel_texts,
    mount_flags=_optional(times),
    owner=_optional(uint32),
)
selinux_denials = st.builds(
    SelinuxDenial,
    source=kernel_texts,
    target=kernel_texts,
    object_class=texts,
    permissions=words,
    permissive=st.booleans(),
    name=kernel_texts,
    capability=_optional(texts),
    family=_optional(texts),
    port=_optional(uint32),
)
verdicts = st.one_of(st.sampled_from(list(Verdict)).map(str), st.just("from_the_future"))
denial_keys = st.builds(DenialKey, verdicts, st.one_of(apparmor_denials, selinux_denials))
sightings = st.builds(Sighting, times, uint32, st.one_of(st.just(b"cat"), st.binary(max_size=20)))
lacks = st.frozensets(st.one_of(st.sampled_from(list(Lack)).map(str), st.just("new_lack")), max_size=2)
denial_counts = st.builds(DenialCount, times, sightings, sightings, lacks)
# few different ones: keys are to collide, and building each anew takes most of a test's time
SHADOW = Text(b"/etc/shadow", 11)
SOME_DENIALS = [
    DenialKey(Verdict.REST, None),
    *(
        DenialKey(verdict, SelinuxDenial(SHADOW, Text(b"\xff\n", 2), "file", ("read",), False, Text(b"a", 9)))
        for verdict in ("denied", "from_the_future")
    ),
]
some_counts = st.builds(
    DenialCount,
    times,
    st.builds(Sighting, times, st.just(1), st.just(b"sh")),
    st.builds(Sighting, times, st.just(UINT64 >> 32), st.just(b"\xff")),
    st.sampled_from([frozenset(), frozenset({"path_cut"}), frozenset({"new_lack", "unreadable"})]),
)
denials = st.dictionaries(st.sampled_from(SOME_DENIALS), some_counts, max_size=2)

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
    access_keys, st.builds(Seen, st.integers(0, 2**32 - 1), st.none() | sights), max_size=3
).map(Accesses)


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
        denials=denials,
        accesses=seen_accesses,
    )


one_source = observations(st.just(Source("n", "boot", 7, 1)))
records = st.lists(observations(), max_size=4).map(lambda each: Record(tuple(each)))
