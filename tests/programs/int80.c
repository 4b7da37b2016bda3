// SPDX-License-Identifier: Apache-2.0
/*
 * 64-bit code that enters the kernel by both doors. 20 is getpid by int $0x80
 * and writev by syscall; 39 is mkdir and getpid: a recorder that mixes the ABIs
 * gives calls that were never made.
 */
#include "raw.h"

void start(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	raw_int80(20, 0, 0, 0); /* i386 getpid */
	raw0(__NR_getuid);
	raw_int80(64, 0, 0, 0); /* i386 getppid; on x86_64 64 is semget */
	raw0(__NR_getpid);
	leave(0);
}
