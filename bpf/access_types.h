/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Kernel types that the watch of accesses uses, with the fields that it uses. All
 * are flavours (___seen): libbpf looks for the name before the underscores.
 */
#ifndef ACCESS_TYPES_H
#define ACCESS_TYPES_H

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct file_system_type___seen {
	const char *name;
};

struct super_block___seen {
	unsigned long s_flags;
	struct file_system_type___seen *s_type;
};

struct inode___seen {
	unsigned short i_mode;
};

struct qstr___seen {
	__u32 len;
	const unsigned char *name;
};

struct hlist_bl_node___seen {
	void *pprev;
};

struct dentry___seen {
	struct hlist_bl_node___seen d_hash;
	struct dentry___seen *d_parent;
	struct qstr___seen d_name;
	struct inode___seen *d_inode;
	struct super_block___seen *d_sb;
};

struct vfsmount___seen {
	struct dentry___seen *mnt_root;
	int mnt_flags;
};

struct mnt_namespace___seen {
	__u64 seq;
};

struct mount___seen {
	struct mount___seen *mnt_parent;
	struct dentry___seen *mnt_mountpoint;
	struct vfsmount___seen mnt;
	struct mnt_namespace___seen *mnt_ns;
};

struct path___seen {
	struct vfsmount___seen *mnt;
	struct dentry___seen *dentry;
};

struct fs_struct___seen {
	struct path___seen pwd;
};

struct file___seen {
	struct path___seen f_path;
	unsigned int f_flags;
	unsigned int f_mode;
};

/* Up to 6.6 f_path is the path above, and this the one below an overlay; later it is f_path itself. */
struct backing_file___seen {
	struct path___seen real_path;
};

struct vm_area_struct___seen {
	struct file___seen *vm_file;
	unsigned long vm_flags;
};

struct linux_binprm___seen {
	struct file___seen *file;
	const char *filename;
};

struct kernfs_node___seen {
	__u64 id;
};

struct cgroup___seen {
	struct kernfs_node___seen *kn;
};

struct css_set___seen {
	struct cgroup___seen *dfl_cgrp;
};

struct cred___seen {
	struct {
		char bits[8];
	} cap_bset;
	void *session_keyring;
	void *user_ns;
	void *group_info;
};

struct task_struct___seen {
	const struct cred___seen *real_cred;
	int tgid;
	struct css_set___seen *cgroups;
	struct task_struct___seen *group_leader;
	struct fs_struct___seen *fs;
	__u64 start_boottime;
	unsigned int in_execve : 1;
};

struct sock_cgroup_data___seen {
	struct cgroup___seen *cgroup;
};

struct sock_common___seen {
	unsigned short skc_family;
};

struct sock___seen {
	struct sock_common___seen __sk_common;
	unsigned short sk_type;
	unsigned short sk_protocol;
	struct sock_cgroup_data___seen sk_cgrp_data;
};

struct socket___seen {
	struct sock___seen *sk;
};

struct sockaddr_un___seen {
	unsigned short sun_family;
	char sun_path[108];
};

struct unix_address___seen {
	int len;
	struct sockaddr_un___seen name[0];
};

struct unix_sock___seen {
	struct unix_address___seen *addr;
	struct path___seen path;
};

#pragma clang attribute pop

#endif
