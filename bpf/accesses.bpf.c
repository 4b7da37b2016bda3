// SPDX-License-Identifier: GPL-2.0
/*
 * What containers use: files, sockets, signals, mounts, capabilities. Beside the
 * recorder of calls (syscalls.bpf.c), whose maps say which tasks are a target's and
 * in which phase they are. Attached where it is asked for only.
 *
 * All hooks are fentry programs on security_*(): the kernel calls these functions
 * whatever security modules are active and in whatever order, where programs of the
 * bpf module see only what those before it allowed, if it is active at all. Both kinds
 * attach by the same trampolines, so no kernel has the one alone.
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "kernel_types.h"
#include "recorder.h"
#include "access_types.h"
#include "recorder_accesses.h"
#include "membership.bpf.h"
#include "access_scratch.bpf.h"
#include "access_table.bpf.h"
#include "access_phase.bpf.h"
#include "access_release.bpf.h"
#include "access_paths.bpf.h"

char LICENSE[] SEC("license") = "GPL";

/* Puts into the object's BTF what no map mentions, for the check at load. */
const enum file_right *const shared_file_right = 0;
const enum socket_right *const shared_socket_right = 0;
const enum signal_right *const shared_signal_right = 0;
const enum ptrace_right *const shared_ptrace_right = 0;
const enum capability_right *const shared_capability_right = 0;
const enum io_uring_right *const shared_io_uring_right = 0;
const enum mount_step *const shared_mount_step = 0;
const enum access_flag *const shared_flag = 0;
const enum access_text *const shared_text = 0;
const enum access_op *const shared_op = 0;

/* What is in the scratch has no entry. */
static __always_inline void refuse(struct scratch *s)
{
	struct access_owner *owner = owner_of(s->slot, s->process.generation);
	struct access_counters *all = totals();

	if (owner)
		count(&owner->refused);
	if (all)
		count(&all->refused);
}

/* What is in the scratch, into the table. */
static __noinline int keep(__u32 which, __u32 rights)
{
	struct scratch *s = scratch_at(which);
	struct place place = {};
	struct access *access;
	struct slot *slot;
	__u32 *found, index;
	int standing;

	if (!s)
		return 0;
	slot = slot_at(s->slot);
	if (!slot)
		return 0;
	begin_hash(s->access.hash);
	if (s->beginning[TEXT_PATH].entry)
		walk(which, TEXT_PATH);
	if (s->beginning[TEXT_TARGET].entry)
		walk(which, TEXT_TARGET);
	mix_text(which, TEXT_PATH);
	mix_text(which, TEXT_TARGET);
	/* An abstract address may end with NULs. */
	mix(s->access.hash, s->access.length[TEXT_PATH] | (__u64)s->access.length[TEXT_TARGET] << 32);
	/* Not by a pointer to it: the compiler would keep the words in registers. */
	for (__u32 word = 0; word < sizeof(struct access_what) / 8; word++)
		mix(s->access.hash, ((__u64 *)&s->access.what)[word]);
	for (__u32 word = 0; word < WORD_MOST / 8; word++) {
		if (word > s->access.length[TEXT_WORD] >> 3)
			break;
		mix(s->access.hash, ((__u64 *)s->word)[word]);
	}
	place_of(&s->access, &place, s->slot, s->process.generation);
	found = bpf_map_lookup_elem(&places, &place);
	if (found && slot->joiners <= 0 && slot->started) {
		access = access_at(*found);
		if (access && (access->workload & rights) == rights)
			return 0;
	}
	standing = standing_of(which);
	if (standing == STANDING_OPEN) {
		s->access.what.start = s->process.start;
		s->access.what.tgid = s->process.tgid;
		place_of(&s->access, &place, s->slot, s->process.generation);
		found = bpf_map_lookup_elem(&places, &place);
	}
	index = found ? *found + 1 : enter(which, &place);
	access = index ? access_at(index - 1) : NULL;
	if (!access) {
		refuse(s);
		return 0;
	}
	add_rights(owner_at(s->slot), access,
		   standing == STANDING_WORKLOAD ? &access->workload : &access->setup, rights);
	if (standing != STANDING_WORKLOAD && !s->another)
		used_in_execution(s->slot, s->process.generation, index - 1, rights);
	return 0;
}

static __always_inline void give_back(struct scratch *s)
{
	__sync_lock_test_and_set(&s->busy, 0);
}

/* 1 + a scratch for something that the current task of a target uses; 0: it is of none, or nobody asks. */
__noinline int begin_for(__u32 kind, __u32 index)
{
	struct access_counters *all = totals();
	struct access_owner *owner = owner_at(index);
	struct access_what nothing = {};
	struct slot *slot = slot_at(index);
	__u32 generation;

	if (!all || !owner || !slot)
		return 0;
	generation = slot->generation;
	if (owner->dropped == generation)
		return 0;
	for (__u32 which = 0; which < SCRATCHES; which++) {
		struct scratch *s = scratch_at(which);

		if (!s || __sync_lock_test_and_set(&s->busy, 1))
			continue;
		s->slot = index;
		s->process.generation = generation;
		/* Afterwards: who drops the target looks then which runs have it. */
		if (*(volatile __u32 *)&owner->dropped == generation) {
			give_back(s);
			return 0;
		}
		take_process(&s->process, (void *)bpf_get_current_task_btf());
		s->another = NULL;
		s->access.what = nothing;
		s->access.what.kind = kind;
		s->access.outcome = 0;
		s->access.length[TEXT_PATH] = s->access.length[TEXT_TARGET] = 0;
		s->access.length[TEXT_WORD] = 0;
		s->start[TEXT_PATH] = s->start[TEXT_TARGET] = 0;
		s->beginning[TEXT_PATH].entry = s->beginning[TEXT_TARGET].entry = NULL;
		return which + 1;
	}
	count(&all->busy);
	return 0;
}

static __always_inline __u32 my_slot(void)
{
	struct task_struct *task = bpf_get_current_task_btf();

	return table_find(task->cgroups->dfl_cgrp->kn->id);
}

static __always_inline __u32 begin(enum access_kind kind)
{
	__u32 index = my_slot();

	return index ? begin_for(kind, index) : 0;
}

/* Global: verified once. rights 0: nothing is kept. */
__noinline int end(__u32 which, __u32 rights)
{
	struct scratch *s = scratch_at(which);

	if (!s)
		return 0;
	if (rights)
		keep(which, rights);
	give_back(s);
	return 0;
}

/*
 * A program, and the same again: two of them. The kernel skips a run while the same program is under
 * way on that processor. Where programs can be preempted (Linux 7), who was preempted in one would so
 * hide what others do meanwhile; the second of the two sees that, and counts itself as a substitute. It
 * is not loaded elsewhere.
 */
#define HOOK(place, name, args...)								\
enum { hook_##name = __COUNTER__ };								\
_Static_assert(hook_##name < HOOKS_MOST, "hooks");						\
static __always_inline int body_of_##name(unsigned long long *ctx, ##args);			\
SEC(place) int name(unsigned long long *ctx)							\
{												\
	int result;										\
												\
	enter_hook(hook_##name, 1);								\
	_Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wint-conversion\"")	\
	result = body_of_##name(___bpf_ctx_cast(args));						\
	_Pragma("GCC diagnostic pop")								\
	enter_hook(hook_##name, -1);								\
	return result;										\
}												\
SEC(place) int name##_again(unsigned long long *ctx)						\
{												\
	note_substitute(hook_##name);								\
	_Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wint-conversion\"")	\
	return body_of_##name(___bpf_ctx_cast(args));						\
	_Pragma("GCC diagnostic pop")								\
}												\
static __always_inline int body_of_##name(unsigned long long *ctx, ##args)

/* How many tasks are in a program's body on this processor: one, or none. */
static __always_inline void enter_hook(__u32 hook, int change)
{
	__s64 *inside = twice ? bpf_map_lookup_elem(&under_way, &hook) : NULL;

	if (inside)
		*(volatile __s64 *)inside += change;
}

static __always_inline void note_substitute(__u32 hook)
{
	__s64 *inside = bpf_map_lookup_elem(&under_way, &hook);
	struct access_counters *all = totals();

	if (all && inside && *(volatile __s64 *)inside)
		count(&all->substituted);
}

#include "access_files.bpf.h"
#include "access_sockets.bpf.h"
#include "access_tasks.bpf.h"
#include "access_mounts.bpf.h"

/*
 * Never attached: user space runs it with BPF_PROG_TEST_RUN. All that changes an element
 * of a map goes through it, since a call of bpf(2) on an element keeps programs from running.
 */
SEC("raw_tp/sys_enter")
int control(struct bpf_raw_tracepoint_args *ctx)
{
	return obey(ctx->args[0], ctx->args[1], ctx->args[2], ctx->args[3]);
}
