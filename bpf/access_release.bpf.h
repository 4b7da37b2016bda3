/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What user space asks for: giving back what a dropped target has, and settling what is
 * known of processes whose phase was open. All loops are by a helper: see mix_step.
 */
#ifndef ACCESS_RELEASE_BPF_H
#define ACCESS_RELEASE_BPF_H

#define PROCESSORS_MOST 8192 /* NR_CPUS; a loop ends at the first that the kernel cannot have */

struct bpf_map;

/* Of a target: for which a loop goes through all. */
struct release {
	__u32 slot;
	__u32 generation;
	__u64 before_ns;
	__u32 found;
	__u32 padding;
};

static __always_inline void give_entry(struct access *access, __u32 index)
{
	struct access_counters *all = totals();

	access->state = ACCESS_FREE;
	access->generation = 0;
	if (all)
		__sync_fetch_and_add(&all->entries_taken, -1);
	give_index(index);
}

static long release_entry(__u32 index, struct release *release)
{
	struct access *access = access_at(index);
	struct place place = {};

	if (!access)
		return 1;
	if (access->generation != release->generation || access->state == ACCESS_FREE)
		return 0;
	if (access->state == ACCESS_READY) {
		place_of(access, &place, access->slot, access->generation);
		bpf_map_delete_elem(&places, &place);
	}
	give_entry(access, index);
	release->found++;
	return 0;
}

static long release_chunk(__u32 index, struct release *release)
{
	struct access_chunk *chunk = bpf_map_lookup_elem(&chunks, &index);
	struct access_counters *all = totals();

	if (!chunk || !all)
		return 1;
	if (chunk->generation != release->generation)
		return 0;
	chunk->generation = 0;
	__sync_fetch_and_add(&all->chunks_taken, -1);
	bpf_map_push_elem(&free_chunks, &index, 0);
	return 0;
}

/* Nobody finds the process's outcome by this any more; its entries may. */
static __always_inline void forget_process(struct access_process *opened)
{
	struct process process = {
		.start = opened->start,
		.tgid = opened->tgid,
		.generation = opened->generation,
	};

	bpf_map_delete_elem(&undecided, &process);
}

static __always_inline void release_process(struct access_process *opened, __u32 index)
{
	opened->generation = 0;
	bpf_map_push_elem(&free_outcomes, &index, 0);
}

static long release_outcome(__u32 number, struct release *release)
{
	__u32 index = number + 1;
	struct access_process *opened = outcome_at(index);

	if (!opened)
		return 1;
	if (opened->generation == release->generation) {
		forget_process(opened);
		release_process(opened, index);
	}
	return 0;
}

static long release_execution(struct bpf_map *map, const __u32 *tgid, struct execution *execution,
			      struct release *release)
{
	__u32 key = *tgid;

	if (execution->generation == release->generation)
		bpf_map_delete_elem(&executions, &key);
	return 0;
}

static __noinline int release_all(struct release *release)
{
	struct access_counters *all = totals();
	struct access_owner *owner;

	if (!all || !release)
		return 0;
	owner = owner_at(release->slot);
	bpf_loop(all->used < max_accesses ? all->used : max_accesses, release_entry, release, 0);
	bpf_loop(all->chunks < max_chunks ? all->chunks : max_chunks, release_chunk, release, 0);
	bpf_loop(all->outcomes < max_outcomes ? all->outcomes : max_outcomes, release_outcome, release, 0);
	bpf_for_each_map_elem(&executions, release_execution, release, 0);
	if (owner && owner->generation == release->generation) {
		owner->used = 0;
		owner->chunks = 0;
		owner->position = 0;
		owner->refused = 0;
		owner->executions_full = 0;
		owner->undecided_full = 0;
		owner->open = 0;
		owner->generation = 0;
	}
	return release->found;
}

/*
 * What is known by now of a process that was seen first some time ago: a task that is moved in is open
 * for microseconds, unless it may still become set-up by an exec.
 */
static __always_inline enum access_outcome outcome_by_now(struct release *release, struct access_process *opened)
{
	struct slot *slot = slot_at(release->slot);
	struct joiner *joiner = slot ? joiner_of(opened->tgid, release->slot, slot) : NULL;

	if (!joiner || joiner->state == JOINER_CONFIRMED || joiner->state == JOINER_PENDING)
		return OUTCOME_WORKLOAD;
	return joiner->state == JOINER_SETUP ? OUTCOME_SETUP : OUTCOME_OPEN;
}

static long decide(__u32 number, struct release *release)
{
	__u32 index = number + 1;
	struct access_owner *owner = owner_at(release->slot);
	struct access_process *opened = outcome_at(index);
	enum access_outcome now;

	if (!opened || !owner)
		return 1;
	if (opened->generation != release->generation || opened->outcome != OUTCOME_OPEN ||
	    opened->since_ns >= release->before_ns)
		return 0;
	now = outcome_by_now(release, opened);
	if (now != OUTCOME_OPEN)
		settle_on(owner, opened, now);
	return 0;
}

static long mark(__u32 number, struct release *release)
{
	__u32 index = number + 1;
	struct access_process *opened = outcome_at(index);

	if (!opened)
		return 1;
	if (opened->generation == release->generation && opened->outcome != OUTCOME_OPEN &&
	    opened->mark == MARK_NONE) {
		opened->mark = MARK_SETTLING;
		release->found++;
	}
	return 0;
}

/* The entry of a process becomes that of everybody, or its rights go to that one. */
static long settle(__u32 index, struct release *release)
{
	struct access_owner *owner = owner_at(release->slot);
	struct access *access = access_at(index), *other;
	struct place place = {}, own = {};
	struct access_process *opened;
	__u32 *found;

	if (!access || !owner)
		return 1;
	if (access->generation != release->generation || access->state != ACCESS_READY || !access->what.tgid)
		return 0;
	opened = outcome_at(access->outcome);
	if (!opened || opened->mark != MARK_SETTLING)
		return 0;
	if (opened->outcome == OUTCOME_WORKLOAD) {
		access->workload |= access->setup;
		access->setup = 0;
	}
	place_of(access, &own, access->slot, access->generation);
	place_by(access->hash, &place, access->slot, access->generation);
	found = bpf_map_lookup_elem(&places, &place);
	if (!found && !bpf_map_update_elem(&places, &place, &index, BPF_NOEXIST)) {
		access->what.start = 0;
		access->what.tgid = 0;
		access->outcome = 0;
		bpf_map_delete_elem(&places, &own);
		release->found++;
		return 0;
	}
	found = bpf_map_lookup_elem(&places, &place);
	other = found ? access_at(*found) : NULL;
	if (!other) {
		/* There is no room for a moment: it stays as it is. */
		opened->mark = MARK_NONE;
		return 0;
	}
	add_rights(owner, other, &other->setup, access->setup);
	add_rights(owner, other, &other->workload, access->workload);
	bpf_map_delete_elem(&places, &own);
	access->state = ACCESS_MERGED;
	__sync_fetch_and_add(&owner->used, -1);
	release->found++;
	return 0;
}

static long tidy_entry(__u32 index, struct release *release)
{
	struct access *access = access_at(index);

	if (!access)
		return 1;
	if (access->generation == release->generation && access->state == ACCESS_MERGED)
		give_entry(access, index);
	return 0;
}

/* Whoever found it still may have it until the next wait: it is used again after that. */
static long tidy_outcome(__u32 number, struct release *release)
{
	__u32 index = number + 1;
	struct access_process *opened = outcome_at(index);

	if (!opened)
		return 1;
	if (opened->generation != release->generation)
		return 0;
	if (opened->mark == MARK_SETTLED) {
		release_process(opened, index);
	} else if (opened->mark == MARK_SETTLING) {
		opened->mark = MARK_SETTLED;
		forget_process(opened);
	}
	return 0;
}

static __noinline int watch_again(__u32 slot, __u32 generation)
{
	struct access_owner *owner = owner_at(slot);

	if (!owner || owner->dropped != generation)
		return 0;
	owner->dropped = 0;
	return 1;
}

/* 1: it was watched. Not of a slot that is another's by now. */
static __noinline int drop(__u32 index, __u32 generation)
{
	struct access_owner *owner = owner_at(index);
	struct slot *slot = slot_at(index);

	if (!owner || !slot || slot->generation != generation || owner->dropped == generation)
		return 0;
	owner->dropped = generation;
	return 1;
}

/* Preempted ones as well: membarrier(2) does not wait for these where there is one processor. */
static long count_run(__u32 number, struct release *release)
{
	__u32 which = number % SCRATCHES;
	struct scratch *s = bpf_map_lookup_percpu_elem(&scratch, &which, number / SCRATCHES);

	if (!s)
		return 1;
	if (s->busy && s->process.generation == release->generation)
		release->found++;
	return 0;
}

static __noinline int obey(enum access_op op, __u32 slot, __u32 generation, __u64 before_ns)
{
	struct release release = { .slot = slot, .generation = generation, .before_ns = before_ns };
	struct access_counters *all = totals();
	__u32 entries, processes;

	if (!all)
		return 0;
	if (op == ACCESS_OPEN) {
		all->layout = ACCESSES_LAYOUT;
		all->per_target = max_accesses_of_target;
		all->slots = slot;
		return 1;
	}
	if (op == ACCESS_WATCH)
		return watch_again(slot, generation);
	if (op == ACCESS_DROP)
		return drop(slot, generation);
	if (op == ACCESS_RELEASE)
		return release_all(&release);
	if (op == ACCESS_RUNS)
		bpf_loop(PROCESSORS_MOST * SCRATCHES, count_run, &release, 0);
	entries = all->used < max_accesses ? all->used : max_accesses;
	processes = all->outcomes < max_outcomes ? all->outcomes : max_outcomes;
	if (op == ACCESS_DECIDE)
		bpf_loop(processes, decide, &release, 0);
	if (op == ACCESS_MARK)
		bpf_loop(processes, mark, &release, 0);
	if (op == ACCESS_SETTLE)
		bpf_loop(entries, settle, &release, 0);
	if (op == ACCESS_TIDY) {
		bpf_loop(entries, tidy_entry, &release, 0);
		bpf_loop(processes, tidy_outcome, &release, 0);
	}
	return release.found;
}

#endif
