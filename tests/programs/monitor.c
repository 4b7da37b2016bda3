// SPDX-License-Identifier: Apache-2.0
/*
 * monitor SESSION-FILE PID-FILE COMMAND [ARGUMENT...] [-- COMMAND [ARGUMENT...]]...
 *
 * Runs an OCI runtime's commands one after the other, and then waits for the container,
 * as conmon and containerd's shim do: `create -- start` leaves a container whose parent
 * has ended, and a subreaper gets it and its status. Stdin, stdout and stderr go on to it.
 *
 * Before, it sets the login uid, for which the kernel gives a new audit session id that the
 * container inherits (`ses=` in its records); the id is written to SESSION-FILE.
 *
 * Status: that of a command that fails, of the container that PID-FILE names if it was left
 * to us, else (`run`) 0; 128+N for signal N.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void need(int failed, const char *what)
{
	if (!failed)
		return;
	fprintf(stderr, "monitor: %s: %s\n", what, strerror(errno));
	_exit(125);
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	need(fd < 0, path);
	need(write(fd, text, strlen(text)) < 0, path);
	close(fd);
}

static void get(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	need(fd < 0, path);
	n = read(fd, text, size - 1);
	need(n <= 0, path);
	text[n] = '\0';
	close(fd);
}

static int code(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int run(char **argv)
{
	pid_t child = fork();
	int status;

	need(child < 0, "fork");
	if (child == 0) {
		execvp(argv[0], argv);
		need(1, argv[0]);
	}
	need(waitpid(child, &status, 0) < 0, argv[0]);
	return code(status);
}

int main(int argc, char **argv)
{
	char text[32];
	int status;

	if (argc < 4) {
		fprintf(stderr, "usage: monitor SESSION-FILE PID-FILE COMMAND... [-- COMMAND...]...\n");
		return 125;
	}
	put("/proc/self/loginuid", "0");
	get("/proc/self/sessionid", text, sizeof(text));
	put(argv[1], text);
	need(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "PR_SET_CHILD_SUBREAPER");
	for (int first = 3, i = 3; i <= argc; i++) {
		if (i < argc && strcmp(argv[i], "--") != 0)
			continue;
		argv[i] = NULL;
		status = run(argv + first);
		if (status)
			return status;
		first = i + 1;
	}
	get(argv[2], text, sizeof(text));
	if (waitpid(atoi(text), &status, 0) < 0)
		return 0;
	return code(status);
}
