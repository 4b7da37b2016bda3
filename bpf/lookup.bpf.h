/* SPDX-License-Identifier: GPL-2.0 */
/* From cgroup id (in tasks.bpf.c: tgid) to the slot of its target, for who only reads. */
#ifndef LOOKUP_BPF_H
#define LOOKUP_BPF_H

/* recorder/kernel/spec.py sets it to match max_entries of `table`. */
const volatile __u32 set_shift = 32;   /* 32 less the number of bits that count the sets */

/*
 * Arrays rather than globals, so that their size is the loader's choice; a
 * lookup in an array is inlined by the verifier, without a call. Mappable, so
 * that the reader sees them without a system call and they begin on a page.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct slot);
} slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct set);
} table SEC(".maps");

/* Asked only where a set of the table has overflowed. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, __u32);
} table_overflow SEC(".maps");

static __always_inline struct slot *slot_at(__u32 index)
{
	return bpf_map_lookup_elem(&slots, &index);
}

/* In place of an id: being filled; dropped, and not to be used yet. */
#define CLAIMED (~0ULL)
#define DROPPED (~1ULL)
#define DROPPED_SLOT (1U << 31)

/*
 * kernfs ids follow each other in steps that depend on the kernel (17 on 6.1).
 * Fibonacci hashing spreads any of them, but only in its upper bits.
 */
static __always_inline __u32 set_of(__u64 id)
{
	return (id * 0x9E3779B97F4A7C15ULL) >> 32 >> set_shift;
}

/* Out of line, so that the hot path keeps few registers and no copy of the id. */
static __noinline int overflow_find(__u64 id)
{
	__u32 *slot = bpf_map_lookup_elem(&table_overflow, &id);

	return slot && !(*slot & DROPPED_SLOT) ? *slot : 0;
}

/* Where a cgroup's slot stands in its set; NULL: it is not there. */
static __always_inline __u32 *set_find(struct set *set, __u64 id)
{
	if (set->id[0] == id)
		return &set->slot[0];
	if (set->id[1] == id)
		return &set->slot[1];
	if (set->id[2] == id)
		return &set->slot[2];
	if (set->id[3] == id)
		return &set->slot[3];
	return NULL;
}

/*
 * The slot that counts for a cgroup; 0: none. Nothing has the id 0, but a free
 * place has it, with the slot of who was there before: the parent of init and of
 * kthreadd (tgid 0) and the cgroup of a socket that has none are asked for.
 */
static __always_inline __u32 table_find(__u64 id)
{
	__u32 index = set_of(id);
	struct set *set = bpf_map_lookup_elem(&table, &index);
	__u32 *slot;

	if (!set || !id)
		return 0;
	slot = set_find(set, id);
	if (slot)
		return *slot;
	return set->overflowed ? overflow_find(id) : 0;
}

/*
 * The same as a pointer, for the hot path, where no id is 0. An inlined array
 * lookup reads its key through the pointer that it is given: the table's own
 * memory will do, and a store to the stack with a load behind it costs a tenth
 * of the whole path.
 */
static __always_inline struct slot *slot_find(__u64 id)
{
	__u32 index = set_of(id);
	struct set *set = bpf_map_lookup_elem(&table, &index);
	__u32 *key;

	if (!set)
		return NULL;
	key = set_find(set, id);
	if (!key) {
		if (!set->overflowed)
			return NULL;
		index = overflow_find(id);
		if (!index)
			return NULL;
		key = &index;
	}
	return bpf_map_lookup_elem(&slots, key);
}

static __always_inline __u32 mount_namespace(struct task_struct *task)
{
	return BPF_CORE_READ(task, nsproxy, mnt_ns, ns.inum);
}

#endif
