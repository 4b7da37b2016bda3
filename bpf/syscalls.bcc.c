// SPDX-License-Identifier: GPL-2.0
/*
 * Which system calls each target cgroup makes, for kernels that cannot load
 * syscalls.bpf.c: without BTF, or before 5.15. bcc compiles this with the
 * node's kernel headers, which decide what may be read: see structures_bcc.h.
 */
#include <uapi/linux/ptrace.h>
#include <uapi/linux/sched.h>

#define RECORDER_BCC
#include "recorder_bcc.h"
#include "syscall_abi.h"
#include "structures_bcc.h"

/* sched.h has it from 5.7 on; the argument of the event has it whatever the headers say. */
#define INTO_CGROUP 0x200000000ULL
/* How long a task may stay pending before it is a member: the migration takes microseconds. */
#define PENDING_NS 1000000000ULL

#include "slots.bcc.h"
#include "joiners.bcc.h"

int on_sys_enter(struct bpf_raw_tracepoint_args *ctx)
{
	u32 index = table_find(bpf_get_current_cgroup_id());
	struct byte_slot *slot = slots.lookup(&index);
	struct byte_state *all = totals();
	int compat, seen, phase;
	u32 bit;

	if (!index || !slot || !all)
		return 0;
	compat = is_compat_call((struct pt_regs *)ctx->args[0]);
	if (compat < 0) {
		count(&slot->abi_unknown);
		return 0;
	}
	bit = bit_of(compat, ctx->args[1]);
	if (bit >= BITMAP_BITS) {
		count(&slot->unknown_number);
		return 0;
	}
	seen = *byte_of(slot->workload, bit);
	/* The last execve of a joiner is told apart from others, see on_exec. */
	if (seen && (slot->joiners > 0 || all->unresolved > 0 || !slot->started))
		seen = *byte_of(slot->setup, bit) && !bit_is_exec(bit);
	if (seen)
		return 0;
	phase = phase_of(current_tgid(), index, slot, bit);
	if (phase)
		see(slot, index, bit, phase);
	return 0;
}

int on_exec(struct bpf_raw_tracepoint_args *ctx)
{
	u64 cgroup_id = bpf_get_current_cgroup_id();
	u32 tgid = current_tgid(), index = table_find(cgroup_id);
	struct byte_joiner *joiner = joiners.lookup(&tgid);
	struct byte_slot *slot = slots.lookup(&index);

	if (!joiner)
		return 0;
	if (!index || !slot) {
		if (joiner->state == JOINER_UNRESOLVED)
			joiner_forget(tgid);
		return 0;
	}
	joiner = joiner_resolve(tgid, index, slot);
	if (!joiner || !is_boundary(index, slot, joiner))
		return 0;
	if (joiner->state == JOINER_UNDECIDED)
		merge(tgid, slot->setup);
	/* The exec that starts the workload is the workload's; the registers show the new program. */
	if (joiner->exec_bit)
		see(slot, index, joiner->exec_bit - 1, PHASE_WORKLOAD);
	slot->mount_namespace = current_namespace();
	slot->started = 1;
	/*
	 * A unit's process is moved by its manager and moves itself as well: the
	 * second of these events may come after its exec, and is no new join.
	 */
	if (slot->mode == MODE_EXEC) {
		joiner->followed = cgroup_id != slot->cgroup_id;
		joiner->state = JOINER_CONFIRMED;
	} else {
		joiners.delete(&tgid);
	}
	held.delete(&tgid);
	__sync_fetch_and_add(&slot->joiners, -1);
	return 0;
}

/* Before the child has run. What parent and child are is not read: pid and flags tell enough. */
static __always_inline int forked(u32 pid, u64 flags)
{
	u32 tgid = current_tgid(), index;
	struct byte_joiner *parent;
	struct byte_slot *slot;

	if (flags & CLONE_THREAD)
		return 0;
	/* The end of who had that number before may not have been seen, see on_end. */
	joiner_forget(pid);
	parent = joiners.lookup(&tgid);
	if (flags & INTO_CGROUP) {
		/* No attach event will come. */
		joiner_unresolved(pid, parent);
		return 0;
	}
	if (!parent || parent->state == JOINER_UNRESOLVED)
		return 0;
	index = parent->slot;
	slot = slots.lookup(&index);
	if (!slot || slot->generation != parent->generation)
		return 0;
	if (parent->state == JOINER_SETUP)
		joiner_add(pid, index, slot, parent->reference);
	else if (parent->state == JOINER_CONFIRMED && parent->followed)
		remember_member(pid, index, slot);
	return 0;
}

/* Fires after the migration, in the task that wrote cgroup.procs. Targets are in the one v2 hierarchy: id 0. */
static __always_inline int attached(int hierarchy, u64 id, u32 tgid, u64 task)
{
	u32 index = table_find(id), reference;
	struct byte_slot *slot = slots.lookup(&index);

	if (hierarchy)
		return 0;
	if (!index || !slot) {
		joiner_forget(tgid);
		return 0;
	}
	/* Who moves itself may have left the namespace that it came from. */
	reference = current_tgid() == tgid ? slot->reference : current_namespace();
	if (!moves_within(index, slot, id, tgid, task, reference))
		joiner_add(tgid, index, slot, reference);
	return 0;
}

static __always_inline int made(int hierarchy, u64 id, const char *text)
{
	u32 index, mode, levels;
	struct cgroup_path *path;
	struct rule_list *list;
	struct owner *owner;
	u64 name[2] = {};

	if (hierarchy)
		return 0;
	path = path_of(text);
	if (!path)
		return 0;
	cut_name(path, name);
	owner = paths.lookup(path);
	if (!owner)
		return 0;
	if (owner->slot) {
		slot_adopt(id, owner->slot, text);
		return 0;
	}
	mode = owner->mode;
	levels = owner->levels;
	index = owner->rules;
	list = rules.lookup(&index);
	if (index && list) {
		levels = 0;
		for (int i = 0; i < ROOT_RULES && !levels; i++) {
			struct name_rule *rule = &list->rules[i];

			if ((name[0] & rule->mask[0]) != rule->prefix[0] ||
			    (name[1] & rule->mask[1]) != rule->prefix[1])
				continue;
			mode = rule->mode;
			levels = rule->levels;
		}
	}
	if (levels > 1)
		watch_below(id, mode, levels - 1, text);
	else if (levels)
		slot_take(id, mode, text);
	return 0;
}

/* A cgroup is removed only without tasks, so no call of its own races with this. */
static __always_inline int removed(int hierarchy, u64 id, const char *text)
{
	u32 index = table_find(id), was;
	struct byte_slot *slot = slots.lookup(&index);
	struct cgroup_path *path;

	if (hierarchy)
		return 0;
	path = path_of(text);
	if (path)
		paths.delete(path);
	if (!index || !slot)
		return 0;
	table.delete(&id);
	if (slot->cgroup_id != id) {
		__sync_fetch_and_add(&slot->children, -1);
		return 0;
	}
	slot->ended_ns = bpf_ktime_get_boot_ns();
	was = slot->state;
	slot->state = SLOT_ENDED;
	if (was == SLOT_ACTIVE)
		emit(id, index, EVENT_END, 0, 0);
	return 0;
}

#ifdef STRUCTURES

int on_fork(struct bpf_raw_tracepoint_args *ctx)
{
	return forked(pid_of(ctx->args[0]), ctx->args[1]);
}

int on_end(struct bpf_raw_tracepoint_args *ctx)
{
	if (threads_of(ctx->args[0]) == 0)
		joiner_forget(current_tgid());
	return 0;
}

int on_attach(struct bpf_raw_tracepoint_args *ctx)
{
	u64 cgroup = ctx->args[0], task = ctx->args[2];

	/* One thread of a process moves within a threaded subtree only: no join. */
	if (!(ctx->args[3] & 0xff))
		return 0;
	return attached(hierarchy_of(cgroup), id_of(cgroup), tgid_of(task), task);
}

int on_mkdir(struct bpf_raw_tracepoint_args *ctx)
{
	return made(hierarchy_of(ctx->args[0]), id_of(ctx->args[0]), (const char *)ctx->args[1]);
}

int on_rmdir(struct bpf_raw_tracepoint_args *ctx)
{
	return removed(hierarchy_of(ctx->args[0]), id_of(ctx->args[0]), (const char *)ctx->args[1]);
}

#else

/* bcc declares these from the running kernel's own description of its events. */

int on_fork(struct tracepoint__task__task_newtask *event)
{
	return forked(event->pid, event->clone_flags);
}

/*
 * When the kernel frees the leader, which stays until the other threads are
 * gone. That is in a softirq, and the kernel skips the run if it interrupts
 * some other use of BPF: the entry then stays, and counts at the end.
 */
int on_end(struct tracepoint__sched__sched_process_free *event)
{
	joiner_forget(event->pid);
	return 0;
}

int on_attach(struct tracepoint__cgroup__cgroup_attach_task *event)
{
	return attached(event->dst_root, event->dst_id, event->pid, 0);
}

int on_mkdir(struct tracepoint__cgroup__cgroup_mkdir *event)
{
	return made(event->root, event->id, (char *)event + (event->data_loc_path & 0xffff));
}

int on_rmdir(struct tracepoint__cgroup__cgroup_rmdir *event)
{
	return removed(event->root, event->id, (char *)event + (event->data_loc_path & 0xffff));
}

#endif
