// SPDX-License-Identifier: Apache-2.0
/*
 * rawsys [TIMESx] [DOOR:]NUMBER...   the calls given as numbers, in order, then exit_group(0).
 *
 * DOOR is i (int $0x80: an i386 call, also from 64-bit code) or x (the x32 bit
 * is added); without one, the program's own ABI. NUMBER is decimal, may be
 * negative, and may be as large as an int. With TIMESx the list is made TIMES times.
 *
 * Every argument of every call is -1: a bad descriptor, a bad address, unknown
 * flags. With a number from tests/truth/calls.py a call fails or answers at once.
 */
#include "raw.h"

static long number(const char *s, const char **end)
{
	int negative = *s == '-';
	long n = 0;

	for (s += negative; *s >= '0' && *s <= '9'; s++)
		n = n * 10 + (*s - '0');
	*end = s;
	return negative ? -n : n;
}

void start(int argc, char **argv)
{
	const char *end;
	long times = 1;
	int first = 1;

	if (argc > 1) {
		long n = number(argv[1], &end);

		if (*end == 'x' && end != argv[1] && end[1] == '\0') {
			times = n;
			first = 2;
		}
	}
	while (times-- > 0) {
		for (int i = first; i < argc; i++) {
			const char *s = argv[i];
			char door = s[1] == ':' ? s[0] : '\0';
			long n = number(door ? s + 2 : s, &end);

			if (*end != '\0')
				leave(2);
			if (door == 'i')
				raw_int80(n, -1, -1, -1);
			else
				raw(door == 'x' ? n | X32_BIT : n, -1, -1, -1, -1, -1, -1);
		}
	}
	leave(0);
}
