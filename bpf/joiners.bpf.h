/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who is in set-up: thread groups that came into a target from outside, and
 * what they fork, until the exec that starts the workload. docs/phases.md has
 * the rule and the cases that made it.
 */
#ifndef JOINERS_BPF_H
#define JOINERS_BPF_H

#include "table.bpf.h"

/*
 * The executable lies on a mount of the task's own mount namespace. Not so for
 * a runtime that has entered the container but is still its own binary, for a
 * copy of it in a memfd, and after unshare without an exec.
 */
static __always_inline int executable_is_inside(struct task_struct *task)
{
	struct vfsmount *vfsmount = BPF_CORE_READ(task, mm, exe_file, f_path.mnt);
	struct mount *mount;

	if (!vfsmount)
		return 0;
	mount = (void *)vfsmount - bpf_core_field_offset(struct mount, mnt);
	return BPF_CORE_READ(mount, mnt_ns, ns.inum) == mount_namespace(task);
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
 * Atomic OR, since other CPUs set bits of the same word; without a branch on
 * them, which would double the verifier's states with every word.
 */
static __noinline int merge_bits(struct joiner *joiner, struct slot *slot, enum phase phase)
{
	__u64 *bits = phase == PHASE_SETUP ? slot->setup : slot->workload;

	for (int word = 0; word < BITMAP_WORDS; word++)
		__sync_fetch_and_or(&bits[word], joiner->bits[word]);
	return 0;
}

/*
 * A thread group is gone, or has left the target: what it did counts, as
 * workload where no exec made it set-up.
 */
static __noinline int joiner_forget(__u32 tgid)
{
	struct joiner *joiner = bpf_map_lookup_elem(&joiners, &tgid);
	struct slot *slot;
	enum joiner_state was;

	if (!joiner)
		return 0;
	slot = slot_at(joiner->slot);
	if (slot && slot->generation == joiner->generation) {
		was = __sync_lock_test_and_set(&joiner->state, JOINER_CONFIRMED);
		if (was == JOINER_SETUP || was == JOINER_UNDECIDED)
			__sync_fetch_and_add(&slot->joiners, -1);
		if (was == JOINER_UNDECIDED)
			count(&slot->joiner_without_exec);
		if (was == JOINER_UNDECIDED || was == JOINER_PENDING)
			merge_bits(joiner, slot, PHASE_WORKLOAD);
	}
	bpf_map_delete_elem(&joiners, &tgid);
	return 0;
}

/*
 * BPF_NOEXIST, and a second look if somebody was quicker: without it, a
 * runtime's second thread made a pending entry over the joiner's.
 */
static __noinline int joiner_add(__u32 tgid, __u32 index, __u32 reference)
{
	struct slot *slot = slot_at(index);
	struct counters *all = totals();

	if (!slot || !all)
		return 0;
	slot->reference = reference;
	for (int attempt = 0; attempt < 2; attempt++) {
		struct joiner *old = bpf_map_lookup_elem(&joiners, &tgid);
		struct joiner fresh = {
			.slot = index,
			.generation = slot->generation,
			.state = slot->mode == MODE_EXEC ? JOINER_UNDECIDED : JOINER_SETUP,
			.reference = reference,
		};

		if (old && (old->slot != index || old->generation != slot->generation)) {
			joiner_forget(tgid);
			old = NULL;
		}
		if (old) {
			enum joiner_state was = old->state;

			if (was == JOINER_SETUP || was == JOINER_UNDECIDED)
				return 0;
			old->reference = reference;
			was = __sync_lock_test_and_set(&old->state, JOINER_SETUP);
			if (was == JOINER_SETUP)
				return 0;
			__sync_fetch_and_add(&slot->joiners, 1);
			if (was == JOINER_PENDING)
				merge_bits(old, slot, PHASE_SETUP);
			return 0;
		}
		/*
		 * Counted before it is visible: a hot path that finds the
		 * joiner's bit clear must not trust the workload's map alone.
		 */
		__sync_fetch_and_add(&slot->joiners, 1);
		if (!bpf_map_update_elem(&joiners, &tgid, &fresh, BPF_NOEXIST))
			return 0;
		__sync_fetch_and_add(&slot->joiners, -1);
	}
	count(&slot->joiners_full);
	count(&all->joiners_full);
	return 0;
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

/*
 * Is the moved task a member already? Nested hierarchies (systemd or another
 * runtime inside the container) move their own processes between children of
 * the target; that is work, not set-up.
 */
static __always_inline int moves_within(struct slot *slot, __u64 destination,
					struct task_struct *task, int moves_itself)
{
	if (slot->mode == MODE_CONTAINER)
		return slot->started && slot->mount_namespace &&
		       mount_namespace(task) == slot->mount_namespace &&
		       executable_is_inside(task);
	return moves_itself && destination != slot->cgroup_id;
}

#endif
