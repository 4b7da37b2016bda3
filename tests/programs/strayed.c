// SPDX-License-Identifier: Apache-2.0
/*
 * strayed   leaves the mount namespace that its executable lies in, then calls getpgrp,
 * says `ready` and reads stdin to its end: what a container's own namespace tool does.
 * From the unshare on nothing but time tells it from a runtime that is still to be moved.
 */
#include "raw.h"

#define CLONE_NEWNS 0x20000

void start(int argc, char **argv)
{
	char byte;

	(void)argc;
	(void)argv;
	if (raw1(__NR_unshare, CLONE_NEWNS) != 0)
		leave(3);
	raw0(__NR_getpgrp);
	raw3(__NR_write, 1, "ready\n", 6);
	while (raw3(__NR_read, 0, &byte, 1) > 0)
		;
	leave(0);
}
