/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Texts, in lines: most are short. A target gets a chunk of lines at a time, and puts
 * texts into it one behind the other, so that what it gives back is whole chunks.
 */
#ifndef ACCESS_LINES_BPF_H
#define ACCESS_LINES_BPF_H

#define LINES_MOST (TEXT_MOST / LINE_LENGTH)
#define QUICKER 4 /* other processors, until a text gets a chunk for itself */

_Static_assert(LINES_MOST == CHUNK_LINES, "the longest text fits a chunk");

/* Set before the load: recorder/kernel/accesses_spec.py. */
const volatile __u32 max_chunks = 0;
const volatile __u32 max_chunks_of_target = 0;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct access_line);
} lines SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct access_chunk);
} chunks SEC(".maps");

/* Given back. What was never in use is not in it: see the counter. */
struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 1);
	__type(value, __u32);
} free_chunks SEC(".maps");

static __always_inline __u32 lines_of(__u32 length)
{
	return (length + LINE_LENGTH - 1) / LINE_LENGTH;
}

/* 1 + a chunk; 0: there is none for this target. */
static __noinline int take_chunk(__u32 slot, __u32 generation)
{
	struct access_counters *all = totals();
	struct access_owner *owner = owner_at(slot);
	struct access_chunk *chunk;
	__u32 index;

	if (!all || !owner || owner->chunks >= max_chunks_of_target)
		return 0;
	if (bpf_map_pop_elem(&free_chunks, &index)) {
		if (all->chunks >= max_chunks)
			return 0;
		index = __sync_fetch_and_add(&all->chunks, 1);
		if (index >= max_chunks)
			return 0;
	}
	chunk = bpf_map_lookup_elem(&chunks, &index);
	if (!chunk)
		return 0;
	chunk->slot = slot;
	chunk->generation = generation;
	__sync_fetch_and_add(&owner->chunks, 1);
	__sync_fetch_and_add(&all->chunks_taken, 1);
	return index + 1;
}

/* 1 + the first of so many lines behind each other; 0: there are none for this target. */
static __noinline int take_lines(__u32 slot, __u32 generation, __u32 needed)
{
	struct access_owner *owner = owner_at(slot);
	__u64 position = 0;
	__u32 line, chunk;
	bool begun = false;

	if (!owner || needed > CHUNK_LINES)
		return 0;
	/* Unrolled, as in syscalls.bpf.c: first_sight. */
#pragma unroll
	for (int attempt = 0; attempt < QUICKER; attempt++) {
		position = *(volatile __u64 *)&owner->position;
		line = position;
		begun = position >> 32 == generation && line % CHUNK_LINES;
		if (!begun || line % CHUNK_LINES + needed > CHUNK_LINES)
			break;
		if (__sync_val_compare_and_swap(&owner->position, position, position + needed) == position)
			return line + 1;
	}
	chunk = take_chunk(slot, generation);
	if (!chunk)
		return 0;
	/* Of two chunks that with the more room is gone on with. Who is quicker leaves the rest of this one. */
	line = (chunk - 1) * CHUNK_LINES;
	if (!begun || (__u32)position % CHUNK_LINES > needed)
		__sync_val_compare_and_swap(&owner->position, position,
					    (__u64)generation << 32 | (line + needed));
	return line + 1;
}

static long store_step(__u32 number, struct piece *piece)
{
	struct scratch *s = scratch_at(piece->which);
	__u32 text = piece->text, index = piece->first + number;
	struct access_line *line = bpf_map_lookup_elem(&lines, &index);

	if (!s || !line || text > TEXT_TARGET || number >= LINES_MOST)
		return 1;
	bpf_probe_read_kernel(line->text, LINE_LENGTH,
			      &s->text[text][(s->start[text] + number * LINE_LENGTH) & (TEXT_MOST - 1)]);
	return 0;
}

/* Into lines of the target; 0: there are none. */
__noinline int store_text(__u32 which, __u32 text)
{
	struct piece piece = { .which = which, .text = text };
	struct scratch *s = scratch_at(which);
	__u32 needed, line;

	if (!s || text > TEXT_TARGET)
		return 0;
	needed = lines_of(s->access.length[text]);
	s->access.line[text] = 0;
	if (!needed)
		return 1;
	line = take_lines(s->slot, s->process.generation, needed);
	if (!line)
		return 0;
	piece.first = s->access.line[text] = line - 1;
	bpf_loop(needed, store_step, &piece, 0);
	return 1;
}

/* Likewise; one line. */
static __always_inline int store_word(struct scratch *s)
{
	struct access_line *last;
	__u32 line;

	s->access.line[TEXT_WORD] = 0;
	if (!s->access.length[TEXT_WORD])
		return 1;
	line = take_lines(s->slot, s->process.generation, 1);
	if (!line)
		return 0;
	line--;
	last = bpf_map_lookup_elem(&lines, &line);
	if (!last)
		return 0;
	s->access.line[TEXT_WORD] = line;
	bpf_probe_read_kernel(last->text, LINE_LENGTH, s->word);
	return 1;
}

#endif
