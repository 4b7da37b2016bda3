// SPDX-License-Identifier: Apache-2.0
/*
 * signals TICKS   sleeps TICKS times 20 ms, says `ready` first and `done` last.
 *
 * SIGUSR1 has a handler (so it costs rt_sigreturn) and is answered by `signal`
 * when the sleep that it interrupted is over. It sleeps by clock_nanosleep for
 * one long time per tick, so that SIGSTOP and SIGCONT, or a freeze and a thaw,
 * make the kernel issue restart_syscall. Status: 0.
 */
#include "raw.h"
#include <linux/time_types.h>

#define SIGUSR1 10
#define SA_RESTORER 0x04000000UL
#define TICK_NS 20000000

struct raw_sigaction {
	void (*handler)(int);
	unsigned long flags;
	void (*restorer)(void);
	unsigned long mask;
};

static volatile int got;

static void on_signal(int signal)
{
	(void)signal;
	got++;
}

void restore(void);
__asm__("restore:\n"
	"	mov $15, %eax\n" /* rt_sigreturn */
	"	syscall\n");

void start(int argc, char **argv)
{
	struct raw_sigaction action = { on_signal, SA_RESTORER, restore, 0 };
	struct __kernel_timespec tick = { 0, TICK_NS };
	long ticks = 0;
	int said = 0;

	for (const char *s = argc > 1 ? argv[1] : "1"; *s >= '0' && *s <= '9'; s++)
		ticks = ticks * 10 + (*s - '0');
	raw4(__NR_rt_sigaction, SIGUSR1, &action, 0, sizeof(action.mask));
	raw3(__NR_write, 1, "ready\n", 6);
	while (ticks-- > 0) {
		raw4(__NR_clock_nanosleep, 1, 0, &tick, 0);
		if (got != said) {
			said = got;
			raw3(__NR_write, 1, "signal\n", 7);
		}
	}
	raw3(__NR_write, 1, "done\n", 5);
	leave(0);
}
