// SPDX-License-Identifier: GPL-2.0
/*
 * The recorder's object with one program more: `again` fires the tracepoint that it is
 * attached to, on the CPU where it runs, so the kernel skips its second run and counts
 * that (kernel/trace/bpf_trace.c, __bpf_trace_run). `first` sets it off at each new cgroup.
 */
#include "../../bpf/syscalls.bpf.c"

SEC("tp_btf/bpf_trace_printk")
int BPF_PROG(again, const char *text)
{
	bpf_printk("again");
	return 0;
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(first, struct cgroup *cgroup, const char *path)
{
	bpf_printk("first");
	return 0;
}
