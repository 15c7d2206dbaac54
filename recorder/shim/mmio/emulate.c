// SPDX-License-Identifier: Apache-2.0
/* Instructions that have no trampoline and few enough forms to be done by hand, element by element. */
#include <errno.h>

#include "../dma/dma.h"
#include "internal.h"

static uint64_t low_bytes(uint64_t value, unsigned int width)
{
	return width < 8 ? value & ((1ull << 8 * width) - 1) : value;
}

struct place {
	const struct mmio_site *site;
	unsigned int width;
};

/* An alias has the protection itself. */
static bool allowed(const struct mmio_range *range, unsigned int action, uint64_t address, struct mmio_fault *fault)
{
	if (!range->mapping || mmio_simulated_allows(range, action))
		return true;
	*fault = (struct mmio_fault){ SIGSEGV, SEGV_ACCERR, address };
	return false;
}

/* One load or store at the driver's address: on the alias and recorded, or on ordinary memory. */
static bool load(const struct place *place, uint64_t address, uint64_t *value, struct mmio_fault *fault)
{
	const struct mmio_range *range = mmio_range_of(address);
	struct mmio_access access = { .range = range, .address = address, .site = place->site->address,
				      .kind = VFIOTAPE_LOAD, .width = (uint8_t)place->width,
				      .tier = MMIO_TIER_EMULATE, .form = place->site->insn.form };
	struct ring_slot slot;
	bool done;

	if (!range)
		return mmio_guarded_load(address, place->width, value, fault);
	if (!allowed(range, 1, address, fault))
		return false;
	mmio_record_begin(&access, &slot);
	*value = 0;
	done = range->mapping ? mmio_simulated_load(address, value, place->width, place->site->address, fault) :
				mmio_guarded_load(address + range->delta, place->width, value, fault);
	access.value = done ? *value : 0;
	mmio_record_end(&access, &slot, done ? 0 : EFAULT);
	return done;
}

static bool store(const struct place *place, uint64_t address, uint64_t value, struct mmio_fault *fault)
{
	const struct mmio_range *range = mmio_range_of(address);
	struct mmio_access access = { .range = range, .address = address, .site = place->site->address,
				      .value = low_bytes(value, place->width), .kind = VFIOTAPE_STORE,
				      .width = (uint8_t)place->width, .tier = MMIO_TIER_EMULATE,
				      .form = place->site->insn.form };
	struct ring_slot slot;
	bool done;

	if (!range)
		return mmio_guarded_store(address, place->width, value, fault);
	if (!allowed(range, 2, address, fault))
		return false;
	dma_at(DMA_STORE);
	mmio_record_begin(&access, &slot);
	done = range->mapping ? mmio_simulated_store(address, &value, place->width, place->site->address, fault) :
				mmio_guarded_store(address + range->delta, place->width, value, fault);
	mmio_record_end(&access, &slot, done ? 0 : EFAULT);
	return done;
}

static void set_rax(greg_t *registers, uint64_t value, unsigned int width)
{
	uint64_t rax = (uint64_t)registers[REG_RAX];

	if (width >= 4)
		rax = value; /* a 32-bit result clears the upper half */
	else
		rax = (rax & ~((1ull << 8 * width) - 1)) | value;
	registers[REG_RAX] = (greg_t)rax;
}

/* The registers are those of an instruction that was interrupted between two elements, whenever it stops. */
static bool string(const struct mmio_site *site, greg_t *registers, struct mmio_fault *fault)
{
	const struct mmio_insn *insn = &site->insn;
	struct place place = { site, insn->width };
	int64_t step = registers[REG_EFL] & 0x400 ? -(int64_t)insn->width : insn->width;

	while (!insn->repeat || registers[REG_RCX]) {
		uint64_t value = (uint64_t)registers[REG_RAX];

		if (insn->string_op != 's' && !load(&place, (uint64_t)registers[REG_RSI], &value, fault))
			return false;
		if (insn->string_op != 'l' && !store(&place, (uint64_t)registers[REG_RDI], value, fault))
			return false;
		if (insn->string_op != 's')
			registers[REG_RSI] += step;
		if (insn->string_op != 'l')
			registers[REG_RDI] += step;
		else
			set_rax(registers, value, insn->width);
		if (!insn->repeat)
			break;
		registers[REG_RCX]--;
	}
	registers[REG_RIP] += insn->length;
	return true;
}

static bool stack_form(const struct mmio_site *site, greg_t *registers, struct mmio_fault *fault)
{
	const struct mmio_insn *insn = &site->insn;
	struct place place = { site, 8 };
	uint64_t address = mmio_effective_address(insn, site->address, registers);
	uint64_t next = site->address + insn->length, stack = (uint64_t)registers[REG_RSP], value;

	switch ((enum mmio_class)insn->class) {
	case CLASS_POP:
		if (!mmio_guarded_load(stack, 8, &value, fault))
			return false;
		if (insn->base == 4)
			address += 8; /* computed after rsp has moved: SDM vol. 2, POP */
		if (!store(&place, address, value, fault))
			return false;
		registers[REG_RSP] += 8;
		break;
	case CLASS_PUSH:
	case CLASS_CALL:
		if (!load(&place, address, &value, fault) ||
		    !mmio_guarded_store(stack - 8, 8, insn->class == CLASS_CALL ? next : value, fault))
			return false;
		registers[REG_RSP] -= 8;
		if (insn->class == CLASS_CALL)
			next = value;
		break;
	default:
		if (!load(&place, address, &next, fault))
			return false;
		break;
	}
	registers[REG_RIP] = (greg_t)next;
	return true;
}

/* movdir64b: 64 bytes of ordinary memory to the address in a register, in one write. */
static bool direct_line(const struct mmio_site *site, greg_t *registers, struct mmio_fault *fault)
{
	const struct mmio_insn *insn = &site->insn;
	unsigned int reg = insn->bytes[insn->modrm_at] >> 3 & 7u;
	uint64_t from = mmio_effective_address(insn, site->address, registers), to;
	uint8_t line[64] __attribute__((aligned(64)));
	struct mmio_access access = { .site = site->address, .wide = line, .kind = VFIOTAPE_STORE, .width = 64,
				      .tier = MMIO_TIER_EMULATE, .form = insn->form };
	struct ring_slot slot;
	size_t copied;
	bool done;

	if (insn->rex_at != 0xff && insn->bytes[insn->rex_at] & 4)
		reg += 8;
	to = (uint64_t)registers[mmio_context_register[reg]];
	access.range = mmio_range_of(to);
	access.address = to;
	copied = mmio_guarded_copy(line, from, sizeof(line));
	if (!access.range || copied < sizeof(line)) {
		*fault = (struct mmio_fault){ SIGSEGV, SEGV_ACCERR, access.range ? from + copied : to };
		return false;
	}
	copy_bytes(&access.value, line, 8);
	if (!allowed(access.range, 2, to, fault))
		return false;
	dma_at(DMA_STORE);
	mmio_record_begin(&access, &slot);
	done = access.range->mapping ? mmio_simulated_store(to, line, sizeof(line), site->address, fault) :
				       mmio_guarded_line(to + access.range->delta, line, fault);
	mmio_record_end(&access, &slot, done ? 0 : EFAULT);
	if (done)
		registers[REG_RIP] += insn->length;
	return done;
}

static bool emulate(struct mmio_site *site, greg_t *registers, struct mmio_fault *fault)
{
	switch ((enum mmio_class)site->insn.class) {
	case CLASS_STRING:
		return string(site, registers, fault);
	case CLASS_MOVDIR64B:
		return direct_line(site, registers, fault);
	default:
		return stack_form(site, registers, fault);
	}
}

bool mmio_emulate(struct mmio_site *site, ucontext_t *context, struct mmio_fault *fault)
{
	uint64_t refusal = SIGNAL_BIT(SIGBUS);
	bool done;

	mmio_counters.emulated++;
	/* A device may refuse the access: a fault that is blocked would be the end. */
	raw4(SYS_rt_sigprocmask, SIG_UNBLOCK, (long)&refusal, 0, 8);
	done = emulate(site, context->uc_mcontext.gregs, fault);
	raw4(SYS_rt_sigprocmask, SIG_BLOCK, (long)&refusal, 0, 8);
	return done;
}
