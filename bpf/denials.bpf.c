// SPDX-License-Identifier: GPL-2.0
/*
 * What AppArmor and SELinux denied, or would have: each denial once for each
 * cgroup, with how often it came. Attached where it is asked for only.
 *
 * Both modules report by common_lsm_audit(), in the task that was denied, whether
 * or not auditing is enabled. AppArmor has all there. SELinux has the names of
 * contexts and class only in the tracepoint that is raised inside that call, and
 * the object only in the call: it is kept from the one to the other.
 *
 * An entry is whole before its index can be found, and then only counted on.
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <linux/ptrace.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_endian.h>

#include "audit_types.h"
#include "recorder_denials.h"

char LICENSE[] SEC("license") = "GPL";

/* Puts into the object's BTF what no map mentions, for the check at load. */
const enum denial_flag *const shared_flag = 0;
const enum denial_text *const shared_text = 0;
const struct denial_hint *const shared_hint = 0;

/* Set before the load: recorder/kernel/denials_spec.py. */
const volatile __u32 max_denials = 0;
const volatile __u32 max_denials_of_cgroup = 0;
const volatile __u32 seed_low = 0; /* nobody is to know which denials have the same hash */
const volatile __u32 seed_high = 0;

/* Where `class` is not there yet (6.1), who writes the record's end tells it. */
extern const void file_audit_cb __ksym __weak;
extern const void audit_net_cb __ksym __weak;
extern const void audit_signal_cb __ksym __weak;
extern const void audit_ptrace_cb __ksym __weak;
/* SELinux: the names of permissions, by the kernel's own numbers of classes. */
extern const void secclass_map __ksym __weak;

#define TEXT_MOST 4096 /* of a text that is looked at; PATH_MAX */
#define COMPONENTS_MOST 64
#define COMPONENT_MOST 255 /* NAME_MAX */
#define PERMISSIONS_MOST 32
#define PERMISSION_ROOM 40

struct scratch {
	struct denial denial;
	__u64 hash[2];
	/* Places in the texts, here and not in registers: the verifier would follow each value by itself. */
	__u32 path_start;
	__u32 permissions_length;
	char text[TEXT_MOST + COMPONENT_MOST + 1];
	char path[TEXT_MOST + COMPONENT_MOST + 1];
};

/* One for each processor: a program does not interrupt itself, the kernel sees to that. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct denial);
} denials SEC(".maps");

struct place {
	__u64 cgroup_id;
	__u64 hash[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct place);
	__type(value, __u32);
} places SEC(".maps");

/* How many entries a cgroup has. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, __u32);
} owners SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct denial_counters);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} hints SEC(".maps");

/*
 * SELinux: what common_lsm_audit() was called with, by thread. The least recently
 * used goes first: without an audit record no tracepoint takes it out.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, __u64);
} stash SEC(".maps");

static __always_inline struct scratch *the_scratch(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&scratch, &zero);
}

static __always_inline struct denial_counters *totals(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&counters, &zero);
}

static __always_inline void count(__u64 *counter)
{
	__sync_fetch_and_add(counter, 1);
}

static __always_inline void mix(__u64 hash[2], __u64 word)
{
	hash[0] = (hash[0] ^ word) * 0x9E3779B97F4A7C15ULL;
	hash[0] ^= hash[0] >> 29;
	hash[1] = (hash[1] ^ word) * 0xC2B2AE3D27D4EB4FULL;
	hash[1] ^= hash[1] >> 32;
}

/* A global function: it is verified once, not for each text. */
__noinline int mix_text(__u32 words)
{
	struct scratch *s = the_scratch();
	__u64 hash[2];

	if (!s)
		return 0;
	hash[0] = s->hash[0];
	hash[1] = s->hash[1];
	for (__u32 word = 0; word < TEXT_MOST / 8; word++) {
		if (word >= words)
			break;
		mix(hash, ((__u64 *)s->text)[word]);
	}
	s->hash[0] = hash[0];
	s->hash[1] = hash[1];
	return 0;
}

/* The first `length` bytes of s->text, in the hash; what is behind them in the last word is made 0. */
static __always_inline void mix_length(struct scratch *s, __u32 length)
{
#pragma unroll
	for (int byte = 0; byte < 8; byte++)
		s->text[(length & (TEXT_MOST - 1)) + byte] = 0;
	mix_text((length >> 3) + 1);
}

/* A string of the kernel: whole in the hash, and as much of it in the entry as there is room for. */
static __always_inline void take_text(struct scratch *s, char *into, __u32 room, enum denial_text text,
				      const void *source)
{
	long length = 0;

	if (source) {
		length = bpf_probe_read_kernel_str(s->text, TEXT_MOST, source);
		if (length > 0)
			length--; /* its NUL */
		else
			s->denial.what.flags |= FLAG_UNREADABLE;
	}
	if (length < 0)
		length = 0;
	s->denial.length[text] = length;
	mix_length(s, length);
	bpf_probe_read_kernel(into, room, s->text);
}

#define TAKE(s, field, text, source) \
	take_text(s, (s)->denial.field, sizeof((s)->denial.field), text, source)

static __always_inline void begin(struct scratch *s, enum denial_module module)
{
	struct denial_what nothing = {};

	s->denial.what = nothing;
	s->denial.what.module = module;
	s->denial.what.capability = -1;
	s->denial.what.limit = -1;
	s->hash[0] = seed_low;
	s->hash[1] = seed_high;
#pragma unroll
	for (int text = 0; text < TEXTS; text++)
		s->denial.length[text] = 0;
}

static __always_inline void count_on(struct denial *denial)
{
	denial->last_ns = bpf_ktime_get_boot_ns();
	denial->last_pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(denial->last_comm, sizeof(denial->last_comm));
	count(&denial->count);
}

static __always_inline bool found(struct place *place)
{
	__u32 *index = bpf_map_lookup_elem(&places, place);
	struct denial *denial;

	if (!index)
		return false;
	denial = bpf_map_lookup_elem(&denials, index);
	if (!denial)
		return false;
	count_on(denial);
	return true;
}

/* 1: it may have one more entry; 0: not one of its own; negative: nothing can be kept of it. */
static __always_inline int allowance(__u64 cgroup_id)
{
	__u32 *owned = bpf_map_lookup_elem(&owners, &cgroup_id);
	__u32 none = 0;

	if (!owned) {
		bpf_map_update_elem(&owners, &cgroup_id, &none, BPF_NOEXIST);
		owned = bpf_map_lookup_elem(&owners, &cgroup_id);
		if (!owned)
			return -1;
	}
	if (*owned >= max_denials_of_cgroup)
		return 0;
	__sync_fetch_and_add(owned, 1);
	return 1;
}

static __always_inline void hint(struct denial_counters *all, __u64 cgroup_id, __u32 index)
{
	struct denial_hint *event = bpf_ringbuf_reserve(&hints, sizeof(*event), 0);

	if (!event) {
		count(&all->ring_full);
		return;
	}
	event->cgroup_id = cgroup_id;
	event->index = index;
	event->padding = 0;
	bpf_ringbuf_submit(event, BPF_RB_FORCE_WAKEUP);
}

/* Of an entry that is new: what is in the scratch, into the array, then into the index. */
static __noinline int enter(struct place *place)
{
	struct denial_counters *all = totals();
	struct scratch *s = the_scratch();
	struct denial *denial;
	__u32 index;

	if (!all || !s || !place)
		return 0;
	if (all->used >= max_denials)
		return 0;
	index = __sync_fetch_and_add(&all->used, 1);
	denial = bpf_map_lookup_elem(&denials, &index);
	if (index >= max_denials || !denial)
		return 0;
	s->denial.cgroup_id = place->cgroup_id;
	s->denial.first_ns = s->denial.last_ns = bpf_ktime_get_boot_ns();
	s->denial.count = 0;
	s->denial.state = DENIAL_FREE;
	s->denial.first_pid = s->denial.last_pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(s->denial.first_comm, sizeof(s->denial.first_comm));
	bpf_probe_read_kernel(denial, sizeof(*denial), &s->denial);
	/* Another processor was faster: its entry is counted on, and this one stays free. */
	if (bpf_map_update_elem(&places, place, &index, BPF_NOEXIST))
		return found(place);
	count_on(denial);
	__sync_lock_test_and_set(&denial->state, DENIAL_READY);
	hint(all, place->cgroup_id, index);
	return 1;
}

static __noinline int record(void)
{
	struct denial_counters *all = totals();
	struct scratch *s = the_scratch();
	struct place place = {};
	int allowed, kept;

	if (!all || !s)
		return 0;
	/* Not by a pointer to it: the compiler would keep the words in registers. */
	for (__u32 word = 0; word < sizeof(struct denial_what) / 8; word++)
		mix(s->hash, ((__u64 *)&s->denial.what)[word]);
	place.cgroup_id = bpf_get_current_cgroup_id();
	place.hash[0] = s->hash[0];
	place.hash[1] = s->hash[1];
	if (found(&place)) {
		count(&all->recorded);
		return 0;
	}
	allowed = allowance(place.cgroup_id);
	if (!allowed) {
		place.hash[0] = 0;
		place.hash[1] = s->denial.what.module;
		begin(s, s->denial.what.module);
		s->denial.what.kind = KIND_REST;
	}
	kept = allowed >= 0 && ((!allowed && found(&place)) || enter(&place));
	count(kept ? &all->recorded : &all->table_full);
	return 0;
}

static __always_inline __u32 class_of(struct apparmor_audit_data *ad, __u32 type, const void *post,
				      struct scratch *s)
{
	const char *operation = s->denial.operation;

	if (bpf_core_field_exists(ad->class))
		return BPF_CORE_READ(ad, class);
	if (type == LSM_DATA_CAP)
		return CLASS_CAP;
	if (&file_audit_cb && post == &file_audit_cb)
		return CLASS_FILE;
	if (&audit_net_cb && post == &audit_net_cb)
		return CLASS_NET_V8;
	if (&audit_signal_cb && post == &audit_signal_cb)
		return CLASS_SIGNAL;
	if (&audit_ptrace_cb && post == &audit_ptrace_cb)
		return CLASS_PTRACE;
	/* The other callbacks share one name, so their operations tell (security/apparmor/audit.c). */
	if ((operation[0] == 'm' && operation[1] == 'o') || (operation[0] == 'u' && operation[1] == 'm') ||
	    (operation[0] == 'p' && operation[1] == 'i'))
		return CLASS_MOUNT;
	if (operation[0] == 's' && operation[3] == 'r')
		return CLASS_RLIMITS;
	if (s->denial.what.kind != KIND_STATUS)
		s->denial.what.flags |= FLAG_CLASS_UNKNOWN;
	return 0;
}

static __always_inline void take_network(struct denial_what *what, struct lsm_network_audit *net)
{
	__u16 port = BPF_CORE_READ(net, dport);

	if (!port)
		port = BPF_CORE_READ(net, sport);
	what->family = BPF_CORE_READ(net, family);
	what->port = bpf_ntohs(port);
}

/* What only one class has: the rest of a union. */
static __noinline int take_details(struct common_audit_data *a, struct apparmor_audit_data *ad)
{
	struct scratch *s = the_scratch();
	struct lsm_network_audit *net;
	struct denial_what *what;
	struct aa_label *peer;

	if (!s)
		return 0;
	what = &s->denial.what;
	switch (what->object_class) {
	case CLASS_CAP:
		what->capability = BPF_CORE_READ(a, u.cap);
		return 0;
	case CLASS_MOUNT:
		what->mount_flags = BPF_CORE_READ(ad, mnt.flags);
		TAKE(s, target, TEXT_TARGET, BPF_CORE_READ(ad, mnt.src_name));
		TAKE(s, peer, TEXT_PEER, BPF_CORE_READ(ad, mnt.type));
		return 0;
	case CLASS_RLIMITS:
		what->limit = BPF_CORE_READ(ad, rlim.rlim);
		return 0;
	case CLASS_FILE:
		what->owner = BPF_CORE_READ(ad, fs.ouid.val);
		peer = BPF_CORE_READ(ad, peer);
		if (peer)
			TAKE(s, target, TEXT_TARGET, BPF_CORE_READ(peer, hname));
		else
			TAKE(s, target, TEXT_TARGET, BPF_CORE_READ(ad, fs.target));
		return 0;
	case CLASS_SIGNAL:
		what->signal = BPF_CORE_READ(ad, signal);
		what->unmapped_signal = BPF_CORE_READ(ad, unmappedsig);
		break;
	case CLASS_PTRACE:
		break;
	case CLASS_NET:
	case CLASS_NET_V8:
	case CLASS_NET_V9:
		what->socket_type = BPF_CORE_READ(ad, net.type);
		what->protocol = BPF_CORE_READ(ad, net.protocol);
		/* Set where `type` says that there is nothing, too (AppArmor's DEFINE_AUDIT_NET). */
		net = BPF_CORE_READ(a, u.net);
		if (net)
			take_network(what, net);
		break;
	default:
		return 0;
	}
	peer = BPF_CORE_READ(ad, peer);
	if (peer)
		TAKE(s, peer, TEXT_PEER, BPF_CORE_READ(peer, hname));
	return 0;
}

/* The record names a stack's last profile (security/apparmor/audit.c, audit_pre). */
static __noinline int take_subject(struct apparmor_audit_data *ad)
{
	struct scratch *s = the_scratch();
	struct aa_profile *profile = NULL;
	struct aa_label *label;
	int size;

	if (!s)
		return 0;
	if (bpf_core_field_exists(ad->subj_label))
		label = BPF_CORE_READ(ad, subj_label);
	else
		label = BPF_CORE_READ(ad, label);
	if (!label)
		return 0;
	size = BPF_CORE_READ(label, size);
	if (size > 0)
		bpf_probe_read_kernel(&profile, sizeof(profile),
				      (void *)label + bpf_core_field_offset(struct aa_label, vec) +
					      (size - 1) * sizeof(void *));
	if (!profile) {
		s->denial.what.flags |= FLAG_UNREADABLE;
		return 0;
	}
	s->denial.what.mode = BPF_CORE_READ(profile, mode);
	TAKE(s, subject, TEXT_SUBJECT, BPF_CORE_READ(profile, base.hname));
	if (BPF_CORE_READ(profile, ns, parent))
		TAKE(s, space, TEXT_SPACE, BPF_CORE_READ(profile, ns, base.hname));
	return 0;
}

SEC("kprobe/common_lsm_audit")
int BPF_KPROBE(on_apparmor, struct common_audit_data *a, const void *pre, const void *post)
{
	struct denial_counters *all = totals();
	struct scratch *s = the_scratch();
	struct apparmor_audit_data *ad;
	struct denial_what *what;

	if (!all || !s)
		return 0;
	count(&all->seen);
	ad = BPF_CORE_READ(a, apparmor_audit_data);
	if (!ad) {
		count(&all->unreadable);
		return 0;
	}
	begin(s, MODULE_APPARMOR);
	what = &s->denial.what;
	what->kind = BPF_CORE_READ(ad, type);
	what->requested = BPF_CORE_READ(ad, request);
	what->denied = BPF_CORE_READ(ad, denied);
	what->error = BPF_CORE_READ(ad, error);
	what->object_kind = (__u8)BPF_CORE_READ(a, type);
	TAKE(s, operation, TEXT_OPERATION, BPF_CORE_READ(ad, op));
	TAKE(s, info, TEXT_INFO, BPF_CORE_READ(ad, info));
	TAKE(s, name, TEXT_NAME, BPF_CORE_READ(ad, name));
	what->object_class = class_of(ad, what->object_kind, post, s);
	take_subject(ad);
	take_details(a, ad);
	return record();
}

SEC("kprobe/common_lsm_audit")
int BPF_KPROBE(on_selinux_call, struct common_audit_data *a)
{
	struct denial_counters *all = totals();
	__u64 thread = bpf_get_current_pid_tgid();
	__u64 address = (__u64)a;

	if (!all)
		return 0;
	count(&all->seen);
	if (bpf_map_update_elem(&stash, &thread, &address, BPF_ANY))
		count(&all->stash_full);
	return 0;
}

/* Upwards from a file to the task's root, over the borders of mounts, as d_path() does. */
static __noinline int walk_path(struct dentry___audit *entry, struct vfsmount___audit *mount)
{
	struct task_struct___audit *task = (void *)bpf_get_current_task();
	struct dentry___audit *root_entry = BPF_CORE_READ(task, fs, root.dentry);
	struct vfsmount___audit *root_mount = BPF_CORE_READ(task, fs, root.mnt);
	struct scratch *s = the_scratch();

	if (!s)
		return 0;
	s->path_start = TEXT_MOST - 1;
	for (int component = 0; component < COMPONENTS_MOST; component++) {
		struct dentry___audit *parent = BPF_CORE_READ(entry, d_parent);
		bool top = entry == BPF_CORE_READ(mount, mnt_root);
		const unsigned char *name;
		__u32 length, start;

		if (entry == root_entry && mount == root_mount)
			goto whole;
		if (top) {
			struct mount___audit *here =
				(void *)mount - bpf_core_field_offset(struct mount___audit, mnt);
			struct mount___audit *above = BPF_CORE_READ(here, mnt_parent);

			if (here == above)
				goto whole;
			entry = BPF_CORE_READ(here, mnt_mountpoint);
			mount = (void *)above + bpf_core_field_offset(struct mount___audit, mnt);
			continue;
		}
		if (entry == parent)
			goto whole;
		length = BPF_CORE_READ(entry, d_name.len);
		name = BPF_CORE_READ(entry, d_name.name);
		start = s->path_start;
		if (length > COMPONENT_MOST || start < length + 2)
			break;
		start -= length;
		bpf_probe_read_kernel(&s->path[start & (TEXT_MOST - 1)], length & COMPONENT_MOST, name);
		start--;
		s->path[start & (TEXT_MOST - 1)] = '/';
		s->path_start = start;
		entry = parent;
	}
	s->denial.what.flags |= FLAG_PATH_CUT;
whole:
	if (s->path_start == TEXT_MOST - 1) {
		s->path_start = TEXT_MOST - 2;
		s->path[TEXT_MOST - 2] = '/';
	}
	return 0;
}

static __always_inline void take_path(struct scratch *s, struct path___audit *path)
{
	struct vfsmount___audit *mount = BPF_CORE_READ(path, mnt);
	struct dentry___audit *entry = BPF_CORE_READ(path, dentry);

	/* Pipes, sockets and the like have no path, and are named by what they are. */
	if (BPF_CORE_READ(entry, d_parent) == entry && !BPF_CORE_READ(entry, d_name.len)) {
		s->denial.what.flags |= FLAG_OBJECT_MISSING;
		return;
	}
	walk_path(entry, mount);
	TAKE(s, name, TEXT_NAME, &s->path[s->path_start & (TEXT_MOST - 1)]);
}

static __noinline int take_object(struct common_audit_data *a)
{
	struct scratch *s = the_scratch();
	struct path___audit *path = NULL;
	struct dentry___audit *entry = NULL;
	struct denial_what *what;
	void *alias;

	if (!s)
		return 0;
	what = &s->denial.what;
	what->object_kind = (__u8)BPF_CORE_READ(a, type);
	switch (what->object_kind) {
	case LSM_DATA_CAP:
		what->capability = BPF_CORE_READ(a, u.cap);
		return 0;
	case LSM_DATA_NET:
		if (BPF_CORE_READ(a, u.net))
			take_network(what, BPF_CORE_READ(a, u.net));
		return 0;
	case LSM_DATA_KMOD:
		TAKE(s, name, TEXT_NAME, BPF_CORE_READ(a, u.kmod_name));
		return 0;
	case LSM_DATA_PATH:
		path = (void *)a + bpf_core_field_offset(struct common_audit_data, u.path);
		break;
	case LSM_DATA_FILE:
		path = (void *)BPF_CORE_READ(a, u.file) + bpf_core_field_offset(struct file___audit, f_path);
		break;
	case LSM_DATA_IOCTL_OP:
		path = (void *)BPF_CORE_READ(a, u.op) + bpf_core_field_offset(struct lsm_ioctlop_audit, path);
		break;
	case LSM_DATA_DENTRY:
		entry = BPF_CORE_READ(a, u.dentry);
		break;
	case LSM_DATA_INODE:
		alias = BPF_CORE_READ(a, u.inode, i_dentry.first);
		if (!alias)
			return 0;
		if (bpf_core_field_exists(struct dentry___alias, d_u.d_alias))
			entry = alias - bpf_core_field_offset(struct dentry___alias, d_u.d_alias);
		else
			entry = alias - bpf_core_field_offset(struct dentry___alias_bare, d_alias);
		break;
	}
	if (path)
		take_path(s, path);
	else if (entry)
		TAKE(s, name, TEXT_NAME, BPF_CORE_READ(entry, d_name.name));
	return 0;
}

/* Bit 0 is the first permission that the kernel's table has for the class. */
static __noinline int take_permissions(__u32 object_class, __u32 permissions)
{
	struct scratch *s = the_scratch();

	if (!s || !&secclass_map || !object_class)
		return 0;
	s->permissions_length = 0;
	for (__u32 bit = 0; bit < PERMISSIONS_MOST; bit++) {
		const void *entry = (const void *)&secclass_map +
				    (__u64)(object_class - 1) * bpf_core_type_size(struct security_class_mapping);
		const char *name = NULL;
		__u32 length;
		long got;

		if (!(permissions & (1U << bit)))
			continue;
		bpf_probe_read_kernel(&name, sizeof(name),
				      entry + bpf_core_field_offset(struct security_class_mapping, perms) +
					      bit * sizeof(name));
		if (!name)
			continue;
		length = s->permissions_length;
		got = bpf_probe_read_kernel_str(&s->text[length & (TEXT_MOST - 1)], PERMISSION_ROOM, name);
		if (got <= 0)
			continue;
		length += got;
		s->text[(length - 1) & (TEXT_MOST - 1)] = ' ';
		s->permissions_length = length;
	}
	s->denial.length[TEXT_INFO] = s->permissions_length;
	bpf_probe_read_kernel(s->denial.info, sizeof(s->denial.info), s->text);
	return 0;
}

SEC("tp_btf/selinux_audited")
int BPF_PROG(on_selinux, struct selinux_audit_data *sad, const char *source, const char *target,
	     const char *object_class)
{
	struct denial_counters *all = totals();
	__u64 thread = bpf_get_current_pid_tgid();
	struct scratch *s = the_scratch();
	struct denial_what *what;
	__u64 *address;

	if (!all || !s)
		return 0;
	count(&all->named);
	begin(s, MODULE_SELINUX);
	what = &s->denial.what;
	what->object_class = BPF_CORE_READ(sad, tclass);
	what->requested = BPF_CORE_READ(sad, requested);
	what->denied = BPF_CORE_READ(sad, denied);
	what->audited = BPF_CORE_READ(sad, audited);
	what->error = BPF_CORE_READ(sad, result);
	what->mode = what->denied && !what->error;
	what->kind = !what->denied ? KIND_GRANTED : what->mode ? KIND_ALLOWED : KIND_DENIED;
	TAKE(s, operation, TEXT_OPERATION, object_class);
	TAKE(s, subject, TEXT_SUBJECT, source);
	TAKE(s, peer, TEXT_PEER, target);
	address = bpf_map_lookup_elem(&stash, &thread);
	if (address) {
		take_object((void *)*address);
		bpf_map_delete_elem(&stash, &thread);
	} else {
		what->flags |= FLAG_OBJECT_MISSING;
	}
	take_permissions(what->object_class, what->audited);
	return record();
}
