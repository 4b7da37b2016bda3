// SPDX-License-Identifier: Apache-2.0
/*
 * waiter   says `ready`, waits for a line, says `worked`, waits for another, says `done`.
 *
 * It waits in a poll with a time limit, which the kernel resumes by restart_syscall
 * after SIGSTOP and SIGCONT or a freeze and a thaw. SIGUSR1 has a handler, which
 * says `signal`. On x86_64 it returns by rt_sigreturn; on i386, without SA_SIGINFO,
 * by the vDSO's sigreturn. Status: 3, or 1 if stdin ends early.
 */
#include "raw.h"

#define SIGUSR1 10
#define EINTR 4
#define POLLIN 1
#define HOUR_MS 3600000

struct raw_pollfd {
	int fd;
	short events;
	short revents;
};

struct raw_sigaction {
	void (*handler)(int);
	unsigned long flags;
	void (*restorer)(void);
	unsigned long long mask;
};

static void on_signal(int signal)
{
	(void)signal;
	raw3(__NR_write, 1, "signal\n", 7);
}

#ifdef __x86_64__
#define SA_RESTORER 0x04000000UL
void restore(void);
__asm__("restore:\n"
	"	mov $15, %eax\n" /* rt_sigreturn */
	"	syscall\n");
#else
#define SA_RESTORER 0UL
#define restore 0
#endif

static void wait_for_line(void)
{
	struct raw_pollfd input = { 0, POLLIN, 0 };
	char byte = 0;

	while (byte != '\n') {
		if (raw3(__NR_poll, &input, 1, HOUR_MS) == -EINTR)
			continue;
		if (raw3(__NR_read, 0, &byte, 1) != 1)
			leave(1);
	}
}

void start(int argc, char **argv)
{
	struct raw_sigaction action = { on_signal, SA_RESTORER, restore, 0 };

	(void)argc;
	(void)argv;
	raw4(__NR_rt_sigaction, SIGUSR1, &action, 0, sizeof(action.mask));
	raw3(__NR_write, 1, "ready\n", 6);
	wait_for_line();
	raw3(__NR_write, 1, "worked\n", 7);
	wait_for_line();
	raw3(__NR_write, 1, "done\n", 5);
	leave(3);
}
