// SPDX-License-Identifier: Apache-2.0
/*
 * Instructions that can't be moved into a trampoline are executed as they are, in a copy, one at a time: with the base
 * register moved to the alias; where that can't be, with the page opened by a protection key for this thread alone;
 * without protection keys, with the page opened while the other threads are held. It is never open to a second thread.
 * What they load or store is not known: they are recorded, with FLAG_UNKNOWN.
 */
#include <cpuid.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>

#include "internal.h"

#define TRAP_FLAG 0x100

static struct {
	int32_t key;       /* -2: not tried yet, -1: there are none */
	uint32_t pkru_at;  /* in the signal frame's extended state */
	uint32_t holding, hold_pid, held;
} shared = { .key = -2 };

static __thread struct {
	struct mmio_site *site; /* NULL: no step under way */
	uint64_t tier;
	uint64_t mask;
	uint64_t base_before;
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

/* The site itself may be a jump by now: it is always a copy that is stepped. */
static bool make_copy(struct mmio_site *site)
{
	uint8_t code[16];
	uint64_t at;

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

bool mmio_step_held(const siginfo_t *info)
{
	uint32_t request = __atomic_load_n(&shared.holding, __ATOMIC_ACQUIRE);

	if (!request || info->si_signo != SIGSEGV || info->si_code != SI_TKILL ||
	    (uint32_t)info->si_pid != shared.hold_pid)
		return false;
	__atomic_fetch_add(&shared.held, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(&shared.holding, __ATOMIC_ACQUIRE) == request)
		raw6(SYS_futex, (long)&shared.holding, FUTEX_WAIT_PRIVATE, request, 0, 0, 0);
	return true;
}

struct directory_entry {
	uint64_t inode;
	int64_t offset;
	uint16_t length;
	uint8_t type;
	char name[];
};

static int number(const char *text)
{
	int value = 0;

	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return 0;
		value = value * 10 + (*text - '0');
	}
	return value;
}

#define HELD_MAX 1024u

/* Sends to every thread that was not sent to yet; how many there are by now, or -1. */
static int signal_others(int tids[HELD_MAX], int count)
{
	char entries[2048] __attribute__((aligned(8)));
	int pid = raw_getpid(), self = raw_gettid();
	int tasks = raw_openat(AT_FDCWD, "/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	long got;

	if (tasks < 0)
		return -1;
	while ((got = raw3(SYS_getdents64, tasks, (long)entries, sizeof(entries))) > 0) {
		for (long at = 0; at < got;) {
			const struct directory_entry *entry = (const void *)(entries + at);
			int tid = number(entry->name), i = 0;

			at += entry->length;
			while (i < count && tids[i] != tid)
				i++;
			if (!tid || tid == self || i < count)
				continue;
			if (count == HELD_MAX) {
				count = -1;
				break;
			}
			if (!raw_failed(raw3(SYS_tgkill, pid, tid, SIGSEGV)))
				tids[count++] = tid;
		}
	}
	raw_close(tasks);
	return count;
}

static void let_others_go(void)
{
	__atomic_store_n(&shared.holding, 0, __ATOMIC_RELEASE);
	raw6(SYS_futex, (long)&shared.holding, FUTEX_WAKE_PRIVATE, INT32_MAX, 0, 0, 0);
}

static bool hold_others(void)
{
	static int tids[HELD_MAX]; /* under mmio_wiped.stepping */
	static uint32_t request;
	int count = 0, before = -1;

	shared.held = 0;
	shared.hold_pid = (uint32_t)raw_getpid();
	request = request + 1 ? request + 1 : 1;
	__atomic_store_n(&shared.holding, request, __ATOMIC_RELEASE);
	/* Until a look finds nobody new: a thread that is not held yet may be making others. */
	for (unsigned int wait = 0; wait < 20000; wait++) {
		if (count != before) {
			before = count;
			count = signal_others(tids, count);
			if (count < 0)
				break;
			if (count != before)
				continue;
		}
		if (__atomic_load_n(&shared.held, __ATOMIC_ACQUIRE) >= (uint32_t)count) {
			int again = signal_others(tids, count);

			if (again == count)
				return true;
			if (again < 0)
				break;
			count = again;
		}
		raw_nanosleep(50000);
	}
	let_others_go();
	return false;
}

static bool open_alone(int prot)
{
	if (!hold_others())
		return false;
	if (!raw_failed(raw3(SYS_mprotect, (long)step.page, (long)step.pages, prot)))
		return true;
	let_others_go();
	return false;
}

/* --- the step ------------------------------------------------------------------------------------------------------------------ */

static uint8_t kind_of(const struct mmio_insn *insn)
{
	return insn->actions == 3 ? VFIOTAPE_UPDATE : insn->actions == 2 ? VFIOTAPE_STORE : VFIOTAPE_LOAD;
}

static void enter_place(void)
{
	while (__atomic_exchange_n(&mmio_wiped.stepping, 1, __ATOMIC_ACQUIRE))
		raw_nanosleep(20000);
}

static bool open_in_place(uint64_t address, bool straddles, ucontext_t *context)
{
	int prot = step.site->insn.actions & 2 || step.site->insn.class == CLASS_STRING ? PROT_READ | PROT_WRITE
											 : PROT_READ;

	enter_place();
	step.page = page_down(address);
	step.pages = PAGE;
	if (!straddles && mmio_is_watched(step.page + PAGE, 1))
		step.pages = 2 * PAGE;
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

	if (!range || site->insn.class == CLASS_UNDECODED)
		return false;
	if (!make_copy(site))
		return false;
	step.site = site;
	if (!straddles && can_rebase(&site->insn)) {
		greg_t *base = &registers[mmio_context_register[site->insn.base]];

		step.tier = MMIO_TIER_STEP;
		step.base_before = (uint64_t)*base;
		*base = (greg_t)((uint64_t)*base + range->delta);
		mmio_counters.stepped++;
	} else if (!open_in_place(address, straddles, context)) {
		step.site = NULL;
		return false;
	}
	registers[REG_RIP] = (greg_t)site->copy;
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
	if (at - site->copy <= site->insn.length)
		registers[REG_RIP] = (greg_t)(site->address + (at - site->copy));
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
		let_others_go();
		__atomic_store_n(&mmio_wiped.stepping, 0, __ATOMIC_RELEASE);
		break;
	}
	step.site = NULL;
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
