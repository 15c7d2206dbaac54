// SPDX-License-Identifier: Apache-2.0
/* Whose fault it is, and what becomes of it. */
#include <errno.h>

#include "../sim/sim.h"
#include "internal.h"

/* The bytes that are there now are those that the site was made for, or those that we put there. */
static bool still_there(const struct mmio_site *site, const uint8_t now[16])
{
	uint8_t length = site->insn.length;

	return same_bytes(now, site->insn.bytes, length) || now[0] == 0xcc ||
	       (site->state == SITE_PATCHED && same_bytes(now, site->patched, length));
}

static bool usable(const struct mmio_site *site)
{
	uint32_t state = __atomic_load_n(&site->state, __ATOMIC_ACQUIRE);

	return state == SITE_TRAMPOLINE || state == SITE_PATCHED || state == SITE_HANDLER;
}

static void make(struct mmio_site *site, const uint8_t now[16], size_t available)
{
	mmio_decode(now, available, &site->insn);
	site->jump_bytes = 0;
	site->stub = 0;
	site->copy = 0;
	site->reason = MMIO_REASON_FORM;
	if (simulating()) {
		site->reason = MMIO_REASON_SIMULATED;
		site->tier = site->insn.class >= CLASS_STEP    ? MMIO_TIER_STEP :
			     site->insn.class >= CLASS_STRING ? MMIO_TIER_EMULATE :
								MMIO_TIER_TRAP;
		__atomic_store_n(&site->state, SITE_HANDLER, __ATOMIC_RELEASE);
		mmio_counters.unpatched++;
		return;
	}
	if (site->insn.class < CLASS_STRING) {
		if (mmio_trampoline_make(site)) {
			__atomic_store_n(&site->state, SITE_TRAMPOLINE, __ATOMIC_RELEASE);
			mmio_patch_site(site);
			return;
		}
		site->insn.class = CLASS_STEP;
		site->reason = MMIO_REASON_NO_ROOM;
	}
	if (site->insn.class == CLASS_UNDECODED)
		site->reason = MMIO_REASON_UNDECODED;
	site->tier = site->insn.class >= CLASS_STEP ? MMIO_TIER_STEP : MMIO_TIER_EMULATE;
	__atomic_store_n(&site->state, SITE_HANDLER, __ATOMIC_RELEASE);
	mmio_counters.unpatched++;
}

struct mmio_site *mmio_site_at(uint64_t address)
{
	struct mmio_site *site = mmio_site_find(address);
	uint8_t now[16] = { 0 };
	size_t available = mmio_code_read(address, now);
	bool made = false;

	if (site && usable(site) && still_there(site, now))
		return site;
	mmio_lock();
	site = mmio_site_add(address);
	if (site) {
		available = mmio_code_read(address, now); /* another thread may have patched meanwhile */
		if (!usable(site) || !still_there(site, now)) {
			make(site, now, available);
			made = true;
		}
	}
	mmio_unlock();
	if (made)
		mmio_record_site(site);
	return site;
}

static void set_fault(siginfo_t *info, int *signal, const struct mmio_fault *fault)
{
	const struct mmio_range *range = mmio_range_of_alias(fault->address);

	*signal = fault->signal;
	info->si_signo = fault->signal;
	info->si_code = fault->code;
	info->si_addr = (void *)(range ? fault->address - range->delta : fault->address);
}

/* An access to a watched page by the instruction at RIP. */
static void on_access(uint64_t address, int signal, siginfo_t *info, ucontext_t *context)
{
	greg_t *registers = context->uc_mcontext.gregs;
	uint64_t at = (uint64_t)registers[REG_RIP];
	struct mmio_site *site = mmio_site_at(at);
	struct mmio_fault fault;
	bool starts_inside;

	mmio_counters.faults++;
	if (!site) {
		static uint32_t told;

		site = mmio_step_stray(at);
		if (!__atomic_exchange_n(&told, 1, __ATOMIC_RELAXED))
			mmio_record_site(site);
	}
	if (site->insn.class == CLASS_STRING || site->insn.class == CLASS_MOVDIR64B) {
		if (mmio_emulate(site, context, &fault))
			return;
		if (mmio_range_of(fault.address) && !mmio_range_of(fault.address)->mapping && mmio_step_begin(site, fault.address, true, context))
			return; /* one element lies across the edge of the mapping */
		set_fault(info, &signal, &fault);
		mmio_deliver(signal, info, context);
		return;
	}
	if (site->insn.class >= CLASS_STRING && site->insn.class < CLASS_STEP && mmio_range_of(address)->mapping) {
		if (mmio_emulate(site, context, &fault))
			return;
		set_fault(info, &signal, &fault);
		mmio_deliver(signal, info, context);
		return;
	}
	if (mmio_range_of(address)->mapping) {
		if (mmio_simulated_begin(site, address, context, &fault))
			return;
		set_fault(info, &signal, &fault);
		mmio_deliver(signal, info, context);
		return;
	}
	starts_inside = mmio_range_of(mmio_effective_address(&site->insn, at, registers)) != NULL;
	if (starts_inside && site->state != SITE_HANDLER) {
		registers[REG_RIP] = (greg_t)__atomic_load_n(&site->trampoline, __ATOMIC_ACQUIRE);
		return;
	}
	if (starts_inside && site->insn.class < CLASS_STEP) {
		if (mmio_emulate(site, context, &fault))
			return;
		set_fault(info, &signal, &fault);
		mmio_deliver(signal, info, context);
		return;
	}
	if (!mmio_step_begin(site, address, !starts_inside, context))
		mmio_deliver(signal, info, context);
}

static bool in_alias(const siginfo_t *info)
{
	return mmio_range_of_alias((uint64_t)info->si_addr) != NULL;
}

/* The device refused an access that a trampoline made: the driver gets the fault where it would have had it. */
static void on_alias(struct mmio_frame *frame, int signal, siginfo_t *info, ucontext_t *context)
{
	const struct mmio_range *range = mmio_range_of_alias((uint64_t)info->si_addr);

	if (range->recorded) {
		frame->slot->site_errno |= (uint64_t)EFAULT << 48;
		__atomic_store_n(&frame->slot->flags, VFIOTAPE_FLAG_UNKNOWN, __ATOMIC_RELEASE);
	}
	info->si_addr = (void *)((uint64_t)info->si_addr - range->delta);
	mmio_deliver(signal, info, context);
}

static void on_fault(int signal, siginfo_t *info, ucontext_t *context)
{
	uint64_t address = (uint64_t)info->si_addr;
	uint64_t at = (uint64_t)context->uc_mcontext.gregs[REG_RIP];
	/* SI_KERNEL: a general protection fault, which has no address. */
	bool addressed = info->si_code > 0 && info->si_code != SI_KERNEL;
	struct mmio_site *site;

	if (mmio_simulated_under_way()) {
		mmio_simulated_cancel(context);
		mmio_deliver(signal, info, context);
		return;
	}
	if (mmio_step_cancel(context)) {
		const struct mmio_range *range = mmio_range_of_alias(address);

		if (addressed && range)
			info->si_addr = (void *)(address - range->delta);
		mmio_deliver(signal, info, context);
		return;
	}
	site = mmio_site_of_trampoline(at);
	if (site) {
		struct mmio_frame *frame = mmio_trampoline_recover(site, context->uc_mcontext.gregs);

		if (addressed && in_alias(info)) {
			on_alias(frame, signal, info, context);
			return;
		}
	}
	/* From a trampoline: the mapping came to be watched while it was on its way, or the access lies across an edge. */
	if (addressed && signal == SIGSEGV && mmio_range_of(address))
		on_access(address, signal, info, context);
	else
		mmio_deliver(signal, info, context);
}

static bool on_breakpoint(const siginfo_t *info, ucontext_t *context)
{
	greg_t *registers = context->uc_mcontext.gregs;
	uint64_t at = (uint64_t)registers[REG_RIP] - 1;
	struct mmio_site *site = info->si_code == SI_KERNEL ? mmio_site_find(at) : NULL;
	uint8_t now = 0;
	bool live;

	if (!site || !site->insn.length || site->insn.bytes[0] == 0xcc)
		return false;
	live = usable(site); /* before the byte: a site that dies gets its byte back first */
	mmio_guarded_copy(&now, at, 1);
	if (now == 0xcc && !live && !usable(site))
		return false; /* other code stands there by now, with a breakpoint of the driver's */
	mmio_counters.races++;
	/* Patched, or given back, in the meantime: it is executed again. */
	registers[REG_RIP] = now == 0xcc && site->trampoline ? (greg_t)site->trampoline : (greg_t)at;
	return true;
}

static void on_simulated_end(siginfo_t *info, ucontext_t *context)
{
	struct mmio_fault fault;
	int signal;

	if (mmio_simulated_end(context, &fault))
		return;
	set_fault(info, &signal, &fault);
	mmio_deliver(signal, info, context);
}

void mmio_on_signal(int signal, siginfo_t *info, void *opaque)
{
	ucontext_t *context = opaque;

	bool sent = info->si_code <= 0; /* by somebody, at any moment: it says nothing about where this thread is */

	if (sent) {
		if (!mmio_held(info))
			mmio_deliver(signal, info, context);
	} else if (mmio_guard_fixup(signal, info, context)) {
		return;
	} else if (signal == SIGTRAP) {
		if (mmio_simulated_under_way())
			on_simulated_end(info, context);
		else if (!mmio_step_end(context) && !on_breakpoint(info, context))
			mmio_deliver(signal, info, context);
	} else {
		on_fault(signal, info, context);
	}
}
