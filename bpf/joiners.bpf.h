/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who is in set-up: thread groups that came into a target from outside, and
 * what they fork, until the exec that starts the workload. docs/phases.md has
 * the rule and the cases that made it.
 */
#ifndef JOINERS_BPF_H
#define JOINERS_BPF_H

#include <linux/errno.h>
#include "table.bpf.h"
#include "membership.bpf.h"

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

/* Counted on both sides, for a walk that must not be overlapped: take_joiners. */
static __always_inline void joiner_remove(__u32 tgid, struct counters *all)
{
	__sync_fetch_and_add(&all->removals_begun, 1);
	bpf_map_delete_elem(&joiners, &tgid);
	__sync_fetch_and_add(&all->removals_ended, 1);
}

/*
 * A thread group is gone, or has left the target: what it did counts, as
 * workload where no exec made it set-up.
 */
static __noinline int joiner_forget(__u32 tgid)
{
	struct joiner *joiner = bpf_map_lookup_elem(&joiners, &tgid);
	struct counters *all = totals();
	struct slot *slot;
	enum joiner_state was;

	if (!joiner || !all)
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
	joiner_remove(tgid, all);
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
			if (slot->mode == MODE_EXEC) {
				/* Held apart from now on, with what it did before its attach event. */
				if (__sync_val_compare_and_swap(&old->state, JOINER_PENDING,
								JOINER_UNDECIDED) == JOINER_PENDING)
					__sync_fetch_and_add(&slot->joiners, 1);
				return 0; /* else a member that was below, see remember_member */
			}
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

/* A member of the target that is not in set-up. */
static __always_inline int is_member(__u64 cgroup_id, __u32 tgid, __u32 index, struct slot *slot)
{
	return table_find(cgroup_id) == index && !in_setup(joiner_of(tgid, index, slot));
}

/* So that its move back up, whose source no event tells, is known for what it is. */
static __noinline int remember_member(__u32 tgid, __u32 index)
{
	struct slot *slot = slot_at(index);
	struct joiner member = { .slot = index, .state = JOINER_CONFIRMED };

	if (!slot)
		return 0;
	member.generation = slot->generation;
	if (bpf_map_update_elem(&joiners, &tgid, &member, BPF_NOEXIST) == -E2BIG)
		count(&slot->joiners_full);
	return 0;
}

/*
 * Is the moved task a member already? Nested hierarchies (systemd or another
 * runtime inside the container) move their own processes between children of
 * the target; that is work, not set-up. A member of a container has its
 * executable on a mount of the workload's namespace, or of another that is not
 * the runtime's; also after it left that namespace by unshare.
 */
static __always_inline int moves_within(struct slot *slot, __u32 index, __u64 destination,
					struct task_struct *task, int moves_itself,
					__u32 reference)
{
	if (slot->mode == MODE_CONTAINER) {
		__u32 home = executable_namespace(task);

		if (!slot->started || home == reference)
			return 0;
		/* Runtimes have their processes moved; and a namespace that all have left is none. */
		return moves_itself || (home && (home == slot->mount_namespace ||
						 home == mount_namespace(task)));
	}
	if (!moves_itself || forked_outside(task, index))
		return 0;
	if (destination != slot->cgroup_id) {
		remember_member(task->tgid, index);
		return 1;
	}
	return is_member(BPF_CORE_READ(task, real_parent, cgroups, dfl_cgrp, kn, id),
			 BPF_CORE_READ(task, real_parent, tgid), index, slot);
}

#endif
