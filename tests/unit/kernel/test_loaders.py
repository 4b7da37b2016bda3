"""Which loader auto takes, and what it says."""

import pytest

from recorder.kernel.loaders import load
from recorder.kernel.spec import Bounds
from recorder.model.errors import (
    BpfLimit,
    BpfLoadError,
    MissingHeaders,
    MissingLibrary,
    NoBtf,
    NotPermitted,
    RecorderError,
    UnsupportedKernel,
    UsageError,
)


@pytest.fixture
def btf(tmp_path):
    """A kernel's type information."""
    path = tmp_path / "vmlinux"
    path.touch()
    return path


def openers(**results):
    """Loaders that give a result, or raise it."""

    def opener(result):
        def give(bounds):
            if isinstance(result, RecorderError):
                raise result
            return result

        return give

    return {name: opener(result) for name, result in results.items()}


def test_bcc_finds_no_denied_calls(btf):
    """Asked for by name it is refused; auto says why it does not take it when libbpf cannot."""
    with pytest.raises(UsageError, match="--loader bcc is not for --kind denials"):
        load("bcc", Bounds(denials=True), kernel_btf=btf, openers={"libbpf": unused, "bcc": unused})
    refused = openers(libbpf=UnsupportedKernel("too old\nlines of a log"))
    with pytest.raises(UnsupportedKernel) as caught:
        load("auto", Bounds(denials=True), kernel_btf=btf, openers={**refused, "bcc": unused})
    assert str(caught.value) == ("too old (bcc cannot find denied calls (--kind denials))\nlines of a log")


def test_bcc_sees_no_accesses(btf):
    """As for denied calls."""
    with pytest.raises(UsageError, match="--loader bcc is not for --kind accesses"):
        load("bcc", Bounds(accesses=True), kernel_btf=btf, openers={"libbpf": unused, "bcc": unused})
    refused = openers(libbpf=UnsupportedKernel("too old"))
    with pytest.raises(UnsupportedKernel) as caught:
        load("auto", Bounds(accesses=True), kernel_btf=btf, openers={**refused, "bcc": unused})
    assert str(caught.value) == "too old (bcc cannot see accesses (--kind accesses))"


def unused(bounds):
    raise AssertionError("the other loader was asked for")


def test_libbpf_where_the_kernel_can(btf):
    loaded = load("auto", Bounds(), kernel_btf=btf, openers={**openers(libbpf="backend"), "bcc": unused})
    assert loaded.backend == "backend"
    assert str(btf) in loaded.why


def test_bcc_where_there_is_no_btf(tmp_path):
    """libbpf is not even tried: without BTF it would look for it in the whole file system."""
    missing = tmp_path / "none"
    loaded = load("auto", Bounds(), kernel_btf=missing, openers={**openers(bcc="backend"), "libbpf": unused})
    assert loaded.backend == "backend"
    assert loaded.why == f"since there is no {missing}, which libbpf needs"


@pytest.mark.parametrize(
    "refusal",
    [
        UnsupportedKernel("too old\nlog"),
        BpfLoadError("too old\nlog"),
        NoBtf("too old"),
        MissingLibrary("too old"),
    ],
)
def test_bcc_where_libbpf_cannot(btf, refusal):
    """With the reason, in one line."""
    loaded = load("auto", Bounds(), kernel_btf=btf, openers=openers(libbpf=refusal, bcc="backend"))
    assert (loaded.backend, loaded.why) == ("backend", "since libbpf cannot: too old")


@pytest.mark.parametrize("refusal", [NotPermitted("no"), BpfLimit("no")])
def test_what_bcc_could_not_do_either_is_said_at_once(btf, refusal):
    with pytest.raises(type(refusal), match=r"^no$"):
        load("auto", Bounds(), kernel_btf=btf, openers={**openers(libbpf=refusal), "bcc": unused})


def test_when_neither_can_both_reasons_are_given(btf):
    """The error is bcc's, since that is what can be helped; libbpf's reason stands behind it."""
    results = openers(libbpf=UnsupportedKernel("too old\nlog"), bcc=MissingHeaders("no headers\nbcc's log"))
    with pytest.raises(MissingHeaders) as refused:
        load("auto", Bounds(), kernel_btf=btf, openers=results)
    first, *log = str(refused.value).splitlines()
    assert first == "no headers (auto took bcc since libbpf cannot: too old)"
    assert log == ["bcc's log"]
    assert isinstance(refused.value.__cause__, UnsupportedKernel)


@pytest.mark.parametrize("loader", ["libbpf", "bcc"])
def test_who_asks_for_one_gets_that_one_or_its_error(tmp_path, loader):
    """Whether there is BTF or not; and nobody asked why."""
    other = "bcc" if loader == "libbpf" else "libbpf"
    loaded = load(
        loader, Bounds(), kernel_btf=tmp_path / "none", openers={**openers(**{loader: "it"}), other: unused}
    )
    assert (loaded.backend, loaded.why) == ("it", "")
    with pytest.raises(UnsupportedKernel, match=r"^no$"):
        load(loader, Bounds(), openers={**openers(**{loader: UnsupportedKernel("no")}), other: unused})
