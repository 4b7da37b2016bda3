/* SPDX-License-Identifier: GPL-2.0 */
/*
 * From cgroup id (in tasks.bpf.c: tgid) to slot. Written by the kernel side
 * alone; user space asks through the control program. bpf_spin_lock is refused
 * in raw tracepoints, so a way is claimed by compare-and-swap, and its id is
 * stored last.
 */
#ifndef TABLE_BPF_H
#define TABLE_BPF_H

#include "denied_calls.bpf.h"

struct bpf_map;

/* 1: in the table; 0: there is no place. */
static __noinline int table_insert(__u64 id, __u32 slot)
{
	__u32 index = set_of(id);
	struct set *set = bpf_map_lookup_elem(&table, &index);

	if (!set)
		return 0;
	for (int way = 0; way < SET_WAYS; way++) {
		if (__sync_val_compare_and_swap(&set->id[way], 0, CLAIMED) == 0) {
			set->slot[way] = slot;
			__sync_lock_test_and_set(&set->id[way], id);
			return 1;
		}
	}
	__sync_fetch_and_add(&set->overflowed, 1);
	if (!bpf_map_update_elem(&table_overflow, &id, &slot, BPF_NOEXIST))
		return 1;
	__sync_fetch_and_add(&set->overflowed, -1);
	return 0;
}

static __noinline int table_remove(__u64 id)
{
	__u32 index = set_of(id);
	struct set *set = bpf_map_lookup_elem(&table, &index);

	if (!set)
		return 0;
	for (int way = 0; way < SET_WAYS; way++)
		if (__sync_val_compare_and_swap(&set->id[way], id, 0) == id)
			return 1;
	if (bpf_map_delete_elem(&table_overflow, &id))
		return 0;
	__sync_fetch_and_add(&set->overflowed, -1);
	return 1;
}

static long drop_in_set(struct bpf_map *map, const void *key, struct set *set, __u32 *slot)
{
	for (int way = 0; way < SET_WAYS; way++) {
		__u64 id = set->id[way];

		if (id && id != CLAIMED && id != DROPPED && set->slot[way] == *slot)
			__sync_val_compare_and_swap(&set->id[way], id, DROPPED);
	}
	return 0;
}

static long drop_in_overflow(struct bpf_map *map, const void *id, __u32 *owner, __u32 *slot)
{
	if (*owner == *slot)
		*owner |= DROPPED_SLOT;
	return 0;
}

/*
 * A living target and its children are found no more. Their places stay taken
 * until user space has waited for all runs that may have found them: a run that
 * was between an id and its slot would read another target's.
 */
static __always_inline void table_drop(__u32 slot)
{
	bpf_for_each_map_elem(&table, drop_in_set, &slot, 0);
	bpf_for_each_map_elem(&table_overflow, drop_in_overflow, &slot, 0);
}

static long free_in_set(struct bpf_map *map, const void *key, struct set *set, __u32 *slot)
{
	for (int way = 0; way < SET_WAYS; way++)
		if (set->id[way] == DROPPED && set->slot[way] == *slot)
			__sync_val_compare_and_swap(&set->id[way], DROPPED, 0);
	return 0;
}

static long free_in_overflow(struct bpf_map *map, __u64 *id, __u32 *owner, __u32 *slot)
{
	__u64 key = *id;

	if (*owner == (*slot | DROPPED_SLOT))
		table_remove(key);
	return 0;
}

static __always_inline void table_free(__u32 slot)
{
	bpf_for_each_map_elem(&table, free_in_set, &slot, 0);
	bpf_for_each_map_elem(&table_overflow, free_in_overflow, &slot, 0);
}

/* Takes a free slot for a target, which is to be entered into the table; NULL: refused, and counted. */
static __always_inline struct slot *slot_claim(__u64 id, enum slot_mode mode, __u32 late,
					       __u32 workload_namespace, const char *path)
{
	struct counters *all = totals();
	struct slot *slot;
	__u32 index;

	if (!all)
		return NULL;
	if (bpf_map_pop_elem(&free_slots, &index)) {
		count(&all->slots_full);
		return NULL;
	}
	slot = slot_at(index);
	if (!slot)
		return NULL;
	for (int word = 0; word < BITMAP_WORDS; word++) {
		slot->workload[word] = 0;
		slot->setup[word] = 0;
	}
	denials_clear(index);
	slot->cgroup_id = id;
	slot->begun_ns = bpf_ktime_get_boot_ns();
	slot->ended_ns = 0;
	slot->generation = __sync_fetch_and_add(&all->generation, 1) + 1;
	slot->index = index;
	slot->mode = mode;
	/* In mode exec whoever is no joiner is the workload, from the first call on. */
	slot->started = late || mode == MODE_EXEC;
	slot->joiners = 0;
	slot->mount_namespace = workload_namespace;
	slot->children = 0;
	slot->reference = mount_namespace(bpf_get_current_task_btf());
	slot->unknown_number = 0;
	slot->joiners_full = 0;
	slot->children_full = 0;
	slot->table_full = 0;
	slot->joiner_without_exec = 0;
	slot->late = late;
	slot->path[0] = 0;
	if (path)
		bpf_probe_read_kernel_str(slot->path, sizeof(slot->path), path);
	slot->state = SLOT_ACTIVE;
	return slot;
}

/* There is no place for its target in the table: it is free again, and that is counted. */
static __always_inline void slot_refuse(struct slot *slot, __u32 index)
{
	struct counters *all = totals();

	slot->state = SLOT_FREE;
	bpf_map_push_elem(&free_slots, &index, 0);
	if (all)
		count(&all->table_full);
}

static long open_slot(struct bpf_map *map, const __u32 *key, struct slot *slot, void *nothing)
{
	__u32 index = *key;

	if (index)
		bpf_map_push_elem(&free_slots, &index, 0);
	return 0;
}

/* After the load, once: all slots but 0, which stands for none, are free. */
static __always_inline int open_slots(void)
{
	struct counters *all = totals();

	if (!all)
		return 0;
	all->layout = RECORDER_LAYOUT;
	all->max_children = max_children;
	bpf_for_each_map_elem(&slots, open_slot, NULL, 0);
	return 1;
}

/* What user space asks of a slot that it has, whatever the slot is of; 1: done. */
static __always_inline int slot_control(enum control_op op, struct slot *slot, __u32 index,
					__u32 bit)
{
	__u32 word = bit / 64;

	if (op == CONTROL_DROP) {
		enum slot_state was = __sync_lock_test_and_set(&slot->state, SLOT_ENDED);

		/* After the end, for who enters something of the target meanwhile. */
		table_drop(index);
		if (was != SLOT_ACTIVE)
			return 0;
		slot->ended_ns = bpf_ktime_get_boot_ns();
		return 1;
	}
	if (op == CONTROL_SEE && word < BITMAP_WORDS) {
		/* No event: the time is not known, and the task is not this one. */
		__sync_fetch_and_or(&slot->workload[word], 1ULL << (bit % 64));
		return 1;
	}
	if (op == CONTROL_RELEASE && slot->state == SLOT_ENDED) {
		table_free(index);
		slot->state = SLOT_FREE;
		return !bpf_map_push_elem(&free_slots, &index, 0);
	}
	return 0;
}

#endif
