"""Each action of a filter: exactly the names that it denied are in the reading."""

import errno
import random
import signal

import pytest

from recorder.model.abi import Abi
from tests.denials.filtered import UNUSED, named, number
from tests.truth.calls import Call, call_name

pytestmark = pytest.mark.root

# Without privileges the kernel refuses each of them: EPERM for these arguments (the rest are -1).
REFUSED = {
    **dict.fromkeys(("setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid"), ",0"),
    **dict.fromkeys(("fchmod", "fchown", "settimeofday", "swapon", "userfaultfd"), ",0,0,0,0"),
    **dict.fromkeys(("syslog", "setgroups", "vhangup", "pivot_root", "acct", "swapoff", "reboot"), ""),
    **dict.fromkeys(("sethostname", "setdomainname", "fanotify_init"), ""),
    **dict.fromkeys(("move_mount", "fsopen", "fsmount", "fspick"), ""),
    **dict.fromkeys(("setpriority", "tkill", "sched_setaffinity", "migrate_pages"), ",1,0,0,0"),
    **dict.fromkeys(("get_robust_list", "move_pages", "prlimit64"), ",1,0,0,0"),
    **dict.fromkeys(("tgkill", "kcmp"), ",1,1,1,1"),
    "open_tree": ",0,1,1,1",
}

# What `filtered` and its C library call by themselves, or may: no rule is about one of them.
OWN = frozenset(
    """
write read exit exit_group futex mmap munmap mprotect brk rt_sigprocmask rt_sigaction rt_sigreturn
rt_sigtimedwait clone clone3 set_robust_list rseq madvise gettid getpid tgkill restart_syscall
arch_prctl prctl seccomp execve fstat newfstatat set_tid_address prlimit64 readlink getrandom
uname access open openat close pread64 sched_getaffinity ioctl
""".split()  # noqa: SIM905  as a list it would fill a page
)


@pytest.mark.parametrize(
    "number_of_error", [errno.EPERM, errno.EINTR, errno.EAGAIN, errno.ENOSYS, errno.EACCES, 511, 517, 4095]
)
def test_errno(run, number_of_error):
    """Whichever errno the filter answers with."""
    found, results, status = run(f"{number('mkdir')}=errno:{number_of_error}", f"{number('mkdir')}")
    assert (results[str(number("mkdir"))], status) == (-number_of_error, 0)
    assert (found.denied, found.denied_setup) == (named("mkdir"), frozenset())


def test_many_errnos_at_once(run, scaled):
    """Random rules, some for one argument alone, and random calls."""
    rng = random.Random(7)
    numbers = [each for each in range(335) if (call_name(Abi.X86_64, each) or "write") not in OWN]
    for _ in range(scaled(60, least=4)):
        chosen = rng.sample(numbers, 20)
        denied, spared = chosen[:12], chosen[12:]
        rules = " ".join(f"{each}=errno:{rng.randint(1, 400)}" for each in denied)
        called = rng.sample(denied, 8)
        rules += "".join(f" {each}=errno:1,77" for each in spared)
        calls = [str(each) for each in called] + [f"{each},77" for each in spared[:4]]
        rng.shuffle(calls)
        found, results, status = run(rules, " ".join(calls))
        assert status == 0
        assert all(results[each] < 0 for each in calls)
        assert {each.number for each in found.denied} == {*called, *spared[:4]}


def test_trap(run):
    """A handled SIGSYS; the signal itself says the number."""
    found, results, status = run(f"{number('mkdir')}=trap", f"{number('mkdir')} {number('getuid')}")
    assert (results["SIGSYS"], status) == (number("mkdir"), 0)
    assert found.denied == named("mkdir")
    assert named("getuid", "rt_sigreturn") <= found.allowed


@pytest.mark.parametrize("action", ["kill_process", "kill_thread"])
@pytest.mark.parametrize("thread", ["", "t:"])
def test_kill(run, action, thread):
    """The only thread, or one of two; what comes after it is called by who lives on alone."""
    found, _, status = run(f"{number('mkdir')}={action}", f"{thread}{number('mkdir')} {number('getuid')}")
    lives = (action, thread) == ("kill_thread", "t:")
    assert status == (0 if lives else -signal.SIGSYS)
    assert found.denied == named("mkdir")
    assert (named("getuid") <= found.allowed) == lives


def test_log_denies_nothing(run):
    getuid, rmdir = number("getuid"), number("rmdir")
    found, _, status = run(f"{getuid}=log {rmdir}=log", f"{getuid} {rmdir}")
    assert status == 0
    assert found.denied == frozenset()
    assert named("getuid", "rmdir") <= found.allowed


@pytest.mark.parametrize("order", ["16 1", "1 16"])
def test_a_name_that_is_let_through_with_other_arguments_is_not_denied(run, order):
    """Whichever comes first."""
    socket = number("socket")
    calls = " ".join(f"{socket},{each},1,0" for each in order.split())
    found, results, _ = run(f"{socket}=errno:13,16", calls)
    assert results[f"{socket},16,1,0"] == -errno.EACCES
    assert results[f"{socket},1,1,0"] >= 0
    assert (found.denied, found.denied_setup) == (frozenset(), frozenset())
    assert named("socket") <= found.allowed


def test_a_denial_that_looks_like_success_is_not_seen(run):
    """ERRNO 0: nobody can tell it from a supervisor that did what was asked for."""
    found, results, _ = run(f"{number('mkdir')}=errno:0", f"{number('mkdir')}")
    assert results[str(number("mkdir"))] == 0
    assert found.denied == frozenset()
    assert not named("mkdir") & found.allowed


@pytest.mark.parametrize("answer", [0, 5, -errno.EPERM, -errno.ENOSYS])
def test_a_supervisor_s_errors_are_denials_and_its_successes_are_not_seen(run, answer):
    found, results, status = run(f"{number('mkdir')}=notify:{answer}", f"{number('mkdir')}")
    assert (results[str(number("mkdir"))], status) == (answer, 0)
    assert found.denied == (named("mkdir") if answer < 0 else frozenset())
    assert not named("mkdir") & found.allowed


def test_what_the_kernel_refuses_is_not_denied(run):
    """More than 30 calls that end with EPERM in the kernel, under a filter that lets them through."""
    calls = [f"{number(name)}{arguments}" for name, arguments in REFUSED.items()]
    found, results, status = run(f"{UNUSED}=errno:1", " ".join(["nobody", *calls]))
    refused = [call for call in calls if results[call] == -errno.EPERM]
    assert status == 0
    assert len(refused) >= 30, sorted(set(calls) - set(refused))
    assert found.denied == frozenset()
    assert named(*REFUSED) <= found.allowed


def test_calls_of_32_bit_are_denied_under_their_own_abi(run):
    """39 is mkdir for one ABI and getpid for the other; each filter is for one of them."""
    found, results, _ = run("i:39=errno:1", "i:39 39 i:20")
    assert results["i:39"] == -errno.EPERM
    assert found.denied == {Call(Abi.I386, 39)}
    assert {Call(Abi.X86_64, 39), Call(Abi.I386, 20)} <= found.allowed
    found, _, _ = run("83=errno:1", "83 i:83")
    assert found.denied == {Call(Abi.X86_64, 83)}
    assert Call(Abi.I386, 83) in found.allowed


def test_who_has_no_filter_has_no_denials(run):
    """Calls that fail, of a shell before the exec; and the reading says what was looked for."""
    found, _, _ = run("", "83 84", before="cat /nothing 2>/dev/null; ")
    assert (found.denied, found.denied_setup) == (frozenset(), frozenset())
