/* SPDX-License-Identifier: GPL-2.0 */
/* What SELinux says of a denial, and where the kernel keeps it. */
#ifndef DENIALS_SELINUX_BPF_H
#define DENIALS_SELINUX_BPF_H

#include "denials_apparmor.bpf.h"

/* The names of permissions, by the kernel's own numbers of classes. */
extern const void secclass_map __ksym __weak;

#define COMPONENTS_MOST 64
#define PERMISSIONS_MOST 32
#define PERMISSION_ROOM 40

/*
 * What common_lsm_audit() was called with, by thread. The least recently used goes
 * first: without an audit record no tracepoint takes it out.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, __u64);
} stash SEC(".maps");

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

/* What SELinux decided; the class's number only if it is known. */
struct decision {
	__u32 object_class;
	__u32 requested;
	__u32 denied;
	__u32 audited;
	int result;
};

/* What the call around the tracepoint was given; it is not the next one's. */
static __always_inline struct common_audit_data *take_stash(void)
{
	__u64 thread = bpf_get_current_pid_tgid();
	__u64 *kept = bpf_map_lookup_elem(&stash, &thread);
	__u64 address;

	if (!kept)
		return NULL;
	address = *kept;
	bpf_map_delete_elem(&stash, &thread);
	return (void *)address;
}

/* Into the scratch. */
static __always_inline void take_selinux(const struct decision *decision, const char *source,
					 const char *target, const char *object_class,
					 struct common_audit_data *a)
{
	struct scratch *s = the_scratch();
	struct denial_what *what;

	if (!s)
		return;
	begin(s, MODULE_SELINUX);
	what = &s->denial.what;
	what->object_class = decision->object_class;
	what->requested = decision->requested;
	what->denied = decision->denied;
	what->audited = decision->audited;
	what->error = decision->result;
	what->mode = what->denied && !what->error;
	what->kind = !what->denied ? KIND_GRANTED : what->mode ? KIND_ALLOWED : KIND_DENIED;
	TAKE(s, operation, TEXT_OPERATION, object_class);
	TAKE(s, subject, TEXT_SUBJECT, source);
	TAKE(s, peer, TEXT_PEER, target);
	if (a)
		take_object(a);
	else
		what->flags |= FLAG_OBJECT_MISSING;
	take_permissions(what->object_class, what->audited);
}

#endif
