/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Paths, whole, as AppArmor names them: from the top of the task's mount namespace.
 * bpf_d_path() would do for few hooks only, and gives the path from the task's root.
 */
#ifndef ACCESS_PATHS_BPF_H
#define ACCESS_PATHS_BPF_H

/* A name has a byte and its slash; and there are mounts upon mounts. */
#define STEPS_MOST (TEXT_MOST / 2 + 1024)

/* include/linux/fs.h, include/linux/mount.h */
#define SB_NOUSER (1UL << 31)
#define MNT_INTERNAL 0x4000
#define MAX_ERRNO 4095 /* MNT_NS_INTERNAL (fs/mount.h) is an error's value */
#define FMODE_READ 0x1
#define FMODE_WRITE 0x2
#define FMODE_BACKING (1U << 25) /* of 6.5 and 6.6; from 6.14 on that bit is FMODE_NONOTIFY */
#define FMODE_EXEC_FLAG 0x20 /* __FMODE_EXEC in f_flags */

static __always_inline struct mount___seen *mount_around(struct vfsmount___seen *mount)
{
	return (void *)mount - bpf_core_field_offset(struct mount___seen, mnt);
}

/* Of a file system that cannot be mounted: pipes, sockets, memfds, anonymous inodes. */
static __noinline int take_anonymous(struct scratch *s, struct dentry___seen *entry)
{
	const void *name = BPF_CORE_READ(entry, d_name.name);
	long length = 0;

	if (!BPF_CORE_READ(entry, d_name.len))
		name = BPF_CORE_READ(entry, d_sb, s_type, name);
	length = bpf_probe_read_kernel_str(s->text[TEXT_PATH], WORD_MOST, name);
	s->access.length[TEXT_PATH] = length > 0 ? length - 1 : 0;
	return 0;
}

/* Of an entry: the parent, and its name, which lie side by side, in one call. */
struct named {
	struct dentry___seen *parent;
	__u32 hash;
	__u32 length;
	const unsigned char *name;
};

static __always_inline void take_name(struct named *named, struct dentry___seen *entry)
{
	__u32 parent = bpf_core_field_offset(struct dentry___seen, d_parent);
	__u32 name = bpf_core_field_offset(struct dentry___seen, d_name);

	if (name == parent + offsetof(struct named, hash) &&
	    bpf_core_field_offset(struct qstr___seen, len) == sizeof(named->hash) &&
	    bpf_core_field_offset(struct qstr___seen, name) == 2 * sizeof(named->hash)) {
		bpf_probe_read_kernel(named, sizeof(*named), (void *)entry + parent);
		return;
	}
	named->parent = BPF_CORE_READ(entry, d_parent);
	named->length = BPF_CORE_READ(entry, d_name.len);
	named->name = BPF_CORE_READ(entry, d_name.name);
}

static __always_inline void enter_mount(struct beginning *place, struct vfsmount___seen *mount)
{
	place->mount = mount;
	place->root = BPF_CORE_READ(mount, mnt_root);
}

struct walker {
	__u32 which;
	__u32 text;
};

/*
 * One step upwards, over the border of a mount or by one name; 1: it is at the top. All that
 * changes is in the scratch: up to 6.6 the verifier looks at a callback once.
 */
static long walk_step(__u32 step, struct walker *walker)
{
	struct scratch *s = scratch_at(walker->which);
	__u32 text = walker->text, begin;
	struct dentry___seen *entry;
	struct named named = {};

	if (!s || text > TEXT_TARGET)
		return 1;
	entry = s->beginning[text].entry;
	if (entry == s->beginning[text].root) {
		struct mount___seen *here = mount_around(s->beginning[text].mount);
		struct mount___seen *above = BPF_CORE_READ(here, mnt_parent);

		if (here == above || !above) {
			if (!BPF_CORE_READ(here, mnt_ns))
				s->access.what.flags |= ACCESS_DISCONNECTED;
			s->path_whole = 1;
			return 1;
		}
		s->beginning[text].entry = BPF_CORE_READ(here, mnt_mountpoint);
		enter_mount(&s->beginning[text], &above->mnt);
		return 0;
	}
	take_name(&named, entry);
	if (entry == named.parent) {
		s->path_whole = 1;
		return 1;
	}
	begin = s->start[text];
	if (named.length > COMPONENT_MOST || begin < named.length + 2)
		return 1;
	begin -= named.length;
	if (bpf_probe_read_kernel(&s->text[text][begin & (TEXT_MOST - 1)], named.length & COMPONENT_MOST, named.name))
		s->access.what.flags |= ACCESS_UNREADABLE;
	begin--;
	s->text[text][begin & (TEXT_MOST - 1)] = '/';
	s->start[text] = begin;
	s->beginning[text].entry = named.parent;
	return 0;
}

/* Upwards from where a text begins, as d_absolute_path() does. */
__noinline int walk(__u32 which, __u32 text)
{
	struct walker walker = { .which = which, .text = text };
	struct scratch *s = scratch_at(which);

	if (!s || text > TEXT_TARGET)
		return 0;
	s->start[text] = TEXT_MOST - 1;
	s->path_whole = 0;
	enter_mount(&s->beginning[text], s->beginning[text].mount);
	bpf_loop(STEPS_MOST, walk_step, &walker, 0);
	if (!s->path_whole)
		s->access.what.flags |= ACCESS_CUT;
	if (s->start[text] == TEXT_MOST - 1) {
		s->start[text] = TEXT_MOST - 2;
		s->text[text][TEXT_MOST - 2] = '/';
	}
	s->access.length[text] = TEXT_MOST - 1 - s->start[text];
	return 0;
}

/*
 * A file of this mount and entry, which are arguments of the hook or behind them: what is behind a
 * pointer with a type is read without a call. 0: it is the kernel's own, below an overlay, and no
 * access of the task.
 */
static __always_inline int take_entry(struct scratch *s, struct vfsmount___seen *mount,
				      struct dentry___seen *entry)
{
	struct inode___seen *inode = entry->d_inode;
	struct mnt_namespace___seen *space;

	if (inode)
		s->access.what.object = inode->i_mode >> 12;
	if (entry->d_sb->s_flags & SB_NOUSER) {
		s->access.what.flags |= ACCESS_ANONYMOUS;
		return take_anonymous(s, entry) == 0;
	}
	space = BPF_CORE_READ(mount_around(mount), mnt_ns);
	if (mount->mnt_flags & MNT_INTERNAL ||
	    (unsigned long)space >= (unsigned long)-MAX_ERRNO) {
		/* What has no name in it, such as huge pages without a file, is / to AppArmor. */
		if (entry != entry->d_parent || entry == mount->mnt_root)
			return 0;
	}
	if (!entry->d_hash.pprev && entry != entry->d_parent)
		s->access.what.flags |= ACCESS_DELETED;
	s->beginning[TEXT_PATH].entry = entry;
	s->beginning[TEXT_PATH].mount = mount;
	return 1;
}

#endif
