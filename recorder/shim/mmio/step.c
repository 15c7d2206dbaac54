// SPDX-License-Identifier: Apache-2.0
/*
 * Instructions that can't be moved into a trampoline are executed as they are, in a copy, one at a time: with the base
 * register moved to the alias; where that can't be, with the page opened by a protection key for this thread alone;
 * without protection keys, with the page opened while the other threads are held. It is never open to a second thread.
 * What they load or store is not known: they are recorded, with FLAG_UNKNOWN.
 *
 * What the decoder doesn't know, and what finds no room in the tables, is stepped where it stands, on the open page: for
 * that nothing need be known about it.
 */
#include <cpuid.h>
#include <sys/mman.h>

#include "../dma/dma.h"
#include "internal.h"

#define TRAP_FLAG 0x100

static struct {
	int32_t key;       /* -2: not tried yet, -1: there are none */
	uint32_t pkru_at;  /* in the signal frame's extended state */
} shared = { .key = -2 };

static __thread struct {
	struct mmio_site *site; /* NULL: no step under way */
	uint64_t tier;
	uint64_t mask;
	uint64_t base_before;
	uint64_t copy; /* where it is executed: the site itself for what has no copy */
	uint64_t page, pages;
	struct mmio_access access;
	struct ring_slot slot;
} step __attribute__((tls_model("initial-exec")));

void mmio_step_start(void)
{
	uint32_t a, b, c, d;

	__cpuid(1, a, b, c, d);
	if (!(c & 1u << 27))
		return;
	__cpuid_count(0xd, 9, a, b, c, d);
	shared.pkru_at = a ? b : 0;
}

/* --- in a copy ----------------------------------------------------------------------------------------------------------- */

static bool can_rebase(const struct mmio_insn *insn)
{
	/* A base that is also an operand would be read moved, or come back half moved. */
	return insn->base < 16 && insn->base != 4 && insn->base != insn->index && !insn->segment && !insn->address32 &&
	       !insn->vector_index && !insn->base_is_operand;
}

/* The site itself may be a jump by now: wherever there can be, it is a copy that is stepped. */
static bool make_copy(struct mmio_site *site)
{
	uint8_t code[16];
	uint64_t at;

	if (site->insn.class == CLASS_UNDECODED)
		return false;
	mmio_lock();
	if (!site->copy) {
		for (unsigned int i = 0; i < 16; i++)
			code[i] = 0xcc;
		copy_bytes(code, site->insn.bytes, site->insn.length);
		at = mmio_code_room(site->address, 16);
		if (at && site->insn.base == REG_RIP_RELATIVE) {
			int32_t moved = (int32_t)((uint64_t)site->insn.displacement + site->address - at);

			copy_bytes(code + site->insn.displacement_at, &moved, 4);
		}
		if (at && mmio_code_write(at, code, sizeof(code)))
			__atomic_store_n(&site->copy, at, __ATOMIC_RELEASE);
	}
	mmio_unlock();
	return site->copy != 0;
}

/* --- by a protection key ------------------------------------------------------------------------------------------ */

/* PKRU as it will be when the handler returns; NULL when the frame doesn't carry it. */
static uint32_t *frame_pkru(ucontext_t *context)
{
	uint8_t *state = (uint8_t *)context->uc_mcontext.fpregs;
	uint32_t magic, size;

	if (!state || !shared.pkru_at)
		return NULL;
	copy_bytes(&magic, state + 464, 4); /* struct _fpx_sw_bytes */
	copy_bytes(&size, state + 480, 4);
	if (magic != 0x46505853u || size < shared.pkru_at + 8)
		return NULL;
	*(uint64_t *)(state + 512) |= 1u << 9; /* XSTATE_BV: not in its initial state */
	return (uint32_t *)(state + shared.pkru_at);
}

static bool have_key(void)
{
	if (shared.key == -2) {
		long key = shared.pkru_at ? raw3(SYS_pkey_alloc, 0, 1 /* PKEY_DISABLE_ACCESS */, 0) : -1;

		shared.key = raw_failed(key) ? -1 : (int32_t)key;
	}
	return shared.key >= 0;
}

static bool open_by_key(ucontext_t *context, int prot)
{
	uint32_t *pkru = have_key() ? frame_pkru(context) : NULL;

	if (!pkru || raw_failed(raw4(SYS_pkey_mprotect, (long)step.page, (long)step.pages, prot, shared.key)))
		return false;
	*pkru &= ~(3u << 2 * shared.key);
	return true;
}

static void close_key(ucontext_t *context)
{
	uint32_t *pkru = frame_pkru(context);

	raw4(SYS_pkey_mprotect, (long)step.page, (long)step.pages, PROT_NONE, 0);
	if (pkru)
		*pkru |= 1u << 2 * shared.key;
}

/* --- with the others held ------------------------------------------------------------------------------------------------ */

static bool open_alone(int prot)
{
	mmio_hold_others();
	if (!raw_failed(raw3(SYS_mprotect, (long)step.page, (long)step.pages, prot)))
		return true;
	mmio_let_others_go();
	return false;
}

/* --- the step ------------------------------------------------------------------------------------------------------------------ */

static uint8_t kind_of(const struct mmio_insn *insn)
{
	return insn->actions == 1 ? VFIOTAPE_LOAD : insn->actions == 2 ? VFIOTAPE_STORE : VFIOTAPE_UPDATE;
}

static void enter_place(void)
{
	while (__atomic_exchange_n(&mmio_wiped.stepping, 1, __ATOMIC_ACQUIRE))
		if (!mmio_hold_here())
			raw_nanosleep(20000);
}

/* With what the driver asked for: what that doesn't allow faults in the step, as it would have. */
static bool open_in_place(uint64_t address, bool straddles, ucontext_t *context)
{
	const struct mmio_range *next = NULL;
	int prot;

	enter_place();
	step.page = page_down(address);
	step.pages = PAGE;
	prot = (int)mmio_range_of(address)->prot;
	if (!straddles)
		next = mmio_range_of(step.page + PAGE);
	if (next) {
		step.pages = 2 * PAGE;
		prot &= (int)next->prot;
	}
	if (open_by_key(context, prot)) {
		step.tier = MMIO_TIER_KEY;
		mmio_counters.stepped_key++;
		return true;
	}
	if (open_alone(prot)) {
		step.tier = MMIO_TIER_HOLD;
		mmio_counters.stepped_held++;
		return true;
	}
	__atomic_store_n(&mmio_wiped.stepping, 0, __ATOMIC_RELEASE);
	return false;
}

bool mmio_step_begin(struct mmio_site *site, uint64_t address, bool straddles, ucontext_t *context)
{
	greg_t *registers = context->uc_mcontext.gregs;
	const struct mmio_range *range = mmio_range_of(address);
	uint64_t all = ~OWNED_SIGNALS;

	if (!range)
		return false;
	if (site->insn.actions != 1) /* before others are held, who may be comparing */
		dma_at(DMA_STORE);
	step.copy = make_copy(site) ? site->copy : site->address;
	step.site = site;
	if (!straddles && step.copy != site->address && can_rebase(&site->insn)) {
		greg_t *base = &registers[mmio_context_register[site->insn.base]];

		step.tier = MMIO_TIER_STEP;
		step.base_before = (uint64_t)*base;
		*base = (greg_t)((uint64_t)*base + range->delta);
		mmio_counters.stepped++;
	} else if (!open_in_place(address, straddles, context)) {
		step.site = NULL;
		return false;
	}
	registers[REG_RIP] = (greg_t)step.copy;
	step.access = (struct mmio_access){
		.range = range, .address = address, .site = site->address, .kind = kind_of(&site->insn),
		.width = site->insn.width, .tier = (uint8_t)step.tier, .form = site->insn.form,
		.flags = VFIOTAPE_FLAG_UNKNOWN,
	};
	mmio_record_begin(&step.access, &step.slot);
	/* Nothing may come in between: a handler would run with the page open, or with the register moved. */
	copy_bytes(&step.mask, &context->uc_sigmask, 8);
	copy_bytes(&context->uc_sigmask, &all, 8);
	registers[REG_EFL] |= TRAP_FLAG;
	return true;
}

static void close_step(ucontext_t *context)
{
	greg_t *registers = context->uc_mcontext.gregs;
	struct mmio_site *site = step.site;
	uint64_t at = (uint64_t)registers[REG_RIP];

	registers[REG_EFL] &= ~(greg_t)TRAP_FLAG;
	copy_bytes(&context->uc_sigmask, &step.mask, 8);
	if (at - step.copy <= site->insn.length)
		registers[REG_RIP] = (greg_t)(site->address + (at - step.copy));
	switch (step.tier) {
	case MMIO_TIER_STEP:
		registers[mmio_context_register[site->insn.base]] = (greg_t)step.base_before;
		break;
	case MMIO_TIER_KEY:
		close_key(context);
		__atomic_store_n(&mmio_wiped.stepping, 0, __ATOMIC_RELEASE);
		break;
	default:
		raw3(SYS_mprotect, (long)step.page, (long)step.pages, PROT_NONE);
		mmio_let_others_go();
		__atomic_store_n(&mmio_wiped.stepping, 0, __ATOMIC_RELEASE);
		break;
	}
	step.site = NULL;
	mmio_send_pending();
}

bool mmio_step_under_way(void)
{
	return step.site != NULL;
}

/* What an access is caught with for which there is no place in the table. Its thread's alone. */
struct mmio_site *mmio_step_stray(uint64_t address)
{
	static __thread struct mmio_site stray __attribute__((tls_model("initial-exec")));

	stray = (struct mmio_site){
		.address = address, .state = SITE_HANDLER, .tier = MMIO_TIER_STEP, .reason = MMIO_REASON_SITES_FULL,
		.insn = { .length = 15, .class = CLASS_UNDECODED, .base = REG_NONE, .index = REG_NONE, .actions = 3 },
	};
	return &stray;
}

bool mmio_step_end(ucontext_t *context)
{
	if (!step.site)
		return false;
	mmio_record_end(&step.access, &step.slot, 0);
	close_step(context);
	return true;
}

bool mmio_step_cancel(ucontext_t *context)
{
	if (!step.site)
		return false;
	mmio_record_end(&step.access, &step.slot, 14 /* EFAULT */);
	close_step(context);
	return true;
}
