// SPDX-License-Identifier: Apache-2.0
/*
 * hook [NUMBER...]   reads the container's state from stdin to its end, then makes
 * the calls given, every argument -1, then exit_group(0). Status 2: not a number.
 *
 * crun dies of SIGPIPE if a hook ends before it has read its state.
 */
#include "raw.h"

void start(int argc, char **argv)
{
	static char state[4096];

	while (raw3(__NR_read, 0, state, sizeof(state)) > 0)
		;
	for (int i = 1; i < argc; i++) {
		const char *s = argv[i];
		long n = 0;

		for (; *s >= '0' && *s <= '9'; s++)
			n = n * 10 + (*s - '0');
		if (*s != '\0')
			leave(2);
		raw(n, -1, -1, -1, -1, -1, -1);
	}
	leave(0);
}
