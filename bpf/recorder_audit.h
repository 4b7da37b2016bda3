/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * What the object that reads the audit log shares with user space. Mirrored in
 * recorder/kernel/audit_lines.py, which is compared with the object's BTF at load.
 */
#ifndef RECORDER_AUDIT_H
#define RECORDER_AUDIT_H

#define AUDIT_LEVELS 24
#define AUDIT_TEXT 16384 /* more than audit's own bound, 8,560 (kernel/audit.c) */

/* A record; as much of `text` follows as it is long. */
struct audit_line {
	__u64 time_ns; /* CLOCK_BOOTTIME */
	__u32 pid;     /* of the thread group, in the kernel's own numbers */
	__u32 length;
	__u32 levels; /* how many of `cgroups` there are, from the root on */
	__u32 padding;
	__u64 cgroups[AUDIT_LEVELS];
	char comm[16];
};

struct audit_counters {
	__u64 seen;
	__u64 ring_full;
	__u64 unreadable;
};

_Static_assert(sizeof(struct audit_line) == 232, "audit_line");
_Static_assert(sizeof(struct audit_counters) == 24, "audit_counters");

#endif
