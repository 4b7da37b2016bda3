/* SPDX-License-Identifier: GPL-2.0 */
/* Changes of the tree of mounts. TEXT_PATH is the place, TEXT_TARGET what comes there. */
#ifndef ACCESS_MOUNTS_BPF_H
#define ACCESS_MOUNTS_BPF_H

/* include/uapi/linux/mount.h */
#define MS_REMOUNT (1UL << 5)
#define MS_BIND (1UL << 12)
#define MS_MOVE (1UL << 13)
#define MS_PROPAGATION (1UL << 17 | 1UL << 18 | 1UL << 19 | 1UL << 20)

static __always_inline void take_string(struct scratch *s, char *into, __u32 room, __u32 text, const void *from)
{
	long length = from ? bpf_probe_read_kernel_str(into, room, from) : 0;

	s->access.length[text] = length > 0 ? length - 1 : 0;
}

/* In this order in the kernel, too (fs/namespace.c, path_mount). */
static __always_inline __u32 step_of(unsigned long flags)
{
	if (flags & MS_REMOUNT)
		return STEP_REMOUNT;
	if (flags & MS_BIND)
		return STEP_BIND;
	if (flags & MS_PROPAGATION)
		return STEP_PROPAGATION;
	if (flags & MS_MOVE)
		return STEP_MOVE;
	return STEP_MOUNT;
}

HOOK("fentry/security_sb_mount", on_mount, const char *source, const struct path___seen *path, const char *type,
	     unsigned long flags)
{
	__u32 which = begin(ACCESS_MOUNT);
	struct scratch *s = which ? scratch_at(which - 1) : NULL;
	__u32 step = step_of(flags);

	if (!s)
		return 0;
	s->access.what.object = step;
	s->access.what.number = flags;
	s->beginning[TEXT_PATH].entry = BPF_CORE_READ(path, dentry);
	s->beginning[TEXT_PATH].mount = BPF_CORE_READ(path, mnt);
	if (step != STEP_REMOUNT && step != STEP_PROPAGATION)
		take_string(s, s->text[TEXT_TARGET], TEXT_MOST - 1, TEXT_TARGET, source);
	if (step == STEP_MOUNT) {
		/* What is behind the end is in the hash, up to the next word. */
		__builtin_memset(s->word, 0, LINE_LENGTH);
		take_string(s, s->word, LINE_LENGTH - 1, TEXT_WORD, type);
	}
	return end(which - 1, 1);
}

HOOK("fentry/security_sb_umount", on_umount, struct vfsmount___seen *mount, int flags)
{
	__u32 which = begin(ACCESS_MOUNT);
	struct scratch *s = which ? scratch_at(which - 1) : NULL;

	if (!s)
		return 0;
	s->access.what.object = STEP_UMOUNT;
	s->access.what.number = flags;
	s->beginning[TEXT_PATH].entry = BPF_CORE_READ(mount, mnt_root);
	s->beginning[TEXT_PATH].mount = mount;
	return end(which - 1, 1);
}

static __always_inline int use_paths(__u32 step, const struct path___seen *place, const struct path___seen *other)
{
	__u32 which = begin(ACCESS_MOUNT);
	struct scratch *s = which ? scratch_at(which - 1) : NULL;

	if (!s)
		return 0;
	s->access.what.object = step;
	s->beginning[TEXT_PATH].entry = BPF_CORE_READ(place, dentry);
	s->beginning[TEXT_PATH].mount = BPF_CORE_READ(place, mnt);
	s->beginning[TEXT_TARGET].entry = BPF_CORE_READ(other, dentry);
	s->beginning[TEXT_TARGET].mount = BPF_CORE_READ(other, mnt);
	return end(which - 1, 1);
}

/* The target is the folder for the old root, the source the new root. */
HOOK("fentry/security_sb_pivotroot", on_pivot_root, const struct path___seen *old, const struct path___seen *root)
{
	return use_paths(STEP_PIVOT_ROOT, old, root);
}

/* move_mount(2): also how a file system that fsopen(2) began is mounted. */
HOOK("fentry/security_move_mount", on_move_mount, const struct path___seen *from, const struct path___seen *to)
{
	return use_paths(STEP_MOVE, to, from);
}

#endif
