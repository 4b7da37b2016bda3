/* SPDX-License-Identifier: GPL-2.0 */
/*
 * From cgroup id to slot. Written by the kernel side alone; user space asks
 * through the control program. bpf_spin_lock is refused in raw tracepoints, so
 * a way is claimed by compare-and-swap, and its id is stored last.
 */
#ifndef TABLE_BPF_H
#define TABLE_BPF_H

#include "maps.bpf.h"

struct bpf_map;

#define CLAIMED (~0ULL)

/* kernfs ids are consecutive: Fibonacci hashing spreads them over the sets. */
static __always_inline __u32 set_of(__u64 id)
{
	return (__u32)((id * 0x9E3779B97F4A7C15ULL) >> 32) & set_mask;
}

/* The slot that counts for a cgroup; 0: none. */
static __always_inline __u32 table_find(__u64 id)
{
	__u32 index = set_of(id);
	struct set *set = bpf_map_lookup_elem(&table, &index);
	__u32 *slot;

	if (!set)
		return 0;
	if (set->id[0] == id)
		return set->slot[0];
	if (set->id[1] == id)
		return set->slot[1];
	if (set->id[2] == id)
		return set->slot[2];
	if (set->id[3] == id)
		return set->slot[3];
	if (!set->overflowed)
		return 0;
	slot = bpf_map_lookup_elem(&table_overflow, &id);
	return slot ? *slot : 0;
}

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

static long remove_from_set(struct bpf_map *map, const void *key, struct set *set, __u32 *slot)
{
	for (int way = 0; way < SET_WAYS; way++) {
		__u64 id = set->id[way];

		if (id && id != CLAIMED && set->slot[way] == *slot)
			__sync_val_compare_and_swap(&set->id[way], id, 0);
	}
	return 0;
}

static long remove_from_overflow(struct bpf_map *map, __u64 *id, __u32 *owner, __u32 *slot)
{
	__u64 key = *id;

	if (*owner == *slot)
		table_remove(key);
	return 0;
}

/* Removes a target and all child cgroups that count for it. */
static __always_inline void table_remove_slot(__u32 slot)
{
	bpf_for_each_map_elem(&table, remove_from_set, &slot, 0);
	bpf_for_each_map_elem(&table_overflow, remove_from_overflow, &slot, 0);
}

static __always_inline __u32 mount_namespace(struct task_struct *task)
{
	return BPF_CORE_READ(task, nsproxy, mnt_ns, ns.inum);
}

/* Takes a free slot for a target and enters it; 0: refused, and counted. */
static __noinline int slot_take(__u64 cgroup_id, enum slot_mode mode, __u32 late,
				__u32 workload_namespace)
{
	struct counters *all = totals();
	struct slot *slot;
	__u32 index;

	if (!all)
		return 0;
	if (bpf_map_pop_elem(&free_slots, &index)) {
		count(&all->slots_full);
		return 0;
	}
	slot = slot_at(index);
	if (!slot)
		return 0;
	for (int word = 0; word < BITMAP_WORDS; word++) {
		slot->workload[word] = 0;
		slot->setup[word] = 0;
	}
	slot->cgroup_id = cgroup_id;
	slot->begun_ns = bpf_ktime_get_boot_ns();
	slot->ended_ns = 0;
	slot->generation = __sync_fetch_and_add(&all->generation, 1) + 1;
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
	slot->state = SLOT_ACTIVE;
	if (!table_insert(cgroup_id, index)) {
		slot->state = SLOT_FREE;
		bpf_map_push_elem(&free_slots, &index, 0);
		count(&all->table_full);
		return 0;
	}
	return index;
}

/* A child cgroup of a target counts for the target's slot. */
static __noinline int slot_adopt(__u64 cgroup_id, __u32 index)
{
	struct slot *slot = slot_at(index);

	if (!slot)
		return 0;
	if (slot->children >= max_children) {
		count(&slot->children_full);
		return 0;
	}
	if (!table_insert(cgroup_id, index)) {
		count(&slot->table_full);
		return 0;
	}
	__sync_fetch_and_add(&slot->children, 1);
	return index;
}

#endif
