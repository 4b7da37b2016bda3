/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Calls that a seccomp filter stopped. Filters run before sys_enter is raised, so
 * such a call never reaches it, but comes by at sys_exit, with the filter's errno,
 * or with a SIGSYS that waits for the task. What failed so and was never seen at
 * sys_enter, of nobody in the target in that phase, was stopped. A thread
 * that a filter ends alone (KILL_THREAD) has no sys_exit; its end shows it.
 */
#ifndef DENIED_CALLS_BPF_H
#define DENIED_CALLS_BPF_H

#include <linux/errno.h>
#include "maps.bpf.h"

/* 1: calls that filters stopped are wanted; set before the load, so that else nothing of it is left. */
const volatile __u32 with_denials = 0;

/* By slot, as the slots are. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct denials);
} denials SEC(".maps");

/*
 * Threads of which it is known that what they end now they also began in the target,
 * by generation and pid. One that is forgotten has one more call left out.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, __u32);
} settled SEC(".maps");

/* include/uapi/linux/seccomp.h */
#define SECCOMP_MODE_FILTER 2
/* kernel/seccomp.c, since 5.17: of a task that was told to end by seccomp, and of no other one with it */
#define SECCOMP_MODE_DEAD 3
#define SIGSYS 31
#define MAX_ERRNO 4095
/* include/linux/errno.h: the call begins anew, as one does whose supervisor was interrupted. */
#define ERESTARTSYS 512
#define ERESTART_RESTARTBLOCK 516

/*
 * Of a target that had tasks before: how long after its begin a new thread may have
 * been in a call of which nobody knew, while the children of the cgroup were entered.
 */
#define BEGINNING_NS 1000000000ULL

static __always_inline void denials_clear(__u32 index)
{
	struct denials *denied;

	if (!with_denials)
		return;
	denied = bpf_map_lookup_elem(&denials, &index);
	if (!denied)
		return;
	for (int word = 0; word < BITMAP_WORDS; word++) {
		denied->workload[word] = 0;
		denied->setup[word] = 0;
	}
}

static __always_inline int is_filtered(struct task_struct *task)
{
	return task->seccomp.mode >= SECCOMP_MODE_FILTER;
}

/* May a call that ends so have been stopped? Not if it succeeds: a supervisor can let it seem so. */
static __always_inline int may_be_denied(struct task_struct *task, long result)
{
	if (task->pending.signal.sig[0] & (1UL << (SIGSYS - 1)))
		return 1;
	if (result >= 0 || result < -MAX_ERRNO)
		return 0;
	return result > -ERESTARTSYS || result < -ERESTART_RESTARTBLOCK;
}

/* The first call that a thread ends may have begun before it was in the target, or the target was. */
static __noinline int is_settled(__u32 generation, __u32 pid)
{
	__u64 key = (__u64)generation << 32 | pid;
	__u32 one = 1;

	if (bpf_map_lookup_elem(&settled, &key))
		return 1;
	bpf_map_update_elem(&settled, &key, &one, BPF_ANY);
	return 0;
}

/* The thread may have been there before the target was. */
static __always_inline int may_be_older(struct task_struct *task, struct slot *slot)
{
	return slot->late && task->start_boottime < slot->begun_ns + BEGINNING_NS;
}

/* Not who ends because a filter ended its process: the call that it was in may be one that nobody saw begin. */
static __always_inline int is_killed_by_filter(struct task_struct *task)
{
	return (task->exit_code & 0x7f) == SIGSYS && task->seccomp.mode == SECCOMP_MODE_DEAD;
}

/*
 * Unless somebody was let through with it: of the workload in the workload, since a runtime
 * calls much before it loads the filter; of either while it is set up.
 */
static __always_inline int deny(struct slot *slot, __u32 bit, enum phase phase)
{
	__u32 index = slot->index;
	struct denials *denied = bpf_map_lookup_elem(&denials, &index);
	__u32 word = bit / 64;
	__u64 mask = 1ULL << (bit % 64);
	__u64 *bits;
	__u64 passed;

	if (!denied)
		return 0;
	/* Checked where it is used: 6.1 forgets the range of 32 bits that wait on the stack meanwhile. */
	barrier_var(word);
	if (word >= BITMAP_WORDS)
		return 0;
	passed = slot->workload[word];
	if (phase == PHASE_SETUP)
		passed |= slot->setup[word];
	if (passed & mask)
		return 0;
	bits = phase == PHASE_SETUP ? &denied->setup[word] : &denied->workload[word];
	if (!(__sync_fetch_and_or(bits, mask) & mask))
		emit(slot->cgroup_id, index, EVENT_DENIED, bit, phase);
	return 0;
}

/* include/trace/events/syscalls.h */
struct sys_exit_record {
	__u64 head;
	long number;
	long result;
};

#endif
