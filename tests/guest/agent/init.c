// SPDX-License-Identifier: Apache-2.0
/*
 * Process 1 of a guest: loads the modules that its disks need, makes the first disk the root,
 * mounts what a Debian system expects, and starts the agent: as its own child, or, with
 * guest.init=systemd on the kernel's command line, as a unit of the systemd it becomes.
 *
 * Disks: vda the root, vdb what belongs to the kernel (modules, headers), vdc Python packages.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"

#define AGENT_COPY "/run/guest/agent"
#define PYTHON_PACKAGES "/usr/local/lib/python3.11/dist-packages"

void report(const char *what, const char *which)
{
	char line[512];
	int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	/* <2>: critical, so that it reaches a console with loglevel=4 */
	snprintf(line, sizeof(line), "<2>guest: %s %s: %s\n", what, which, strerror(errno));
	if (write(fd, line, strlen(line)) < 0)
		fprintf(stderr, "%s", line);
	close(fd);
}

/* -no-reboot makes this the end of qemu, and so the host notices. */
static void give_up(const char *what, const char *which)
{
	report(what, which);
	sync();
	reboot(RB_AUTOBOOT);
}

static bool attach(const char *source, const char *target, const char *type, unsigned long flags,
		   const char *options)
{
	mkdir(target, 0755);
	if (!mount(source, target, type, flags, options))
		return true;
	report("cannot mount", target);
	return false;
}

static void load_modules(void)
{
	char path[256];
	FILE *list = fopen("/modules.list", "re"); /* in the order of their dependencies */

	if (!list)
		return;
	while (fgets(path, sizeof(path), list)) {
		path[strcspn(path, "\n")] = 0;
		int fd = open(path, O_RDONLY | O_CLOEXEC);

		if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST))
			report("cannot load", path);
		close(fd);
	}
	fclose(list);
}

static void wait_for(const char *path)
{
	for (int i = 0; i < 2000 && access(path, F_OK); i++)
		usleep(5000);
}

static void enter_root(void)
{
	wait_for("/dev/vda");
	if (!attach("/dev/vda", "/root", "ext4", MS_NOATIME, ""))
		give_up("no root file system on", "/dev/vda");
	if (mount("/dev", "/root/dev", NULL, MS_MOVE, NULL) || mount("/proc", "/root/proc", NULL, MS_MOVE, NULL) ||
	    mount("/sys", "/root/sys", NULL, MS_MOVE, NULL) || chdir("/root") ||
	    mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/"))
		give_up("cannot enter", "/dev/vda");
}

static void attach_disks(void)
{
	attach("run", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755");
	mkdir("/run/guest", 0755);
	if (attach("/dev/vdb", "/run/guest/kernel", "ext4", MS_RDONLY, "")) {
		attach("/run/guest/kernel/modules", "/usr/lib/modules", NULL, MS_BIND, NULL);
		attach("/run/guest/kernel/src", "/usr/src", NULL, MS_BIND, NULL);
	}
	attach("/dev/vdc", PYTHON_PACKAGES, "ext4", MS_RDONLY, "");
}

/* What systemd would do, as far as commands need it. */
static void attach_kernel_file_systems(void)
{
	attach("tmp", "/tmp", "tmpfs", 0, "mode=1777");
	attach("devpts", "/dev/pts", "devpts", 0, "ptmxmode=666,mode=620,gid=5");
	attach("shm", "/dev/shm", "tmpfs", 0, "mode=1777");
	attach("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, "nsdelegate");
	attach("securityfs", "/sys/kernel/security", "securityfs", 0, NULL);
	attach("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
	attach("tracefs", "/sys/kernel/tracing", "tracefs", 0, NULL);
	attach("bpf", "/sys/fs/bpf", "bpf", 0, "mode=700");
	mkdir("/run/lock", 01777);
	if (symlink("/proc/self/fd", "/dev/fd") || symlink("fd/0", "/dev/stdin") ||
	    symlink("fd/1", "/dev/stdout") || symlink("fd/2", "/dev/stderr"))
		report("cannot link", "/dev/fd");
}

static void raise_loopback(void)
{
	struct ifreq request = { .ifr_name = "lo" };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	request.ifr_flags = IFF_UP | IFF_RUNNING;
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request))
		report("cannot raise", "lo");
	close(fd);
}

static void load_selinux_policy(void)
{
	pid_t child = fork();
	int status;

	if (!child) {
		/* -i: the first load, which mounts selinuxfs */
		execl("/sbin/load_policy", "load_policy", "-i", NULL);
		_exit(127);
	}
	if (waitpid(child, &status, 0) != child || status) {
		errno = EIO;
		report("cannot load", "the SELinux policy");
	}
}

static void write_unit(void)
{
	static const char unit[] = "[Unit]\nDescription=Command agent of the test guest\n"
				   "[Service]\nExecStart=" AGENT_COPY " unit\nDelegate=yes\nKillMode=process\n"
				   "TasksMax=infinity\nOOMScoreAdjust=-900\n";
	FILE *file;

	mkdir("/run/systemd", 0755);
	mkdir("/run/systemd/system", 0755);
	mkdir("/run/systemd/system/multi-user.target.wants", 0755);
	file = fopen("/run/systemd/system/guest-agent.service", "we");
	if (!file || fputs(unit, file) < 0 || fclose(file) ||
	    symlink("../guest-agent.service",
		    "/run/systemd/system/multi-user.target.wants/guest-agent.service"))
		give_up("cannot write", "guest-agent.service");
}

/* The initramfs is out of reach once the root has changed: /proc/self/exe still is the program. */
static void copy_agent(void)
{
	char buffer[65536];
	ssize_t n = -1;
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int to = open(AGENT_COPY, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);

	while (from >= 0 && to >= 0 && (n = read(from, buffer, sizeof(buffer))) > 0)
		if (write(to, buffer, n) != n)
			give_up("cannot write", AGENT_COPY);
	if (n)
		give_up("cannot copy", AGENT_COPY);
	close(from);
	close(to);
}

static bool asked_for(const char *word)
{
	char line[4096] = { 0 };
	int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, line, sizeof(line) - 1) < 0)
		report("cannot read", "/proc/cmdline");
	close(fd);
	return strstr(line, word);
}

static void become_process_one(bool systemd)
{
	pid_t agent, child;

	sethostname("guest", 5);
	if (systemd) {
		copy_agent();
		write_unit();
		execl("/lib/systemd/systemd", "systemd", NULL);
		give_up("cannot start", "systemd");
	}
	attach_kernel_file_systems();
	raise_loopback();
	if (asked_for("security=selinux"))
		load_selinux_policy();
	agent = fork();
	if (!agent) {
		setsid();
		serve(false);
		_exit(1);
	}
	for (;;) { /* orphans of commands become this process's children */
		child = wait(NULL);
		if (child == agent)
			give_up("gone:", "the agent");
		if (child < 0 && errno != EINTR)
			sleep(1);
	}
}

int main(int argc, char **argv)
{
	bool systemd;

	if (argc > 1 && !strcmp(argv[1], "unit")) {
		serve(true);
		return 1;
	}
	if (getpid() != 1) {
		fprintf(stderr, "%s: the first process of a test guest's initramfs; it does nothing elsewhere\n", argv[0]);
		return 2;
	}
	attach("dev", "/dev", "devtmpfs", 0, NULL);
	attach("proc", "/proc", "proc", 0, NULL);
	attach("sys", "/sys", "sysfs", 0, NULL);
	systemd = asked_for("guest.init=systemd");
	load_modules();
	enter_root();
	attach_disks();
	become_process_one(systemd);
	return 1;
}
