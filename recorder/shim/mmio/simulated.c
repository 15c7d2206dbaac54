// SPDX-License-Identifier: Apache-2.0
/*
 * BARs of simulated devices. Their pages are closed and have no alias: what an instruction reads is fetched by messages
 * into a scratch buffer, the instruction is executed there (in a copy, its operand made relative to its own address, so
 * that no register has to change), and what it wrote is sent. One instruction at a time, all signals blocked meanwhile.
 */
#include <errno.h>
#include <sys/mman.h>

#include "../sim/sim.h"
#include "internal.h"

#define TRAP_FLAG 0x100
#define COPY_BYTES 32u
#define CODE_BYTES (SITES_MAX * COPY_BYTES)
#define OPERAND_MAX 255u /* as wide as a site's instruction is known to be */

static struct {
	uint64_t code;  /* copies */
	uint64_t data;  /* the operand, right behind them */
	uint32_t used;
	bool failed;
} scratch;

/* A register that points to the operand, or into it, for as long as the instruction takes. */
struct borrowed {
	uint8_t reg; /* as the instruction names it; REG_NONE */
	uint64_t during;
};

static __thread struct {
	struct mmio_site *site; /* NULL: nothing under way */
	struct borrowed borrowed;
	uint64_t before;        /* what the driver had in it */
	bool again;             /* a masked store is executed on two backgrounds: what is the same on both was written */
	uint64_t address;
	uint64_t mask;
	struct mmio_access access;
	struct ring_slot slot;
} now __attribute__((tls_model("initial-exec")));

/* --- messages -------------------------------------------------------------------------------------------------------- */

/* As many bytes as one access of a processor makes: 1, 2, 4 or 8, not across 8. */
static unsigned int piece_of(uint64_t address, size_t length, const struct mmio_range *range)
{
	uint64_t end = range->base + range->length - address, line = 8 - (address & 7);
	unsigned int width = 8;

	while (width > length || width > end || width > line)
		width /= 2;
	return width;
}

static bool refused(struct mmio_fault *fault, uint64_t address)
{
	*fault = (struct mmio_fault){ SIGBUS, BUS_ADRERR, address };
	return false;
}

bool mmio_simulated_load(uint64_t address, void *to, size_t length, uint64_t site, struct mmio_fault *fault)
{
	while (length) {
		const struct mmio_range *range = mmio_range_of(address);
		unsigned int width = 1;
		uint64_t value;

		if (range && range->mapping) {
			width = piece_of(address, length, range);
			if (!sim_load(range->mapping, address + range->mapping_delta, width, site, &value))
				return refused(fault, address);
		} else if (!mmio_guarded_load(address, width, &value, fault)) {
			return false; /* memory beside the BAR */
		}
		copy_bytes(to, &value, width);
		to = (char *)to + width;
		address += width;
		length -= width;
	}
	return true;
}

bool mmio_simulated_store(uint64_t address, const void *from, size_t length, uint64_t site, struct mmio_fault *fault)
{
	while (length) {
		const struct mmio_range *range = mmio_range_of(address);
		unsigned int width = 1;
		uint64_t value = 0;

		if (range && range->mapping)
			width = piece_of(address, length, range);
		copy_bytes(&value, from, width);
		if (range && range->mapping) {
			if (!sim_store(range->mapping, address + range->mapping_delta, width, site, value))
				return refused(fault, address);
		} else if (!mmio_guarded_store(address, width, value, fault)) {
			return false;
		}
		from = (const char *)from + width;
		address += width;
		length -= width;
	}
	return true;
}

/* --- the copy ----------------------------------------------------------------------------------------------------------- */

static bool have_scratch(void)
{
	long room;

	if (scratch.code || scratch.failed)
		return scratch.code != 0;
	room = (long)raw_mmap(NULL, CODE_BYTES + PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			      -1, 0);
	if (raw_failed(room) || raw_failed(raw3(SYS_mprotect, room + CODE_BYTES, PAGE, PROT_READ | PROT_WRITE))) {
		scratch.failed = true;
		return false;
	}
	raw3(SYS_munlock, room, CODE_BYTES + PAGE, 0);
	scratch.data = (uint64_t)room + CODE_BYTES;
	scratch.code = (uint64_t)room;
	return true;
}

static bool is_prefix(uint8_t byte)
{
	switch (byte) {
	case 0x26: case 0x2e: case 0x36: case 0x3e: case 0x64: case 0x65: case 0x66: case 0x67: case 0xf0: case 0xf2: case 0xf3:
		return true;
	default:
		return false;
	}
}

/* Segments and 32-bit addresses are in the address that was computed; with RIP they would be added again. */
static bool is_dropped(uint8_t byte)
{
	return byte != 0x66 && byte < 0xf0;
}

static uint64_t segment_base(const struct mmio_insn *insn)
{
	uint64_t base = 0;

	if (insn->segment)
		raw3(SYS_arch_prctl, insn->segment == 1 ? 0x1003 /* ARCH_GET_FS */ : 0x1004 /* ARCH_GET_GS */, (long)&base, 0);
	return base;
}

/* bt, bts, btr, btc with the bit in a register, which reaches as far from the operand as it likes. */
static bool is_bit_string(const struct mmio_insn *insn)
{
	uint8_t opcode;

	if (insn->vex || insn->modrm_at == 0xff || insn->modrm_at < 2 || insn->bytes[insn->modrm_at - 2] != 0x0f)
		return false;
	opcode = insn->bytes[insn->modrm_at - 1];
	return opcode == 0xa3 || opcode == 0xab || opcode == 0xb3 || opcode == 0xbb;
}

/* maskmovdqu, maskmovq: to where rdi points. */
static bool is_maskmov(const struct mmio_insn *insn)
{
	return insn->modrm_at != 0xff && insn->bytes[insn->modrm_at] >> 6 == 3 && insn->masked &&
	       insn->bytes[insn->modrm_at - 1] == 0xf7;
}

static bool is_xlat(const struct mmio_insn *insn)
{
	return insn->modrm_at == 0xff && insn->length && insn->bytes[insn->length - 1] == 0xd7;
}

/* Where the instruction's operand is, and the register that has to be another than the driver's meanwhile. */
static uint64_t operand_of(const struct mmio_insn *insn, uint64_t site, const greg_t *registers, struct borrowed *borrowed)
{
	uint64_t address = segment_base(insn) + mmio_effective_address(insn, site, registers);

	borrowed->reg = REG_NONE;
	if (is_xlat(insn)) {
		borrowed->reg = 3;
		borrowed->during = scratch.data - (uint8_t)registers[REG_RAX];
		return (uint64_t)registers[REG_RBX] + (uint8_t)registers[REG_RAX];
	}
	if (is_maskmov(insn)) {
		borrowed->reg = 7;
		borrowed->during = scratch.data;
		return (uint64_t)registers[REG_RDI];
	}
	if (is_bit_string(insn)) {
		uint8_t modrm = insn->bytes[insn->modrm_at], rex = insn->rex_at != 0xff ? insn->bytes[insn->rex_at] : 0;
		unsigned int bits = insn->width * 8u;
		int64_t bit;

		borrowed->reg = (uint8_t)((modrm >> 3 & 7) | (rex & 4 ? 8 : 0));
		bit = registers[mmio_context_register[borrowed->reg]];
		bit = bits == 16 ? (int16_t)bit : bits == 32 ? (int32_t)bit : bit;
		borrowed->during = (uint64_t)bit & (bits - 1);
		return address + (uint64_t)((bit - (int64_t)borrowed->during) / 8);
	}
	return address;
}

/* The instruction with its operand at scratch.data; its length, 0 for one that can't be written so. */
static uint8_t reencode(const struct mmio_insn *insn, uint64_t at, uint8_t out[COPY_BYTES])
{
	uint8_t from = 0, length = 0, tail, modrm;
	int32_t displacement;

	if (is_xlat(insn) || is_maskmov(insn)) {
		copy_bytes(out, insn->bytes, insn->length);
		return insn->segment || insn->address32 ? 0 : insn->length;
	}
	for (; from < insn->length && is_prefix(insn->bytes[from]); from++)
		if (!is_dropped(insn->bytes[from]))
			out[length++] = insn->bytes[from];
	if (insn->modrm_at == 0xff) {
		/* mov between the accumulator and an absolute address has no ModRM byte: as 88 to 8b, which have. */
		uint8_t opcode = insn->displacement_at ? insn->bytes[insn->displacement_at - 1] : 0;

		if (insn->displacement_size < 4 || opcode < 0xa0 || opcode > 0xa3)
			return 0;
		while (from < insn->displacement_at - 1)
			out[length++] = insn->bytes[from++];
		out[length++] = opcode < 0xa2 ? opcode - 0xa0 + 0x8a : opcode - 0xa2 + 0x88;
		out[length++] = 0x05;
		tail = insn->length;
	} else {
		modrm = insn->bytes[insn->modrm_at];
		if (modrm >> 6 == 3 || insn->vector_index)
			return 0;
		while (from < insn->modrm_at)
			out[length++] = insn->bytes[from++];
		out[length++] = (modrm & 0x38) | 0x05;
		tail = (uint8_t)(insn->modrm_at + 1 + ((modrm & 7) == 4) + insn->displacement_size);
	}
	if (length + 4 + insn->length - tail > 15)
		return 0;
	displacement = (int32_t)(scratch.data - (at + length + 4 + insn->length - tail));
	copy_bytes(out + length, &displacement, 4);
	length += 4;
	while (tail < insn->length)
		out[length++] = insn->bytes[tail++];
	return length;
}

/* Once for each site; when its bytes change, its old copy is left. */
static bool make_copy(struct mmio_site *site)
{
	uint8_t code[COPY_BYTES];
	uint64_t at;

	mmio_lock();
	if (!site->copy && have_scratch() && scratch.used < SITES_MAX) {
		for (unsigned int i = 0; i < COPY_BYTES; i++)
			code[i] = 0xcc;
		at = scratch.code + scratch.used * COPY_BYTES;
		site->trampoline_length = reencode(&site->insn, at, code);
		if (site->trampoline_length && mmio_code_write(at, code, sizeof(code))) {
			scratch.used++;
			__atomic_store_n(&site->copy, at, __ATOMIC_RELEASE);
		}
	}
	mmio_unlock();
	return site->copy != 0;
}

/* --- an instruction -------------------------------------------------------------------------------------------------------- */

/* On the page that a forked child finds zeroed: there, nobody is in the middle of one. */
static void enter(void)
{
	while (__atomic_exchange_n(&mmio_wiped.stepping, 1, __ATOMIC_ACQUIRE))
		raw_nanosleep(20000);
}

static void leave(void)
{
	now.access.site = 0;
	__atomic_store_n(&mmio_wiped.stepping, 0, __ATOMIC_RELEASE);
	mmio_send_pending();
}

static bool deny(struct mmio_fault *fault, int code, uint64_t address)
{
	*fault = (struct mmio_fault){ SIGSEGV, code, address };
	return false;
}

static uint64_t first_bytes(unsigned int width)
{
	uint64_t value = 0;

	copy_bytes(&value, (const void *)scratch.data, width < 8 ? width : 8);
	return value;
}

static void fill(uint8_t byte, unsigned int width)
{
	for (unsigned int i = 0; i < width; i++)
		((volatile uint8_t *)scratch.data)[i] = byte;
}

/* `prot` as in mmap: what the driver asked for when it mapped, or since. */
bool mmio_simulated_allows(const struct mmio_range *range, unsigned int actions)
{
	uint32_t prot = __atomic_load_n(&range->prot, __ATOMIC_ACQUIRE);

	return (!(actions & 1) || prot & (PROT_READ | PROT_WRITE)) && (!(actions & 2) || prot & PROT_WRITE);
}

bool mmio_simulated_begin(struct mmio_site *site, uint64_t touched, ucontext_t *context, struct mmio_fault *fault)
{
	greg_t *registers = context->uc_mcontext.gregs;
	const struct mmio_insn *insn = &site->insn;
	const struct mmio_range *range = mmio_range_of(touched);
	uint64_t all = ~OWNED_SIGNALS, address;
	struct borrowed borrowed;

	if (!range || insn->class == CLASS_UNDECODED || !insn->width || !make_copy(site))
		return deny(fault, SEGV_ACCERR, touched);
	address = operand_of(insn, site->address, registers, &borrowed);
	if (!mmio_simulated_allows(range, insn->actions) || (insn->aligned && address & (insn->width - 1u)))
		return deny(fault, SEGV_ACCERR, touched);
	now.access = (struct mmio_access){
		.flags = insn->masked && insn->actions == 2 ? VFIOTAPE_FLAG_UNKNOWN : 0,
		.range = range, .address = address, .site = site->address, .width = insn->width, .form = insn->form,
		.tier = site->tier,
		.kind = insn->actions == 3 ? VFIOTAPE_UPDATE : insn->actions == 2 ? VFIOTAPE_STORE : VFIOTAPE_LOAD,
		.wide = insn->width > 8 ? (const void *)scratch.data : NULL,
	};
	enter();
	/* What is stored is known, and told, when the instruction has been executed. */
	if (insn->actions & 1) {
		mmio_record_begin(&now.access, &now.slot);
		if (!mmio_simulated_load(address, (void *)scratch.data, insn->width, now.access.site, fault)) {
			mmio_record_end(&now.access, &now.slot, EFAULT);
			leave();
			return false;
		}
		now.access.value = now.access.result = first_bytes(insn->width);
	}
	now.site = site;
	now.again = insn->actions == 2 && insn->masked;
	if (now.again)
		fill(0x55, insn->width);
	now.address = address;
	now.borrowed = borrowed;
	if (borrowed.reg != REG_NONE) {
		greg_t *reg = &registers[mmio_context_register[borrowed.reg]];

		now.before = (uint64_t)*reg;
		*reg = (greg_t)borrowed.during;
	}
	copy_bytes(&now.mask, &context->uc_sigmask, 8);
	copy_bytes(&context->uc_sigmask, &all, 8);
	registers[REG_RIP] = (greg_t)site->copy;
	registers[REG_EFL] |= TRAP_FLAG;
	return true;
}

static void back(ucontext_t *context)
{
	greg_t *registers = context->uc_mcontext.gregs;
	struct mmio_site *site = now.site;
	bool done = (uint64_t)registers[REG_RIP] == site->copy + site->trampoline_length;

	registers[REG_EFL] &= ~(greg_t)TRAP_FLAG;
	copy_bytes(&context->uc_sigmask, &now.mask, 8);
	if (now.borrowed.reg != REG_NONE)
		registers[mmio_context_register[now.borrowed.reg]] = (greg_t)now.before;
	registers[REG_RIP] = (greg_t)(site->address + (done ? site->insn.length : 0));
	now.site = NULL;
}

static uint8_t first_outcome[OPERAND_MAX + 1]; /* under mmio_wiped.stepping */

/* Only what it wrote, in pieces without a hole. */
static bool store_masked(unsigned int width, struct mmio_fault *fault)
{
	const uint8_t *second = (const uint8_t *)scratch.data;

	for (unsigned int from = 0, to; from < width; from = to) {
		to = from + 1;
		if (first_outcome[from] != second[from])
			continue;
		while (to < width && first_outcome[to] == second[to])
			to++;
		if (!mmio_simulated_store(now.address + from, second + from, to - from, now.access.site, fault))
			return false;
	}
	return true;
}

/* Once more, on the other background. */
static bool run_again(ucontext_t *context)
{
	unsigned int width = now.site->insn.width;

	if (!now.again)
		return false;
	now.again = false;
	copy_bytes(first_outcome, (const void *)scratch.data, width);
	fill(0xaa, width);
	context->uc_mcontext.gregs[REG_RIP] = (greg_t)now.site->copy;
	return true;
}

bool mmio_simulated_end(ucontext_t *context, struct mmio_fault *fault)
{
	uint8_t actions = now.site->insn.actions, width = now.site->insn.width;
	bool done = true, masked = actions == 2 && now.site->insn.masked;

	if (masked && run_again(context))
		return true;
	if (!(actions & 1)) {
		now.access.value = first_bytes(width);
		mmio_record_begin(&now.access, &now.slot);
	}
	if (actions & 2) {
		done = masked ? store_masked(width, fault) :
				mmio_simulated_store(now.address, (const void *)scratch.data, width, now.access.site, fault);
		now.access.value = first_bytes(width);
	}
	if (now.access.kind == VFIOTAPE_LOAD)
		now.access.result = 0;
	mmio_record_end(&now.access, &now.slot, done ? 0 : EFAULT);
	back(context);
	leave();
	return done;
}

bool mmio_simulated_under_way(void)
{
	return now.site != NULL;
}

void mmio_simulated_cancel(ucontext_t *context)
{
	if (now.site->insn.actions & 1)
		mmio_record_end(&now.access, &now.slot, EFAULT);
	back(context);
	leave();
}
