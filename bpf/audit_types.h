/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Types of the security modules, with the fields that are used. What kernels name
 * otherwise is a flavour (___new): libbpf looks for the name before the underscores.
 */
#ifndef AUDIT_TYPES_H
#define AUDIT_TYPES_H

#include <linux/types.h>

/* include/linux/lsm_audit.h */
enum lsm_audit_data {
	LSM_DATA_PATH = 1,
	LSM_DATA_NET = 2,
	LSM_DATA_CAP = 3,
	LSM_DATA_NONE = 7,
	LSM_DATA_KMOD = 8,
	LSM_DATA_INODE = 9,
	LSM_DATA_DENTRY = 10,
	LSM_DATA_IOCTL_OP = 11,
	LSM_DATA_FILE = 12,
};

/* security/apparmor/include/apparmor.h, AA_CLASS_* */
enum apparmor_class {
	CLASS_FILE = 2,
	CLASS_CAP = 3,
	CLASS_NET = 4,
	CLASS_RLIMITS = 5,
	CLASS_MOUNT = 7,
	CLASS_PTRACE = 9,
	CLASS_SIGNAL = 10,
	CLASS_NET_V8 = 14,
	CLASS_NET_V9 = 15,
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct qstr___audit {
	__u32 len;
	const unsigned char *name;
};

struct dentry___audit {
	struct dentry___audit *d_parent;
	struct qstr___audit d_name;
};

struct vfsmount___audit {
	struct dentry___audit *mnt_root;
};

struct mount___audit {
	struct mount___audit *mnt_parent;
	struct dentry___audit *mnt_mountpoint;
	struct vfsmount___audit mnt;
};

struct path___audit {
	struct vfsmount___audit *mnt;
	struct dentry___audit *dentry;
};

struct fs_struct___audit {
	struct path___audit root;
};

struct task_struct___audit {
	struct fs_struct___audit *fs;
};

struct file___audit {
	struct path___audit f_path;
};

struct hlist_head___audit {
	void *first;
};

struct inode___audit {
	struct hlist_head___audit i_dentry;
};

struct dentry___alias {
	union {
		struct {
			void *next;
		} d_alias;
	} d_u;
};

/* Where the union around it has no name. */
struct dentry___alias_bare {
	struct {
		void *next;
	} d_alias;
};

struct kernfs_node___audit {
	__u64 id;
};

struct cgroup_root___audit {
	int hierarchy_id;
};

struct cgroup___audit {
	struct kernfs_node___audit *kn;
	struct cgroup_root___audit *root;
};

struct lsm_ioctlop_audit {
	struct path___audit path;
};

struct sock_common {
	__u16 skc_family;
};

struct sock {
	struct sock_common __sk_common;
};

struct lsm_network_audit {
	struct sock *sk;
	__u16 family;
	__be16 dport;
	__be16 sport;
};

struct selinux_audit_data {
	__u16 tclass;
	__u32 requested;
	__u32 audited;
	__u32 denied;
	int result;
};

/* The tracepoint's fields; a text is a word with its place in the record in the lower half. */
struct trace_event_raw_selinux_audited {
	__u32 requested;
	__u32 denied;
	__u32 audited;
	int result;
	__u32 __data_loc_scontext;
	__u32 __data_loc_tcontext;
	__u32 __data_loc_tclass;
};

struct security_class_mapping {
	const char *name;
	const char *perms[33];
};

struct aa_policy {
	char *hname;
};

struct aa_ns {
	struct aa_policy base;
	struct aa_ns *parent;
};

struct aa_profile {
	struct aa_policy base;
	struct aa_ns *ns;
	long mode;
};

struct aa_label {
	char *hname;
	int size;
	struct aa_profile *vec[0];
};

typedef struct {
	__u32 val;
} kuid_t;

/* 6.1 has `label`, 6.12 `subj_label` and `class`. */
struct apparmor_audit_data {
	int error;
	int type;
	__u16 class;
	const char *op;
	struct aa_label *label;
	struct aa_label *subj_label;
	const char *name;
	const char *info;
	__u32 request;
	__u32 denied;
	union {
		struct {
			struct aa_label *peer;
			union {
				struct {
					const char *target;
					kuid_t ouid;
				} fs;
				struct {
					int rlim;
					unsigned long max;
				} rlim;
				struct {
					int signal;
					int unmappedsig;
				};
				struct {
					int type;
					int protocol;
				} net;
			};
		};
		struct {
			const char *src_name;
			const char *type;
			const char *trans;
			const char *data;
			unsigned long flags;
		} mnt;
	};
};

struct common_audit_data {
	char type;
	union {
		struct path___audit path;
		struct dentry___audit *dentry;
		struct inode___audit *inode;
		struct lsm_network_audit *net;
		int cap;
		char *kmod_name;
		struct lsm_ioctlop_audit *op;
		struct file___audit *file;
	} u;
	union {
		struct selinux_audit_data *selinux_audit_data;
		struct apparmor_audit_data *apparmor_audit_data;
	};
};

#pragma clang attribute pop

#endif
