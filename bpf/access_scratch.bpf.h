/* SPDX-License-Identifier: GPL-2.0 */
/* An access while it is put together: its texts, and the hash of all that makes it the access it is. */
#ifndef ACCESS_SCRATCH_BPF_H
#define ACCESS_SCRATCH_BPF_H

#include "hash.bpf.h"

/* Set before the load: recorder/kernel/accesses_spec.py. */
const volatile __u32 twice = 0; /* the second of each program is attached as well */

#define TEXT_MOST 4096 /* PATH_MAX */
#define COMPONENT_MOST 255 /* NAME_MAX */
#define WORD_MOST 256
#define SCRATCHES 3
#define HOOKS_MOST 64

/* Where a path begins to be followed upwards; entry 0: the text is not a path, or there already. */
struct beginning {
	struct dentry___seen *entry;
	struct vfsmount___seen *mount;
	struct dentry___seen *root; /* of the mount, once it is followed */
};

struct process {
	__u64 start; /* CLOCK_BOOTTIME */
	__u32 tgid;
	__u32 generation; /* of its target */
};

struct scratch {
	__u32 busy;
	__u32 slot;
	struct process process; /* whose access it is */
	struct task_struct *another; /* ... if it is not the current task's */
	struct access access; /* as it will be entered */
	struct beginning beginning[2];
	/* Here and not in registers: the verifier would follow each value by itself. */
	__u32 start[2]; /* of each text; a path is made from its end */
	__u32 path_whole; /* its top was reached */
	/* Of TEXT_PATH, TEXT_TARGET; behind the longest there is room to end a step of the hash. */
	char text[2][TEXT_MOST + WORD_MOST];
	char word[WORD_MOST + 8];
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

/* Whose words or lines a loop goes through. */
struct piece {
	__u32 which;
	__u32 text;
	__u32 first;
};

#define MIXED 32 /* bytes at a step */

/* Loops by a helper: the verifier goes through the body once, in each of all the programs. */
static long mix_step(__u32 step, struct piece *piece)
{
	struct scratch *s = scratch_at(piece->which);
	__u32 text = piece->text;
	__u64 *words;

	if (!s || text > TEXT_TARGET || step >= TEXT_MOST / MIXED)
		return 1;
	words = (__u64 *)&s->text[text][(s->start[text] + step * MIXED) & (TEXT_MOST - 1)];
	for (int word = 0; word < MIXED / 8; word++)
		mix(s->access.hash, words[word]);
	return 0;
}

/* The texts of an entry, in its hash. */
__noinline int mix_text(__u32 which, __u32 text)
{
	struct piece mixer = { .which = which, .text = text };
	struct scratch *s = scratch_at(which);
	__u32 length, end;

	if (!s || text > TEXT_TARGET)
		return 0;
	length = s->access.length[text];
	end = s->start[text] + length;
	if (length >= TEXT_MOST || end >= TEXT_MOST)
		return 0;
#pragma unroll
	for (int byte = 0; byte < MIXED; byte++)
		s->text[text][end + byte] = 0;
	bpf_loop(length / MIXED + 1, mix_step, &mixer, 0);
	return 0;
}

#endif
