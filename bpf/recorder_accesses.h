/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * What the object that watches accesses shares with user space. Mirrored in
 * recorder/kernel/accesses_layout.py, which is compared with the object's BTF at load.
 */
#ifndef RECORDER_ACCESSES_H
#define RECORDER_ACCESSES_H

#define ACCESS_COMM 16
#define LINE_LENGTH 64
#define CHUNK_LINES 64 /* which one target gets at a time: a path of PATH_MAX fits */
#define EXECUTION_FILES 16
#define ACCESSES_LAYOUT 1 /* of what is pinned: one more with each change of this file */

enum access_kind {
	ACCESS_FILE = 1,
	ACCESS_SOCKET = 2,
	ACCESS_UNIX = 3,
	ACCESS_SIGNAL = 4,
	ACCESS_PTRACE = 5,
	ACCESS_MOUNT = 6,
	ACCESS_CAPABILITY = 7,
	ACCESS_USER_NAMESPACE = 8,
	ACCESS_IO_URING = 9,
	ACCESS_QUEUE = 10,
};

enum access_state {
	ACCESS_FREE = 0,
	ACCESS_READY = 1, /* all but its rights stays as it is from now on */
	ACCESS_MERGED = 2, /* another has its rights, and it is to be given back */
};

/* What user space asks of the control program; of a target by slot and generation. */
enum access_op {
	ACCESS_OPEN = 1,    /* once, after the load: id of the map of slots */
	ACCESS_DROP = 2,    /* target: nothing of it is taken any more */
	ACCESS_RELEASE = 3, /* target that was dropped before all runs that are under way: gives all back */
	ACCESS_WATCH = 4,   /* target that was dropped, again */
	ACCESS_DECIDE = 5,  /* target, CLOCK_BOOTTIME: of whose phase was open before that: what is known by now */
	/* One after the other, with a wait for all runs before each of the last two: how many. */
	ACCESS_MARK = 6,    /* target: processes whose phase is known by now */
	ACCESS_SETTLE = 7,  /* target: their entries are those of everybody */
	ACCESS_TIDY = 8,    /* target: what that has left over is given back */
	ACCESS_RUNS = 9,    /* target: how many runs are under way that may have an entry of it */
};

/* Bits of `rights`; for each kind its own. */
enum file_right {
	FILE_READ = 0x1,
	FILE_WRITE = 0x2,
	FILE_APPEND = 0x4,
	FILE_CREATE = 0x8,
	FILE_RENAME = 0x10, /* the old name; the target is the new one */
	FILE_LINK = 0x20,   /* the new name; the target is the old one */
	FILE_TRUNCATE = 0x40,
	FILE_CHMOD = 0x80,
	FILE_CHOWN = 0x100,
	FILE_REMOVE = 0x200,
	FILE_EXEC = 0x400,
	FILE_MMAP_EXEC = 0x800,
	FILE_LOCK = 0x1000,
};

enum socket_right {
	SOCKET_CREATE = 0x1,
	SOCKET_BIND = 0x2,
	SOCKET_LISTEN = 0x4,
	SOCKET_ACCEPT = 0x8,
	SOCKET_CONNECT = 0x10,
	SOCKET_SEND = 0x20,
	SOCKET_RECEIVE = 0x40,
};

enum signal_right {
	SIGNAL_SEND = 0x1,
	SIGNAL_RECEIVE = 0x2,
};

enum ptrace_right {
	PTRACE_READ = 0x1,
	PTRACE_TRACE = 0x2,
	PTRACE_READ_BY = 0x4,
	PTRACE_TRACED_BY = 0x8,
};

enum capability_right {
	CAPABILITY_GRANTED = 0x1,
	CAPABILITY_REFUSED = 0x2,
};

enum io_uring_right {
	IO_URING_SETUP = 0x1,
	IO_URING_SQPOLL = 0x2,
	IO_URING_OVERRIDE_CREDS = 0x4,
	IO_URING_COMMAND = 0x8,
};

enum mount_step {
	STEP_MOUNT = 1,
	STEP_REMOUNT = 2,
	STEP_BIND = 3,
	STEP_MOVE = 4,
	STEP_PROPAGATION = 5,
	STEP_UMOUNT = 6,
	STEP_PIVOT_ROOT = 7,
};

enum access_peer {
	PEER_NONE = 0, /* it has none, or it is not known */
	PEER_INSIDE = 1, /* of the same target */
	PEER_OUTSIDE = 2,
};

enum access_flag {
	ACCESS_UNREADABLE = 1,  /* a text could not be read */
	ACCESS_CUT = 2,         /* a path of more components than are followed, or too long: its end is there */
	ACCESS_DELETED = 4,     /* the file had no name any more: the path is its last one */
	ACCESS_ANONYMOUS = 8,   /* it is in no file system that can be mounted: a memfd, a pipe */
	ACCESS_DISCONNECTED = 16, /* on a mount that is in no tree: the path begins there */
};

enum access_text {
	TEXT_PATH = 0,
	TEXT_TARGET = 1,
	TEXT_WORD = 2, /* the type of a file system */
	ACCESS_TEXTS = 3,
};

/* Which access it is, beside its texts: the same everywhere is the same entry. */
struct access_what {
	enum access_kind kind;
	__u32 object;   /* file: S_IFMT as 4 bits; socket: family; signal, capability: number; mount: step */
	__u32 type;     /* of a socket */
	__u32 protocol;
	enum access_peer peer;
	__u32 flags;
	__u64 number;   /* flags of a mount */
	__u64 start;    /* while its phase is open: its task's beginning, CLOCK_BOOTTIME */
	__u32 tgid;     /* and process; else 0 */
	__u32 padding;
};

struct access {
	struct access_what what;
	__u64 hash[2];  /* of what it is, without start and tgid */
	__u64 first_ns; /* CLOCK_BOOTTIME */
	__u64 stamp;    /* the owner's `changes` when it was new, or got a right last */
	__u32 slot;
	__u32 generation;
	__u32 setup;    /* rights; where the phase is open, these are of whatever it becomes */
	__u32 workload;
	enum access_state state;
	__u32 outcome;  /* where the phase is open: its place in `outcomes` */
	__u32 line[ACCESS_TEXTS]; /* where each text begins, in lines */
	__u32 length[ACCESS_TEXTS];
	char comm[ACCESS_COMM];
};

struct access_line {
	char text[LINE_LENGTH];
};

/* Whose a chunk of lines is; generation 0: nobody's. */
struct access_chunk {
	__u32 slot;
	__u32 generation;
};

/* What a process turned out to be that came in while nobody knew. */
enum access_outcome {
	OUTCOME_OPEN = 0, /* counts as workload in the end */
	OUTCOME_SETUP = 1,
	OUTCOME_WORKLOAD = 2,
};

enum access_mark {
	MARK_NONE = 0,
	MARK_SETTLING = 1, /* it was decided before, so that none of its entries is new */
	MARK_SETTLED = 2,  /* no entry has it any more */
};

/* Such a process in one target; generation 0: none. */
struct access_process {
	__u64 start;    /* CLOCK_BOOTTIME */
	__u64 since_ns; /* of its first access, CLOCK_BOOTTIME */
	__u32 tgid;
	__u32 generation;
	enum access_outcome outcome;
	enum access_mark mark;
};

/* Of a slot; all but changes is begun anew with the slot's next generation. */
struct access_owner {
	__u32 generation;
	__u32 dropped; /* the generation of which nothing is taken */
	__u32 used;    /* entries */
	__u32 chunks;
	__u64 position; /* generation << 32 | where the next text begins; at the border of a chunk: in a new one */
	__u64 changes;  /* grows before an entry is stamped with it */
	__u64 stamped;  /* grows afterwards: equal, if no entry is about to be stamped */
	__u64 refused;  /* accesses that have no entry */
	__u64 executions_full; /* files of an exec that started the workload, and are missing in it */
	__u64 undecided_full;  /* accesses of processes whose phase is open that count as workload for that */
	__u32 open; /* processes whose phase is open */
	__u32 padding;
};

struct access_counters {
	__u32 layout;
	__u32 per_target; /* a bound that no map's size shows */
	__u32 slots;      /* id of the map that tells whose a task is */
	__u32 used;       /* entries from 0 on that ever were in use */
	__u32 chunks;     /* likewise */
	__u32 outcomes;   /* likewise; the first is none */
	__u32 entries_taken; /* now */
	__u32 chunks_taken;
	__u64 refused;    /* accesses of all targets */
	__u64 lines_full; /* of them for want of lines */
	__u64 busy;       /* runs without a place to work in */
	__u64 substituted; /* runs of a second program for a first that was skipped */
};

_Static_assert(sizeof(struct access_what) == 48, "access_what");
_Static_assert(sizeof(struct access) == 48 + 32 + 24 + 24 + ACCESS_COMM, "access");
_Static_assert(sizeof(struct access_line) == LINE_LENGTH, "access_line");
_Static_assert(sizeof(struct access_chunk) == 8, "access_chunk");
_Static_assert(sizeof(struct access_process) == 32, "access_process");
_Static_assert(sizeof(struct access_owner) == 72, "access_owner");
_Static_assert(sizeof(struct access_counters) == 64, "access_counters");

#endif
