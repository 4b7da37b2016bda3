// SPDX-License-Identifier: Apache-2.0
/*
 * nested HOW CGROUP [PROGRAM [ARGUMENT...]]   joins CGROUP or moves within it, then calls getpgrp.
 *
 * HOW: j  joins CGROUP itself
 *      s  is in CGROUP, and moves itself into a new child, CGROUP/nested
 *      u  the same, from a mount namespace of its own
 *      b  the same, and back again
 *      c  moves a child process of its own there, which then calls getsid and ends
 *      f  stays where it is (CGROUP is not used); when stdin ends it forks a child,
 *         which calls getsid and execs PROGRAM
 * Then j, s, u and b exec PROGRAM; without one they read stdin to its end. The last
 * call of all else is exit_group. Status 3: a step failed.
 */
#include "raw.h"

#define AT_FDCWD -100
#define O_WRONLY 1
#define CLONE_NEWNS 0x20000

static char *envp[] = { (char *)0 };

static const char *join(char *buffer, const char *folder, const char *name)
{
	char *to = buffer;

	while (*folder)
		*to++ = *folder++;
	while (*name)
		*to++ = *name++;
	*to = '\0';
	return buffer;
}

static void need(int good)
{
	if (!good)
		leave(3);
}

static void put(const char *path, long number)
{
	char text[24], *from = text + sizeof(text);
	long fd = raw4(__NR_openat, AT_FDCWD, path, O_WRONLY, 0);

	need(fd >= 0);
	do
		*--from = '0' + number % 10;
	while (number /= 10);
	need(raw3(__NR_write, fd, from, text + sizeof(text) - from) > 0);
	raw1(__NR_close, fd);
}

static void wait_for_end(void)
{
	char byte;

	while (raw3(__NR_read, 0, &byte, 1) > 0)
		;
}

static void wait_for_child(void)
{
	int status = -1;

	raw4(__NR_wait4, -1, &status, 0, 0);
	need(status == 0);
}

static void move_a_child(const char *procs)
{
	char byte = 0;
	int go[2];
	long pid;

	need(raw2(__NR_pipe2, go, 0) == 0);
	pid = raw0(__NR_fork);
	need(pid >= 0);
	if (pid == 0) {
		need(raw3(__NR_read, go[0], &byte, 1) == 1);
		raw1(__NR_getsid, 0);
		leave(0);
	}
	put(procs, pid);
	need(raw3(__NR_write, go[1], &byte, 1) == 1);
	wait_for_child();
}

static void fork_and_exec(char **program)
{
	long pid;

	wait_for_end();
	pid = raw0(__NR_fork);
	need(pid >= 0);
	if (pid == 0) {
		raw1(__NR_getsid, 0);
		raw3(__NR_execve, program[0], program, envp);
		leave(3);
	}
	wait_for_child();
}

void start(int argc, char **argv)
{
	static char child[4096], inner[4096], outer[4096];
	char how;

	need(argc > 2);
	how = argv[1][0];
	join(child, argv[2], "/nested");
	join(inner, child, "/cgroup.procs");
	join(outer, argv[2], "/cgroup.procs");
	if (how == 'f') {
		need(argc > 3);
		fork_and_exec(argv + 3);
	} else if (how == 'j') {
		put(outer, 0);
	} else {
		need(raw3(__NR_mkdirat, AT_FDCWD, child, 0755) == 0);
		if (how == 'u')
			need(raw1(__NR_unshare, CLONE_NEWNS) == 0);
		if (how == 'c')
			move_a_child(inner);
		else
			put(inner, 0);
		if (how == 'b')
			put(outer, 0);
	}
	raw0(__NR_getpgrp);
	if (how != 'c' && how != 'f') {
		if (argc > 3) {
			raw3(__NR_execve, argv[3], argv + 3, envp);
			leave(3);
		}
		wait_for_end();
	}
	leave(0);
}
