/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Entries, and whose they are. An entry is whole before its index can be found, and
 * then only counted on, until its owner is dropped: then no run finds either, and when
 * all runs that began before are over, user space reads the entry and gives it back.
 */
#ifndef DENIALS_TABLE_BPF_H
#define DENIALS_TABLE_BPF_H

#include "denials_texts.bpf.h"

/* Puts into the object's BTF what no map mentions, for the check at load. */
const enum denial_flag *const shared_flag = 0;
const enum denial_text *const shared_text = 0;
const enum denial_op *const shared_op = 0;
const struct denial_hint *const shared_hint = 0;

/* Set before the load: recorder/kernel/denials_spec.py. */
const volatile __u32 max_denials = 0;
const volatile __u32 max_denials_of_cgroup = 0;
const volatile __u32 max_owners = 0;

/* That are looked at: of a deeper cgroup those from the root on, and itself. */
#define LEVELS_MOST 32

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct denial);
} denials SEC(".maps");

struct place {
	__u64 cgroup_id;
	__u64 hash[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct place);
	__type(value, __u32);
} places SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct denial_owner);
} owners SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, __u32);
} owner_places SEC(".maps");

/* Given back. What was never in use is not in these: see `used`. */
struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 1);
	__type(value, __u32);
} free_denials SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 1);
	__type(value, __u32);
} free_owners SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct denial_counters);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} hints SEC(".maps");

static __always_inline struct denial_counters *totals(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&counters, &zero);
}

static __always_inline void count(__u64 *counter)
{
	__sync_fetch_and_add(counter, 1);
}

static __always_inline struct denial_owner *owner_at(__u32 index)
{
	return bpf_map_lookup_elem(&owners, &index);
}

static __always_inline void hint(struct denial_counters *all, __u64 cgroup_id, __u64 removed)
{
	struct denial_hint *event = bpf_ringbuf_reserve(&hints, sizeof(*event), 0);

	if (!event) {
		count(&all->ring_full);
		return;
	}
	event->cgroup_id = cgroup_id;
	event->removed = removed;
	bpf_ringbuf_submit(event, BPF_RB_FORCE_WAKEUP);
}

/* The index of a new owner; negative: none is free. */
static __noinline int new_owner(__u64 cgroup_id, enum owner_scope scope)
{
	struct denial_counters *all = totals();
	struct denial_numbers none = {};
	struct denial_owner *owner;
	__u32 index;

	if (!all)
		return -1;
	if (bpf_map_pop_elem(&free_owners, &index)) {
		if (all->owners_used >= max_owners)
			return -1;
		index = __sync_fetch_and_add(&all->owners_used, 1);
		if (index >= max_owners)
			return -1;
	}
	owner = owner_at(index);
	if (!owner)
		return -1;
	owner->cgroup_id = cgroup_id;
	owner->scope = scope;
	owner->entries = 0;
	owner->removed = 0;
	owner->begun_ns = bpf_ktime_get_boot_ns();
	owner->numbers = none;
	__sync_lock_test_and_set(&owner->state, OWNER_WATCHED);
	if (bpf_map_update_elem(&owner_places, &cgroup_id, &index, BPF_NOEXIST)) {
		/* Another processor was faster, or there is no room. */
		owner->state = OWNER_FREE;
		bpf_map_push_elem(&free_owners, &index, 0);
		return -1;
	}
	return index;
}

/* Of a cgroup below one whose cgroups are watched each; made with its first denial. */
static __noinline int own_owner(__u64 cgroup_id)
{
	struct denial_counters *all = totals();
	struct denial_owner *owner;
	__u32 *index;
	int made;

	if (!all)
		return -1;
	index = bpf_map_lookup_elem(&owner_places, &cgroup_id);
	if (!index) {
		made = new_owner(cgroup_id, SCOPE_OWN);
		if (made >= 0)
			return made;
		index = bpf_map_lookup_elem(&owner_places, &cgroup_id);
		if (!index) {
			count(&all->owners_full);
			return -1;
		}
	}
	owner = owner_at(*index);
	if (owner && owner->state == OWNER_WATCHED)
		return *index;
	count(&all->between);
	return -1;
}

/* Index of the owner of the running task's denials; negative: there is none, which is counted. */
__noinline int find_owner(void)
{
	__u64 own = bpf_get_current_cgroup_id();
	struct denial_counters *all = totals();
	enum owner_scope scope = SCOPE_OWN;
	__u64 nearest = 0;
	int found = -1;

	if (!all)
		return -1;
	for (int level = 0; level < LEVELS_MOST; level++) {
		__u64 id = bpf_get_current_ancestor_cgroup_id(level);
		struct denial_owner *owner;
		__u32 *index;

		if (!id)
			break;
		if (level == LEVELS_MOST - 1)
			id = own;
		index = bpf_map_lookup_elem(&owner_places, &id);
		if (!index)
			continue;
		owner = owner_at(*index);
		if (!owner || owner->state != OWNER_WATCHED || owner->scope == SCOPE_OWN)
			continue;
		found = *index;
		scope = owner->scope;
		nearest = id;
	}
	if (found < 0)
		count(&all->elsewhere);
	else if (scope == SCOPE_EACH && nearest != own)
		found = own_owner(own);
	return found;
}

static __always_inline void count_on(struct denial *denial)
{
	denial->last_ns = bpf_ktime_get_boot_ns();
	denial->last_pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(denial->last_comm, sizeof(denial->last_comm));
	count(&denial->count);
}

static __always_inline bool counted(struct place *place)
{
	__u32 *index = bpf_map_lookup_elem(&places, place);
	struct denial *denial;

	if (!index)
		return false;
	denial = bpf_map_lookup_elem(&denials, index);
	if (!denial)
		return false;
	count_on(denial);
	return true;
}

static __always_inline int new_index(struct denial_counters *all)
{
	__u32 index;

	if (!bpf_map_pop_elem(&free_denials, &index))
		return index;
	if (all->used >= max_denials)
		return -1;
	index = __sync_fetch_and_add(&all->used, 1);
	return index < max_denials ? index : -1;
}

enum entered {
	ENTERED_NOT = 0,
	ENTERED_NEW = 1,
	ENTERED_OTHER = 2, /* another processor was faster, and its entry was counted on */
};

/* What is in the scratch: into the array, then into the index. */
static __noinline int enter(struct place *place)
{
	struct denial_counters *all = totals();
	struct scratch *s = the_scratch();
	struct denial *denial;
	__u32 index;
	int made;

	if (!all || !s || !place)
		return ENTERED_NOT;
	made = new_index(all);
	if (made < 0)
		return ENTERED_NOT;
	index = made;
	denial = bpf_map_lookup_elem(&denials, &index);
	if (!denial)
		return ENTERED_NOT;
	s->denial.cgroup_id = place->cgroup_id;
	s->denial.hash[0] = place->hash[0];
	s->denial.hash[1] = place->hash[1];
	s->denial.first_ns = s->denial.last_ns = bpf_ktime_get_boot_ns();
	s->denial.count = 0;
	s->denial.state = DENIAL_FREE;
	s->denial.first_pid = s->denial.last_pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(s->denial.first_comm, sizeof(s->denial.first_comm));
	bpf_probe_read_kernel(denial, sizeof(*denial), &s->denial);
	if (bpf_map_update_elem(&places, place, &index, BPF_NOEXIST)) {
		bpf_map_push_elem(&free_denials, &index, 0);
		return counted(place) ? ENTERED_OTHER : ENTERED_NOT;
	}
	count_on(denial);
	__sync_lock_test_and_set(&denial->state, DENIAL_READY);
	hint(all, place->cgroup_id, 0);
	return ENTERED_NEW;
}

/* What is in the scratch is a denial of this owner's. */
static __noinline int record(__u32 index)
{
	struct denial_owner *owner = owner_at(index);
	struct scratch *s = the_scratch();
	struct place place = {};
	int entered;

	if (!owner || !s)
		return 0;
	/* Not by a pointer to it: the compiler would keep the words in registers. */
	for (__u32 word = 0; word < sizeof(struct denial_what) / 8; word++)
		mix(s->denial.hash, ((__u64 *)&s->denial.what)[word]);
	place.cgroup_id = owner->cgroup_id;
	place.hash[0] = s->denial.hash[0];
	place.hash[1] = s->denial.hash[1];
	if (counted(&place)) {
		count(&owner->numbers.recorded);
		return 0;
	}
	if (owner->entries >= max_denials_of_cgroup) {
		place.hash[0] = 0;
		place.hash[1] = s->denial.what.module;
		begin(s, s->denial.what.module);
		s->denial.what.kind = KIND_REST;
		if (counted(&place)) {
			count(&owner->numbers.recorded);
			return 0;
		}
	}
	__sync_fetch_and_add(&owner->entries, 1);
	entered = enter(&place);
	if (entered != ENTERED_NEW)
		__sync_fetch_and_add(&owner->entries, -1);
	count(entered == ENTERED_NOT ? &owner->numbers.table_full : &owner->numbers.recorded);
	return 0;
}

static __always_inline int watch(__u64 cgroup_id, enum owner_scope scope)
{
	__u32 *index = bpf_map_lookup_elem(&owner_places, &cgroup_id);
	struct denial_owner *owner;

	if (!index) {
		if (new_owner(cgroup_id, scope) >= 0)
			return 1;
		/* None is free, or a denial of its own has just made it one. */
		index = bpf_map_lookup_elem(&owner_places, &cgroup_id);
		if (!index)
			return 0;
	}
	owner = owner_at(*index);
	if (!owner || owner->state != OWNER_WATCHED)
		return 0;
	owner->scope = scope;
	return 1;
}

static __always_inline int give_back(__u32 index)
{
	struct denial *denial = bpf_map_lookup_elem(&denials, &index);
	struct place place = {};

	if (!denial || denial->state != DENIAL_READY)
		return 0;
	place.cgroup_id = denial->cgroup_id;
	place.hash[0] = denial->hash[0];
	place.hash[1] = denial->hash[1];
	bpf_map_delete_elem(&places, &place);
	denial->state = DENIAL_FREE;
	return !bpf_map_push_elem(&free_denials, &index, 0);
}

#define ADD_UP(past, numbers, name) __sync_fetch_and_add(&(past)->name, (numbers)->name)

static __always_inline int forget(__u64 cgroup_id)
{
	__u32 *found = bpf_map_lookup_elem(&owner_places, &cgroup_id);
	struct denial_counters *all = totals();
	struct denial_owner *owner;
	__u32 index;

	if (!found || !all)
		return 0;
	index = *found;
	owner = owner_at(index);
	if (!owner || owner->state != OWNER_DROPPED)
		return 0;
	ADD_UP(&all->past, &owner->numbers, seen);
	ADD_UP(&all->past, &owner->numbers, recorded);
	ADD_UP(&all->past, &owner->numbers, table_full);
	ADD_UP(&all->past, &owner->numbers, unreadable);
	ADD_UP(&all->past, &owner->numbers, named);
	ADD_UP(&all->past, &owner->numbers, stash_full);
	bpf_map_delete_elem(&owner_places, &cgroup_id);
	owner->state = OWNER_FREE;
	return !bpf_map_push_elem(&free_owners, &index, 0);
}

static __always_inline int drop(__u64 cgroup_id)
{
	__u32 *index = bpf_map_lookup_elem(&owner_places, &cgroup_id);
	struct denial_owner *owner = index ? owner_at(*index) : NULL;

	if (!owner)
		return 0;
	owner->state = OWNER_DROPPED;
	return 1;
}

#endif
