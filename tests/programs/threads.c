// SPDX-License-Identifier: Apache-2.0
/*
 * threads TIMES PROGRAM: a real thread library, as 64-bit and as 32-bit code.
 *
 * Threads contend for a lock while they make calls TIMES times each; every
 * second one enters by int $0x80, also in 64-bit code. One thread forks, one starts PROGRAM by posix_spawn (which shares
 * the memory until the exec), and at last a thread that is not the leader execs
 * this program again, which ends the others and takes the leader's id; the new
 * program ends a thread by itself, and then the process.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int times;

/* Numbers that mean getpid and getpgid here, and writev and utime to 64-bit code's own door. */
static void call_by_int80(void)
{
	static const long numbers[] = { 20, 132 };

	for (int i = 0; i < 2; i++) {
		long ret = numbers[i];

		__asm__ volatile("int $0x80"
				 : "+a"(ret)
				 : "b"(-1L), "c"(-1L), "d"(-1L)
#ifdef __x86_64__
				 : "r8", "r9", "r10", "r11", "memory");
#else
				 : "memory");
#endif
	}
}

static void need(int failed, const char *what)
{
	if (!failed)
		return;
	perror(what);
	_exit(1);
}

static void *work(void *argument)
{
	long index = (long)argument;

	for (int i = 0; i < times; i++) {
		pthread_mutex_lock(&lock);
		sched_yield();
		pthread_mutex_unlock(&lock);
		if (index % 2) {
			call_by_int80();
			continue;
		}
		syscall(SYS_getppid);
		syscall(SYS_gettid);
	}
	return NULL;
}

static void *start(void *argument)
{
	extern char **environ;
	char *argv[] = { argument, NULL };
	int status;
	pid_t pid = fork();

	need(pid < 0, "fork");
	if (pid == 0) {
		syscall(SYS_getsid, 0);
		_exit(0);
	}
	need(waitpid(pid, &status, 0) < 0, "waitpid");
	need(posix_spawn(&pid, argument, NULL, NULL, argv, environ) != 0, "posix_spawn");
	need(waitpid(pid, &status, 0) < 0, "waitpid");
	return NULL;
}

static void *again(void *argument)
{
	char *argv[] = { "threads", argument, NULL };
	char *envp[] = { NULL };

	execve("/proc/self/exe", argv, envp);
	need(1, "exec");
	return NULL;
}

static void *leave(void *argument)
{
	syscall(SYS_getpgrp);
	pthread_exit(argument);
}

static void run(pthread_t *thread, void *(*function)(void *), void *argument)
{
	need(pthread_create(thread, NULL, function, argument) != 0, "pthread_create");
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS], other;

	if (argc < 3) { /* the second life */
		run(&other, leave, NULL);
		pthread_join(other, NULL);
		return 0;
	}
	times = atoi(argv[1]);
	for (long i = 0; i < THREADS; i++)
		run(&threads[i], work, (void *)i);
	run(&other, start, argv[2]);
	pthread_join(other, NULL);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	run(&other, again, argv[1]);
	for (;;)
		pause();
}
