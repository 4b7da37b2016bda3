"""stress-ng by its own classes: what each class has that is bounded, harmless and needs no privilege.

They run as nobody and in a folder of their own. Left out is what fills memory or disk,
floods a network, needs a device, executes random bytes, or takes long for few calls.
"""

from collections.abc import Iterable
from pathlib import Path

from tests.exactness.installed import find

# Names as of 0.15; `stress-ng --class NAME?` lists a class. A stressor stands in one of its classes.
CLASSES = {
    "cpu": "branch context crypt fp funccall getrandom longjmp matrix numa rdrand regs sparsematrix zlib",
    "cpu-cache": "bsearch icache lockbus membarrier misaligned peterson qsort tsearch",
    "device": "full null urandom zero",
    "filesystem": """
        access chattr chmod chown dentry dir dnotify dup eventfd fallocate fcntl fiemap filename flock fsize
        fstat getdent handle lease locka lockf mknod open rename touch utime xattr
    """,
    "interrupt": """
        aio alarm clock fault itimer kill nanosleep pidfd schedpolicy sigabrt sigchld sigfd sigfpe sigio
        signal signest sigpending sigpipe sigq sigrt sigsegv sigsuspend sigtrap sleep timer timerfd
    """,
    "io": "io io-uring readahead seek",
    "memory": "bad-altstack malloc mcontend mincore mmapfixed remap stackmmap tree vm-rw vm-segv",
    "network": "epoll sock sockdiag sockfd sockpair udp",
    "os": """
        brk cap clone close dev-shm env exit-group fork futex get ioprio kcmp key landlock madvise mlock
        mmapaddr mprotect mq msg msync munmap mutex nice personality pkey poll prctl ptrace pty rlimit seal
        sem sem-sysv session set shm shm-sysv switch sysinfo unshare usersyscall vdso vfork vm-addr wait
        x86syscall
    """,
    "pipe": "fifo pipe ring-pipe sendfile splice tee vm-splice",
    "scheduler": "affinity exec hrtimers inotify pthread resched yield",
    # its own test of a few hundred calls, and calls with bad addresses
    "calls": "syscall sysbadaddr",
}


def command(stressors: Iterable[str], folder: Path, times: int) -> list[str]:
    """The command line that runs stressors side by side, `times` operations each."""
    drop = [find("setpriv"), "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    bounded: list[str] = []
    for stressor in stressors:
        bounded += [f"--{stressor}", "1", f"--{stressor}-ops", str(times)]
    # in seconds, also where an operation takes longer than thought
    return [*drop, find("stress-ng"), *bounded, "--timeout", "2", "--temp-path", str(folder)]
