// SPDX-License-Identifier: GPL-2.0
/*
 * Records of AppArmor and SELinux as they go into the audit log, in the task that was
 * denied: for kernels whose modules cannot be looked into. Needs that records are written.
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "recorder_audit.h"

char LICENSE[] SEC("license") = "GPL";

#define AUDIT_AVC 1400 /* include/uapi/linux/audit.h */
#define HEADER 16      /* struct nlmsghdr */
#define TYPE 4         /* in it */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct sk_buff___audit {
	unsigned int len;
	unsigned char *data;
};

struct audit_buffer {
	struct sk_buff___audit *skb;
};

/* Up to 6.0; the helper that a tracing program may use instead came between. */
struct cgroup___ids {
	int level;
	__u64 ancestor_ids[0];
};

struct css_set___audit {
	struct cgroup___ids *dfl_cgrp;
};

struct task_struct___audit {
	struct css_set___audit *cgroups;
};

#pragma clang attribute pop

struct line {
	struct audit_line head;
	char text[AUDIT_TEXT];
};

/* One for each processor: a program does not interrupt itself, the kernel sees to that. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct line);
} scratch SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct audit_counters);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} lines SEC(".maps");

static __always_inline void count(__u64 *counter)
{
	__sync_fetch_and_add(counter, 1);
}

/* The cgroup at this level above the running task; 0: there is none. */
static __always_inline __u64 cgroup_at(__u32 level)
{
	struct task_struct___audit *task;
	struct cgroup___ids *cgroup = NULL;
	__u64 id = 0;

	if (!bpf_core_field_exists(cgroup->ancestor_ids))
		return bpf_get_current_ancestor_cgroup_id(level);
	task = (void *)bpf_get_current_task();
	cgroup = BPF_CORE_READ(task, cgroups, dfl_cgrp);
	if (level > (__u32)BPF_CORE_READ(cgroup, level))
		return 0;
	bpf_probe_read_kernel(&id, sizeof(id),
			      (void *)cgroup + bpf_core_field_offset(cgroup->ancestor_ids) +
				      level * sizeof(id));
	return id;
}

SEC("kprobe/audit_log_end")
int BPF_KPROBE(on_audit_log_end, struct audit_buffer *ab)
{
	struct audit_counters *all;
	struct sk_buff___audit *skb;
	__u32 zero = 0, length;
	unsigned char *data;
	struct line *line;
	__u16 type = 0;

	if (!ab)
		return 0;
	skb = BPF_CORE_READ(ab, skb);
	data = BPF_CORE_READ(skb, data);
	if (bpf_probe_read_kernel(&type, sizeof(type), data + TYPE) || type != AUDIT_AVC)
		return 0;
	all = bpf_map_lookup_elem(&counters, &zero);
	line = bpf_map_lookup_elem(&scratch, &zero);
	if (!all || !line)
		return 0;
	count(&all->seen);
	length = BPF_CORE_READ(skb, len) - HEADER;
	if (length >= AUDIT_TEXT || bpf_probe_read_kernel(line->text, length, data + HEADER)) {
		count(&all->unreadable);
		return 0;
	}
	line->head.time_ns = bpf_ktime_get_boot_ns();
	line->head.pid = bpf_get_current_pid_tgid() >> 32;
	line->head.length = length;
	line->head.levels = 0;
	line->head.padding = 0;
	bpf_get_current_comm(line->head.comm, sizeof(line->head.comm));
	/* As a loop clang lays it out so that 6.1 sees a way back that is no branch, and refuses it. */
#pragma unroll
	for (__u32 level = 0; level < AUDIT_LEVELS; level++) {
		__u64 id = cgroup_at(level);

		if (!id)
			break;
		/* Of a deeper cgroup those from the root on, and itself. */
		if (level == AUDIT_LEVELS - 1)
			id = bpf_get_current_cgroup_id();
		line->head.cgroups[level] = id;
		line->head.levels = level + 1;
	}
	if (bpf_ringbuf_output(&lines, line, sizeof(line->head) + length, 0))
		count(&all->ring_full);
	return 0;
}
