/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What tasks do to each other, on both sides; capabilities, user namespaces, io_uring.
 * The side of who is signalled or looked at has the name of the task that did it.
 */
#ifndef ACCESS_TASKS_BPF_H
#define ACCESS_TASKS_BPF_H

/* include/linux/ptrace.h */
#define MODE_READ 0x1
#define MODE_ATTACH 0x2

static __always_inline __u32 slot_of_task(struct task_struct___seen *task)
{
	return table_find(BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id));
}

/* Of a task in `slot`; another than the current one where it is given. */
static __always_inline int use_peer_task(enum access_kind kind, __u32 slot, __u32 other, __u32 number,
					 __u32 rights, struct task_struct___seen *another)
{
	__u32 which = slot ? begin_for(kind, slot) : 0;
	struct scratch *s = which ? scratch_at(which - 1) : NULL;

	if (!s)
		return 0;
	if (another) {
		take_process(&s->process, another);
		s->another = (void *)another;
	}
	s->access.what.object = number;
	s->access.what.peer = slot == other ? PEER_INSIDE : PEER_OUTSIDE;
	return end(which - 1, rights);
}

HOOK("fentry/security_task_kill", on_signal, struct task_struct___seen *target, const void *info, int signal)
{
	__u32 mine = my_slot(), its = slot_of_task(target);

	use_peer_task(ACCESS_SIGNAL, mine, its, signal, SIGNAL_SEND, NULL);
	return use_peer_task(ACCESS_SIGNAL, its, mine, signal, SIGNAL_RECEIVE, target);
}

HOOK("fentry/security_ptrace_access_check", on_ptrace, struct task_struct___seen *child, unsigned int mode)
{
	__u32 mine = my_slot(), its = slot_of_task(child);
	bool reads = mode & MODE_READ;

	use_peer_task(ACCESS_PTRACE, mine, its, 0, reads ? PTRACE_READ : PTRACE_TRACE, NULL);
	return use_peer_task(ACCESS_PTRACE, its, mine, 0, reads ? PTRACE_READ_BY : PTRACE_TRACED_BY,
			     child);
}

HOOK("fentry/security_ptrace_traceme", on_traceme, struct task_struct___seen *parent)
{
	__u32 mine = my_slot(), its = slot_of_task(parent);

	use_peer_task(ACCESS_PTRACE, its, mine, 0, PTRACE_TRACE, parent);
	return use_peer_task(ACCESS_PTRACE, mine, its, 0, PTRACE_TRACED_BY, NULL);
}

static __always_inline int use_number(enum access_kind kind, __u32 number, __u32 rights)
{
	__u32 which = begin(kind);
	struct scratch *s = which ? scratch_at(which - 1) : NULL;

	if (!s)
		return 0;
	s->access.what.object = number;
	return end(which - 1, rights);
}

/* include/linux/security.h: who asks does not act on the answer as on a use, such as for memory's reserve. */
#define CAP_OPT_NOAUDIT 0x2

/*
 * Credentials that a file system put on for its own work: an overlay's are those of who mounted it, and
 * no answer about them is one about the task. Those that a call like access(2) makes are copies of the
 * task's own, in which all of these are the same.
 */
static __always_inline bool are_anothers(const struct cred___seen *credentials)
{
	struct task_struct___seen *task = (void *)bpf_get_current_task();
	const struct cred___seen *own = BPF_CORE_READ(task, real_cred);
	__u64 bounds, own_bounds;

	if (credentials == own)
		return false;
	bpf_probe_read_kernel(&bounds, sizeof(bounds), __builtin_preserve_access_index(&credentials->cap_bset));
	bpf_probe_read_kernel(&own_bounds, sizeof(own_bounds), __builtin_preserve_access_index(&own->cap_bset));
	if (bounds != own_bounds || BPF_CORE_READ(credentials, user_ns) != BPF_CORE_READ(own, user_ns) ||
	    BPF_CORE_READ(credentials, group_info) != BPF_CORE_READ(own, group_info))
		return true;
	return bpf_core_field_exists(own->session_keyring) &&
	       BPF_CORE_READ(credentials, session_keyring) != BPF_CORE_READ(own, session_keyring);
}

/* At its end, since only that says whether it was granted; by any user namespace, as AppArmor does. */
HOOK("fexit/security_capable", on_capable, const struct cred___seen *credentials, const void *space, int capability, unsigned int options,
	     int result)
{
	if (options & CAP_OPT_NOAUDIT || are_anothers(credentials))
		return 0;
	return use_number(ACCESS_CAPABILITY, capability, result ? CAPABILITY_REFUSED : CAPABILITY_GRANTED);
}

HOOK("fentry/security_create_user_ns", on_user_namespace)
{
	return use_number(ACCESS_USER_NAMESPACE, 0, 1);
}

HOOK("fentry/security_uring_override_creds", on_uring_credentials)
{
	return use_number(ACCESS_IO_URING, 0, IO_URING_OVERRIDE_CREDS);
}

HOOK("fentry/security_uring_sqpoll", on_uring_poll)
{
	return use_number(ACCESS_IO_URING, 0, IO_URING_SQPOLL);
}

HOOK("fentry/security_uring_cmd", on_uring_command)
{
	return use_number(ACCESS_IO_URING, 0, IO_URING_COMMAND);
}

HOOK("fentry/security_uring_allowed", on_uring)
{
	return use_number(ACCESS_IO_URING, 0, IO_URING_SETUP);
}

#endif
