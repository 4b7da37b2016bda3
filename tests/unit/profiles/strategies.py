"""Hypothesis strategies for profiles: any value that both formats can say."""

from hypothesis import strategies as st

from recorder.model.abi import Abi
from recorder.profiles.seccomp_profile import (
    ACTIONS,
    ARCHITECTURES,
    FLAGS,
    OPERATORS,
    Argument,
    Rule,
    SeccompProfile,
)

words = st.one_of(
    st.sampled_from(["read", "mount", "clone3", "socketcall", "n", "on", "1e3", "0o7", "null", "~", "-"]),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=8),
)
word_lists = st.lists(words, min_size=1, max_size=6, unique=True).map(lambda each: tuple(sorted(each)))


def subsets(values):
    return st.lists(st.sampled_from(values), unique=True, max_size=3).map(lambda each: tuple(sorted(each)))


arguments = st.builds(
    Argument,
    st.integers(0, 5),
    st.sampled_from(OPERATORS),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
)
rules = st.builds(
    Rule,
    word_lists,
    st.sampled_from(ACTIONS),
    st.one_of(st.none(), st.sampled_from([0, 1, 38, 4095])),
    st.lists(arguments, max_size=2).map(tuple),
)
texts = st.text(st.characters(codec="utf-8"), max_size=20)
tables = st.dictionaries(words, texts, max_size=3)
profiles = st.builds(
    SeccompProfile,
    name=words,
    default_action=st.sampled_from(ACTIONS),
    architectures=subsets(ARCHITECTURES),
    rules=st.lists(rules, max_size=4).map(tuple),
    default_errno=st.one_of(st.none(), st.sampled_from([1, 38])),
    flags=subsets(FLAGS),
    listener_path=texts,
    listener_metadata=texts,
    base_profile=texts,
    state=st.sampled_from(["Enabled", "Disabled"]),
    annotations=tables,
    labels=tables,
)

# Rules without conditions for names that exist, on architectures that have a
# table: for these a profile's answer to each call can be computed.
plain_names = st.sampled_from(
    ["read", "mount", "clone3", "statx", "socket", "socketcall", "ipc", "shmget", "set_tls", "mmap2"]
)
plain_rules = st.builds(
    Rule,
    st.lists(plain_names, min_size=1, max_size=6, unique=True).map(lambda each: tuple(sorted(each))),
    st.sampled_from(["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_LOG"]),
    st.one_of(st.none(), st.sampled_from([1, 38])),
)
plain_profiles = st.builds(
    SeccompProfile,
    name=st.just("x"),
    default_action=st.just("SCMP_ACT_ERRNO"),
    default_errno=st.sampled_from([None, 1, 38]),
    architectures=subsets([abi.scmp_arch for abi in Abi]),
    rules=st.lists(plain_rules, max_size=4).map(tuple),
)
