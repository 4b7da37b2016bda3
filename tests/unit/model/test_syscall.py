"""Names of system calls, cross-checked with the kernel's headers and with libseccomp."""

import ctypes
import re
from pathlib import Path

import pytest

from recorder.model.abi import Abi
from recorder.model.syscall import ARM_PRIVATE, TABLE_KERNEL, known_names, syscall_name, syscall_number

HEADERS = Path("/usr/include/x86_64-linux-gnu/asm")  # Debian: linux-libc-dev:amd64
X32_BIT = 0x40000000

# linux/audit.h AUDIT_ARCH_*; libseccomp's own token for x32 (include/seccomp.h).
AUDIT_ARCH = {
    Abi.X86_64: 0xC000003E,
    Abi.I386: 0x40000003,
    Abi.X32: 0x4000003E,
    Abi.AARCH64: 0xC00000B7,
    Abi.ARM: 0x40000028,
}


@pytest.mark.parametrize(("header", "abi"), [("64", Abi.X86_64), ("32", Abi.I386), ("x32", Abi.X32)])
def test_equals_the_kernels_headers(header, abi):
    """Each call that the installed kernel headers have is in the table, under the same number."""
    text = (HEADERS / f"unistd_{header}.h").read_text(encoding="utf-8")
    entries = re.findall(r"^#define __NR_(\w+) \(?(?:__X32_SYSCALL_BIT \+ )?(\d+)\)?$", text, re.MULTILINE)
    assert len(entries) > 340
    assert {int(number): name for name, number in entries}.items() <= known_names(abi).items()


@pytest.fixture(scope="module")
def libseccomp():
    """Return the library with the types of its two resolving functions."""
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_syscall_resolve_num_arch.argtypes = [ctypes.c_uint32, ctypes.c_int]
    library.seccomp_syscall_resolve_num_arch.restype = ctypes.c_void_p
    library.seccomp_syscall_resolve_name_arch.argtypes = [ctypes.c_uint32, ctypes.c_char_p]
    return library


@pytest.fixture(scope="module")
def resolve(libseccomp):
    """Return libseccomp's name of a number in an ABI, or None."""
    free = ctypes.CDLL(None).free
    free.argtypes = [ctypes.c_void_p]

    def name(abi, number):
        marked = number | X32_BIT if abi is Abi.X32 else number
        pointer = libseccomp.seccomp_syscall_resolve_num_arch(AUDIT_ARCH[abi], marked)
        if not pointer:
            return None
        text = ctypes.string_at(pointer).decode()
        free(pointer)
        return text

    return name


@pytest.mark.parametrize("abi", Abi)
def test_equals_libseccomp(resolve, abi):
    """Each number that libseccomp names has that name here, without an exception."""
    theirs = {number: name for number in range(1024) if (name := resolve(abi, number))}
    assert len(theirs) > 300
    assert {
        n: (name, syscall_name(abi, n)) for n, name in theirs.items() if syscall_name(abi, n) != name
    } == {}


@pytest.mark.parametrize("abi", Abi)
def test_a_profile_with_our_name_means_our_number(libseccomp, abi):
    """For libseccomp a name of ours is the same number, or a call that it does not know yet (-1).

    On i386 the calls that socketcall and ipc multiplex have numbers of their own since
    Linux 4.3 and 5.1. libseccomp resolves these names to -101 to -120 and -201 to -224,
    and a rule for one allows both ways.
    """
    bit = X32_BIT if abi is Abi.X32 else 0
    unknown = set()
    for number, name in known_names(abi).items():
        theirs = libseccomp.seccomp_syscall_resolve_name_arch(AUDIT_ARCH[abi], name.encode())
        multiplexed = abi is Abi.I386 and (-120 <= theirs <= -101 or -224 <= theirs <= -201)
        if theirs == -1:
            unknown.add(number)
        elif not multiplexed:
            assert (name, theirs) == (name, number | bit)
    assert len(unknown) < len(known_names(abi)) / 10


def test_the_private_calls_of_arm(resolve):
    """They are known by name, have no place in a bitmap and no name in the table."""
    assert min(ARM_PRIVATE) > Abi.ARM.limit
    for number, name in ARM_PRIVATE.items():
        assert resolve(Abi.ARM, number) in {name, None}
        assert syscall_name(Abi.ARM, number) is None
    assert {"breakpoint", "cacheflush", "set_tls"} <= set(ARM_PRIVATE.values())


@pytest.mark.parametrize("abi", Abi)
def test_the_table_is_one_to_one_and_within_the_limit(abi):
    """Ascending, every number below the ABI's limit, no name twice, and back from the name."""
    names = known_names(abi)
    assert list(names) == sorted(names)
    assert all(0 <= number < abi.limit for number in names)
    assert len(set(names.values())) == len(names)
    assert all(syscall_number(abi, name) == number for number, name in names.items())
    assert all(re.fullmatch(r"[a-z0-9_]+", name) for name in names.values())


def test_one_number_is_another_call_in_another_abi():
    """20 is writev on x86-64 and getpid on i386; x32 has calls of its own from 512 on."""
    assert (syscall_name(Abi.X86_64, 20), syscall_name(Abi.I386, 20)) == ("writev", "getpid")
    assert (syscall_name(Abi.X32, 512), syscall_name(Abi.X32, 547)) == ("rt_sigaction", "pwritev2")
    assert syscall_number(Abi.AARCH64, "open") is None


@pytest.mark.parametrize(
    ("abi", "number"), [(0, 0), (77, 0), (1, -1), (1, 511), (1, 512), (3, 548), (1, X32_BIT)]
)
def test_an_unknown_number_has_no_name(abi, number):
    """No guess."""
    assert syscall_name(abi, number) is None


@pytest.mark.parametrize(("abi", "name"), [(0, "read"), (77, "read"), (1, "no_such_call"), (1, "")])
def test_an_unknown_name_has_no_number(abi, name):
    """No guess."""
    assert syscall_number(abi, name) is None


def test_the_table_says_its_kernel():
    """A release, as major.minor."""
    assert re.fullmatch(r"\d+\.\d+", TABLE_KERNEL)
