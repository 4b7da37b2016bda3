// SPDX-License-Identifier: Apache-2.0
/*
 * into_cgroup CGROUP ROOTFS PROGRAM [ARGUMENT...]
 *
 * Starts PROGRAM as some container runtimes may: the child is born in the cgroup
 * (clone3 with CLONE_INTO_CGROUP, so no attach event ever names it), leaves the
 * mount namespace of its parent, makes ROOTFS its root with pivot_root and only
 * then execs PROGRAM (a path inside ROOTFS). CGROUP is a directory of cgroup2.
 * Status: PROGRAM's, 128+N for signal N, 125 if a step failed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void need(int failed, const char *what)
{
	if (!failed)
		return;
	fprintf(stderr, "into_cgroup: %s: %s\n", what, strerror(errno));
	_exit(125);
}

static void child(const char *rootfs, char **program)
{
	char *envp[] = { "PATH=/usr/bin:/bin", NULL };

	need(unshare(CLONE_NEWNS), "unshare");
	need(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "make mounts private");
	need(mount(rootfs, rootfs, NULL, MS_BIND | MS_REC, NULL), "bind the root");
	need(chdir(rootfs), "chdir to the root");
	need(syscall(SYS_pivot_root, ".", "."), "pivot_root");
	need(umount2(".", MNT_DETACH), "detach the old root");
	need(chdir("/"), "chdir");
	execve(program[0], program, envp);
	need(1, program[0]);
}

int main(int argc, char **argv)
{
	struct clone_args args = { .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD };
	int status, cgroup;
	pid_t pid;

	if (argc < 4) {
		fprintf(stderr, "usage: into_cgroup CGROUP ROOTFS PROGRAM [ARGUMENT...]\n");
		return 125;
	}
	cgroup = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	need(cgroup < 0, argv[1]);
	args.cgroup = (uint64_t)cgroup;
	pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	need(pid < 0, "clone3");
	if (pid == 0)
		child(argv[2], argv + 3);
	need(waitpid(pid, &status, 0) < 0, "waitpid");
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
