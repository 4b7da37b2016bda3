// SPDX-License-Identifier: Apache-2.0
/*
 * Each way to start a process, and in each process one call that only it makes:
 * fork (getuid), vfork and exec (getgid), clone3 (geteuid), clone with CLONE_VM
 * and CLONE_THREAD is left to programs with a real thread library. Then a chain
 * of three execs (getegid, getppid, getpgrp), the last of which ends the process.
 */
#include "raw.h"
#include <linux/sched.h>

#define SIGCHLD 17

static int is(const char *s, char c)
{
	return s[0] == c && s[1] == '\0';
}

static inline __attribute__((always_inline)) void exec_self(char step)
{
	char word[2] = { step, '\0' };
	char *argv[] = { "forker", word, (char *)0 };
	char *envp[] = { (char *)0 };

	raw3(__NR_execve, "/proc/self/exe", argv, envp);
	leave(3);
}

void start(int argc, char **argv)
{
	struct clone_args args = { .exit_signal = SIGCHLD };

	if (argc > 1) {
		if (is(argv[1], 'v')) {
			raw0(__NR_getgid);
			leave(0);
		}
		if (is(argv[1], '1')) {
			raw0(__NR_getegid);
			exec_self('2');
		}
		if (is(argv[1], '2')) {
			raw0(__NR_getppid);
			exec_self('3');
		}
		raw0(__NR_getpgrp);
		leave(0);
	}

	if (raw0(__NR_fork) == 0) {
		raw0(__NR_getuid);
		leave(0);
	}
	raw4(__NR_wait4, -1, 0, 0, 0);

	/* The child of vfork shares this stack; raw() is inlined, so no frame is undone. */
	if (raw0(__NR_vfork) == 0)
		exec_self('v');
	raw4(__NR_wait4, -1, 0, 0, 0);

	if (raw2(__NR_clone3, &args, sizeof(args)) == 0) {
		raw0(__NR_geteuid);
		leave(0);
	}
	raw4(__NR_wait4, -1, 0, 0, 0);

	exec_self('1');
	leave(3);
}
