// SPDX-License-Identifier: Apache-2.0
/*
 * under_log SESSION-FILE CGROUP|- PROGRAM [ARGUMENT...]
 *
 * Execs PROGRAM (a path) under a seccomp filter that logs every call of every
 * ABI and lets it through: the first call in the log is the exec itself. Before,
 * it sets the login uid, for which the kernel gives a new audit session id that
 * all descendants inherit and every record carries (`ses=`); the id is written
 * to SESSION-FILE. With CGROUP it joins that cgroup before the filter is on.
 * Nothing between the filter and the exec: no call is in the log that is not PROGRAM's.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

extern char **environ;

static void need(int failed, const char *what)
{
	if (!failed)
		return;
	fprintf(stderr, "under_log: %s: %s\n", what, strerror(errno));
	_exit(125);
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	need(fd < 0, path);
	need(write(fd, text, strlen(text)) < 0, path);
	close(fd);
}

int main(int argc, char **argv)
{
	struct sock_filter code[] = { BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_LOG) };
	struct sock_fprog filter = { 1, code };
	char text[32], path[4096];
	ssize_t n;
	int fd;

	if (argc < 4) {
		fprintf(stderr, "usage: under_log SESSION-FILE CGROUP|- PROGRAM [ARGUMENT...]\n");
		return 125;
	}
	put("/proc/self/loginuid", "0");
	fd = open("/proc/self/sessionid", O_RDONLY | O_CLOEXEC);
	need(fd < 0, "/proc/self/sessionid");
	n = read(fd, text, sizeof(text) - 1);
	need(n <= 0, "/proc/self/sessionid");
	text[n] = '\0';
	close(fd);
	put(argv[1], text);
	if (strcmp(argv[2], "-") != 0) {
		snprintf(path, sizeof(path), "%s/cgroup.procs", argv[2]);
		put(path, "0");
	}
	need(access(argv[3], X_OK), argv[3]);
	need(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) < 0, "seccomp");
	execve(argv[3], argv + 3, environ);
	need(1, argv[3]);
}
