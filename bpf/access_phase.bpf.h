/* SPDX-License-Identifier: GPL-2.0 */
/*
 * To which phase an access belongs, by the same rule as a call (docs/phases.md), and what
 * an exec uses that starts the workload: it is the workload's, as that exec is.
 */
#ifndef ACCESS_PHASE_BPF_H
#define ACCESS_PHASE_BPF_H

enum standing {
	STANDING_SETUP = 1,
	STANDING_WORKLOAD = 2,
	STANDING_OPEN = 3, /* it will be known later, or is workload */
};

/* Set before the load: recorder/kernel/accesses_spec.py. */
const volatile __u32 max_outcomes = 0;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct access_process);
} outcomes SEC(".maps");

/* Given back. What was never in use is not in it: see the counter. */
struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 1);
	__type(value, __u32);
} free_outcomes SEC(".maps");

/* Of processes whose phase was open: a place in `outcomes`. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct process);
	__type(value, __u32);
} undecided SEC(".maps");

/* What an exec used that may start the workload: indices of entries, and rights. */
struct execution {
	__u32 slot;
	__u32 generation;
	__u32 count;
	__u32 was_undecided;
	__u32 index[EXECUTION_FILES];
	__u32 rights[EXECUTION_FILES];
};

/* By tgid. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct execution);
} executions SEC(".maps");

static __always_inline void take_process(struct process *process, struct task_struct___seen *task)
{
	process->tgid = task->tgid;
	process->start = task->group_leader->start_boottime;
}

static __always_inline struct access_process *outcome_at(__u32 index)
{
	return bpf_map_lookup_elem(&outcomes, &index);
}

/* It is known now, by whoever is first: the next reading has what was left out. */
static __always_inline void settle_on(struct access_owner *owner, struct access_process *opened,
				      enum access_outcome outcome)
{
	if (__sync_val_compare_and_swap(&opened->outcome, OUTCOME_OPEN, outcome) != OUTCOME_OPEN)
		return;
	__sync_fetch_and_add(&owner->open, -1);
	__sync_fetch_and_add(&owner->changes, 1);
	__sync_fetch_and_add(&owner->stamped, 1);
}

/* The process is in set-up: so was it when its phase was open. */
static __noinline int was_in_setup(__u32 slot, struct process *process)
{
	struct access_owner *owner = owner_at(slot);
	struct access_process *opened;
	__u32 *index;

	if (!process || !owner)
		return 0;
	index = bpf_map_lookup_elem(&undecided, process);
	if (!index)
		return 0;
	opened = outcome_at(*index);
	if (opened)
		settle_on(owner, opened, OUTCOME_SETUP);
	return 0;
}

/* The place of a process whose phase is open; 0: there is none left, and it counts as workload. */
static __noinline int outcome_of(__u32 slot, struct process *process)
{
	struct access_counters *all = totals();
	struct access_owner *owner;
	struct access_process *opened;
	__u32 *found, index;

	if (!all || !process)
		return 0;
	owner = owner_of(slot, process->generation);
	if (!owner)
		return 0;
	found = bpf_map_lookup_elem(&undecided, process);
	if (found)
		return *found;
	if (bpf_map_pop_elem(&free_outcomes, &index)) {
		if (all->outcomes + 1 >= max_outcomes)
			return 0;
		index = __sync_fetch_and_add(&all->outcomes, 1) + 1;
		if (index >= max_outcomes)
			return 0;
	}
	opened = outcome_at(index);
	if (!opened)
		return 0;
	opened->start = process->start;
	opened->since_ns = bpf_ktime_get_boot_ns();
	opened->tgid = process->tgid;
	opened->outcome = OUTCOME_OPEN;
	opened->mark = MARK_NONE;
	__sync_fetch_and_add(&owner->open, 1);
	__sync_lock_test_and_set(&opened->generation, process->generation);
	if (!bpf_map_update_elem(&undecided, process, &index, BPF_NOEXIST))
		return index;
	/* Another processor was faster. */
	__sync_fetch_and_add(&owner->open, -1);
	opened->generation = 0;
	bpf_map_push_elem(&free_outcomes, &index, 0);
	found = bpf_map_lookup_elem(&undecided, process);
	return found ? *found : 0;
}

static __noinline int standing_by_rule(__u32 index, struct process *process, struct task_struct *another)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct slot *slot = slot_at(index);
	struct joiner *joiner;

	if (!slot || !process)
		return STANDING_WORKLOAD;
	joiner = joiner_of(process->tgid, index, slot);
	if (joiner) {
		if (joiner->state == JOINER_SETUP) {
			was_in_setup(index, process);
			return STANDING_SETUP;
		}
		return joiner->state == JOINER_CONFIRMED ? STANDING_WORKLOAD : STANDING_OPEN;
	}
	if (!slot->started)
		return STANDING_SETUP;
	if (another)
		return slot->mode == MODE_CONTAINER && may_be_joiner(slot, another) ? STANDING_OPEN :
										      STANDING_WORKLOAD;
	if (slot->mode == MODE_EXEC ? forked_outside(task, index) : may_be_joiner(slot, task))
		return STANDING_OPEN;
	return STANDING_WORKLOAD;
}

/* What is in the scratch: where it is open, with the place of its process's outcome. */
static __noinline int standing_of(__u32 which)
{
	struct scratch *s = scratch_at(which);
	struct access_process *opened;
	struct access_owner *owner;
	struct process process;
	__u32 index;
	int standing;

	if (!s)
		return STANDING_WORKLOAD;
	process = s->process;
	standing = standing_by_rule(s->slot, &process, s->another);
	if (standing != STANDING_OPEN)
		return standing;
	index = outcome_of(s->slot, &process);
	opened = index ? outcome_at(index) : NULL;
	if (!opened) {
		owner = owner_of(s->slot, process.generation);
		if (owner)
			count(&owner->undecided_full);
		return STANDING_WORKLOAD;
	}
	/* Decided since, and maybe settled: not to be looked for by the process any more. */
	if (opened->outcome == OUTCOME_OPEN) {
		s->access.outcome = index;
		return STANDING_OPEN;
	}
	return opened->outcome == OUTCOME_SETUP ? STANDING_SETUP : STANDING_WORKLOAD;
}

/* An exec has begun, of whoever may be in set-up. */
static __noinline int begin_execution(__u32 index)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct slot *slot = slot_at(index);
	struct execution fresh = {};
	struct access_owner *owner;
	struct joiner *joiner;

	if (!slot || slot->joiners <= 0)
		return 0;
	joiner = joiner_of(tgid, index, slot);
	if (!in_setup(joiner))
		return 0;
	fresh.slot = index;
	fresh.generation = slot->generation;
	fresh.was_undecided = joiner->state == JOINER_UNDECIDED;
	if (bpf_map_update_elem(&executions, &tgid, &fresh, BPF_ANY)) {
		owner = owner_of(index, slot->generation);
		if (owner)
			count(&owner->executions_full);
	}
	return 0;
}

/* During an exec that may start the workload: it is kept what was used. */
static __noinline int used_in_execution(__u32 slot, __u32 generation, __u32 access, __u32 rights)
{
	struct task_struct___seen *task = (void *)bpf_get_current_task();
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct execution *execution;
	struct access_owner *owner;
	__u32 place;

	execution = bpf_map_lookup_elem(&executions, &tgid);
	if (!execution || execution->generation != generation ||
	    !BPF_CORE_READ_BITFIELD_PROBED(task, in_execve))
		return 0;
	for (place = 0; place < EXECUTION_FILES; place++) {
		if (place >= execution->count)
			break;
		if (execution->index[place] == access) {
			execution->rights[place] |= rights;
			return 0;
		}
	}
	if (place >= EXECUTION_FILES) {
		owner = owner_of(slot, generation);
		if (owner)
			count(&owner->executions_full);
		return 0;
	}
	execution->index[place] = access;
	execution->rights[place] = rights;
	execution->count = place + 1;
	return 0;
}

/*
 * Whether this exec started the workload is the recorder of calls' to say (on_exec), which may have
 * looked at it already or be about to: then the same question has the same answer.
 */
static __noinline int started_workload(__u32 tgid, __u32 index)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct slot *slot = slot_at(index);
	struct joiner *joiner;

	if (!slot)
		return 0;
	joiner = joiner_of(tgid, index, slot);
	return !in_setup(joiner) || is_boundary(task, slot, index, joiner);
}

/* which: as begin_for() gave it; 0: nothing is kept. */
static __noinline int end_execution(__u32 index, __u32 which)
{
	struct slot *slot = slot_at(index);
	struct access_owner *owner;
	struct execution *execution;
	struct process process;
	struct access *access;

	take_process(&process, (void *)bpf_get_current_task_btf());
	execution = bpf_map_lookup_elem(&executions, &process.tgid);
	if (!slot || !execution)
		return 0;
	process.generation = execution->generation;
	owner = owner_at(index);
	if (owner && which && slot->generation == process.generation &&
	    execution->slot == index && started_workload(process.tgid, index)) {
		if (execution->was_undecided)
			was_in_setup(index, &process);
		for (__u32 place = 0; place < EXECUTION_FILES; place++) {
			if (place >= execution->count)
				break;
			access = access_at(execution->index[place]);
			if (access && access->generation == process.generation)
				add_rights(owner, access, &access->workload, execution->rights[place]);
		}
	}
	bpf_map_delete_elem(&executions, &process.tgid);
	return 0;
}

#endif
