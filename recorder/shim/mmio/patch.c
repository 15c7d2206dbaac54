// SPDX-License-Identifier: Apache-2.0
/*
 * A site becomes a jump to its trampoline. No instruction boundary moves, so nothing is asked about jump targets, and a
 * thread that stands before the site sees the old instruction, an int3 (then our SIGTRAP handler takes it to the
 * trampoline) or the jump. Five bytes or more: jmp rel32. Fewer: see pun.c.
 */
#include "internal.h"

/* The nearest site whose jump has bytes at `address`, other than `except`. */
struct mmio_site *mmio_site_covering(uint64_t address, const struct mmio_site *except)
{
	for (uint64_t start = address; start > address - 16; start--) {
		struct mmio_site *site = mmio_site_find(start);

		if (site && site != except && site->state == SITE_PATCHED && site->address + site->jump_bytes > address)
			return site;
	}
	return NULL;
}

bool mmio_bytes_locked(uint64_t address, size_t length, const struct mmio_site *except)
{
	struct mmio_site *site;

	if (length <= 16) {
		for (size_t i = 0; i < length; i++)
			if (mmio_site_covering(address + i, except))
				return true;
		return mmio_padding_used(address, length);
	}
	if (!mmio_site_pages_touch(address, length))
		return false;
	for (uint32_t cursor = 0; (site = mmio_site_next(&cursor));)
		if (site->address < address + length && site->address + 16 > address && site->state != SITE_DEAD)
			return true;
	return mmio_padding_used(address, length);
}

/* The protocol for code that others may be executing: int3 first, then what is behind it, then the first byte. */
bool mmio_write_jump(struct mmio_site *site, const uint8_t *bytes, size_t length, uint8_t jump_at, uint64_t stub)
{
	uint64_t at = site->address;

	if (!mmio_code_write(at, "\xcc", 1))
		return false;
	if (!mmio_code_sync()) {
		mmio_code_write(at, site->insn.bytes, 1);
		return false;
	}
	mmio_code_write(at + 1, bytes + 1, length - 1);
	mmio_code_sync();
	copy_bytes(site->patched, site->insn.bytes, 16);
	copy_bytes(site->patched, bytes, length);
	site->jump_at = jump_at;
	site->jump_bytes = (uint8_t)(jump_at + 5);
	site->stub = stub;
	__atomic_store_n(&site->state, SITE_PATCHED, __ATOMIC_RELEASE);
	mmio_code_write(at, bytes, 1);
	mmio_code_sync();
	return true;
}

/* Leaves an int3 in front of the original instruction: correct, if slow, whatever its neighbours become. */
static void half_undo(struct mmio_site *site)
{
	mmio_code_write(site->address, "\xcc", 1);
	mmio_code_sync();
	mmio_code_write(site->address + 1, site->insn.bytes + 1, site->insn.length - 1u);
	mmio_code_sync();
	site->jump_bytes = 0;
	site->stub = 0;
	__atomic_store_n(&site->state, SITE_TRAMPOLINE, __ATOMIC_RELEASE);
}

static void finish_undo(struct mmio_site *site)
{
	mmio_code_write(site->address, site->insn.bytes, 1);
	mmio_code_sync();
}

static bool direct_jump(struct mmio_site *site)
{
	uint8_t jump[5] = { 0xe9 };
	int64_t distance = (int64_t)(site->trampoline - (site->address + 5));
	int32_t displacement = (int32_t)distance;

	if (displacement != distance)
		return false;
	copy_bytes(jump + 1, &displacement, 4);
	if (!mmio_write_jump(site, jump, 5, 0, 0))
		return false;
	mmio_counters.patched_direct++;
	return true;
}

static bool jump_in(struct mmio_site *site)
{
	if (site->insn.class == CLASS_MOVED)
		return false; /* where it went, others rely on: it goes back instead */
	return site->insn.length >= 5 ? direct_jump(site)
				      : mmio_pun(site) || mmio_padding_jump(site) || mmio_evict_successor(site);
}

static void set_tier(struct mmio_site *site, enum mmio_tier tier, enum mmio_reason reason)
{
	site->tier = (uint8_t)tier;
	site->reason = (uint8_t)reason;
	__atomic_store_n(&site->op_word, VFIOTAPE_ACCESS(0, site->insn.width, tier, site->insn.form), __ATOMIC_RELAXED);
}

#define CHAIN_MAX 8

/* Those whose jumps share bytes with `site`, and with one another, nearest first. */
static int find_chain(struct mmio_site *site, struct mmio_site *chain[CHAIN_MAX])
{
	struct mmio_site *covering;
	int length = 0;

	for (struct mmio_site *of = site; length < CHAIN_MAX && (covering = mmio_site_covering(of->address, of));
	     of = covering)
		chain[length++] = covering;
	return length;
}

/*
 * Earlier short sites have punned over this one's bytes: they are undone (the furthest first, for each relies on the
 * bytes of the next), this one is patched, and they pun again over what is there now.
 */
static bool patch_under(struct mmio_site *site)
{
	struct mmio_site *chain[CHAIN_MAX];
	int length = find_chain(site, chain);
	bool done;

	if (length == CHAIN_MAX)
		return false;
	for (int i = length - 1; i >= 0; i--)
		half_undo(chain[i]);
	done = jump_in(site);
	for (int i = 0; i < length; i++) {
		if (jump_in(chain[i])) {
			mmio_counters.repuns++;
			continue;
		}
		finish_undo(chain[i]);
		set_tier(chain[i], MMIO_TIER_TRAP, MMIO_REASON_TOO_SHORT);
		mmio_counters.unpatched++;
	}
	return done;
}

void mmio_patch_site(struct mmio_site *site)
{
	enum mmio_reason reason = mmio_mode == VFIOTAPE_MMIO_PATCH ? MMIO_REASON_NONE : MMIO_REASON_MODE;

	if (!reason)
		reason = mmio_code_patchable(site->address, site->insn.length);
	/* Asked each time: a driver may have put itself behind a seccomp filter meanwhile. */
	if (!reason && !(mmio_can_sync() && mmio_code_sync()))
		reason = MMIO_REASON_NO_MEMBARRIER;
	if (!reason) {
		if (patch_under(site)) {
			set_tier(site, MMIO_TIER_PATCH, MMIO_REASON_NONE);
			return;
		}
		reason = site->insn.length >= 5 ? MMIO_REASON_CANT_WRITE : MMIO_REASON_TOO_SHORT;
	}
	mmio_counters.unpatched++;
	set_tier(site, MMIO_TIER_TRAP, reason);
}

void mmio_unpatch(struct mmio_site *site, enum mmio_reason reason)
{
	struct mmio_site *chain[CHAIN_MAX];
	int length = find_chain(site, chain);

	for (int i = length - 1; i >= 0; i--)
		half_undo(chain[i]);
	if (site->state == SITE_PATCHED) {
		half_undo(site);
		finish_undo(site);
	}
	for (int i = 0; i < length; i++) {
		finish_undo(chain[i]);
		set_tier(chain[i], MMIO_TIER_TRAP, reason);
		__atomic_store_n(&chain[i]->state, SITE_DEAD, __ATOMIC_RELEASE);
	}
	set_tier(site, MMIO_TIER_TRAP, reason);
	__atomic_store_n(&site->state, SITE_DEAD, __ATOMIC_RELEASE);
	mmio_counters.purged++;
}

void mmio_unpatch_range(uint64_t address, size_t length)
{
	struct mmio_site *site;

	for (uint32_t cursor = 0; (site = mmio_site_next(&cursor));)
		if (site->state == SITE_PATCHED && site->address < address + length &&
		    site->address + 16 > address)
			mmio_unpatch(site, MMIO_REASON_WRITABLE);
}

void mmio_purge_range(uint64_t address, size_t length)
{
	struct mmio_site *site;

	for (uint32_t cursor = 0; (site = mmio_site_next(&cursor));) {
		if (site->state == SITE_DEAD || site->state == SITE_NEW)
			continue;
		if (site->address >= address + length || site->address + 16 <= address)
			continue;
		/* Its jump may lie partly in memory that stays. */
		if (site->state == SITE_PATCHED && (site->address < address ||
						    mmio_site_covering(site->address, site)))
			mmio_unpatch(site, MMIO_REASON_REPLACED);
		__atomic_store_n(&site->state, SITE_DEAD, __ATOMIC_RELEASE);
		mmio_counters.purged++;
	}
}
