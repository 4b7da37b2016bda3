/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * What the kernel side and user space share. recorder/kernel/layout.py mirrors
 * every struct and enum here and compares them with the object's BTF at load.
 */
#ifndef RECORDER_H
#define RECORDER_H

/*
 * Numbers by ABI, one bitmap after the other. x32 has calls of its own at
 * 512 to 547 (arch/x86/entry/syscalls/syscall_64.tbl), so its map is longer.
 */
enum bitmap_layout {
	NATIVE_FIRST = 0,
	COMPAT_FIRST = 512,
	X32_FIRST = 1024,
	BITMAP_BITS = 1600,
};

#define BITMAP_WORDS (BITMAP_BITS / 64)
#define COMM_LENGTH 16
#define PATH_LENGTH 256
#define PREFIX_LENGTH 16
#define ROOT_RULES 8
#define SET_WAYS 4
#define EXCHANGE_JOINERS 16

enum phase {
	PHASE_SETUP = 1,
	PHASE_WORKLOAD = 2,
};

/* How a slot tells set-up from workload. */
enum slot_mode {
	MODE_EXEC = 1,      /* a joiner's set-up ends with its first exec */
	MODE_CONTAINER = 2, /* ... with its first exec inside the container */
};

enum slot_state {
	SLOT_FREE = 0,
	SLOT_ACTIVE = 1,
	SLOT_ENDED = 2, /* its cgroup is gone; the bits wait for the reader */
};

/* What is recorded of one target, its child cgroups included. */
struct slot {
	__u64 cgroup_id;
	__u64 begun_ns; /* CLOCK_BOOTTIME; also the record's epoch */
	__u64 ended_ns;
	__u32 generation; /* of all slots, never used twice in one load */
	enum slot_state state;
	enum slot_mode mode;
	__u32 started; /* a boundary was seen: there is a workload */
	__s32 joiners; /* tasks in set-up now */
	__u32 mount_namespace; /* of the workload; 0: not known */
	__u32 children;
	__u32 reference; /* mount namespace of who made the slot, or brought the last joiner in */
	__u32 index;     /* its own, in the array of slots */
	__u32 late;      /* it may have had tasks before it had the slot */
	/* ledger */
	__u64 unknown_number;
	__u64 joiners_full;
	__u64 children_full;
	__u64 table_full;
	__u64 joiner_without_exec;
	/* what was seen */
	__u64 workload[BITMAP_WORDS];
	__u64 setup[BITMAP_WORDS];
	/*
	 * Of a cgroup that got its slot when it was made: who asks may come when it
	 * is gone. Empty for others; one that fills the field to the end was cut.
	 */
	char path[PATH_LENGTH];
};

/*
 * The calls of a slot that a seccomp filter stopped: whatever number is in the
 * slot's own bitmaps as well was let through at another time, and is none of them.
 */
struct denials {
	__u64 workload[BITMAP_WORDS];
	__u64 setup[BITMAP_WORDS];
};

/* One set of the table that finds a slot by cgroup id: one cache line. */
struct set {
	__u64 id[SET_WAYS];
	__u32 slot[SET_WAYS];
	__u32 overflowed; /* how many of its ids are in the hash map behind */
	__u32 padding[3];
};

enum joiner_state {
	JOINER_SETUP = 1,     /* its calls are set-up */
	JOINER_UNDECIDED = 2, /* mode exec: set-up if it execs, else workload */
	JOINER_PENDING = 3,   /* may be a joiner whose attach event is still to come */
	JOINER_CONFIRMED = 4, /* was pending; is a member after all */
};

/* A thread group that came into a target from outside; key: tgid. */
struct joiner {
	__u32 slot;
	__u32 generation;
	enum joiner_state state;
	__u32 reference; /* mount namespace of who brought it in */
	__u64 since_ns;  /* CLOCK_MONOTONIC */
	__u32 exec_bit;  /* 1 + bit of the last execve(at) it entered; 0: none */
	__u32 padding;
	__u64 bits[BITMAP_WORDS]; /* while undecided or pending */
};

enum event_kind {
	EVENT_FIRST_SIGHT = 1,
	EVENT_BEGIN = 2, /* the kernel gave a new cgroup a slot */
	EVENT_END = 3,   /* the target's cgroup was removed */
	EVENT_WATCH = 4, /* a new cgroup is watched, since its parent is, for more than one level */
	EVENT_DENIED = 5, /* a first sight of a call that a filter stopped */
};

struct event {
	__u64 time_ns; /* CLOCK_BOOTTIME */
	__u64 cgroup_id;
	__u32 slot;
	__u32 generation;
	enum event_kind kind;
	__u16 bit; /* in the bitmaps */
	__u16 phase;
	char comm[COMM_LENGTH];
};

/* Of the whole object. */
struct counters {
	__u32 layout; /* RECORDER_LAYOUT of who made the maps */
	__u32 generation;
	__u64 slots_full;
	__u64 table_full;
	__u64 joiners_full;
	__u64 ring_full;
	__u64 boundaries;
	__u64 roots_full;
	__u32 max_children; /* a bound that no map's size shows */
	/* Entries of joiners: a walk over them that a removal overlaps is made again. */
	__u32 removals_begun;
	__u32 removals_ended;
	__u32 padding;
};

/*
 * What becomes of a watched root's new children whose names begin so: at this
 * level below the root a cgroup gets a slot of this mode; those on the way to
 * it are watched as well.
 */
struct rule {
	enum slot_mode mode;
	__u32 levels; /* 1: the children themselves; 0: no rule, and none after it */
	char prefix[PREFIX_LENGTH];
};

/* The first rule that fits counts; a child that none fits is left alone. */
struct root {
	struct rule rules[ROOT_RULES];
};

/*
 * What user space hands to the control program and gets from it, beside numbers;
 * one who asks at a time. Not by bpf(2): while a task is in a call on an element of
 * a map, Linux skips the programs of classic tracepoints on its CPU, and where
 * preemption is on, those of other tasks too.
 */
struct exchange {
	struct root root; /* of CONTROL_WATCH */
	__u32 found;      /* by CONTROL_JOINERS */
	__u32 padding;
	struct joiner joiners[EXCHANGE_JOINERS];
};

enum control_op {
	CONTROL_ADD = 1,     /* cgroup id, mode, late, mount namespace -> slot */
	CONTROL_ADOPT = 2,   /* slot, generation, cgroup id: a child that was there before */
	CONTROL_DROP = 3,    /* slot, generation: no new calls count for it */
	CONTROL_RELEASE = 4, /* slot, generation: it was read, and may be used again */
	CONTROL_SEE = 5,     /* slot, generation, bit: a call that was in flight */
	CONTROL_SETTLE = 6,  /* slot, generation: all that the process had started is followed */
	CONTROL_OPEN = 7,    /* once, after the load: all slots may be used */
	CONTROL_WATCH = 8,   /* cgroup id: as the exchange's root says; 0 or a negative errno */
	CONTROL_UNWATCH = 9, /* cgroup id */
	/*
	 * slot, generation, mask, rest: its joiners whose phase is open, and whose tgid
	 * under the mask is the rest, into the exchange; how many, -E2BIG if there are
	 * more than fit, -EAGAIN if one was removed meanwhile.
	 */
	CONTROL_JOINERS = 10,
};

/* First change of any struct or enum above: one more. */
#define RECORDER_LAYOUT 4

_Static_assert(sizeof(struct slot) == 104 + 2 * 8 * BITMAP_WORDS + PATH_LENGTH, "slot");
_Static_assert(sizeof(struct denials) == 2 * 8 * BITMAP_WORDS, "denials");
_Static_assert(sizeof(struct set) == 64, "set: one cache line");
_Static_assert(sizeof(struct joiner) == 32 + 8 * BITMAP_WORDS, "joiner");
_Static_assert(sizeof(struct event) == 48, "event");
_Static_assert(sizeof(struct counters) == 72, "counters");
_Static_assert(sizeof(struct root) == ROOT_RULES * (8 + PREFIX_LENGTH), "root");
_Static_assert(sizeof(struct exchange) <= 4096, "exchange: one page is mapped");

#endif
