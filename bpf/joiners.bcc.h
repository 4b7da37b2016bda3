/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who is in set-up; docs/phases.md has the rule, joiners.bpf.h the same for
 * libbpf. Without atomic operations that give the old value, deleting an entry
 * decides who settles what its task did, and a second look after each store
 * finds what another CPU settled meanwhile. A part of syscalls.bcc.c.
 */

static __always_inline int in_setup(struct byte_joiner *joiner)
{
	return joiner && (joiner->state == JOINER_SETUP || joiner->state == JOINER_UNDECIDED);
}

static __always_inline struct byte_joiner *joiner_of(u32 tgid, u32 index, struct byte_slot *slot)
{
	struct byte_joiner *joiner = joiners.lookup(&tgid);

	if (!joiner || joiner->state == JOINER_UNRESOLVED || joiner->slot != index ||
	    joiner->generation != slot->generation)
		return NULL;
	return joiner;
}

/*
 * Only ones are stored: another CPU may be storing one beside them. Without a
 * branch, which would double the verifier's states with every byte: what was
 * not called is stored to the row's last byte, which is no call's.
 */
static __always_inline void merge(u32 tgid, u8 *to)
{
	struct held *row = held.lookup(&tgid);

	if (!row)
		return;
	for (u64 bit = 0; bit < BITMAP_BITS; bit++)
		*byte_of(to, bit | ((u64)row->seen[bit] - 1)) = 1;
}

/*
 * A thread group is gone, or has left the target: what it did counts, as
 * workload where no exec made it set-up. In this order for the reader, who
 * looks at what is held, then at its entry, and after a grace period at the slot.
 */
static __always_inline void joiner_forget(u32 tgid)
{
	struct byte_joiner *joiner = joiners.lookup(&tgid), was;
	struct byte_state *all = totals();
	struct byte_slot *slot;

	if (!joiner || !all)
		return;
	was = *joiner;
	if (joiners.delete(&tgid))
		return;
	slot = slots.lookup(&was.slot);
	if (was.state == JOINER_UNRESOLVED) {
		__sync_fetch_and_add(&all->unresolved, -1);
	} else if (slot && slot->generation == was.generation) {
		if (was.state == JOINER_SETUP || was.state == JOINER_UNDECIDED)
			__sync_fetch_and_add(&slot->joiners, -1);
		if (was.state == JOINER_UNDECIDED)
			count(&slot->joiner_without_exec);
		if (was.state == JOINER_UNDECIDED || was.state == JOINER_PENDING)
			merge(tgid, slot->workload);
	}
	held.delete(&tgid);
}

static __always_inline void joiner_add(u32 tgid, u32 index, struct byte_slot *slot, u32 reference)
{
	struct byte_joiner fresh = {
		.slot = index,
		.generation = slot->generation,
		.state = slot->mode == MODE_EXEC ? JOINER_UNDECIDED : JOINER_SETUP,
		.reference = reference,
	};
	struct byte_joiner *old = joiners.lookup(&tgid);
	u32 was;

	slot->reference = reference;
	if (old && !joiner_of(tgid, index, slot))
		joiner_forget(tgid);
	/* Counted before it is visible: the hot path must not trust the workload's bytes alone. */
	__sync_fetch_and_add(&slot->joiners, 1);
	if (!joiners.insert(&tgid, &fresh))
		return;
	old = joiner_of(tgid, index, slot);
	if (!old)
		count(&slot->joiners_full);
	if (!old || in_setup(old) || (slot->mode == MODE_EXEC && old->state == JOINER_CONFIRMED)) {
		/* The last is a member that was below, see remember_member. */
		__sync_fetch_and_add(&slot->joiners, -1);
		return;
	}
	/* The task itself was quicker than this event. */
	if (slot->mode == MODE_EXEC) {
		old->state = JOINER_UNDECIDED;
		return;
	}
	was = old->state;
	old->reference = reference;
	old->state = JOINER_SETUP;
	/* A full barrier between this store and the look at what waits, see hold. */
	count(&slot->settled);
	if (was == JOINER_PENDING)
		merge(tgid, slot->setup);
}

/* A member that is, or may come to be, below its target: no event tells where it moves up from. */
static __always_inline void remember_member(u32 tgid, u32 index, struct byte_slot *slot)
{
	struct byte_joiner member = {
		.slot = index,
		.generation = slot->generation,
		.state = JOINER_CONFIRMED,
		.followed = 1,
	};

	if (joiners.insert(&tgid, &member) && !joiners.lookup(&tgid))
		count(&slot->joiners_full);
}

/* Made in a cgroup that the fork event does not name. */
static __always_inline void joiner_unresolved(u32 tgid, struct byte_joiner *parent)
{
	struct byte_state *all = totals();
	struct byte_joiner child = {
		.slot = table_find(bpf_get_current_cgroup_id()),
		.state = JOINER_UNRESOLVED,
		.reference = current_namespace(),
		.from_setup = parent && parent->state == JOINER_SETUP,
	};

	if (!all)
		return;
	__sync_fetch_and_add(&all->unresolved, 1);
	if (!joiners.insert(&tgid, &child))
		return;
	__sync_fetch_and_add(&all->unresolved, -1);
	count(&all->joiners_full);
}

/* The current task's entry, once it is known which target the task is in. */
static __always_inline struct byte_joiner *joiner_resolve(u32 tgid, u32 index, struct byte_slot *slot)
{
	struct byte_joiner *joiner = joiners.lookup(&tgid), was;
	struct byte_state *all = totals();

	if (!joiner || joiner->state != JOINER_UNRESOLVED)
		return joiner_of(tgid, index, slot);
	was = *joiner;
	if (!all || joiners.delete(&tgid))
		return joiner_of(tgid, index, slot);
	__sync_fetch_and_add(&all->unresolved, -1);
	if (was.slot != index || was.from_setup)
		joiner_add(tgid, index, slot, was.reference);
	else if (slot->mode == MODE_EXEC)
		remember_member(tgid, index, slot);
	return joiner_of(tgid, index, slot);
}

/*
 * A call waits beside its joiner's entry. 0: it waits; else the phase it
 * belongs to, since there is no room (and the ledger says so) or the task was
 * settled meanwhile by another CPU, which may not have seen this store.
 */
static __always_inline int hold(u32 tgid, u32 index, struct byte_slot *slot, u32 bit)
{
	struct held *row = held.lookup(&tgid);
	struct byte_joiner *joiner;
	u32 zero = 0;

	if (!row) {
		row = blank.lookup(&zero);
		if (!row)
			return PHASE_WORKLOAD;
		held.insert(&tgid, row);
		row = held.lookup(&tgid);
		if (!row) {
			count(&slot->joiners_full);
			return PHASE_WORKLOAD;
		}
	}
	*byte_of(row->seen, bit) = 1;
	count(&row->stores); /* a full barrier */
	joiner = joiner_of(tgid, index, slot);
	if (!joiner || joiner->state == JOINER_CONFIRMED)
		return PHASE_WORKLOAD;
	return joiner->state == JOINER_SETUP ? PHASE_SETUP : 0;
}

/* A call of a task that may be a joiner whose attach event is still to come; as hold. */
static __always_inline int hold_pending(u32 tgid, u32 index, struct byte_slot *slot, u32 bit)
{
	struct byte_joiner *joiner;
	int phase = hold(tgid, index, slot, bit);

	if (phase)
		return phase;
	joiner = joiner_of(tgid, index, slot);
	if (!joiner)
		return PHASE_WORKLOAD;
	if (joiner->state != JOINER_PENDING || bpf_ktime_get_ns() - joiner->since_ns < PENDING_NS)
		return 0;
	joiner->state = JOINER_CONFIRMED;
	count(&slot->settled); /* as in joiner_add */
	merge(tgid, slot->workload);
	return PHASE_WORKLOAD;
}

/*
 * Mode exec: a task that was forked outside the target, and is still its
 * parent's program, such as a unit's between systemd's fork and the exec.
 */
static __always_inline int forked_outside(u64 task, u32 index)
{
	u64 from = forked_in(task);

	return from && table_find(from) != index;
}

/*
 * May a task be a joiner whose attach event is still to come? As in
 * joiners.bpf.h: in a container, a runtime's own process.
 */
static __always_inline int may_be_joiner(u32 index, struct byte_slot *slot)
{
	u64 task = bpf_get_current_task();

	if (slot->mode == MODE_EXEC)
		return forked_outside(task, index);
	return mount_namespace(task) == slot->reference || !executable_is_inside(task);
}

/* The phase of a call of a task that is no joiner; 0: it waits. */
static __always_inline int newcomer_phase(u32 tgid, u32 index, struct byte_slot *slot, u32 bit)
{
	struct byte_joiner *joiner, fresh = {
		.slot = index,
		.generation = slot->generation,
		.state = JOINER_PENDING,
		.since_ns = bpf_ktime_get_ns(),
		.exec_bit = bit_is_exec(bit) ? 1 + bit : 0,
	};

	if (!slot->started)
		return PHASE_SETUP;
	if (!may_be_joiner(index, slot))
		return PHASE_WORKLOAD;
	joiners.insert(&tgid, &fresh);
	joiner = joiner_of(tgid, index, slot);
	if (!joiner)
		count(&slot->joiners_full);
	if (!joiner || joiner->state == JOINER_CONFIRMED)
		return PHASE_WORKLOAD;
	return joiner->state == JOINER_SETUP ? PHASE_SETUP : hold_pending(tgid, index, slot, bit);
}

/* The phase of a call whose byte is not set yet; 0: it waits. */
static __always_inline int phase_of(u32 tgid, u32 index, struct byte_slot *slot, u32 bit)
{
	struct byte_joiner *joiner = joiner_resolve(tgid, index, slot);

	if (!joiner)
		return newcomer_phase(tgid, index, slot, bit);
	if (joiner->state != JOINER_CONFIRMED && bit_is_exec(bit))
		joiner->exec_bit = 1 + bit;
	if (joiner->state == JOINER_UNDECIDED)
		return hold(tgid, index, slot, bit);
	if (joiner->state == JOINER_PENDING)
		return hold_pending(tgid, index, slot, bit);
	return joiner->state == JOINER_SETUP ? PHASE_SETUP : PHASE_WORKLOAD;
}

/* Is this exec of a joiner the one that starts the workload? */
static __always_inline int is_boundary(u32 index, struct byte_slot *slot, struct byte_joiner *joiner)
{
	u64 task = bpf_get_current_task();
	struct byte_joiner *parent;

	if (joiner->state == JOINER_UNDECIDED)
		return 1;
	if (joiner->state != JOINER_SETUP)
		return 0;
	/* runc executes itself anew before it enters the container. */
	if (mount_namespace(task) == joiner->reference)
		return 0;
	/* The runtime again, after unshare or from a memfd. */
	if (!executable_is_inside(task))
		return 0;
	/* An OCI hook: a joiner's child. The entry point is no joiner's child. */
	parent = joiner_of(parent_of(task), index, slot);
	return !(parent && parent->state == JOINER_SETUP);
}

/* Is the moved task a member already? As in joiners.bpf.h, but that a member below is remembered. */
static __always_inline int moves_within(u32 index, struct byte_slot *slot, u64 destination, u32 tgid, u64 task,
					u32 reference)
{
	u32 writer = current_tgid(), home;

	/* A member arranges its own. */
	if (writer != tgid && table_find(bpf_get_current_cgroup_id()) == index &&
	    !in_setup(joiner_of(writer, index, slot))) {
		if (slot->mode == MODE_EXEC)
			remember_member(tgid, index, slot);
		return 1;
	}
	if (slot->mode == MODE_EXEC) {
		if (writer != tgid || destination == slot->cgroup_id || forked_outside(task, index))
			return 0;
		remember_member(tgid, index, slot);
		return 1;
	}
	/* Nested hierarchies (systemd inside the container) move their own. */
	home = executable_namespace(task);
	if (!slot->started || home == reference)
		return 0;
	return writer == tgid ||
	       (home && (home == slot->mount_namespace || home == mount_namespace(task)));
}
