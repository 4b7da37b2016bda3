// SPDX-License-Identifier: Apache-2.0
/*
 * errnos [DOOR:]NUMBER...   for each call a line `ARGUMENT RESULT`, then exit_group(0).
 *
 * RESULT is what the kernel returned: an errno negated, or the value. NUMBER and DOOR
 * are as in rawsys.c, and every argument of every call is -1 as there. Without
 * arguments it writes `none`, so that a recording of that holds write and exit_group.
 */
#include "raw.h"

static void say(const char *text)
{
	long length = 0;

	while (text[length])
		length++;
	raw3(__NR_write, 1, text, length);
}

static void say_number(long n)
{
	unsigned long left = n < 0 ? -(unsigned long)n : (unsigned long)n;
	char text[24];
	int at = sizeof(text);

	text[--at] = '\0';
	do {
		text[--at] = '0' + left % 10;
		left /= 10;
	} while (left);
	if (n < 0)
		text[--at] = '-';
	say(text + at);
}

void start(int argc, char **argv)
{
	if (argc < 2)
		say("none\n");
	for (int i = 1; i < argc; i++) {
		const char *s = argv[i];
		char door = s[1] == ':' ? s[0] : '\0';
		long n = 0, result;

		for (const char *digit = door ? s + 2 : s; *digit; digit++) {
			if (*digit < '0' || *digit > '9')
				leave(2);
			n = n * 10 + (*digit - '0');
		}
		if (door == 'i')
			result = raw_int80(n, -1, -1, -1);
		else
			result = raw(door == 'x' ? n | X32_BIT : n, -1, -1, -1, -1, -1, -1);
		/* 32-bit code and int $0x80 leave the upper half to chance */
		say(s);
		say(" ");
		say_number((int)result);
		say("\n");
	}
	leave(0);
}
