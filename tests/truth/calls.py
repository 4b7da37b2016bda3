"""A call as the truths name it: (ABI, number); its name from libseccomp; calls that are safe to make.

Numbers of x32 stand without the bit 0x40000000, as in a record. Names come from
libseccomp's own table and not from the recorder's, so that a wrong table shows.
"""

import ctypes
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from recorder.model.abi import Abi

X32_BIT = 0x40000000

# AUDIT_ARCH_* of linux/audit.h, which libseccomp takes as its tokens; x32 has
# x86_64's in the kernel and a token of its own in libseccomp (seccomp.h.in).
_SECCOMP_ARCH = {
    Abi.X86_64: 0xC000003E,
    Abi.I386: 0x40000003,
    Abi.X32: 0x4000003E,
    Abi.AARCH64: 0xC00000B7,
    Abi.ARM: 0x40000028,
}


class Call(NamedTuple):
    """One system call of one ABI."""

    abi: Abi
    number: int

    def __str__(self) -> str:
        """As the recorder's `names` format writes it: bare for the native ABI, else `abi:name`."""
        name = call_name(self.abi, self.number) or str(self.number)
        return name if self.abi in (Abi.X86_64, Abi.AARCH64) else f"{self.abi.label}:{name}"


@cache
def _libseccomp() -> ctypes.CDLL:
    library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    library.seccomp_syscall_resolve_num_arch.argtypes = [ctypes.c_uint32, ctypes.c_int]
    library.seccomp_syscall_resolve_num_arch.restype = ctypes.c_void_p  # to be freed, so not c_char_p
    library.seccomp_syscall_resolve_name_arch.argtypes = [ctypes.c_uint32, ctypes.c_char_p]
    library.seccomp_syscall_resolve_name_arch.restype = ctypes.c_int
    return library


_free = ctypes.CDLL(None).free
_free.argtypes = [ctypes.c_void_p]


@cache
def call_name(abi: Abi, number: int) -> str | None:
    """libseccomp's name of a number; None where it has none (it may be older than the kernel)."""
    if number < 0:  # libseccomp has pseudo numbers below 0 that no kernel knows
        return None
    token = number | X32_BIT if abi is Abi.X32 else number
    pointer = _libseccomp().seccomp_syscall_resolve_num_arch(_SECCOMP_ARCH[abi], token)
    if not pointer:
        return None
    try:
        name = ctypes.string_at(pointer).decode()
    finally:
        _free(pointer)
    return name


@cache
def call_number(abi: Abi, name: str) -> int | None:
    """The number of a name for an ABI; None if the ABI has no such call (or libseccomp not yet)."""
    number = int(_libseccomp().seccomp_syscall_resolve_name_arch(_SECCOMP_ARCH[abi], name.encode()))
    if number < 0:
        return None
    return number & ~X32_BIT if abi is Abi.X32 else number


def calls(abi: Abi, *names: str) -> frozenset[Call]:
    """The calls of these names; KeyError for a name that the ABI does not have."""
    found = set()
    for name in names:
        number = call_number(abi, name)
        if number is None:
            raise KeyError(f"{abi.label} has no call {name}")
        found.add(Call(abi, number))
    return frozenset(found)


def is_known(abi: Abi, number: int) -> bool:
    """Whether the number lies where the ABI's bitmap has a place: 0 <= number < limit."""
    return 0 <= number < abi.limit


@dataclass(frozen=True, slots=True)
class Truth:
    """What an independent observer saw one program do.

    `calls`: certainly made, the exec that started the program among them.
    `uncertain`: the process was killed while a call was pending in the observer, so
    it may or may not have reached the kernel; seen in no other, certain place.
    `unknown`: raw numbers that no kernel has (negative, or beyond the ABI's limit).
    `status`: the program's exit status, 128+N for signal N. `stdout`: its output.
    """

    calls: frozenset[Call]
    uncertain: frozenset[Call] = frozenset()
    unknown: frozenset[int] = frozenset()
    status: int = 0
    stdout: bytes = b""

    def names(self) -> list[str]:
        """The certain calls as the `names` format lists them, sorted."""
        return sorted(map(str, self.calls))

    def differences(self, recorded: Mapping[int, Iterable[int]]) -> list[str]:
        """Compare with a record's calls (ABI -> numbers): one line per difference, [] if equal.

        Every certain call must be there, and nothing but certain and uncertain calls.
        """
        seen = {Call(Abi(abi), number) for abi, numbers in recorded.items() for number in numbers}
        missing = sorted(f"missing {call}" for call in self.calls - seen)
        extra = sorted(f"extra {call}" for call in seen - self.calls - self.uncertain)
        return missing + extra


# Calls that, with every argument -1, fail or answer at once and change nothing
# that matters to the caller or the machine. Not here, though they would mostly
# fail too: what ends, stops, waits or forks (exit, pause, fork), what signals
# (kill with -1 means everyone), what names the machine (reboot, sethostname),
# and sync, vhangup and setsid, which take no argument that could be wrong.
_SAFE_NAMES = """
read write open close stat fstat lstat poll lseek mprotect munmap rt_sigaction rt_sigprocmask ioctl
pread64 pwrite64 readv writev access pipe sched_yield mremap msync mincore madvise dup dup2 nanosleep
getitimer setitimer getpid sendfile socket connect uname fcntl flock fsync fdatasync truncate
ftruncate getdents getcwd chdir fchdir rename mkdir rmdir creat link unlink symlink readlink chmod
fchmod chown fchown lchown gettimeofday getrlimit getrusage sysinfo times getuid syslog getgid
geteuid getegid setpgid getppid getpgrp getgroups setgroups getresuid getresgid getpgid getsid capget
capset rt_sigpending rt_sigtimedwait rt_sigqueueinfo sigaltstack utime mknod personality ustat statfs
fstatfs sysfs getpriority sched_setparam sched_getparam sched_setscheduler sched_getscheduler
sched_get_priority_max sched_get_priority_min sched_rr_get_interval mlock munlock
pivot_root prctl adjtimex chroot acct settimeofday mount umount2 swapon swapoff init_module
delete_module quotactl gettid readahead setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr
listxattr llistxattr flistxattr removexattr lremovexattr fremovexattr tkill time futex
sched_setaffinity sched_getaffinity io_setup io_destroy io_getevents io_submit io_cancel
epoll_create remap_file_pages getdents64 set_tid_address semtimedop fadvise64 timer_create
timer_settime timer_gettime timer_getoverrun timer_delete clock_settime clock_gettime clock_getres
clock_nanosleep epoll_wait epoll_ctl tgkill utimes mbind set_mempolicy get_mempolicy mq_open
mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr kexec_load waitid add_key request_key
keyctl ioprio_set ioprio_get inotify_add_watch inotify_rm_watch migrate_pages openat mkdirat mknodat
fchownat futimesat unlinkat renameat linkat symlinkat readlinkat fchmodat faccessat pselect6 ppoll
unshare set_robust_list get_robust_list splice tee sync_file_range vmsplice move_pages utimensat
epoll_pwait signalfd timerfd_create eventfd fallocate timerfd_settime timerfd_gettime accept4
signalfd4 eventfd2 epoll_create1 dup3 pipe2 inotify_init1 preadv pwritev rt_tgsigqueueinfo
perf_event_open recvmmsg fanotify_init fanotify_mark prlimit64 name_to_handle_at open_by_handle_at
clock_adjtime syncfs sendmmsg setns getcpu process_vm_readv process_vm_writev kcmp finit_module
sched_setattr sched_getattr renameat2 seccomp getrandom memfd_create bpf execveat userfaultfd
membarrier mlock2 copy_file_range preadv2 pwritev2 pkey_mprotect pkey_alloc pkey_free statx
pidfd_send_signal io_uring_setup io_uring_enter io_uring_register open_tree move_mount fsopen
fsconfig fsmount fspick pidfd_open openat2 pidfd_getfd faccessat2 process_madvise epoll_pwait2
mount_setattr quotactl_fd landlock_create_ruleset landlock_add_rule landlock_restrict_self
process_mrelease futex_waitv set_mempolicy_home_node
""".split()  # noqa: SIM905  as a list it would fill three pages


@cache
def safe_calls(abi: Abi) -> tuple[Call, ...]:
    """The calls that `rawsys` may make freely, ascending; more than 200 for x86_64 and for i386."""
    numbers = {number for name in _SAFE_NAMES if (number := call_number(abi, name)) is not None}
    return tuple(Call(abi, number) for number in sorted(numbers))
