// SPDX-License-Identifier: GPL-2.0
/*
 * Which system calls each target cgroup makes, by ABI and phase. One program on
 * sys_enter serves all targets: a second one would add its whole entry cost.
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "kernel_types.h"
#include "recorder.h"
#include "syscall_abi.h"
#include "exchange.bpf.h"

char LICENSE[] SEC("license") = "GPL";

/* Puts into the object's BTF what no map mentions, for the check at load. */
const enum bitmap_layout *const shared_bitmap_layout = 0;
const enum phase *const shared_phase = 0;
const enum control_op *const shared_control_op = 0;
const struct event *const shared_event = 0;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, struct root);
} roots SEC(".maps");

/* Takes a slot for a cgroup and enters it; 0: refused, and counted. */
static __noinline int slot_take(__u64 cgroup_id, enum slot_mode mode, __u32 late,
				__u32 workload_namespace, const char *path)
{
	struct slot *slot = slot_claim(cgroup_id, mode, late, workload_namespace, path);

	if (!slot)
		return 0;
	if (!table_insert(cgroup_id, slot->index)) {
		slot_refuse(slot, slot->index);
		return 0;
	}
	return slot->index;
}

/* A child cgroup of a target counts for the target's slot. */
static __noinline int slot_adopt(__u64 cgroup_id, __u32 index)
{
	struct slot *slot = slot_at(index);

	if (!slot)
		return 0;
	if (slot->children >= max_children) {
		count(&slot->children_full);
		return 0;
	}
	if (!table_insert(cgroup_id, index)) {
		count(&slot->table_full);
		return 0;
	}
	/*
	 * A drop ends the slot before it walks the table: either the walk sees
	 * this entry, or this sees the end. The cgroup is new and has no task.
	 */
	if (*(volatile enum slot_state *)&slot->state != SLOT_ACTIVE) {
		table_remove(cgroup_id);
		return 0;
	}
	__sync_fetch_and_add(&slot->children, 1);
	return index;
}

/* How long a task may stay pending before it is a member: the migration takes microseconds. */
#define PENDING_NS 1000000000ULL

/*
 * Plain loads: tp_btf arguments and the current task are trusted pointers, and
 * every helper call on this path costs as much as all of its loads together.
 */
static __always_inline __u64 cgroup_of(struct task_struct *task)
{
	return task->cgroups->dfl_cgrp->kn->id;
}

/* Targets are cgroups of the one v2 hierarchy; its id is 0. */
static __always_inline int is_v2(struct cgroup *cgroup)
{
	return cgroup->root->hierarchy_id == 0;
}

/*
 * A pending task's call waits in its entry. 0: it waits; else the phase it
 * belongs to, because the task's state was settled.
 */
static __always_inline int pending_phase(struct joiner *joiner, struct slot *slot, __u32 word,
					 __u64 mask)
{
	__sync_fetch_and_or(&joiner->bits[word], mask);
	/* Read again: the attach event on another CPU may have moved the bits before this one. */
	if (*(volatile enum joiner_state *)&joiner->state == JOINER_SETUP)
		return PHASE_SETUP;
	if (joiner->state == JOINER_UNDECIDED)
		return 0;
	if (joiner->state == JOINER_PENDING && bpf_ktime_get_ns() - joiner->since_ns < PENDING_NS)
		return 0;
	if (__sync_val_compare_and_swap(&joiner->state, JOINER_PENDING, JOINER_CONFIRMED) ==
	    JOINER_PENDING)
		merge_bits(joiner, slot, PHASE_WORKLOAD);
	return PHASE_WORKLOAD;
}

/* A call whose bit is not yet set where it may belong: decide, and set it. */
static __noinline int first_sight(__u32 index, __u32 bit)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct slot *slot = slot_at(index);
	__u32 tgid = task->tgid;
	__u32 word = bit / 64;
	__u64 mask = 1ULL << (bit % 64);
	int phase = PHASE_WORKLOAD;

	if (!slot || word >= BITMAP_WORDS)
		return 0;
	/*
	 * Unrolled: up to 6.1 the verifier (visit_func_call_insn, loop_ok) refuses a
	 * loop whose head follows a call, and that is how clang lays this one out.
	 */
#pragma unroll
	for (int attempt = 0; attempt < 2; attempt++) {
		struct joiner *joiner = joiner_of(tgid, index, slot);
		struct joiner fresh = {
			.slot = index,
			.generation = slot->generation,
			.state = JOINER_PENDING,
			.exec_bit = bit_is_exec(bit) ? 1 + bit : 0,
		};

		if (joiner) {
			if (joiner->state != JOINER_CONFIRMED && bit_is_exec(bit))
				joiner->exec_bit = 1 + bit;
			if (joiner->state == JOINER_SETUP) {
				phase = PHASE_SETUP;
			} else if (joiner->state == JOINER_UNDECIDED) {
				__sync_fetch_and_or(&joiner->bits[word], mask);
				return 0;
			} else if (joiner->state == JOINER_PENDING) {
				phase = pending_phase(joiner, slot, word, mask);
				if (!phase)
					return 0;
			}
			break;
		}
		if (!slot->started) {
			phase = PHASE_SETUP;
			break;
		}
		if (slot->mode == MODE_EXEC ? !forked_outside(task, index) : !may_be_joiner(slot, task))
			break;
		fresh.since_ns = bpf_ktime_get_ns();
		fresh.bits[word] = mask;
		if (!bpf_map_update_elem(&joiners, &tgid, &fresh, BPF_NOEXIST))
			return 0;
	}
	see(slot, index, bit, phase);
	return 0;
}

static __always_inline int system_call(long number)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct slot *slot = slot_find(cgroup_of(task));
	__u32 bit, word;
	__u64 seen;

	if (!slot)
		return 0;
	bit = call_bit(task, number);
	word = bit / 64;
	/*
	 * clang knows the range of an x32 bit, and would drop the check there; the
	 * verifier of 6.12 does not carry that range over the addition.
	 */
	barrier_var(word);
	if (word >= BITMAP_WORDS) {
		count(&slot->unknown_number);
		return 0;
	}
	seen = slot->workload[word];
	if (slot->joiners > 0 || !slot->started) {
		/* The last execve of a joiner is told apart from others, see on_exec. */
		seen = bit_is_exec(bit) ? 0 : seen & slot->setup[word];
	}
	if (seen & (1ULL << (bit % 64)))
		return 0;
	first_sight(slot->index, bit);
	return 0;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(on_sys_enter, struct pt_regs *regs, long number)
{
	return system_call(number);
}

/* Ended in a target by a task with a filter: was it stopped before it began? */
static __noinline int judge_call(__u32 index, __u32 bit, int failed)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct slot *slot = slot_at(index);
	__u32 word = bit / 64;
	enum phase phase = PHASE_WORKLOAD;
	struct joiner *joiner;

	if (!slot)
		return 0;
	joiner = failed || slot->joiners > 0 ? joiner_of(task->tgid, index, slot) : NULL;
	/* Who was moved in while running may have begun the call elsewhere. */
	if ((in_setup(joiner) || may_be_older(task, slot)) &&
	    !is_settled(slot->generation, task->pid))
		return 0;
	if (!failed)
		return 0;
	if (joiner && joiner->state != JOINER_CONFIRMED) {
		/* As in deny. */
		barrier_var(word);
		if (word >= BITMAP_WORDS || joiner->bits[word] & (1ULL << (bit % 64)))
			return 0;
		if (joiner->state == JOINER_SETUP)
			phase = PHASE_SETUP;
	} else if (!slot->started) {
		phase = PHASE_SETUP;
	}
	return deny(slot, bit, phase);
}

static __always_inline int system_call_ends(long number, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct slot *slot;
	__u32 bit, word;
	__u64 seen;
	int failed;

	if (!is_filtered(task))
		return 0;
	failed = may_be_denied(task, result);
	slot = slot_find(cgroup_of(task));
	if (!slot)
		return 0;
	/* Nothing to be judged, nor anything to be learnt of the thread. */
	if (!failed && !slot->late && slot->joiners <= 0)
		return 0;
	bit = call_bit(task, number);
	word = bit / 64;
	/* For 6.12, as above. */
	barrier_var(word);
	if (word >= BITMAP_WORDS)
		return 0;
	seen = slot->workload[word];
	if (failed && !slot->late && seen & (1ULL << (bit % 64)))
		return 0;
	judge_call(slot->index, bit, failed);
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_sys_exit, struct pt_regs *regs, long result)
{
	return system_call_ends(call_number(regs), result);
}

static __always_inline int begins(const char *name, const char *prefix)
{
	for (int i = 0; i < PREFIX_LENGTH; i++) {
		if (!prefix[i])
			return 1;
		if (name[i] != prefix[i])
			return 0;
	}
	return 1;
}

/* Which of the root's rules is for a child of this name, from 1 on; 0: none. */
static __noinline int rule_for(struct root *root, const char *child)
{
	char name[PREFIX_LENGTH] = {};

	if (!root)
		return 0;
	bpf_probe_read_kernel_str(name, sizeof(name), child);
	for (int i = 0; i < ROOT_RULES; i++) {
		if (!root->rules[i].levels)
			return 0;
		if (begins(name, root->rules[i].prefix))
			return i + 1;
	}
	return 0;
}

/* A pod's cgroup, say, whose children are the containers. */
static __noinline int watch_below(__u64 id, struct rule *above)
{
	struct root root = {};
	struct counters *all = totals();

	if (!above || !all)
		return 0;
	root.rules[0].mode = above->mode;
	root.rules[0].levels = above->levels - 1;
	if (bpf_map_update_elem(&roots, &id, &root, BPF_ANY)) {
		count(&all->roots_full);
		return 0;
	}
	return emit(id, 0, EVENT_WATCH, 0, 0);
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(on_cgroup_mkdir, struct cgroup *cgroup, const char *path)
{
	__u64 id = cgroup->kn->id;
	__u64 parent_id;
	struct root *root;
	struct rule *rule;
	__u32 index;
	int which;

	if (!is_v2(cgroup))
		return 0;
	/* Self-parenting of the root's css never gets here: the root is not made by mkdir. */
	parent_id = BPF_CORE_READ(cgroup, self.parent, cgroup, kn, id);
	index = table_find(parent_id);
	if (index) {
		slot_adopt(id, index);
		return 0;
	}
	root = bpf_map_lookup_elem(&roots, &parent_id);
	if (!root)
		return 0;
	which = rule_for(root, BPF_CORE_READ(cgroup, kn, name));
	if (which < 1 || which > ROOT_RULES)
		return 0;
	rule = &root->rules[which - 1];
	if (rule->levels > 1) {
		watch_below(id, rule);
		return 0;
	}
	index = slot_take(id, rule->mode, 0, 0, path);
	if (index)
		emit(id, index, EVENT_BEGIN, 0, 0);
	return 0;
}

/* A cgroup is removed only without tasks, so no call of its own races with this. */
SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(on_cgroup_rmdir, struct cgroup *cgroup, const char *path)
{
	__u64 id = cgroup->kn->id;
	struct slot *slot;
	__u32 index;

	if (!is_v2(cgroup))
		return 0;
	bpf_map_delete_elem(&roots, &id);
	index = table_find(id);
	slot = slot_at(index);
	if (!index || !slot)
		return 0;
	table_remove(id);
	if (slot->cgroup_id != id) {
		__sync_fetch_and_add(&slot->children, -1);
		return 0;
	}
	slot->ended_ns = bpf_ktime_get_boot_ns();
	if (__sync_lock_test_and_set(&slot->state, SLOT_ENDED) == SLOT_ACTIVE)
		emit(id, index, EVENT_END, 0, 0);
	return 0;
}

/* Fires after the migration: see pending_phase for what a running task did in between. */
SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(on_cgroup_attach_task, struct cgroup *cgroup, const char *path,
	     struct task_struct *task, bool threadgroup)
{
	struct task_struct *writer = bpf_get_current_task_btf();
	__u64 id = cgroup->kn->id;
	__u32 tgid = task->tgid;
	int moves_itself = writer->tgid == task->tgid;
	struct slot *slot;
	__u32 index, reference;

	if (!is_v2(cgroup))
		return 0;
	/* One thread of a process moves within a threaded subtree only: no join. */
	if (!threadgroup)
		return 0;
	index = table_find(id);
	slot = slot_at(index);
	if (!index || !slot) {
		joiner_forget(tgid);
		return 0;
	}
	if (!moves_itself && is_member(cgroup_of(writer), writer->tgid, index, slot))
		return 0; /* a member arranges its own */
	/* Who moves itself may have left the namespace that it came from. */
	reference = moves_itself ? slot->reference : mount_namespace(writer);
	if (moves_within(slot, index, id, task, moves_itself, reference))
		return 0;
	joiner_add(tgid, index, reference);
	return 0;
}

/*
 * Before the child has run; the current task is its parent. Not the fork event,
 * which comes just before: this one is raised with preemption off on all kernels.
 * clone3(CLONE_INTO_CGROUP) raises no attach event.
 */
SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(on_new_task, struct task_struct *child)
{
	struct task_struct *parent = bpf_get_current_task_btf();
	struct joiner *joiner;
	struct slot *slot;
	__u32 index;

	if (parent->tgid == child->tgid)
		return 0;
	index = table_find(cgroup_of(child));
	slot = slot_at(index);
	if (!index || !slot)
		return 0;
	if (table_find(cgroup_of(parent)) != index) {
		joiner_add(child->tgid, index, mount_namespace(parent));
		return 0;
	}
	if (slot->joiners <= 0)
		return 0;
	joiner = joiner_of(parent->tgid, index, slot);
	/*
	 * In mode exec its parent may never exec, and then is workload, as is
	 * all that it starts: what the child does before its own exec as well.
	 */
	if (joiner && joiner->state == JOINER_SETUP)
		joiner_add(child->tgid, index, joiner->reference);
	return 0;
}

static __always_inline int current_executed(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct counters *all = totals();
	struct joiner *joiner;
	__u32 tgid = task->tgid;
	struct slot *slot;
	__u32 index;

	index = table_find(cgroup_of(task));
	slot = slot_at(index);
	if (!index || !slot || !all || slot->joiners <= 0)
		return 0;
	joiner = joiner_of(tgid, index, slot);
	if (!joiner || !is_boundary(task, slot, index, joiner))
		return 0;
	if (joiner->state == JOINER_UNDECIDED)
		merge_bits(joiner, slot, PHASE_SETUP);
	/* The exec that starts the workload is the workload's; the registers show the new program. */
	if (joiner->exec_bit)
		see(slot, index, joiner->exec_bit - 1, PHASE_WORKLOAD);
	slot->mount_namespace = mount_namespace(task);
	slot->started = 1;
	count(&all->boundaries);
	/*
	 * A unit's process is moved by its manager and moves itself as well: the
	 * second of these events may come after its exec, and is no new join.
	 */
	if (slot->mode == MODE_EXEC)
		__sync_lock_test_and_set(&joiner->state, JOINER_CONFIRMED);
	else
		joiner_remove(tgid, all);
	__sync_fetch_and_add(&slot->joiners, -1);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, int old_pid, struct linux_binprm *binprm)
{
	return current_executed();
}

static __always_inline int current_exits(void)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (with_denials && is_killed_by_filter(task))
		system_call_ends(call_number((struct pt_regs *)bpf_task_pt_regs(task)), -ENOSYS);
	if (task->signal->live.counter)
		return 0; /* another thread lives */
	joiner_forget(task->tgid);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	return current_exits();
}

/*
 * The same three where programs can be preempted (Linux 7). The kernel skips a
 * run of a raw tracepoint's program while another is under way on that
 * processor, so a task that was preempted inside it would hide what the others
 * do in the meantime. The programs of a classic tracepoint run with preemption
 * off; they cost more. The cgroup events need none: they are raised under a mutex.
 */

/* include/trace/events/syscalls.h */
struct sys_enter_record {
	__u64 head;
	long number;
	unsigned long arguments[6];
};

SEC("tp/raw_syscalls/sys_enter")
int on_sys_enter_event(struct sys_enter_record *record)
{
	return system_call(record->number);
}

SEC("tp/raw_syscalls/sys_exit")
int on_sys_exit_event(struct sys_exit_record *record)
{
	return system_call_ends(record->number, record->result);
}

SEC("tp/sched/sched_process_exec")
int on_exec_event(void *record)
{
	return current_executed();
}

SEC("tp/sched/sched_process_exit")
int on_exit_event(void *record)
{
	return current_exits();
}

/* New cgroups below this one get slots, by the rules that user space has put into the exchange. */
static __noinline int watch(__u64 id)
{
	struct exchange *from = the_exchange();

	return from ? bpf_map_update_elem(&roots, &id, &from->root, BPF_ANY) : 0;
}

/*
 * Never attached: user space runs it with BPF_PROG_TEST_RUN, which raw_tp has
 * since 5.10 and which, unlike a program of type syscall on 6.1, may use a queue.
 */
SEC("raw_tp/sys_enter")
int control(struct bpf_raw_tracepoint_args *ctx)
{
	enum control_op op = ctx->args[0];
	__u64 id = ctx->args[1];
	__u32 index = ctx->args[1];
	struct slot *slot;

	if (op == CONTROL_OPEN)
		return open_slots();
	if (op == CONTROL_WATCH)
		return watch(id);
	if (op == CONTROL_UNWATCH)
		return bpf_map_delete_elem(&roots, &id);
	if (op == CONTROL_ADD)
		return table_find(id) ? 0 : slot_take(id, ctx->args[2], ctx->args[3], ctx->args[4], NULL);
	slot = slot_at(index);
	/* Another generation: the slot is somebody else's by now. */
	if (!index || !slot || slot->generation != (__u32)ctx->args[2])
		return 0;
	if (op == CONTROL_JOINERS)
		return take_joiners(index, slot->generation, ctx->args[3], ctx->args[4]);
	if (op == CONTROL_ADOPT)
		return table_find(ctx->args[3]) ? 0 : slot_adopt(ctx->args[3], index);
	return slot_control(op, slot, index, ctx->args[3]);
}
