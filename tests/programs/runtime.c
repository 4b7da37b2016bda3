// SPDX-License-Identifier: Apache-2.0
/*
 * runtime ROOTFS HOOK PROGRAM [ARGUMENT...]
 *
 * Does, one after the other, each exec that container runtimes do between joining a
 * cgroup and starting the entry point: itself anew where it came from; itself anew
 * in a mount namespace of its own; a copy of itself from memory; HOOK as a child, and
 * only then PROGRAM, after chroot to ROOTFS. HOOK and PROGRAM are paths inside ROOTFS.
 * Status: PROGRAM's, 125 if a step failed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void need(int failed, const char *what)
{
	if (!failed)
		return;
	fprintf(stderr, "runtime: %s: %s\n", what, strerror(errno));
	_exit(125);
}

static void next_stage(const char *stage)
{
	need(setenv("STAGE", stage, 1), "setenv");
}

static void exec_from_memory(char **argv)
{
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int to = memfd_create("runtime", MFD_CLOEXEC);

	need(from < 0 || to < 0, "open a copy");
	while (sendfile(to, from, NULL, 1 << 20) > 0)
		;
	fexecve(to, argv, environ);
	need(1, "exec from memory");
}

static void run_hook(const char *hook)
{
	char *argv[] = { (char *)hook, "111", NULL }; /* getpgrp, for tests/programs/hook.c */
	int status;
	pid_t pid = fork();

	need(pid < 0, "fork");
	if (pid == 0) {
		execv(hook, argv);
		need(1, hook);
	}
	need(waitpid(pid, &status, 0) < 0 || status != 0, hook);
}

int main(int argc, char **argv)
{
	const char *stage = getenv("STAGE");

	need(argc < 4, "usage: runtime ROOTFS HOOK PROGRAM [ARGUMENT...]");
	if (stage == NULL) {
		next_stage("apart");
		execv("/proc/self/exe", argv);
		need(1, "exec itself");
	}
	if (strcmp(stage, "apart") == 0) {
		next_stage("copy");
		need(unshare(CLONE_NEWNS), "unshare");
		need(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "make mounts private");
		execv("/proc/self/exe", argv);
		need(1, "exec itself apart");
	}
	if (strcmp(stage, "copy") == 0) {
		next_stage("enter");
		exec_from_memory(argv);
	}
	need(chroot(argv[1]), "chroot");
	need(chdir("/"), "chdir");
	run_hook(argv[2]);
	execv(argv[3], argv + 3);
	need(1, argv[3]);
}
