// SPDX-License-Identifier: Apache-2.0
/* A child that ptrace cannot follow (CLONE_UNTRACED) makes a call that strace never sees: getpgrp. */
#include "raw.h"
#include <linux/sched.h>

#define SIGCHLD 17

void start(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	if (raw2(__NR_clone, CLONE_UNTRACED | SIGCHLD, 0) == 0) {
		raw0(__NR_getpgrp);
		leave(0);
	}
	raw4(__NR_wait4, -1, 0, 0, 0);
	leave(0);
}
