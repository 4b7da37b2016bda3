/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What kernel structures say, as far as they may be read.
 * STRUCTURES: the headers are the running kernel's. Without it none is read:
 * the registers' layout is ABI, and the rest comes from helpers and from the
 * fields of classic tracepoints.
 * CONTAINERS: struct mount, which no header has, is as mirrored here. Without
 * it there is no mode container, and 0 stands for what only that mode asks.
 *
 * A header, since bcc rewrites what looks like a pointer into the kernel in the
 * main file alone. A read through a null pointer gives 0, and needs no check.
 */
#ifndef STRUCTURES_BCC_H
#define STRUCTURES_BCC_H

#ifdef STRUCTURES

#include <linux/cgroup-defs.h>
#include <linux/fs.h>
#include <linux/kernfs.h>
#include <linux/mount.h>
#include <linux/ns_common.h>
#include <linux/nsproxy.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

#define READ(pointer, field)                                                         \
	({                                                                           \
		typeof((pointer)->field) read_ = 0;                                  \
		bpf_probe_read_kernel(&read_, sizeof(read_), &(pointer)->field);     \
		read_;                                                               \
	})

static __always_inline int is_compat_call(struct pt_regs *regs)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();

#if defined(__TARGET_ARCH_x86)
	return !!(READ(task, thread_info.status) & TS_COMPAT);
#else
	return !!(READ(task, thread_info.flags) & TIF_32BIT);
#endif
}

static __always_inline u32 pid_of(u64 task)
{
	return READ((struct task_struct *)task, pid);
}

static __always_inline u32 tgid_of(u64 task)
{
	return READ((struct task_struct *)task, tgid);
}

/* How many threads of the task's group have not ended. */
static __always_inline int threads_of(u64 task)
{
	return READ(READ((struct task_struct *)task, signal), live.counter);
}

/* include/linux/sched.h: forked, and no exec yet. */
#define FORKED_NO_EXEC 0x00000040

/* The parent's cgroup while the task is still its parent's program; 0 after its exec. */
static __always_inline u64 forked_in(u64 task)
{
	struct task_struct *parent = READ((struct task_struct *)task, real_parent);
	struct cgroup *cgroup = READ(READ(parent, cgroups), dfl_cgrp);

	if (!(READ((struct task_struct *)task, flags) & FORKED_NO_EXEC))
		return 0;
	return READ(READ(cgroup, kn), id);
}

static __always_inline int hierarchy_of(u64 cgroup)
{
	return READ(READ((struct cgroup *)cgroup, root), hierarchy_id);
}

static __always_inline u64 id_of(u64 cgroup)
{
	return READ(READ((struct cgroup *)cgroup, kn), id);
}

#elif defined(__TARGET_ARCH_x86)

/* arch/x86/include/asm/segment.h: GDT_ENTRY_DEFAULT_USER32_CS * 8 + 3 */
#define USER32_SEGMENT 0x23

/*
 * 32-bit code makes compat calls only. 64-bit code does so by int $0x80 (and by
 * sysenter, which enters with the 32-bit segment): the instruction before the
 * return address tells. -1: it cannot be read, or is neither.
 */
static __always_inline int is_compat_call(struct pt_regs *regs)
{
	struct {
		u64 address;
		u64 segment;
	} user = {};
	u16 instruction = 0;

	if (bpf_probe_read_kernel(&user, sizeof(user), &regs->ip))
		return -1;
	if ((user.segment & 0xffff) == USER32_SEGMENT)
		return 1;
	if (bpf_probe_read_user(&instruction, sizeof(instruction), (void *)user.address - 2))
		return -1;
	if (instruction == 0x80cd)
		return 1;
	return instruction == 0x050f ? 0 : -1;
}

#else

/* PSR_MODE32_BIT, arch/arm64/include/uapi/asm/ptrace.h */
#define MODE32 0x10

static __always_inline int is_compat_call(struct pt_regs *regs)
{
	u64 pstate = 0;

	if (bpf_probe_read_kernel(&pstate, sizeof(pstate), &((struct user_pt_regs *)regs)->pstate))
		return -1;
	return !!(pstate & MODE32);
}

#endif

#ifndef STRUCTURES
static __always_inline u64 forked_in(u64 task)
{
	return 0;
}
#endif

#ifdef CONTAINERS

/* fs/mount.h, which is no header for others: the head of struct mnt_namespace. */
struct namespace_head {
#if LINUX_VERSION_CODE < KERNEL_VERSION(5, 11, 0)
	atomic_t count;
#endif
	struct ns_common ns;
};

/* The same: struct mount from its vfsmount to its namespace, as in 5.8 to 6.7. */
struct mount_tail {
	struct vfsmount mnt;
	void *rcu[2];
	void *pcp;
	struct list_head mounts, child, instance;
	const char *devname;
	struct list_head list, expire, share, slave_list, slave;
	struct mount *master;
	struct namespace_head *namespace;
};

static __always_inline u32 mount_namespace(u64 task)
{
	struct mnt_namespace *namespace = READ(READ((struct task_struct *)task, nsproxy), mnt_ns);

	return READ((struct namespace_head *)namespace, ns.inum);
}

/* The mount namespace of the mount that the executable lies on; 0: none, as for a memfd. */
static __always_inline u32 executable_namespace(u64 task)
{
	struct file *file = READ(READ((struct task_struct *)task, mm), exe_file);
	struct vfsmount *mount = READ(file, f_path.mnt);

	return READ(READ((struct mount_tail *)mount, namespace), ns.inum);
}

static __always_inline u32 parent_of(u64 task)
{
	return READ(READ((struct task_struct *)task, real_parent), tgid);
}

#else

static __always_inline u32 mount_namespace(u64 task)
{
	return 0;
}

static __always_inline u32 executable_namespace(u64 task)
{
	return 0;
}

static __always_inline u32 parent_of(u64 task)
{
	return 0;
}

#endif

static __always_inline u32 current_namespace(void)
{
	return mount_namespace(bpf_get_current_task());
}

/* The executable lies on a mount of the task's own mount namespace. */
static __always_inline int executable_is_inside(u64 task)
{
	u32 home = executable_namespace(task);

	return home && home == mount_namespace(task);
}

#endif
