/* SPDX-License-Identifier: GPL-2.0 */
/* What AppArmor says of a denial, and where the kernel keeps it. */
#ifndef DENIALS_APPARMOR_BPF_H
#define DENIALS_APPARMOR_BPF_H

#include "audit_types.h"
#include "denials_table.bpf.h"

/* Where `class` is not there yet (6.1), who writes the record's end tells it. */
extern const void file_audit_cb __ksym __weak;
extern const void audit_net_cb __ksym __weak;
extern const void audit_signal_cb __ksym __weak;
extern const void audit_ptrace_cb __ksym __weak;

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

/* A call of the audit function, into the scratch. False: it says nothing that could be read. */
static __always_inline bool take_apparmor(struct common_audit_data *a, const void *post)
{
	struct apparmor_audit_data *ad = BPF_CORE_READ(a, apparmor_audit_data);
	struct scratch *s = the_scratch();
	struct denial_what *what;

	if (!s || !ad)
		return false;
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
	return true;
}

#endif
