// SPDX-License-Identifier: GPL-2.0
/*
 * What AppArmor and SELinux denied, or would have: each denial once for each cgroup
 * that is watched, with how often it came. Attached where it is asked for only.
 *
 * Both modules report by common_lsm_audit(), in the task that was denied, whether
 * or not auditing is enabled. AppArmor has all there. SELinux has the names of
 * contexts and class only in the tracepoint that is raised inside that call, and
 * the object only in the call: it is kept from the one to the other.
 */
#include "denials_selinux.bpf.h"

char LICENSE[] SEC("license") = "GPL";

SEC("kprobe/common_lsm_audit")
int BPF_KPROBE(on_apparmor, struct common_audit_data *a, const void *pre, const void *post)
{
	int index = find_owner();
	struct denial_owner *owner = index < 0 ? NULL : owner_at(index);

	if (!owner)
		return 0;
	count(&owner->numbers.seen);
	if (!take_apparmor(a, post)) {
		count(&owner->numbers.unreadable);
		return 0;
	}
	return record(index);
}

SEC("kprobe/common_lsm_audit")
int BPF_KPROBE(on_selinux_call, struct common_audit_data *a)
{
	int index = find_owner();
	struct denial_owner *owner = index < 0 ? NULL : owner_at(index);
	__u64 thread = bpf_get_current_pid_tgid();
	__u64 address = (__u64)a;

	if (!owner)
		return 0;
	count(&owner->numbers.seen);
	if (bpf_map_update_elem(&stash, &thread, &address, BPF_ANY))
		count(&owner->numbers.stash_full);
	return 0;
}

SEC("tp_btf/selinux_audited")
int BPF_PROG(on_selinux, struct selinux_audit_data *sad, const char *source, const char *target,
	     const char *object_class)
{
	int index = find_owner();
	struct denial_owner *owner = index < 0 ? NULL : owner_at(index);
	struct decision decision = {};

	if (!owner)
		return 0;
	count(&owner->numbers.named);
	decision.object_class = BPF_CORE_READ(sad, tclass);
	decision.requested = BPF_CORE_READ(sad, requested);
	decision.denied = BPF_CORE_READ(sad, denied);
	decision.audited = BPF_CORE_READ(sad, audited);
	decision.result = BPF_CORE_READ(sad, result);
	take_selinux(&decision, source, target, object_class, take_stash());
	return record(index);
}

#define TEXT_AT(raw, field) ((const char *)(raw) + (BPF_CORE_READ(raw, field) & 0xFFFF))

/*
 * The same where programs of typed tracepoints can be preempted (recorder/kernel/preemption.py):
 * the kernel would skip the runs of other tasks on that processor meanwhile. This kind of
 * program runs with preemption off; the number of the class is in the call's arguments alone.
 */
SEC("tp/avc/selinux_audited")
int on_selinux_classic(struct trace_event_raw_selinux_audited *raw)
{
	int index = find_owner();
	struct denial_owner *owner = index < 0 ? NULL : owner_at(index);
	struct decision decision = {};
	struct common_audit_data *a;

	if (!owner)
		return 0;
	count(&owner->numbers.named);
	a = take_stash();
	if (a)
		decision.object_class = BPF_CORE_READ(a, selinux_audit_data, tclass);
	decision.requested = BPF_CORE_READ(raw, requested);
	decision.denied = BPF_CORE_READ(raw, denied);
	decision.audited = BPF_CORE_READ(raw, audited);
	decision.result = BPF_CORE_READ(raw, result);
	take_selinux(&decision, TEXT_AT(raw, __data_loc_scontext), TEXT_AT(raw, __data_loc_tcontext),
		     TEXT_AT(raw, __data_loc_tclass), a);
	return record(index);
}

/*
 * A cgroup is removed only without tasks, so no denial of its own races with this. Where
 * this can be preempted (Linux 7), the owner may be another's at the store: hence the id.
 */
SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(on_removed, struct cgroup___audit *cgroup, const char *path)
{
	struct denial_counters *all = totals();
	__u64 id = BPF_CORE_READ(cgroup, kn, id);
	struct denial_owner *owner;
	__u32 *index;

	/* Ids of the hierarchies of v1 are others. */
	if (!all || BPF_CORE_READ(cgroup, root, hierarchy_id))
		return 0;
	index = bpf_map_lookup_elem(&owner_places, &id);
	owner = index ? owner_at(*index) : NULL;
	if (!owner)
		return 0;
	owner->removed = id;
	hint(all, id, 1);
	return 0;
}

/*
 * Never attached: user space runs it with BPF_PROG_TEST_RUN. All that changes an element
 * of a map goes through it, since a call of bpf(2) on an element keeps programs from running.
 */
SEC("raw_tp/sys_enter")
int control(struct bpf_raw_tracepoint_args *ctx)
{
	struct denial_counters *all = totals();
	enum denial_op op = ctx->args[0];
	__u64 what = ctx->args[1];

	if (!all)
		return 0;
	switch (op) {
	case DENIAL_OPEN:
		all->layout = DENIALS_LAYOUT;
		all->per_cgroup = max_denials_of_cgroup;
		return 1;
	case DENIAL_WATCH:
		return watch(what, ctx->args[2]);
	case DENIAL_DROP:
		return drop(what);
	case DENIAL_GIVE_BACK:
		return give_back(what);
	case DENIAL_FORGET:
		return forget(what);
	}
	return 0;
}
