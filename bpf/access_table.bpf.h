/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The accesses that were seen: each once for each target, found by a hash of what
 * it is, with the rights that were used. An entry is whole before its index can be
 * found; then only rights are added, until its target is dropped: then no run looks
 * for it any more, and when all runs that began before are over it is given back.
 */
#ifndef ACCESS_TABLE_BPF_H
#define ACCESS_TABLE_BPF_H

/* Set before the load: recorder/kernel/accesses_spec.py. */
const volatile __u32 max_accesses = 0;
const volatile __u32 max_accesses_of_target = 0;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct access);
} accesses SEC(".maps");

struct place {
	__u32 slot;
	__u32 generation;
	__u64 hash[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct place);
	__type(value, __u32);
} places SEC(".maps");

/* Given back. What was never in use is not in it: see `used`. */
struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 1);
	__type(value, __u32);
} free_accesses SEC(".maps");

/* By slot. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct access_owner);
} owners SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct access_counters);
} counters SEC(".maps");

static __always_inline struct access_counters *totals(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&counters, &zero);
}

static __always_inline void count(__u64 *counter)
{
	__sync_fetch_and_add(counter, 1);
}

static __always_inline struct access *access_at(__u32 index)
{
	return bpf_map_lookup_elem(&accesses, &index);
}

static __always_inline struct access_owner *owner_at(__u32 slot)
{
	return bpf_map_lookup_elem(&owners, &slot);
}

static __always_inline void place_by(const __u64 hash[2], struct place *place, __u32 slot, __u32 generation)
{
	place->slot = slot;
	place->generation = generation;
	place->hash[0] = hash[0];
	place->hash[1] = hash[1];
}

/* Where an entry is found: one of a process whose phase is open is that process's. */
static __always_inline void place_of(const struct access *access, struct place *place, __u32 slot,
				     __u32 generation)
{
	place_by(access->hash, place, slot, generation);
	if (access->what.tgid) {
		mix(place->hash, access->what.start);
		mix(place->hash, access->what.tgid);
	}
}

/*
 * A slot's next generation begins with nothing. It does already if the last one was released;
 * else of two that see it first one may count from 0 what the other has counted.
 */
static __noinline struct access_owner *owner_of(__u32 slot, __u32 generation)
{
	struct access_owner *owner = owner_at(slot);
	__u32 was;

	if (!owner)
		return NULL;
	was = owner->generation;
	if (was != generation && __sync_val_compare_and_swap(&owner->generation, was, generation) == was &&
	    was) {
		owner->used = 0;
		owner->chunks = 0;
		owner->refused = 0;
		owner->executions_full = 0;
		owner->undecided_full = 0;
		owner->open = 0;
	}
	return owner;
}

/* The entry has something new: the next reading takes it. */
static __always_inline void stamp(struct access_owner *owner, struct access *access)
{
	/* An exchange is a barrier: all of the entry is there before it, and it before the last. */
	__sync_lock_test_and_set(&access->stamp, __sync_fetch_and_add(&owner->changes, 1) + 1);
	__sync_fetch_and_add(&owner->stamped, 1);
}

static __always_inline void add_rights(struct access_owner *owner, struct access *access, __u32 *into,
				       __u32 rights)
{
	if (!owner || (*into & rights) == rights)
		return;
	__sync_fetch_and_or(into, rights);
	stamp(owner, access);
}

#include "access_lines.bpf.h"

static __always_inline int take_index(struct access_counters *all)
{
	__u32 index;

	if (!bpf_map_pop_elem(&free_accesses, &index))
		return index;
	if (all->used >= max_accesses)
		return -1;
	index = __sync_fetch_and_add(&all->used, 1);
	return index < max_accesses ? index : -1;
}

static __always_inline void give_index(__u32 index)
{
	bpf_map_push_elem(&free_accesses, &index, 0);
}

static __always_inline int store_texts(__u32 which, struct scratch *s)
{
	return store_text(which, TEXT_PATH) && store_text(which, TEXT_TARGET) && store_word(s);
}

/* 1 + the index of a new entry; 0: refused. */
static __noinline int enter(__u32 which, struct place *place)
{
	struct access_counters *all = totals();
	struct scratch *s = scratch_at(which);
	struct access_owner *owner;
	struct access *access;
	__u32 index, *quicker;
	int taken;

	if (!all || !s || !place)
		return 0;
	owner = owner_of(place->slot, place->generation);
	if (!owner || owner->used >= max_accesses_of_target)
		return 0;
	taken = take_index(all);
	if (taken < 0)
		return 0;
	index = taken;
	access = access_at(index);
	if (!access)
		return 0;
	if (!store_texts(which, s)) {
		count(&all->lines_full);
		give_index(index);
		return 0;
	}
	s->access.slot = place->slot;
	s->access.generation = place->generation;
	s->access.first_ns = bpf_ktime_get_boot_ns();
	s->access.setup = 0;
	s->access.workload = 0;
	s->access.stamp = 0;
	s->access.state = ACCESS_FREE;
	bpf_get_current_comm(s->access.comm, sizeof(s->access.comm));
	bpf_probe_read_kernel(access, sizeof(*access), &s->access);
	if (bpf_map_update_elem(&places, place, &index, BPF_NOEXIST)) {
		/* Another processor was faster. */
		access->generation = 0;
		give_index(index);
		quicker = bpf_map_lookup_elem(&places, place);
		return quicker ? *quicker + 1 : 0;
	}
	__sync_fetch_and_add(&owner->used, 1);
	__sync_fetch_and_add(&all->entries_taken, 1);
	__sync_lock_test_and_set(&access->state, ACCESS_READY);
	return index + 1;
}

#endif
