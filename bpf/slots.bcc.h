/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The maps; which slot a cgroup counts for; what a slot has seen. A part of
 * syscalls.bcc.c and not a header: bcc rewrites map methods in one file alone.
 */

BPF_F_TABLE("array", u32, struct byte_slot, slots, SLOTS, BPF_F_MMAPABLE);
BPF_F_TABLE("array", u32, struct byte_state, state, 1, BPF_F_MMAPABLE);
BPF_F_TABLE("hash", u64, struct place, table, TABLE, 0);
BPF_F_TABLE("hash", struct cgroup_path, struct owner, paths, PATHS, 0);
BPF_F_TABLE("array", u32, struct rule_list, rules, RULES, 0);
BPF_F_TABLE("hash", u32, struct byte_joiner, joiners, JOINERS, 0);
BPF_F_TABLE("hash", u32, struct held, held, HELD, 0);
BPF_F_TABLE("array", u32, struct held, blank, 1, 0);
BPF_F_TABLE("percpu_array", u32, struct cgroup_path, path_buffer, 1, 0);
BPF_QUEUE(free_slots, u32, FREE_SLOTS);
BPF_RINGBUF_OUTPUT(events, RING_PAGES);

static __always_inline void count(__u64 *counter)
{
	__sync_fetch_and_add(counter, 1);
}

static __always_inline struct byte_state *totals(void)
{
	u32 zero = 0;

	return state.lookup(&zero);
}

static __always_inline u32 current_tgid(void)
{
	return bpf_get_current_pid_tgid() >> 32;
}

/* The slot that counts for a cgroup; 0: none. */
static __always_inline u32 table_find(u64 id)
{
	struct place *place = table.lookup(&id);
	u32 slot;

	if (!place)
		return 0;
	slot = *(volatile u32 *)&place->slot;
	return *(volatile u64 *)&place->id == id ? slot : 0;
}

static __always_inline void emit(u64 cgroup_id, u32 index, u32 kind, u32 bit, u32 phase)
{
	struct event *event = events.ringbuf_reserve(sizeof(struct event));
	struct byte_slot *slot = slots.lookup(&index);

	if (!event) {
		struct byte_state *all = totals();

		if (all)
			count(&all->ring_full);
		return;
	}
	event->time_ns = bpf_ktime_get_boot_ns();
	event->cgroup_id = cgroup_id;
	event->slot = index;
	event->generation = slot ? slot->generation : 0;
	event->kind = kind;
	event->bit = bit;
	event->phase = phase;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	events.ringbuf_submit(event, kind == EVENT_FIRST_SIGHT ? BPF_RB_NO_WAKEUP : BPF_RB_FORCE_WAKEUP);
}

/*
 * A call's byte in a row. A mask instead of a check, hidden from clang, which
 * would move or drop either: the verifier cannot do without, since it forgets
 * the range of what was spilled (before 5.16) or added to (6.12).
 */
static __always_inline u8 *byte_of(u8 *row, u64 bit)
{
	asm volatile("" : "+r"(bit));
	return row + (bit & (ROW_BYTES - 1));
}

static __always_inline void see(struct byte_slot *slot, u32 index, u32 bit, u32 phase)
{
	u8 *seen = byte_of(phase == PHASE_SETUP ? slot->setup : slot->workload, bit);

	if (*seen)
		return;
	*seen = 1;
	emit(slot->cgroup_id, index, EVENT_FIRST_SIGHT, bit, phase);
}

/* Volatile, or clang makes a call to memset of it, which BPF does not have. */
static __always_inline void clear(void *start, u32 bytes)
{
	for (u32 word = 0; word < bytes / sizeof(u64); word++)
		((volatile u64 *)start)[word] = 0;
}

static __always_inline void slot_begin(struct byte_slot *slot, u64 id, u32 mode, const char *text)
{
	u32 generation = slot->generation + 1;

	clear(slot, sizeof(*slot));
	slot->cgroup_id = id;
	slot->begun_ns = bpf_ktime_get_boot_ns();
	slot->generation = generation;
	slot->mode = mode;
	slot->started = mode == MODE_EXEC;
	slot->reference = current_namespace();
	bpf_probe_read_kernel_str(slot->path, sizeof(slot->path), text);
	slot->state = SLOT_ACTIVE;
}

/* The path of an event in the CPU's buffer, padded with zeros; NULL, and counted, if it is too long. */
static __always_inline struct cgroup_path *path_of(const char *text)
{
	struct byte_state *all = totals();
	struct cgroup_path *path;
	u32 zero = 0;

	path = path_buffer.lookup(&zero);
	if (!path || !all)
		return NULL;
	clear(path->text, PATH_BYTES);
	if (bpf_probe_read_kernel_str(path->text, PATH_BYTES, text) < PATH_BYTES)
		return path;
	count(&all->table_full);
	return NULL;
}

/*
 * Cuts the last part off a path, and shifts its first bytes into two words, the
 * first one lowest: an offset instead would be another state for the verifier
 * at each place of the slash.
 */
static __always_inline void cut_name(struct cgroup_path *path, u64 *name)
{
	for (int i = PATH_BYTES - 1; i > 0; i--) {
		u64 last = (u8)path->text[i];

		path->text[i] = 0;
		if (last == '/')
			break;
		name[1] = name[1] << 8 | name[0] >> 56;
		name[0] = name[0] << 8 | last;
	}
}

/* A new cgroup below a target counts for its slot. */
static __always_inline void slot_adopt(u64 id, u32 index, const char *text)
{
	struct byte_slot *slot = slots.lookup(&index);
	struct place place = { .id = id, .slot = index };
	struct owner owner = { .slot = index };
	struct byte_state *all = totals();
	struct cgroup_path *path;

	if (!slot || !all)
		return;
	if (slot->children >= all->max_children) {
		count(&slot->children_full);
		return;
	}
	if (table.insert(&id, &place)) {
		count(&slot->table_full);
		return;
	}
	__sync_fetch_and_add(&slot->children, 1);
	path = path_of(text);
	if (path && paths.insert(path, &owner))
		count(&slot->table_full);
	/* Dropped meanwhile: user space marks the slot, then looks for what counts for it. */
	if (*(volatile u32 *)&slot->state == SLOT_ACTIVE)
		return;
	table.delete(&id);
	if (path)
		paths.delete(path);
}

/* A new cgroup below a watched root is a target of its own. */
static __always_inline void slot_take(u64 id, u32 mode, const char *text)
{
	struct byte_state *all = totals();
	struct place place = { .id = id };
	struct owner owner = {};
	struct cgroup_path *path;
	struct byte_slot *slot;
	u32 index;

	path = path_of(text);
	if (!path || !all)
		return;
	if (free_slots.pop(&index)) {
		count(&all->slots_full);
		return;
	}
	slot = slots.lookup(&index);
	if (!slot)
		return;
	slot_begin(slot, id, mode, text);
	place.slot = owner.slot = index;
	if (!table.insert(&id, &place)) {
		if (!paths.insert(path, &owner)) {
			emit(id, index, EVENT_BEGIN, 0, 0);
			return;
		}
		table.delete(&id);
	}
	slot->state = SLOT_FREE;
	free_slots.push(&index, 0);
	count(&all->table_full);
}

/* So is what is made below this one: the containers of a pod, say. */
static __always_inline void watch_below(u64 id, u32 mode, u32 levels, const char *text)
{
	struct byte_state *all = totals();
	struct cgroup_path *path = path_of(text);
	struct owner owner = { .id = id, .mode = mode, .levels = levels };

	if (!path || !all)
		return;
	if (paths.insert(path, &owner))
		count(&all->roots_full);
	else
		emit(id, 0, EVENT_WATCH, 0, 0);
}
