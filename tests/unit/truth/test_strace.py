"""The parser of strace's log: each kind of line that strace writes."""

import pytest

from recorder.model.abi import Abi
from tests.truth.calls import Call, Truth, calls
from tests.truth.strace import StraceError, parse


def truth_of(text: str, skip_execs: int = 0) -> Truth:
    return parse(text.strip("\n").splitlines(), skip_execs)


def native(*names: str) -> frozenset[Call]:
    return calls(Abi.X86_64, *names)


def test_cuts_the_log_before_the_exec_that_starts_the_program():
    log = """
10  [  59] execve("/bin/sh", ["sh"], 0x7ffd /* 35 vars */) = 0
10  [ 257] openat(AT_FDCWD, "/cg/cgroup.procs", O_WRONLY) = 3
10  [  59] execve("/five", ["/five"], 0x7ffd /* 35 vars */) = 0
10  [  39] getpid()                   = 10
10  [ 231] exit_group(0)              = ?
10  [ 231] +++ exited with 0 +++
"""
    assert truth_of(log, skip_execs=1) == Truth(native("execve", "getpid", "exit_group"))


def test_a_program_that_was_never_started_is_an_error():
    with pytest.raises(StraceError, match="never started"):
        truth_of('10  [  59] execve("/bin/sh", ["sh"], 0x7ffd /* 35 vars */) = 0', skip_execs=1)


def test_another_process_exec_is_not_the_cut():
    log = """
10  [  59] execve("/bin/sh", ["sh"], 0x7ffd /* 35 vars */) = 0
11  [  59] execve("/bin/true", ["true"], 0x7ffd /* 35 vars */) = 0
10  [  59] execve("/five", ["/five"], 0x7ffd /* 35 vars */) = 0
10  [ 231] exit_group(0)              = ?
"""
    assert truth_of(log, skip_execs=1).calls == native("execve", "exit_group")


def test_a_call_that_was_interrupted_and_resumed_counts_once_and_certainly():
    log = """
10  [  61] wait4(-1,  <unfinished ...>
11  [ 102] getuid( <unfinished ...>
10  [  61] <... wait4 resumed>NULL, 0, NULL) = 11
11  [ 102] <... getuid resumed>)      = 0
10  [  61] --- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED} ---
"""
    assert truth_of(log) == Truth(native("wait4", "getuid"))


def test_a_thread_that_was_killed_at_the_entry_of_a_call_did_not_make_it():
    log = """
11  [  14] rt_sigprocmask(SIG_BLOCK, 0x7f24936fffb0,  <unfinished ...>
11  [  14] <... rt_sigprocmask resumed>NULL, 8) = 0
11  [  28] ???( <unfinished ...>
10  [ 231] exit_group(0)              = ?
11  [  28] <... ??? resumed>)         = ?
11  [  28] +++ exited with 0 +++
"""
    assert truth_of(log) == Truth(native("rt_sigprocmask", "exit_group"))


def test_a_number_read_from_a_thread_that_was_being_killed_is_none():
    log = """
11  [  39] getpid()                   = 11
11  [20537] syscall_0x5039(0, 0xe7, 0x3c, 0x7f22b3539200, 0xffffffffffffff80, 0x1 <unfinished ...>
10  [ 231] exit_group(0)              = ?
11  [20537] +++ exited with 0 +++
"""
    assert truth_of(log) == Truth(native("getpid", "exit_group"))


def test_the_mode_lines_tell_the_abi():
    log = """
10  [  59] execve("./int80", ["./int80"], 0x7ffd /* 35 vars */) = 0
10  [  59] [ Process PID=10 runs in 32 bit mode. ]
10  [  20] getpid()                   = 10
10  [ 424] pidfd_send_signal(-1, -1, 0xffffffff, 0xffffffff) = -1 EINVAL (Invalid argument)
10  [ 424] [ Process PID=10 runs in x32 mode. ]
10  [1073741863] getpid()             = -1 ENOSYS (Function not implemented)
10  [1073741863] [ Process PID=10 runs in 64 bit mode. ]
10  [ 424] pidfd_send_signal(-1, -1, 0xffffffff, 0) = -1 EBADF (Bad file descriptor)
"""
    assert truth_of(log).calls == (
        native("execve", "pidfd_send_signal")
        | calls(Abi.I386, "getpid", "pidfd_send_signal")
        | calls(Abi.X32, "getpid")
    )


def test_a_child_whose_abi_the_log_leaves_out_is_known_by_number_and_name():
    log = """
10  [  59] execve("./five32", ["./five32"], 0x7ffd /* 35 vars */) = 0
10  [  59] [ Process PID=10 runs in 32 bit mode. ]
10  [   2] fork()                     = 11
11  [ 424] pidfd_send_signal(-1, -1, 0xffffffff, 0xffffffff) = -1 EINVAL (Invalid argument)
11  [   1] exit(0)                    = ?
"""
    expected = native("execve") | calls(Abi.I386, "fork", "pidfd_send_signal", "exit")
    assert truth_of(log).calls == expected


def test_an_ambiguous_call_before_a_change_of_abi_is_an_error_not_a_guess():
    log = """
11  [ 424] pidfd_send_signal(-1, -1, 0xffffffff, 0xffffffff) = -1 EINVAL (Invalid argument)
11  [ 424] [ Process PID=11 runs in 32 bit mode. ]
"""
    with pytest.raises(StraceError, match="424"):
        truth_of(log)


def test_a_call_pending_when_its_thread_was_killed_is_uncertain():
    log = """
10  [ 186] gettid()                   = 10
11  [ 230] clock_nanosleep(CLOCK_MONOTONIC, 0, {tv_sec=5},  <unfinished ...>
12  [ 202] futex(0x1, FUTEX_WAIT, 0, NULL <unfinished ...>
12  [ 202] +++ killed by SIGKILL +++
10  [ 231] exit_group(0 <unfinished ...>
11  [ 230] <... clock_nanosleep resumed> <unfinished ...>) = ?
10  [ 231] <... exit_group resumed>)  = ?
11  [ 230] +++ exited with 0 +++
"""
    assert truth_of(log) == Truth(native("gettid", "exit_group"), native("clock_nanosleep", "futex"))


def test_a_call_seen_elsewhere_with_a_result_is_not_uncertain():
    log = """
10  [ 202] futex(0x1, FUTEX_WAKE, 1)  = 0
11  [ 202] futex(0x1, FUTEX_WAIT, 0, NULL) = ?
"""
    assert truth_of(log) == Truth(native("futex"))


def test_a_call_that_a_signal_ended_was_certainly_made():
    log = """
10  [  34] pause()                    = ? ERESTARTNOHAND (To be restarted if no handler)
10  [  34] --- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=1, si_uid=0} ---
10  [  34] +++ killed by SIGTERM +++
"""
    assert truth_of(log) == Truth(native("pause"))


def test_restart_syscall_is_a_call_like_another():
    log = """
10  [ 230] clock_nanosleep(CLOCK_REALTIME, 0, {tv_sec=1}, NULL) = ? ERESTART_RESTARTBLOCK (Interrupted)
10  [ 230] --- stopped by SIGSTOP ---
10  [ 219] restart_syscall(<... resuming interrupted clock_nanosleep ...>) = 0
"""
    assert truth_of(log) == Truth(native("clock_nanosleep", "restart_syscall"))


def test_an_exec_by_a_thread_goes_on_under_the_leaders_id_and_is_certain():
    log = """
10  [ 202] futex(0x1, FUTEX_WAIT, 0, NULL <unfinished ...>
11  [  59] execve("/bin/true", ["true"], 0x7ffd /* 35 vars */ <unfinished ...>
10  [ 202] <... futex resumed>)       = ?
10  [ 202] +++ superseded by execve in pid 11 +++
10  [  59] <... execve resumed>)      = 0
10  [ 231] exit_group(0)              = ?
"""
    assert truth_of(log) == Truth(native("execve", "exit_group"), native("futex"))


def test_the_line_that_names_the_new_id_of_an_exec_is_read():
    log = """
11  [  59] execve("/bin/true", ["true"], 0x7ffd /* 35 vars */ <pid changed to 10 ...>
10  [ 231] exit_group(0)              = ?
"""
    assert truth_of(log).calls == native("execve", "exit_group")


def test_numbers_that_no_kernel_has_are_kept_apart_as_they_were():
    log = """
10  [  39] getpid()                   = 10
10  [???] syscall_0xffffffffffffffff(0x1, 0, 0, 0, 0, 0) = -1 ENOSYS (Function not implemented)
10  [18446744073709551611] syscall_0xfffffffffffffffb(0x1) = -1 ENOSYS (Function not implemented)
10  [ 600] syscall_0x258(0x1, 0, 0, 0, 0, 0) = -1 ENOSYS (Function not implemented)
10  [ 500] syscall_0x1f4(0x1, 0, 0, 0, 0, 0) = -1 ENOSYS (Function not implemented)
"""
    truth = truth_of(log)
    assert truth.unknown == {-1, -5, 600}
    assert truth.calls == native("getpid") | {Call(Abi.X86_64, 500)}


def test_text_in_arguments_that_looks_like_strace_is_not_believed():
    log = """
10  [   1] write(1, "<unfinished ...>"..., 16) = 16
10  [   1] write(1, "+++ exited with 0 +++ = ?"..., 30) = 30
"""
    assert truth_of(log) == Truth(native("write"))


@pytest.mark.parametrize("line", ["getpid() = 1", "10  [  39] something else", ""])
def test_a_line_of_another_form_is_an_error(line):
    with pytest.raises(StraceError, match=r"call|line"):
        parse([line])
