// SPDX-License-Identifier: Apache-2.0
/*
 * nested HOW CGROUP [PROGRAM [ARGUMENT...]]   moves within a cgroup that it is in, then calls getpgrp.
 *
 * HOW: s  itself, into a new child CGROUP/nested
 *      u  the same, from a mount namespace of its own
 *      b  itself into the child, and back again
 *      c  a child process of its own into it, which then calls getsid and ends
 * The last call is the exec of PROGRAM, or exit_group. Status 3: a step failed.
 */
#include "raw.h"

#define AT_FDCWD -100
#define O_WRONLY 1
#define CLONE_NEWNS 0x20000
#define SIGCHLD 17

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

void start(int argc, char **argv)
{
	static char child[4096], procs[4096], back[4096];
	char *envp[] = { (char *)0 };
	int status = -1, go[2];
	char how, byte = 0;
	long pid;

	need(argc > 2);
	how = argv[1][0];
	join(child, argv[2], "/nested");
	join(procs, child, "/cgroup.procs");
	join(back, argv[2], "/cgroup.procs");
	need(raw3(__NR_mkdirat, AT_FDCWD, child, 0755) == 0);
	if (how == 'u')
		need(raw1(__NR_unshare, CLONE_NEWNS) == 0);
	if (how == 'c') {
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
		raw4(__NR_wait4, -1, &status, 0, 0);
		need(status == 0);
	} else {
		put(procs, 0);
		if (how == 'b')
			put(back, 0);
	}
	raw0(__NR_getpgrp);
	if (argc > 3) {
		raw3(__NR_execve, argv[3], argv + 3, envp);
		leave(3);
	}
	leave(0);
}
