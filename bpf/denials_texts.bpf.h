/* SPDX-License-Identifier: GPL-2.0 */
/* A denial while it is put together: its texts, and the hash of all that makes it the denial it is. */
#ifndef DENIALS_TEXTS_BPF_H
#define DENIALS_TEXTS_BPF_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <linux/ptrace.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_endian.h>

#include "hash.bpf.h"
#include "recorder_denials.h"

#define TEXT_MOST 4096 /* of a text that is looked at; PATH_MAX */
#define COMPONENT_MOST 255 /* NAME_MAX */

struct scratch {
	struct denial denial;
	/* Places in the texts, here and not in registers: the verifier would follow each value by itself. */
	__u32 path_start;
	__u32 permissions_length;
	char text[TEXT_MOST + COMPONENT_MOST + 1];
	char path[TEXT_MOST + COMPONENT_MOST + 1];
};

/* One for each processor: a program does not interrupt itself, the kernel sees to that. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

static __always_inline struct scratch *the_scratch(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&scratch, &zero);
}

/* A global function: it is verified once, not for each text. */
__noinline int mix_text(__u32 words)
{
	struct scratch *s = the_scratch();
	__u64 hash[2];

	if (!s)
		return 0;
	hash[0] = s->denial.hash[0];
	hash[1] = s->denial.hash[1];
	for (__u32 word = 0; word < TEXT_MOST / 8; word++) {
		if (word >= words)
			break;
		mix(hash, ((__u64 *)s->text)[word]);
	}
	s->denial.hash[0] = hash[0];
	s->denial.hash[1] = hash[1];
	return 0;
}

/* The first `length` bytes of s->text, in the hash; what is behind them in the last word is made 0. */
static __always_inline void mix_length(struct scratch *s, __u32 length)
{
#pragma unroll
	for (int byte = 0; byte < 8; byte++)
		s->text[(length & (TEXT_MOST - 1)) + byte] = 0;
	mix_text((length >> 3) + 1);
}

/* A string of the kernel: whole in the hash, and as much of it in the entry as there is room for. */
static __always_inline void take_text(struct scratch *s, char *into, __u32 room, enum denial_text text,
				      const void *source)
{
	long length = 0;

	if (source) {
		length = bpf_probe_read_kernel_str(s->text, TEXT_MOST, source);
		if (length > 0)
			length--; /* its NUL */
		else
			s->denial.what.flags |= FLAG_UNREADABLE;
	}
	if (length < 0)
		length = 0;
	s->denial.length[text] = length;
	mix_length(s, length);
	bpf_probe_read_kernel(into, room, s->text);
}

#define TAKE(s, field, text, source) \
	take_text(s, (s)->denial.field, sizeof((s)->denial.field), text, source)

static __always_inline void begin(struct scratch *s, enum denial_module module)
{
	struct denial_what nothing = {};

	s->denial.what = nothing;
	s->denial.what.module = module;
	s->denial.what.capability = -1;
	s->denial.what.limit = -1;
	begin_hash(s->denial.hash);
#pragma unroll
	for (int text = 0; text < TEXTS; text++)
		s->denial.length[text] = 0;
}

#endif
