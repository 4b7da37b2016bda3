// SPDX-License-Identifier: Apache-2.0
/* Exactly five different calls and nothing else; with -m32 the same five as i386 calls. */
#include "raw.h"

void start(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	raw0(__NR_getpid);
	raw0(__NR_getuid);
	raw0(__NR_getppid);
	raw0(__NR_sched_yield);
	leave(0);
}
