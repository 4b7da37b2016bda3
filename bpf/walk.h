/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * How user space and the object that follows processes speak: a walk over all
 * tasks does one thing, and leaves here what it found. Mirrored like recorder.h,
 * in recorder/kernel/layout.py.
 */
#ifndef WALK_H
#define WALK_H

enum walk_op {
	WALK_BEGIN = 1, /* pid, as the walker's pid namespace has it: a slot for that process */
	WALK_ADOPT = 2, /* slot: children of who is followed are followed as well */
	WALK_LIST = 3,  /* slot: the pids of who is followed are written to the reader */
};

enum walk_result {
	WALK_NOT_FOUND = 0, /* no such process, or it has ended */
	WALK_DONE = 1,
	WALK_KERNEL_THREAD = 2,
	WALK_FOLLOWED = 3, /* it is in another target already */
	WALK_REFUSED = 4,  /* no slot, or no place: the counters say which */
};

struct walk {
	enum walk_op op;
	__u32 pid;
	__u32 slot;
	enum walk_result result;
	__u32 found;     /* followed from this walk on */
	__u32 elsewhere; /* children that belong to another target */
	__u32 open;      /* slots whose descendants are being looked for */
	__u32 padding;
};

_Static_assert(sizeof(struct walk) == 32, "walk");

#endif
