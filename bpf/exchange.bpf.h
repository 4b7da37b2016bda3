/* SPDX-License-Identifier: GPL-2.0 */
/* What user space and the control program hand each other: see struct exchange. */
#ifndef EXCHANGE_BPF_H
#define EXCHANGE_BPF_H

#include "joiners.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct exchange);
} exchange SEC(".maps");

static __always_inline struct exchange *the_exchange(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&exchange, &zero);
}

/* Whose entries are wanted: as CONTROL_JOINERS says. */
struct wanted {
	__u32 slot;
	__u32 generation;
	__u32 mask;
	__u32 rest;
};

/*
 * How many were found is in the map, not beside what is wanted: up to 6.6 the verifier looks at
 * a callback once. A number on its caller's stack would be what it was before the walk, and the
 * check of the bound would be removed as one that always holds.
 */
static long take_joiner(struct bpf_map *map, const __u32 *tgid, struct joiner *joiner,
			struct wanted *wanted)
{
	struct exchange *into = the_exchange();
	__u32 place;

	if (!into || joiner->slot != wanted->slot || joiner->generation != wanted->generation ||
	    (*tgid & wanted->mask) != wanted->rest)
		return 0;
	if (joiner->state != JOINER_UNDECIDED && joiner->state != JOINER_PENDING)
		return 0;
	place = into->found;
	barrier_var(place);
	into->found = place + 1;
	if (place >= EXCHANGE_JOINERS)
		return 1;
	into->joiners[place] = *joiner;
	return 0;
}

/*
 * An entry that is removed may be another's at once, in another bucket: the walk would
 * leave out what else is in its own, or copy one that is half of the one and half of the
 * other. removals_begun is read last, and ordered after the walk.
 */
static __noinline int take_joiners(__u32 slot, __u32 generation, __u32 mask, __u32 rest)
{
	struct wanted wanted = { .slot = slot, .generation = generation, .mask = mask, .rest = rest };
	struct exchange *into = the_exchange();
	struct counters *all = totals();
	__u32 before;

	if (!into || !all)
		return 0;
	before = *(volatile __u32 *)&all->removals_ended;
	into->found = 0;
	bpf_for_each_map_elem(&joiners, take_joiner, &wanted, 0);
	if (__sync_fetch_and_add(&all->removals_begun, 0) != before)
		return -EAGAIN;
	return into->found > EXCHANGE_JOINERS ? -E2BIG : (int)into->found;
}

#endif
