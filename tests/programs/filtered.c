// SPDX-License-Identifier: Apache-2.0
/*
 * filtered RULE... -- CALL...   puts a seccomp filter on itself, makes the calls, exits with 0.
 *
 * RULE is [i:]NUMBER=ACTION[,ARGUMENT]: errno:N, trap, kill_thread, kill_process, log or
 * notify:N (a supervisor, a thread of its own, answers with N, or with the errno -N); with
 * ARGUMENT only for calls whose first argument it is. All else is allowed.
 * CALL is one of
 *   [i:]NUMBER[,ARGUMENT]...  i: int $0x80. Arguments that are not given are -1.
 *   t:CALL      by a new thread, which is waited for
 *   nobody      gives up all privileges
 *   wait:MS     rt_sigtimedwait for no signal: EAGAIN when the time is over
 *   line        reads a line from stdin
 * For each call a line `CALL RESULT` on stdout, a failed one's errno negated; for each SIGSYS
 * before it a line `SIGSYS NUMBER`, as the signal says.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MOST 400

static struct sock_filter code[MOST];
static unsigned short length;
static int traps, notifies, listener;
static long answer;

static void need(int failed, const char *what)
{
	if (!failed)
		return;
	fprintf(stderr, "filtered: %s: %s\n", what, strerror(errno));
	_exit(125);
}

static void add(unsigned short op, unsigned char yes, unsigned char no, unsigned value)
{
	need(length == MOST, "too many rules");
	code[length++] = (struct sock_filter){ op, yes, no, value };
}

#define LOAD(field) add(BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, field))
#define UNLESS(value, skip) add(BPF_JMP | BPF_JEQ | BPF_K, 0, skip, value)

static unsigned action_of(const char *text)
{
	if (!strncmp(text, "errno:", 6))
		return SECCOMP_RET_ERRNO | strtoul(text + 6, NULL, 10);
	if (!strcmp(text, "trap")) {
		traps = 1;
		return SECCOMP_RET_TRAP;
	}
	if (!strcmp(text, "kill_thread"))
		return SECCOMP_RET_KILL_THREAD;
	if (!strcmp(text, "kill_process"))
		return SECCOMP_RET_KILL_PROCESS;
	if (!strncmp(text, "notify:", 7)) {
		answer = strtol(text + 7, NULL, 10);
		notifies = 1;
		return SECCOMP_RET_USER_NOTIF;
	}
	need(strcmp(text, "log"), text);
	return SECCOMP_RET_LOG;
}

static void rule(char *text)
{
	char *action = strchr(text, '='), *argument;
	int compat = !strncmp(text, "i:", 2);

	need(!action, text);
	*action++ = '\0';
	argument = strchr(action, ',');
	if (argument)
		*argument++ = '\0';
	LOAD(arch);
	UNLESS(compat ? AUDIT_ARCH_I386 : AUDIT_ARCH_X86_64, argument ? 5 : 3);
	LOAD(nr);
	UNLESS(strtoul(text + 2 * compat, NULL, 10), argument ? 3 : 1);
	if (argument) {
		LOAD(args[0]);
		UNLESS(strtoul(argument, NULL, 10), 1);
	}
	add(BPF_RET | BPF_K, 0, 0, action_of(action));
}

static void on_sigsys(int number, siginfo_t *info, void *context)
{
	char text[32];

	(void)number;
	(void)context;
	need(write(1, text, snprintf(text, sizeof(text), "SIGSYS %d\n", info->si_syscall)) < 0, "write");
}

static void *supervise(void *nothing)
{
	for (;;) {
		struct seccomp_notif asked = { 0 };
		struct seccomp_notif_resp said = { 0 };

		need(ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked), "a supervisor's receive");
		said.id = asked.id;
		said.error = answer < 0 ? answer : 0;
		said.val = answer < 0 ? 0 : answer;
		need(ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &said), "a supervisor's answer");
	}
	return nothing;
}

static long make(const char *text)
{
	long a[6] = { -1, -1, -1, -1, -1, -1 };
	int compat = !strncmp(text, "i:", 2);
	char *end;
	long number = strtol(text + 2 * compat, &end, 10), result;

	for (int i = 0; i < 6 && *end == ','; i++)
		a[i] = strtol(end + 1, &end, 10);
	need(*end, text);
	if (compat) {
		__asm__ volatile("int $0x80"
				 : "=a"(result)
				 : "a"(number), "b"(a[0]), "c"(a[1]), "d"(a[2]), "S"(a[3]), "D"(a[4])
				 : "r8", "r9", "r10", "r11", "memory");
		return (int)result;
	}
	result = syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	return result == -1 ? -errno : result;
}

static void *in_thread(void *text)
{
	return (void *)make(text);
}

static long do_one(const char *text)
{
	char byte = 0;

	if (!strcmp(text, "nobody")) {
		need(setgroups(0, NULL) || setresgid(65534, 65534, 65534) ||
			     setresuid(65534, 65534, 65534),
		     "nobody");
		return 0;
	}
	if (!strncmp(text, "wait:", 5)) {
		long ms = strtol(text + 5, NULL, 10);
		struct timespec time = { ms / 1000, ms % 1000 * 1000000 };
		sigset_t none;

		sigemptyset(&none);
		return sigtimedwait(&none, NULL, &time) == -1 ? -errno : 0;
	}
	if (!strcmp(text, "line")) {
		while (byte != '\n')
			need(read(0, &byte, 1) != 1, "read");
		return 0;
	}
	if (!strncmp(text, "t:", 2)) {
		pthread_t thread;

		need(pthread_create(&thread, NULL, in_thread, (void *)(text + 2)), "pthread_create");
		/* Also of one that a filter ends: the kernel itself says that it is gone. */
		need(pthread_join(thread, NULL), "pthread_join");
		return 0;
	}
	return make(text);
}

int main(int argc, char **argv)
{
	struct sock_fprog filter = { 0, code };
	pthread_t supervisor;
	struct sigaction action = { .sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO };
	int i = 1;

	for (; i < argc && strcmp(argv[i], "--"); i++)
		rule(argv[i]);
	add(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);
	filter.len = length;
	setvbuf(stdout, NULL, _IONBF, 0);
	need(traps && sigaction(SIGSYS, &action, NULL), "sigaction");
	need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges");
	listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			   notifies ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0, &filter);
	need(listener < 0, "seccomp");
	need(notifies && pthread_create(&supervisor, NULL, supervise, NULL), "pthread_create");
	for (i++; i < argc; i++)
		printf("%s %ld\n", argv[i], do_one(argv[i]));
	return 0;
}
