// SPDX-License-Identifier: Apache-2.0
/*
 * kin CASE   processes that descend from one, each with a call that only it makes.
 *
 * All that is made before the end of stdin is made before `ready` is said; who is there
 * then waits for that end in a read. CASE:
 *
 * c  before: a child (getuid) and its child (getgid). Each parent waits for its child
 * o  before: a child that ends and leaves a child of its own (getgid) to init
 * d  after: a child that ends and leaves a child of its own, which calls getppid until it
 *    has another parent, and then getsid
 * p  after: a child of this process's parent by CLONE_PARENT (getpgrp)
 *
 * The first process calls geteuid at last; all end by exit_group.
 */
#include "raw.h"

#define SIGCHLD 17
#define CLONE_PARENT 0x00008000

static void until_the_end_of_stdin(void)
{
	char byte;

	while (raw3(__NR_read, 0, &byte, 1) > 0)
		;
}

static void wait_for_child(void)
{
	raw4(__NR_wait4, -1, 0, 0, 0);
}

/* The whole tree is there: only its last process says so. */
static void ready(void)
{
	raw3(__NR_write, 1, "ready\n", 6);
	until_the_end_of_stdin();
}

static void children_before(void)
{
	if (raw0(__NR_fork) == 0) {
		if (raw0(__NR_fork) == 0) {
			ready();
			raw0(__NR_getgid);
			leave(0);
		}
		until_the_end_of_stdin();
		wait_for_child();
		raw0(__NR_getuid);
		leave(0);
	}
	until_the_end_of_stdin();
	wait_for_child();
}

static void orphan_before(void)
{
	if (raw0(__NR_fork) == 0) {
		if (raw0(__NR_fork) == 0) {
			until_the_end_of_stdin();
			raw0(__NR_getgid);
			leave(0);
		}
		leave(0);
	}
	wait_for_child();
	ready();
}

static void orphan_after(void)
{
	ready();
	if (raw0(__NR_fork) == 0) {
		long parent = raw0(__NR_gettid);

		if (raw0(__NR_fork) == 0) {
			while (raw0(__NR_getppid) == parent)
				;
			raw1(__NR_getsid, 0);
			leave(0);
		}
		leave(0);
	}
	wait_for_child();
}

static void sibling_after(void)
{
	ready();
	if (raw2(__NR_clone, CLONE_PARENT | SIGCHLD, 0) == 0) {
		raw0(__NR_getpgrp);
		leave(0);
	}
}

void start(int argc, char **argv)
{
	switch (argc > 1 ? argv[1][0] : '\0') {
	case 'c':
		children_before();
		break;
	case 'o':
		orphan_before();
		break;
	case 'd':
		orphan_after();
		break;
	case 'p':
		sibling_after();
		break;
	default:
		leave(2);
	}
	raw0(__NR_geteuid);
	leave(0);
}
