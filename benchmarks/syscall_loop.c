// SPDX-License-Identifier: Apache-2.0
/*
 * A process that makes system calls when it is asked to, on one CPU.
 *
 *   syscall_loop CPU [filtered]
 *
 * Each line "BATCHES CALLS" on stdin is answered by one line on stdout: the
 * nanoseconds per getppid of the fastest batch; filtered: under a seccomp filter that
 * allows everything. Time is the thread's own CPU time, so
 * that others who run on the CPU meanwhile are not counted.
 */
#define _GNU_SOURCE
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return now.tv_sec * 1e9 + now.tv_nsec;
}

static double batch_ns(long calls)
{
	double begun = now_ns();

	for (long call = 0; call < calls; call++)
		syscall(SYS_getppid);
	return now_ns() - begun;
}

static int allow_all(void)
{
	struct sock_filter code[] = { BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
	struct sock_fprog filter = { 1, code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
}

int main(int argc, char **argv)
{
	long batches, calls;
	cpu_set_t cpus;

	if (argc < 2 || argc > 3) {
		fprintf(stderr, "usage: %s CPU [filtered]\n", argv[0]);
		return 2;
	}
	if (argc == 3 && allow_all()) {
		perror("seccomp");
		return 1;
	}
	CPU_ZERO(&cpus);
	CPU_SET(atoi(argv[1]), &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus)) {
		perror("sched_setaffinity");
		return 1;
	}
	while (scanf("%ld %ld", &batches, &calls) == 2) {
		double fastest = batch_ns(calls); /* warms up; it may be the slowest */

		for (long batch = 0; batch < batches; batch++) {
			double took = batch_ns(calls);

			if (took < fastest)
				fastest = took;
		}
		printf("%.3f\n", fastest / calls);
		fflush(stdout);
	}
	return 0;
}
