// SPDX-License-Identifier: Apache-2.0
/*
 * Copies itself into a memfd and starts the copy by execveat with an empty path,
 * as runc did for its own protection; the copy makes one call of its own (getpgrp).
 */
#include "raw.h"

#define AT_EMPTY_PATH 0x1000

void start(int argc, char **argv)
{
	char *again[] = { "memfd_exec", "copy", (char *)0 };
	char *envp[] = { (char *)0 };
	static char buffer[4096];
	long from, to, got;

	(void)argv;
	if (argc > 1) {
		raw0(__NR_getpgrp);
		leave(0);
	}
	to = raw2(__NR_memfd_create, "copy", 0);
	from = raw4(__NR_openat, -100, "/proc/self/exe", 0, 0);
	if (to < 0 || from < 0)
		leave(3);
	while ((got = raw3(__NR_read, from, buffer, sizeof(buffer))) > 0)
		if (raw3(__NR_write, to, buffer, got) != got)
			leave(3);
	raw(__NR_execveat, to, (long)"", (long)again, (long)envp, AT_EMPTY_PATH, 0);
	leave(3);
}
