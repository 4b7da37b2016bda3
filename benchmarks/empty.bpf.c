// SPDX-License-Identifier: GPL-2.0
/* The floor: what any program on sys_enter costs before it does anything. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("tp_btf/sys_enter")
int empty(void *ctx)
{
	return 0;
}
