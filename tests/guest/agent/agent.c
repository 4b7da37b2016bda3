// SPDX-License-Identifier: Apache-2.0
/*
 * The command agent: runs what the host sends over a virtio serial port, several commands side by
 * side, each with its own standard input, output and error.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

#define COMMANDS 16
#define WORDS 256
#define CHUNK 32768 /* what virtio_console takes in one write */
#define BOOT_ID "/proc/sys/kernel/random/boot_id"
#define OWN_BOOT_ID "/run/guest/boot_id"

struct command {
	uint32_t channel;
	pid_t pid; /* 0: this place is free */
	int in, out, err;
	char *input;
	size_t held;
	bool ended; /* no more input will come */
};

static struct command commands[COMMANDS];
static int port = -1;
static bool boot_id_is_known;

static int open_port(void)
{
	for (int i = 0; i < 2000; i++, usleep(5000)) {
		DIR *ports = opendir("/sys/class/virtio-ports");
		struct dirent *entry;

		while (ports && (entry = readdir(ports))) {
			char path[300], name[32] = { 0 };
			int fd;

			snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", entry->d_name);
			fd = open(path, O_RDONLY | O_CLOEXEC);
			if (fd < 0)
				continue;
			if (read(fd, name, sizeof(name) - 1) < 0)
				name[0] = 0;
			close(fd);
			if (strncmp(name, PORT_NAME "\n", sizeof(PORT_NAME)))
				continue;
			snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
			fd = open(path, O_RDWR | O_CLOEXEC);
			if (fd >= 0) {
				closedir(ports);
				return fd;
			}
		}
		if (ports)
			closedir(ports);
	}
	return -1;
}

/*
 * The port is a blocking file. While no host is connected (between a snapshot and its restored
 * copy) a read gives 0 and a write fails: both are tried again.
 */
static void put(const void *data, size_t size)
{
	for (const char *at = data; size;) {
		ssize_t n = write(port, at, size);

		if (n > 0) {
			at += n;
			size -= n;
		} else if (errno != EINTR) {
			usleep(5000);
		}
	}
}

static void get(void *data, size_t size)
{
	for (char *at = data; size;) {
		ssize_t n = read(port, at, size);

		if (n > 0) {
			at += n;
			size -= n;
		} else if (!n || errno != EINTR) {
			usleep(5000);
		}
	}
}

static void tell(enum to_host type, uint32_t channel, const void *data, uint32_t length)
{
	struct frame frame = { .length = length, .channel = channel, .type = type };
	char whole[sizeof(frame) + CHUNK];

	memcpy(whole, &frame, sizeof(frame));
	if (length)
		memcpy(whole + sizeof(frame), data, length);
	put(whole, sizeof(frame) + length);
}

static void tell_number(enum to_host type, uint32_t channel, int32_t number)
{
	tell(type, channel, &number, sizeof(number));
}

static void drop(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void become(char **argv, int in, int out, int err)
{
	sigset_t none;

	dup2(in, 0);
	dup2(out, 1);
	dup2(err, 2);
	setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
	setenv("HOME", "/root", 1);
	setenv("LANG", "C.UTF-8", 1);
	setenv("TERM", "dumb", 1);
	if (!chdir("/root"))
		execvp(argv[0], argv);
	dprintf(2, "guest: cannot run %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

static void start(uint32_t channel, char *words, size_t size)
{
	struct command *command = NULL;
	int in[2], out[2], err[2], n = 0;
	char *argv[WORDS + 1] = { 0 };

	for (size_t at = 0; at < size && n < WORDS; at += strlen(words + at) + 1)
		argv[n++] = words + at;
	for (int i = 0; i < COMMANDS && !command; i++)
		if (!commands[i].pid)
			command = &commands[i];
	if (!command || !n || n == WORDS || pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) ||
	    pipe2(err, O_CLOEXEC)) {
		static const char why[] = "guest: too many commands at once, or too many words in one\n";

		tell(STDERR, channel, why, sizeof(why) - 1);
		tell_number(DONE, channel, 126);
		return;
	}
	*command = (struct command){ .channel = channel, .in = in[1], .out = out[0], .err = err[0] };
	command->input = malloc(WINDOW);
	command->pid = fork();
	if (!command->pid)
		become(argv, in[0], out[1], err[1]);
	close(in[0]);
	close(out[1]);
	close(err[1]);
	fcntl(in[1], F_SETFL, O_NONBLOCK);
	fcntl(out[0], F_SETFL, O_NONBLOCK);
	fcntl(err[0], F_SETFL, O_NONBLOCK);
}

static void forward(struct command *command, int *fd, enum to_host type)
{
	char data[CHUNK];
	ssize_t n;

	/* 2 MiB: more than a pipe holds, and a bound, so that other commands get their turn */
	for (int i = 0; i < 64 && *fd >= 0 && (n = read(*fd, data, sizeof(data))) != -1; i++) {
		if (n)
			tell(type, command->channel, data, n);
		else
			drop(fd);
		if (n < (ssize_t)sizeof(data))
			break;
	}
}

static void feed(struct command *command)
{
	ssize_t n = command->held;

	if (command->in >= 0 && command->held) {
		n = write(command->in, command->input, command->held);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) { /* nobody reads: the rest is thrown away */
			drop(&command->in);
			n = command->held;
		}
	}
	memmove(command->input, command->input + n, command->held - n);
	command->held -= n;
	if (n)
		tell_number(ACCEPTED, command->channel, n);
	if (command->ended && !command->held)
		drop(&command->in);
}

/*
 * What the command itself wrote is in the pipes when it has ended. A process that it left behind
 * may hold them open for ever: nobody waits for that one.
 */
static void finish(struct command *command, int status)
{
	forward(command, &command->out, STDOUT);
	forward(command, &command->err, STDERR);
	drop(&command->in);
	drop(&command->out);
	drop(&command->err);
	free(command->input);
	tell_number(DONE, command->channel, WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	command->pid = 0;
}

static int own_boot_id(const char *text)
{
	int fd = open(OWN_BOOT_ID, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0444);
	int failed = fd < 0 || dprintf(fd, "%.36s\n", text) != 37 ||
		     mount(OWN_BOOT_ID, BOOT_ID, NULL, MS_BIND, NULL);

	drop(&fd);
	return failed ? errno : 0;
}

/*
 * The kernel makes the boot id when it is first read. Where nothing has read it yet, each restored
 * guest makes its own, out of the random state that was just replaced; systemd has read it, and
 * there a file is laid over it.
 */
static int freshen(const struct freshness *fresh)
{
	struct timespec now = { fresh->unix_ns / 1000000000, fresh->unix_ns % 1000000000 };
	struct {
		struct rand_pool_info info;
		uint8_t bytes[sizeof(fresh->entropy)];
	} pool = { .info = { .entropy_count = 8 * sizeof(fresh->entropy), .buf_size = sizeof(fresh->entropy) } };
	int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
	int failed;

	memcpy(pool.info.buf, fresh->entropy, sizeof(fresh->entropy));
	failed = fd < 0 || ioctl(fd, RNDADDENTROPY, &pool) || ioctl(fd, RNDRESEEDCRNG) ||
		 clock_settime(CLOCK_REALTIME, &now);
	if (failed)
		failed = errno;
	drop(&fd);
	return failed || !boot_id_is_known ? failed : own_boot_id(fresh->boot_id);
}

static void pass_signal(const struct command *command, int signal)
{
	/* the group is there once the child has called setsid */
	if (kill(-command->pid, signal))
		kill(command->pid, signal);
}

static void obey(void)
{
	struct command *command = NULL;
	struct frame frame;
	char *data;

	get(&frame, sizeof(frame));
	data = malloc(frame.length + 1);
	get(data, frame.length);
	data[frame.length] = 0;
	for (int i = 0; i < COMMANDS; i++)
		if (commands[i].pid && commands[i].channel == frame.channel)
			command = &commands[i];
	if (frame.type == RUN)
		start(frame.channel, data, frame.length);
	else if (frame.type == FRESHEN && frame.length == sizeof(struct freshness))
		tell_number(FRESH, frame.channel, freshen((struct freshness *)data));
	else if (frame.type == SIGNAL && command && frame.length == sizeof(int32_t))
		pass_signal(command, *(int32_t *)data);
	else if (frame.type == END && command)
		command->ended = true;
	else if (frame.type == STDIN && command && command->held + frame.length <= WINDOW) {
		memcpy(command->input + command->held, data, frame.length);
		command->held += frame.length;
	}
	if (command && (frame.type == END || frame.type == STDIN))
		feed(command);
	free(data);
}

static void reap(int signals)
{
	struct signalfd_siginfo info;
	int status;

	if (read(signals, &info, sizeof(info)) < 0)
		return;
	for (int i = 0; i < COMMANDS; i++)
		if (commands[i].pid && waitpid(commands[i].pid, &status, WNOHANG) == commands[i].pid)
			finish(&commands[i], status);
}

void serve(bool known)
{
	struct pollfd at[2 + 3 * COMMANDS];
	sigset_t child;
	int signals;

	boot_id_is_known = known;
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	signals = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	port = open_port();
	if (port < 0) {
		report("no virtio port", PORT_NAME);
		return;
	}
	tell(HELLO, 0, NULL, 0);
	for (;;) {
		at[0] = (struct pollfd){ .fd = port, .events = POLLIN };
		at[1] = (struct pollfd){ .fd = signals, .events = POLLIN };
		for (int i = 0; i < COMMANDS; i++) {
			struct command *command = &commands[i];
			bool there = command->pid;

			at[2 + 3 * i] = (struct pollfd){ there ? command->out : -1, POLLIN, 0 };
			at[3 + 3 * i] = (struct pollfd){ there ? command->err : -1, POLLIN, 0 };
			at[4 + 3 * i] = (struct pollfd){ there && command->held ? command->in : -1, POLLOUT, 0 };
		}
		if (poll(at, 2 + 3 * COMMANDS, -1) < 0)
			continue;
		for (int i = 0; i < COMMANDS; i++) {
			if (at[2 + 3 * i].revents)
				forward(&commands[i], &commands[i].out, STDOUT);
			if (at[3 + 3 * i].revents)
				forward(&commands[i], &commands[i].err, STDERR);
			if (at[4 + 3 * i].revents)
				feed(&commands[i]);
		}
		if (at[1].revents)
			reap(signals);
		if (at[0].revents & POLLIN)
			obey();
		else if (at[0].revents)
			usleep(5000); /* no host: poll would return at once, again and again */
	}
}
