/* SPDX-License-Identifier: GPL-2.0 */
/* The maps that each object with targets has, and what the loader sets before the load. */
#ifndef MAPS_BPF_H
#define MAPS_BPF_H

#include "lookup.bpf.h"

/* recorder/kernel/spec.py sets it, and max_entries of maps. */
const volatile __u32 max_children = 0; /* child cgroups, or thread groups, that one target may have */

/* A queue, so that a slot is used again as late as possible. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 1);
	__type(value, __u32);
} free_slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counters);
} counters SEC(".maps");

static __always_inline struct counters *totals(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&counters, &zero);
}

static __always_inline void count(__u64 *counter)
{
	__sync_fetch_and_add(counter, 1);
}

/*
 * Events are hints: times of first sight, and wake-ups. A lost one is counted,
 * and the bits are in the slot all the same.
 */
static __noinline int emit(__u64 cgroup_id, __u32 index, enum event_kind kind, __u32 bit,
			   enum phase phase)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	struct slot *slot = slot_at(index);

	if (!event) {
		struct counters *all = totals();

		if (all)
			count(&all->ring_full);
		return 0;
	}
	event->time_ns = bpf_ktime_get_boot_ns();
	event->cgroup_id = cgroup_id;
	event->slot = index;
	event->generation = slot ? slot->generation : 0;
	event->kind = kind;
	event->bit = bit;
	event->phase = phase;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	/* A first sight can wait for the reader's next look; a begin or an end wakes it. */
	bpf_ringbuf_submit(event, kind == EVENT_FIRST_SIGHT || kind == EVENT_DENIED
					  ? BPF_RB_NO_WAKEUP
					  : BPF_RB_FORCE_WAKEUP);
	return 0;
}

static __always_inline void see(struct slot *slot, __u32 index, __u32 bit, enum phase phase)
{
	__u32 word = bit / 64;
	__u64 mask = 1ULL << (bit % 64);
	__u64 *bits;

	if (word >= BITMAP_WORDS)
		return;
	bits = phase == PHASE_SETUP ? &slot->setup[word] : &slot->workload[word];
	if (!(__sync_fetch_and_or(bits, mask) & mask))
		emit(slot->cgroup_id, index, EVENT_FIRST_SIGHT, bit, phase);
}

#endif
