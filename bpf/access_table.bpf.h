/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The accesses that were seen: each once for each target, found by a hash of what
 * it is, with the rights that were used. An entry is whole before its index can be
 * found; then only rights are added. Texts lie apart, in lines, since most are short.
 */
#ifndef ACCESS_TABLE_BPF_H
#define ACCESS_TABLE_BPF_H

/* Set before the load: recorder/kernel/accesses_spec.py. */
const volatile __u32 max_accesses = 0;
const volatile __u32 max_accesses_of_target = 0;
const volatile __u32 max_lines = 0;
const volatile __u32 max_outcomes = 0;
const volatile __u32 twice = 0; /* the second of each program is attached as well */
const volatile __u32 seed_low = 0; /* nobody is to know which accesses have the same hash */
const volatile __u32 seed_high = 0;

#define TEXT_MOST 4096 /* PATH_MAX */
#define COMPONENT_MOST 255 /* NAME_MAX */
#define WORD_MOST 256
#define LINES_MOST (TEXT_MOST / LINE_LENGTH)
#define SCRATCHES 3
#define HOOKS_MOST 64

/* Where a path begins to be followed upwards; entry 0: the text is not a path, or there already. */
struct beginning {
	struct dentry___seen *entry;
	struct vfsmount___seen *mount;
};

struct process {
	__u64 start; /* CLOCK_BOOTTIME */
	__u32 tgid;
	__u32 padding;
};

struct scratch {
	__u32 busy;
	__u32 slot;
	struct process process; /* whose access it is */
	struct task_struct *another; /* ... if it is not the current task's */
	struct access access; /* as it will be entered */
	__u64 hash[2];
	struct beginning beginning[2];
	/* Here and not in registers: the verifier would follow each value by itself. */
	__u32 path_start;
	__u32 path_whole; /* its top was reached */
	/* Of TEXT_PATH, TEXT_TARGET; behind the longest there is room to end a word of the hash. */
	char text[2][TEXT_MOST + WORD_MOST];
	char word[WORD_MOST + 8];
	char path[TEXT_MOST + WORD_MOST];
};

/*
 * Some for each processor. A program is not run while it runs there already, but
 * where it can be preempted another of them may be, which takes the next one.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SCRATCHES);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct access);
} accesses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct access_line);
} lines SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64); /* enum access_outcome */
} outcomes SEC(".maps");

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

/* By hook: see HOOK. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, HOOKS_MOST);
	__type(key, __u32);
	__type(value, __s64);
} under_way SEC(".maps");

static __always_inline struct scratch *scratch_at(__u32 which)
{
	return bpf_map_lookup_elem(&scratch, &which);
}

static __always_inline struct access_counters *totals(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&counters, &zero);
}

static __always_inline void count(__u64 *counter)
{
	__sync_fetch_and_add(counter, 1);
}

/* A slot's next generation begins with nothing. Two that see it first count from 0 both. */
static __noinline struct access_owner *owner_of(__u32 index, __u32 generation)
{
	struct access_owner *owner = bpf_map_lookup_elem(&owners, &index);
	__u32 was;

	if (!owner)
		return NULL;
	was = owner->generation;
	if (was != generation && __sync_val_compare_and_swap(&owner->generation, was, generation) == was) {
		owner->used = 0;
		owner->refused = 0;
		owner->executions_full = 0;
		owner->undecided_full = 0;
	}
	return owner;
}

static __always_inline void mix(__u64 hash[2], __u64 word)
{
	hash[0] = (hash[0] ^ word) * 0x9E3779B97F4A7C15ULL;
	hash[0] ^= hash[0] >> 29;
	hash[1] = (hash[1] ^ word) * 0xC2B2AE3D27D4EB4FULL;
	hash[1] ^= hash[1] >> 32;
}

/* Whose words or lines a loop goes through. */
struct piece {
	__u32 which;
	__u32 text;
	__u32 first;
};

/* Loops by a helper: the verifier goes through the body once, in each of all the programs. */
static long mix_step(__u32 word, struct piece *piece)
{
	struct scratch *s = scratch_at(piece->which);
	__u32 text = piece->text;

	if (!s || text > TEXT_TARGET || word >= TEXT_MOST / 8)
		return 1;
	mix(s->hash, ((__u64 *)s->text[text])[word]);
	return 0;
}

static long store_step(__u32 number, struct piece *piece)
{
	struct scratch *s = scratch_at(piece->which);
	__u32 text = piece->text, index = piece->first + number;
	struct access_line *line = bpf_map_lookup_elem(&lines, &index);

	if (!s || !line || text > TEXT_TARGET || number >= LINES_MOST)
		return 1;
	bpf_probe_read_kernel(line->text, LINE_LENGTH, &s->text[text][number * LINE_LENGTH]);
	return 0;
}

/* The texts of an entry, in its hash. */
__noinline int mix_text(__u32 which, __u32 text)
{
	struct piece mixer = { .which = which, .text = text };
	struct scratch *s = scratch_at(which);
	__u32 length;

	if (!s || text > TEXT_TARGET)
		return 0;
	length = s->access.length[text];
	if (length >= TEXT_MOST)
		return 0;
#pragma unroll
	for (int byte = 0; byte < 8; byte++)
		s->text[text][length + byte] = 0;
	bpf_loop((length >> 3) + 1, mix_step, &mixer, 0);
	return 0;
}

static __always_inline __u32 lines_of(__u32 length)
{
	return (length + LINE_LENGTH - 1) / LINE_LENGTH;
}

/* Into lines from `first` on. */
__noinline int store_text(__u32 which, __u32 text, __u32 first)
{
	struct piece piece = { .which = which, .text = text, .first = first };
	struct scratch *s = scratch_at(which);

	if (!s || text > TEXT_TARGET)
		return 0;
	bpf_loop(lines_of(s->access.length[text]), store_step, &piece, 0);
	return 0;
}

/* 1 + the index of a new entry; 0: refused. */
static __noinline int enter(__u32 which, struct place *place)
{
	struct access_counters *all = totals();
	struct scratch *s = scratch_at(which);
	struct access_owner *owner;
	struct access *access;
	__u32 index, line, needed, *quicker;

	if (!all || !s || !place)
		return 0;
	owner = owner_of(place->slot, place->generation);
	if (!owner || owner->used >= max_accesses_of_target || all->used >= max_accesses)
		return 0;
	needed = lines_of(s->access.length[TEXT_PATH]) + lines_of(s->access.length[TEXT_TARGET]) +
		 lines_of(s->access.length[TEXT_WORD]);
	if (all->lines + needed > max_lines)
		return 0;
	line = __sync_fetch_and_add(&all->lines, needed);
	index = __sync_fetch_and_add(&all->used, 1);
	access = bpf_map_lookup_elem(&accesses, &index);
	if (index >= max_accesses || line + needed > max_lines || !access)
		return 0;
	for (__u32 text = 0; text <= TEXT_TARGET; text++) {
		s->access.line[text] = line;
		store_text(which, text, line);
		line += lines_of(s->access.length[text]);
	}
	s->access.line[TEXT_WORD] = line;
	if (s->access.length[TEXT_WORD]) {
		struct access_line *last = bpf_map_lookup_elem(&lines, &line);

		if (last)
			bpf_probe_read_kernel(last->text, LINE_LENGTH, s->word);
	}
	s->access.slot = place->slot;
	s->access.generation = place->generation;
	s->access.first_ns = bpf_ktime_get_boot_ns();
	s->access.setup = 0;
	s->access.workload = 0;
	s->access.state = ACCESS_FREE;
	bpf_get_current_comm(s->access.comm, sizeof(s->access.comm));
	bpf_probe_read_kernel(access, sizeof(*access), &s->access);
	if (bpf_map_update_elem(&places, place, &index, BPF_NOEXIST)) {
		/* Another processor was faster: this one stays free. */
		quicker = bpf_map_lookup_elem(&places, place);
		return quicker ? *quicker + 1 : 0;
	}
	__sync_fetch_and_add(&owner->used, 1);
	__sync_lock_test_and_set(&access->state, ACCESS_READY);
	return index + 1;
}

static __always_inline struct access *access_at(__u32 index)
{
	return bpf_map_lookup_elem(&accesses, &index);
}

#endif
