// SPDX-License-Identifier: GPL-2.0
/*
 * Which system calls a process makes, its threads, and what it starts: followed
 * by task, in whichever cgroups they are. Attached for such recordings only.
 *
 * A target's thread groups are in the table by tgid, the kernel's own; its slot's
 * `cgroup_id` says where the first one was then, `children` how many are followed.
 * All is workload.
 *
 * What the process had started before is found by walks over all tasks. Until the
 * last of them has found nothing new, the slot is open (`started` is 0): whoever
 * is started by a descendant that was not found yet is followed at once, and so are
 * the children of one that ends, since nobody could tell later whose they were.
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "kernel_types.h"
#include "recorder.h"
#include "walk.h"
#include "syscall_abi.h"
#include "table.bpf.h"

char LICENSE[] SEC("license") = "GPL";

/* Puts into the object's BTF what no map mentions, for the check at load. */
const enum bitmap_layout *const shared_bitmap_layout = 0;
const enum phase *const shared_phase = 0;
const enum control_op *const shared_control_op = 0;
const struct event *const shared_event = 0;

/* include/linux/sched.h */
#define PF_KTHREAD 0x00200000

#define MOST_GENERATIONS 32 /* between a new process and one that is followed, while a slot is open */
#define MOST_ORPHANS 256    /* children of a thread that ends meanwhile */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct walk);
} walk SEC(".maps");

static __always_inline struct walk *the_walk(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&walk, &zero);
}

/* One less to wait for; the last one ends the target. */
static __noinline int let_go(__u32 index)
{
	struct slot *slot = slot_at(index);

	if (!slot || __sync_fetch_and_add(&slot->children, -1) != 1)
		return 0;
	if (slot->state == SLOT_ACTIVE)
		slot->ended_ns = bpf_ktime_get_boot_ns();
	if (__sync_lock_test_and_set(&slot->state, SLOT_ENDED) == SLOT_ACTIVE)
		emit(slot->cgroup_id, index, EVENT_END, 0, 0);
	return 0;
}

/*
 * Followed no more. Two processors may have entered it at the same time, so it
 * may be there twice: the walk and the program that saw it start, or saw its
 * parent end.
 */
static __noinline int forget(__u32 tgid)
{
	__u32 index = table_find(tgid);

	if (!index)
		return 0;
#pragma unroll
	for (int copy = 0; copy < 4; copy++)
		if (table_remove(tgid))
			let_go(index);
	return 0;
}

/* Counted before it is in the table, so that its end cannot be the target's. 1: it is followed. */
static __noinline int follow(__u32 tgid, __u32 index)
{
	struct slot *slot = slot_at(index);

	if (!slot)
		return 0;
	/* That it is open counts for one. */
	if (slot->children >= max_children + !slot->started) {
		count(&slot->children_full);
		return 0;
	}
	__sync_fetch_and_add(&slot->children, 1);
	if (!table_insert(tgid, index)) {
		count(&slot->table_full);
		let_go(index);
		return 0;
	}
	/* A drop ends the slot before it walks the table: it sees this entry, or this sees the end. */
	if (*(volatile enum slot_state *)&slot->state != SLOT_ACTIVE) {
		forget(tgid);
		return 0;
	}
	return 1;
}

/*
 * A process that runs already, and may be ending: entered first, and looked at
 * afterwards, because its end is counted first and then looks into the table.
 */
static __noinline int adopt(struct task_struct *task, __u32 index)
{
	__u32 tgid = BPF_CORE_READ(task, tgid);

	if (!tgid || table_find(tgid) || !follow(tgid, index))
		return 0;
	if (BPF_CORE_READ(task, signal, live.counter) > 0)
		return 1;
	forget(tgid);
	return 0;
}

/* While a slot is open: the one whose process a task descends from. */
static __noinline __u32 inherited(struct task_struct *task)
{
	for (int generation = 0; generation < MOST_GENERATIONS; generation++) {
		__u32 tgid, index;
		struct slot *slot;

		task = BPF_CORE_READ(task, real_parent);
		tgid = BPF_CORE_READ(task, tgid);
		if (tgid <= 1)
			return 0;
		index = table_find(tgid);
		slot = slot_at(index);
		if (index && slot)
			return slot->started ? 0 : index;
	}
	return 0;
}

/* The same for a task itself, which may be followed already. */
static __always_inline __u32 slot_of_kin(struct task_struct *task)
{
	struct walk *state = the_walk();
	__u32 index = table_find(task->tgid);

	return index || !state || !state->open ? index : inherited(task);
}

/*
 * A list that a sibling's end changes at this moment may lead in a circle; then,
 * as with too many of them, it is counted that not all are followed.
 */
static __noinline int adopt_children(struct task_struct *task, __u32 index)
{
	struct list_head *head = (void *)task + bpf_core_field_offset(struct task_struct, children);
	struct list_head *next = BPF_CORE_READ(head, next);
	struct slot *slot = slot_at(index);

	for (int orphan = 0; orphan < MOST_ORPHANS; orphan++) {
		if (next == head)
			return 0;
		adopt((void *)next - bpf_core_field_offset(struct task_struct, sibling), index);
		next = BPF_CORE_READ(next, next);
	}
	if (slot)
		count(&slot->children_full);
	return 0;
}

static __noinline int first_sight(__u32 index, __u32 bit)
{
	struct slot *slot = slot_at(index);

	if (slot)
		see(slot, index, bit, PHASE_WORKLOAD);
	return 0;
}

static __always_inline int system_call(long number)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct slot *slot = slot_find(task->tgid);
	__u32 bit, word;

	if (!slot)
		return 0;
	bit = call_bit(task, number);
	word = bit / 64;
	/* For 6.12, as in syscalls.bpf.c. */
	barrier_var(word);
	if (word >= BITMAP_WORDS) {
		count(&slot->unknown_number);
		return 0;
	}
	if (slot->workload[word] & (1ULL << (bit % 64)))
		return 0;
	first_sight(slot->index, bit);
	return 0;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(on_sys_enter, struct pt_regs *regs, long number)
{
	return system_call(number);
}

static __noinline int judge_call(__u32 index, __u32 bit, int failed)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct slot *slot = slot_at(index);

	if (!slot)
		return 0;
	if ((may_be_older(task, slot) || !slot->started) && !is_settled(slot->generation, task->pid))
		return 0;
	return failed ? deny(slot, bit, PHASE_WORKLOAD) : 0;
}

static __always_inline int system_call_ends(long number, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct slot *slot;
	__u32 bit;

	if (!is_filtered(task))
		return 0;
	slot = slot_find(task->tgid);
	if (!slot)
		return 0;
	bit = call_bit(task, number);
	if (bit != NO_BIT)
		judge_call(slot->index, bit, may_be_denied(task, result));
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_sys_exit, struct pt_regs *regs, long result)
{
	return system_call_ends(call_number(regs), result);
}

/*
 * Before the child has run, and with preemption off on all kernels; the current
 * task is who started it, whatever parent it has.
 */
SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(on_new_task, struct task_struct *child)
{
	struct task_struct *parent = bpf_get_current_task_btf();
	__u32 index, known;

	if (parent->tgid == child->tgid)
		return 0;
	index = slot_of_kin(parent);
	known = table_find(child->tgid);
	/* The end of who had this tgid before was missed. */
	if (known && known != index)
		forget(child->tgid);
	if (index && known != index)
		follow(child->tgid, index);
	return 0;
}

static __always_inline int current_exits(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct walk *state = the_walk();

	if (with_denials && is_killed_by_filter(task))
		system_call_ends(call_number((struct pt_regs *)bpf_task_pt_regs(task)), -ENOSYS);
	/* Of each thread: its children go to another one only while that one is not ending too. */
	if (state && state->open) {
		__u32 index = slot_of_kin(task);
		struct slot *slot = slot_at(index);

		if (index && slot && !slot->started)
			adopt_children(task, index);
	}
	if (task->signal->live.counter)
		return 0; /* another thread lives */
	forget(task->tgid);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	return current_exits();
}

/* Where programs can be preempted: see syscalls.bpf.c. */

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

SEC("tp/sched/sched_process_exit")
int on_exit_event(void *record)
{
	return current_exits();
}

/* The pid of a process in the pid namespace of who walks. */
static __always_inline __u32 pid_here(struct task_struct *task)
{
	struct task_struct *walker = bpf_get_current_task_btf();
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	__u32 level = BPF_CORE_READ(walker, thread_pid, level);
	__u32 number = 0;

	if (pid)
		bpf_probe_read_kernel(&number, sizeof(number),
				      (void *)pid + bpf_core_field_offset(struct pid, numbers) +
					      level * bpf_core_type_size(struct upid) +
					      bpf_core_field_offset(struct upid, nr));
	return number;
}

static __noinline int begin(struct task_struct *task, struct walk *state)
{
	__u32 tgid = task->tgid;
	struct slot *slot;
	__u32 index;

	if (task->flags & PF_KTHREAD)
		return WALK_KERNEL_THREAD;
	if (BPF_CORE_READ(task, signal, live.counter) <= 0)
		return WALK_NOT_FOUND;
	if (table_find(tgid))
		return WALK_FOLLOWED;
	slot = slot_claim(BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id), MODE_EXEC, 1, 0, NULL);
	if (!slot)
		return WALK_REFUSED;
	index = slot->index;
	slot->started = 0;
	slot->children = 2; /* itself, and that it is open */
	__sync_fetch_and_add(&state->open, 1);
	if (!table_insert(tgid, index)) {
		__sync_fetch_and_add(&state->open, -1);
		slot_refuse(slot, index);
		return WALK_REFUSED;
	}
	/* As in adopt; who has ended is not there. It may have left children. */
	if (BPF_CORE_READ(task, signal, live.counter) <= 0)
		forget(tgid);
	state->slot = index;
	return WALK_DONE;
}

/* Never attached: user space reads it like a file, and it is run for each task of the reader's namespace. */
SEC("iter/task")
int walk_tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct walk *state = the_walk();
	__u32 known, pid;

	if (!task || !state || task->pid != task->tgid)
		return 0;
	if (state->op == WALK_BEGIN) {
		if (state->result == WALK_NOT_FOUND && pid_here(task) == state->pid)
			state->result = begin(task, state);
		return 0;
	}
	known = table_find(task->tgid);
	if (state->op == WALK_LIST) {
		pid = pid_here(task);
		if (known == state->slot)
			bpf_seq_write(ctx->meta->seq, &pid, sizeof(pid));
		return 0;
	}
	if (table_find(BPF_CORE_READ(task, real_parent, tgid)) != state->slot)
		return 0;
	if (!known)
		state->found += adopt(task, state->slot);
	else if (known != state->slot)
		state->elsewhere++;
	return 0;
}

/* All that it had started is followed. */
static __always_inline int settle(struct slot *slot, __u32 index)
{
	struct walk *state = the_walk();

	if (!state || __sync_lock_test_and_set(&slot->started, 1))
		return 0;
	__sync_fetch_and_add(&state->open, -1);
	let_go(index);
	return 1;
}

/* As in syscalls.bpf.c. */
SEC("raw_tp/sys_enter")
int control(struct bpf_raw_tracepoint_args *ctx)
{
	enum control_op op = ctx->args[0];
	__u32 index = ctx->args[1];
	struct slot *slot = slot_at(index);

	if (op == CONTROL_OPEN)
		return open_slots();
	if (!index || !slot || slot->generation != (__u32)ctx->args[2])
		return 0;
	if (op == CONTROL_SETTLE || op == CONTROL_DROP)
		settle(slot, index);
	if (op == CONTROL_SETTLE)
		return 1;
	return slot_control(op, slot, index, ctx->args[3]);
}
