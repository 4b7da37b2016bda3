/* SPDX-License-Identifier: GPL-2.0 */
/* What is known of a task that may be in set-up, for who only reads: see joiners.bpf.h. */
#ifndef MEMBERSHIP_BPF_H
#define MEMBERSHIP_BPF_H

#include "lookup.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct joiner);
} joiners SEC(".maps");

/* The mount namespace of the mount that the executable lies on; 0: none, as for a memfd. */
static __always_inline __u32 executable_namespace(struct task_struct *task)
{
	struct vfsmount *vfsmount = BPF_CORE_READ(task, mm, exe_file, f_path.mnt);
	struct mount *mount;

	if (!vfsmount)
		return 0;
	mount = (void *)vfsmount - bpf_core_field_offset(struct mount, mnt);
	return BPF_CORE_READ(mount, mnt_ns, ns.inum);
}

/*
 * The executable lies on a mount of the task's own mount namespace. Not so for
 * a runtime that has entered the container but is still its own binary, for a
 * copy of it in a memfd, and after unshare without an exec.
 */
static __always_inline int executable_is_inside(struct task_struct *task)
{
	__u32 home = executable_namespace(task);

	return home && home == mount_namespace(task);
}

static __always_inline struct joiner *joiner_of(__u32 tgid, __u32 index, struct slot *slot)
{
	struct joiner *joiner = bpf_map_lookup_elem(&joiners, &tgid);

	if (!joiner || joiner->slot != index || joiner->generation != slot->generation)
		return NULL;
	return joiner;
}

/* Its calls are not the workload's, as far as is known now. */
static __always_inline int in_setup(struct joiner *joiner)
{
	return joiner && (joiner->state == JOINER_SETUP || joiner->state == JOINER_UNDECIDED);
}

/*
 * May a task of a container whose workload has started be a joiner whose attach
 * event is still to come? A runtime's own process is, while it is in the mount
 * namespace it came from, and when it is in the container's but not of it.
 */
static __always_inline int may_be_joiner(struct slot *slot, struct task_struct *task)
{
	return mount_namespace(task) == slot->reference || !executable_is_inside(task);
}

/* include/linux/sched.h: forked, and no exec yet. */
#define PF_FORKNOEXEC 0x00000040

/*
 * Mode exec: a task that was forked outside the target, and is still its
 * parent's program, such as a unit's between systemd's fork and the exec. It is a
 * joiner, whether its attach event has come or not. A member's orphan looks the same.
 */
static __always_inline int forked_outside(struct task_struct *task, __u32 index)
{
	return task->flags & PF_FORKNOEXEC &&
	       table_find(BPF_CORE_READ(task, real_parent, cgroups, dfl_cgrp, kn, id)) != index;
}

/* Is this exec the one that starts the workload? */
static __always_inline int is_boundary(struct task_struct *task, struct slot *slot, __u32 index,
				       struct joiner *joiner)
{
	struct joiner *parent;

	if (joiner->state == JOINER_UNDECIDED)
		return 1;
	if (joiner->state != JOINER_SETUP)
		return 0;
	/* runc executes itself anew before it enters the container. */
	if (mount_namespace(task) == joiner->reference)
		return 0;
	/* The runtime again, after unshare or from a memfd. */
	if (!executable_is_inside(task))
		return 0;
	/* An OCI hook: a joiner's child. The entry point is no joiner's child. */
	parent = joiner_of(BPF_CORE_READ(task, real_parent, tgid), index, slot);
	return !(parent && parent->state == JOINER_SETUP);
}

#endif
