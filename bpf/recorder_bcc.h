/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * What the kernel side by bcc and user space share, beside recorder.h.
 * recorder/kernel/bcc_layout.py mirrors every struct here and compares sizes
 * and offsets whenever bcc compiles.
 *
 * A byte for each call instead of a bit: kernels before 5.12 have no atomic
 * operation that gives the old value, and storing 1 needs none.
 */
#ifndef RECORDER_BCC_H
#define RECORDER_BCC_H

#include "recorder.h"

#define ROW_BYTES 2048 /* the power of 2 that holds BITMAP_BITS; the last byte is no call's */
#define PATH_BYTES 512

/* As struct slot; its ledger is counted by the kernel side. */
struct byte_slot {
	__u64 cgroup_id;
	__u64 begun_ns; /* CLOCK_BOOTTIME; also the record's epoch */
	__u64 ended_ns;
	__u32 generation; /* never used twice for this slot in one load */
	__u32 state;
	__u32 mode;
	__u32 started;
	__s64 joiners; /* tasks in set-up now */
	__s64 children;
	__u32 mount_namespace;
	__u32 reference;
	/* ledger */
	__u64 unknown_number;
	__u64 joiners_full;
	__u64 children_full;
	__u64 table_full;
	__u64 joiner_without_exec;
	__u64 abi_unknown;
	/* by user space alone: children that were there before the target */
	__u32 adopted;
	__u32 not_adopted;
	__u32 no_place;
	__u32 late;
	__u64 settled; /* how often a task that waited became a joiner or a member */
	/* what was seen */
	__u8 workload[ROW_BYTES];
	__u8 setup[ROW_BYTES];
	char path[PATH_LENGTH]; /* as in struct slot */
};

/*
 * Which slot a cgroup counts for. The id again, and first: an element may be
 * used for another id while a program looks at it; who reads slot before id
 * and finds its own id has its own slot.
 */
struct place {
	__u64 id;
	__u32 slot;
	__u32 padding;
};

/* A cgroup by its path, padded with zeros: events name a new cgroup's parent by no other means. */
struct cgroup_path {
	char text[PATH_BYTES];
};

/*
 * Who owns new cgroups below a path: a slot; if that is 0, they are watched, by
 * the rules at that index if it is not 0, else by mode and levels.
 */
struct owner {
	__u64 id; /* of a watched cgroup; 0: it is not watched */
	__u32 slot;
	__u32 rules;
	__u32 mode;
	__u32 levels;
};

/* As struct rule. Of a name's first bytes, as words: which bits matter, and what they are. */
struct name_rule {
	__u32 mode;
	__u32 levels;
	__u64 mask[PREFIX_LENGTH / 8];
	__u64 prefix[PREFIX_LENGTH / 8];
};

struct rule_list {
	struct name_rule rules[ROOT_RULES];
};

/* A thread group that came into a target from outside; key: tgid. */
struct byte_joiner {
	__u32 slot; /* while unresolved: that of who made it, 0: none */
	__u32 generation;
	__u32 state; /* enum joiner_state, or JOINER_UNRESOLVED */
	__u32 reference;
	__u64 since_ns; /* CLOCK_MONOTONIC */
	__u32 exec_bit; /* 1 + number of the last execve(at) it entered; 0: none */
	__u32 from_setup;
	__u32 followed; /* what it forks is remembered as well */
	__u32 padding;
};

/* Made in a cgroup that the fork event does not name: its own first call or exec shows where it is. */
#define JOINER_UNRESOLVED 5

/* The calls of a joiner while it is undecided or pending; key: tgid. */
struct held {
	__u64 stores;
	__u8 seen[ROW_BYTES];
};

/* Of the whole program. */
struct byte_state {
	__u32 layout;
	__u32 max_children;
	__s64 unresolved;
	__u64 slots_full;
	__u64 table_full;
	__u64 joiners_full; /* of tasks whose target was not known yet */
	__u64 ring_full;
	__u64 roots_full;
};

#define RECORDER_BCC_LAYOUT 1002

#endif
