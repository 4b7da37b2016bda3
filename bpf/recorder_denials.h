/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * What the object that watches denials shares with user space. Mirrored in
 * recorder/kernel/denials_layout.py, which is compared with the object's BTF at load.
 */
#ifndef RECORDER_DENIALS_H
#define RECORDER_DENIALS_H

#define DENIAL_COMM 16
#define DENIALS_LAYOUT 1 /* of what is pinned: one more with each change of this file */

enum denial_module {
	MODULE_APPARMOR = 1,
	MODULE_SELINUX = 2,
};

enum denial_state {
	DENIAL_FREE = 0,
	DENIAL_READY = 1, /* all but count and last sight stays as it is from now on */
};

/* What user space asks of the control program. */
enum denial_op {
	DENIAL_OPEN = 1,      /* once, after the load */
	DENIAL_WATCH = 2,     /* cgroup id, owner_scope */
	DENIAL_DROP = 3,      /* cgroup id: nothing of it is taken any more */
	DENIAL_GIVE_BACK = 4, /* index of an entry whose owner was dropped */
	DENIAL_FORGET = 5,    /* cgroup id that was dropped, and has no entries any more */
};

enum owner_state {
	OWNER_FREE = 0,
	OWNER_WATCHED = 1,
	OWNER_DROPPED = 2,
};

/* What a cgroup that is watched stands for; of several that a task is in, the nearest counts. */
enum owner_scope {
	SCOPE_OWN = 0,   /* made by the kernel side, for a denial below one that is SCOPE_EACH */
	SCOPE_WHOLE = 1, /* all that is below has its entries here */
	SCOPE_EACH = 2,  /* each cgroup below has entries of its own */
};

/* AppArmor's own types (security/apparmor/include/audit.h), and what is not of it. */
enum denial_kind {
	KIND_AUDIT = 0,
	KIND_ALLOWED = 1, /* complain mode; SELinux: permissive */
	KIND_DENIED = 2,
	KIND_HINT = 3,
	KIND_STATUS = 4,
	KIND_ERROR = 5,
	KIND_KILL = 6,
	KIND_GRANTED = 100, /* SELinux: an auditallow rule */
	KIND_REST = 101,    /* further ones of a cgroup that has all the entries it may have */
};

enum denial_flag {
	FLAG_UNREADABLE = 1,    /* a string or a pointer to it could not be read */
	FLAG_CLASS_UNKNOWN = 2, /* this kernel does not say of which class it is: details are missing */
	FLAG_OBJECT_MISSING = 4, /* SELinux: what was accessed was not handed over */
	FLAG_PATH_CUT = 8,      /* a path of more components than are followed, or too long: its end is there */
};

/* The texts of a denial, in this order in `length`. */
enum denial_text {
	TEXT_OPERATION = 0, /* SELinux: the class */
	TEXT_INFO = 1,      /* SELinux: the permissions, with a space after each */
	TEXT_SPACE = 2,     /* the policy namespace, empty for the root's */
	TEXT_SUBJECT = 3,   /* the profile; SELinux: source context */
	TEXT_PEER = 4,      /* a peer's label, a mount's file system type; SELinux: target context */
	TEXT_TARGET = 5,    /* of a link, a rename or an exec; a mount's source */
	TEXT_NAME = 6,
	TEXTS = 7,
};

/* Which denial it is, beside its texts: the same everywhere is the same entry. */
struct denial_what {
	enum denial_module module;
	enum denial_kind kind;
	__u32 mode;         /* of the profile: enum profile_mode; SELinux: 1 if permissive */
	__u32 object_class; /* AA_CLASS_* or 0; SELinux: number of the class in this kernel */
	__u32 requested;
	__u32 denied;
	__u32 audited; /* SELinux: those of the requested that the record names */
	__s32 error;
	__u32 object_kind; /* LSM_AUDIT_DATA_* */
	__s32 capability;
	__s32 signal; /* as AppArmor numbers it */
	__s32 unmapped_signal;
	__u32 family;
	__u32 socket_type;
	__u32 protocol;
	__u32 port; /* in the byte order of the machine; the source's only where there is no other */
	__u32 owner; /* uid of the object's owner */
	__s32 limit; /* RLIMIT_* */
	__u32 flags;
	__u32 padding;
	__u64 mount_flags;
};

struct denial {
	struct denial_what what;
	__u64 hash[2];
	__u64 cgroup_id; /* of the owner */
	__u64 first_ns; /* CLOCK_BOOTTIME */
	__u64 last_ns;
	__u64 count;
	enum denial_state state;
	__u32 first_pid; /* thread groups, in the kernel's own numbers */
	__u32 last_pid;
	__u32 padding;
	__u16 length[8]; /* of each text as the kernel has it; more than there is room for: it was cut */
	char first_comm[DENIAL_COMM];
	char last_comm[DENIAL_COMM];
	char operation[32];
	char info[256];
	char space[64];
	char subject[256];
	char peer[256];
	char target[512];
	char name[1024];
};

/* That there is a new entry, or that a cgroup was removed: a hint. */
struct denial_hint {
	__u64 cgroup_id;
	__u64 removed; /* 1: the cgroup was */
};

/* Of one owner; added up in `past` when it is forgotten. */
struct denial_numbers {
	__u64 seen;       /* calls of the audit function */
	__u64 recorded;   /* of them in an entry */
	__u64 table_full; /* no entry was free */
	__u64 unreadable; /* the record itself could not be read */
	__u64 named;      /* SELinux: the tracepoint gave contexts and class */
	__u64 stash_full; /* SELinux: the object could not be kept for the tracepoint */
};

/* A cgroup that has entries, or may get some. Read when user space likes; begun_ns tells uses apart. */
struct denial_owner {
	__u64 cgroup_id;
	enum owner_state state;
	enum owner_scope scope;
	__u32 entries; /* that it has, the one for the rest included */
	__u32 padding;
	__u64 begun_ns;
	__u64 removed; /* cgroup_id, once that is no longer there; another: of an earlier use */
	struct denial_numbers numbers;
};

struct denial_counters {
	__u32 layout;
	__u32 per_cgroup;
	__u32 used; /* entries from 0 on that ever were in use */
	__u32 owners_used;
	__u64 owners_full; /* denials whose cgroup has no owner, since none was free */
	__u64 between;     /* denials of a cgroup that was dropped and not yet forgotten */
	__u64 elsewhere;   /* denials of cgroups that nobody watches */
	__u64 ring_full;   /* hints */
	struct denial_numbers past;
};

_Static_assert(sizeof(struct denial_what) == 88, "denial_what");
_Static_assert(sizeof(struct denial) == 88 + 48 + 16 + 16 + 32 + 2400, "denial");
_Static_assert(sizeof(struct denial_hint) == 16, "denial_hint");
_Static_assert(sizeof(struct denial_numbers) == 48, "denial_numbers");
_Static_assert(sizeof(struct denial_owner) == 88, "denial_owner");
_Static_assert(sizeof(struct denial_counters) == 96, "denial_counters");

#endif
