// SPDX-License-Identifier: Apache-2.0
/*
 * The access that a trampoline makes, between the record's intent and its outcome. Results and flags come from the
 * instruction itself, executed on a copy of the value, or, where it must be executed as one (xchg, lock), on the alias.
 */
#include "emit.h"

/* --- the instruction itself, its memory operand replaced ------------------------------------------------------------- */

static bool is_dropped_prefix(uint8_t byte)
{
	return byte == 0x2e || byte == 0x36 || byte == 0x3e || byte == 0x26 || byte == 0x64 || byte == 0x65;
}

/* Prefixes up to the opcode, REX.X and REX.B cleared. `lock_too`: keep that as well. */
static void put_prefixes(const struct mmio_insn *insn, uint8_t end, bool lock_too)
{
	for (uint8_t i = 0; i < end; i++) {
		uint8_t byte = insn->bytes[i];

		if (i == insn->rex_at)
			put1(byte & ~3u);
		else if (insn->rex_at != 0xff && i > insn->rex_at)
			put1(byte); /* 0f, 0f 38 … */
		else if (is_dropped_prefix(byte) || (byte == 0xf0 && !lock_too))
			continue;
		else
			put1(byte);
	}
}

/* mod, rm and displacement for [S + offset]. */
static void put_operand(const struct mmio_insn *insn, int base, int offset)
{
	put1((offset ? 0x40u : 0u) | (insn->bytes[insn->modrm_at] & 0x38u) | (unsigned int)base);
	if (offset)
		put1(offset);
}

/* As it was written. */
void mmio_emit_instruction(const struct mmio_insn *insn, int base)
{
	if (insn->vex) {
		uint8_t vex = (uint8_t)(insn->opcode_at - insn->vex);

		put1(insn->bytes[vex]);
		if (insn->vex == 3)
			put1(insn->bytes[vex + 1] | 0x60u), put1(insn->bytes[vex + 2]);
		else
			put1(insn->bytes[vex + 1]);
	} else {
		put_prefixes(insn, insn->opcode_at, true);
	}
	put1(insn->bytes[insn->opcode_at]);
	put_operand(insn, base, 0);
	put(insn->bytes + insn->immediate_at, insn->immediate_size);
}

/* mov [base + offset], REG: the register operand of a store-like instruction (movnti, movdiri, xchg, lock add …). */
static void store_operand_register(const struct mmio_insn *insn, int base, int offset)
{
	if (insn->width == 2)
		put1(0x66);
	if (insn->rex_at != 0xff)
		put1(insn->bytes[insn->rex_at] & ~3u);
	put1(insn->width == 1 ? 0x88 : 0x89);
	put_operand(insn, base, offset);
}

/* The instruction on a scratch copy: where it is a streaming store, the ordinary one. */
static void instruction_on_copy(const struct mmio_insn *insn, int base)
{
	if (insn->stream)
		store_operand_register(insn, base, 0);
	else
		mmio_emit_instruction(insn, base);
}

/*
 * The instruction with register S in place of its memory operand: nearly all general ones have that form. Not movbe,
 * whose code means crc32 then; and without a REX prefix the byte registers of rsi and rdi are not to be had.
 */
static bool has_register_form(const struct mmio_insn *insn, int S)
{
	bool movbe = insn->opcode_at >= 2 && insn->bytes[insn->opcode_at - 1] == 0x38 &&
		     insn->bytes[insn->opcode_at] <= 0xf1 && insn->form == MMIO_FORM_MOV;

	return insn->form != MMIO_FORM_VECTOR && insn->form != MMIO_FORM_STREAM && !movbe &&
	       (insn->width > 1 || insn->rex_at != 0xff || S == RCX || S == RBX);
}

static void instruction_on_register(const struct mmio_insn *insn, int S)
{
	uint32_t modrm;

	mmio_emit_instruction(insn, S);
	modrm = mmio_out.at - insn->immediate_size - 1;
	if (!mmio_out.failed)
		mmio_out.bytes[modrm] |= 0xc0;
}

static void inverse_vector(const struct mmio_insn *insn, int base)
{
	struct mmio_insn store = *insn;

	store.bytes[store.opcode_at] = insn->inverse;
	mmio_emit_instruction(&store, base);
}

/* --- the access --------------------------------------------------------------------------------------------------- */

void mmio_emit_call(const struct mmio_site *site, void (*function)(struct mmio_frame *, struct mmio_site *))
{
	extern const uint8_t mmio_call_c[];

	constant(RAX, (uint64_t)site);
	to_frame(oY, RAX);
	constant(RDX, (uint64_t)function);
	constant(RAX, (uint64_t)mmio_call_c);
	CODE(0xff, 0xd0); /* call rax */
}

static void commit_intent(int S)
{
	from_frame(RDX, oC);
	to_memory(S, RECORD(kind), RDX);
}

static void finish(int S, uint8_t flags)
{
	from_frame(S, oK);
	byte_constant_to_memory(S, RECORD(flags), flags);
}

static void load_access(const struct mmio_site *site, int S)
{
	commit_intent(S);
	from_frame(RDX, oL);
	load_width(RAX, RDX, site->insn.width); /* the access */
	to_memory(S, RECORD(value), RAX);
	byte_constant_to_memory(S, RECORD(flags), 0);
	if (has_register_form(&site->insn, S)) {
		put1(0x48), put1(0x89), put1(0xc0 | S); /* mov S, rax */
		restore_registers();
		instruction_on_register(&site->insn, S);
		return;
	}
	to_frame(oV, RAX);
	address_of_frame(S, oV);
	restore_registers();
	mmio_emit_instruction(&site->insn, S);
}

/* What the instruction would store, zero-extended, in S; the driver's registers are in place. */
static void value_to_store(const struct mmio_site *site, int S)
{
	const struct mmio_insn *insn = &site->insn;

	if (has_register_form(insn, S)) {
		put1(0xb8 | S), put4(0); /* mov S, 0: narrow forms leave the rest of a register alone */
		restore_registers();
		instruction_on_register(insn, S);
		return;
	}
	address_of_frame(S, oV);
	restore_registers();
	instruction_on_copy(insn, S);
	load_width(S, S, insn->width); /* its own width: the store is forwarded to it */
}

static void store_access(const struct mmio_site *site, int S)
{
	value_to_store(site, S);
	from_frame(RAX, oK);
	to_memory(RAX, RECORD(value), S);
	from_frame(S, oC);
	to_memory(RAX, RECORD(kind), S);
	from_frame(RAX, oA);
	from_frame(S, oL);
	mmio_emit_instruction(&site->insn, S); /* the access */
	finish(S, 0);
}

static void modify_access(const struct mmio_site *site, int S)
{
	commit_intent(S);
	from_frame(RDX, oL);
	load_width(RAX, RDX, site->insn.width); /* the first access */
	to_memory(S, RECORD(result), RAX);
	if (has_register_form(&site->insn, S)) {
		put1(0x48), put1(0x89), put1(0xc0 | S);
		restore_registers();
		instruction_on_register(&site->insn, S);
	} else {
		to_frame(oV, RAX);
		address_of_frame(S, oV);
		restore_registers();
		mmio_emit_instruction(&site->insn, S);
		load_width(S, S, site->insn.width);
	}
	to_frame(oX, RAX);
	from_frame(RAX, oK);
	to_memory(RAX, RECORD(value), S);
	from_frame(RAX, oL);
	store_width(RAX, 0, S, site->insn.width); /* the second */
	from_frame(RAX, oX);
	finish(S, 0);
}

static void atomic_operand(const struct mmio_site *site, int S)
{
	const struct mmio_insn *insn = &site->insn;

	put1(0x48), put1(0xc7), put1(0x40 | S), put1(RECORD(value)), put4(0);
	from_frame(RAX, oA);
	from_frame(RDX, oD);
	if (insn->class == CLASS_CMPXCHG8B) {
		put1(0x89), put1(0x40 | RBX << 3 | S), put1(RECORD(value));
		put1(0x89), put1(0x40 | RCX << 3 | S), put1(RECORD(value) + 4);
	} else if (insn->immediate_size) {
		uint64_t value = insn->immediate;

		if (insn->width < 8)
			value &= (1ull << 8 * insn->width) - 1;
		constant(RAX, value);
		to_memory(S, RECORD(value), RAX);
	} else if (insn->used) {
		store_operand_register(insn, S, RECORD(value));
	} else { /* lock inc, dec, not, neg: no operand */
	}
	commit_intent(S);
}

static void atomic_access(const struct mmio_site *site, int S)
{
	const struct mmio_insn *insn = &site->insn;
	uint32_t equal;

	atomic_operand(site, S);
	restore_registers();
	from_frame(S, oL);
	mmio_emit_instruction(insn, S); /* the access: once, unsplit */
	from_frame(S, oK);
	switch (insn->class) {
	case CLASS_XCHG:
		store_operand_register(insn, S, RECORD(result));
		break;
	case CLASS_XADD: /* what was stored: old + operand, added without touching the flags */
		store_operand_register(insn, S, RECORD(result));
		to_frame(oX, RAX);
		to_frame(oY, RDX);
		from_memory(RAX, S, RECORD(result));
		from_memory(RDX, S, RECORD(value));
		CODE(0x48, 0x8d, 0x04, 0x10); /* lea rax, [rax + rdx] */
		store_width(S, RECORD(value), RAX, insn->width);
		from_frame(RAX, oX);
		from_frame(RDX, oY);
		break;
	case CLASS_CMPXCHG: /* rax is the old value either way; when it was not the expected one, it is what was stored */
		store_width(S, RECORD(result), RAX, insn->width);
		equal = jump(EQUAL);
		store_width(S, RECORD(value), RAX, insn->width);
		land(equal);
		break;
	case CLASS_CMPXCHG8B:
		store_width(S, RECORD(result), RAX, 4);
		store_width(S, RECORD(result) + 4, RDX, 4);
		equal = jump(EQUAL);
		store_width(S, RECORD(value), RAX, 4);
		store_width(S, RECORD(value) + 4, RDX, 4);
		land(equal);
		break;
	default:
		break;
	}
	byte_constant_to_memory(S, RECORD(flags), insn->class == CLASS_LOCKED ? VFIOTAPE_FLAG_UNKNOWN : 0);
}

/* S = an aligned 64 bytes in the frame. */
static void wide_scratch(int S)
{
	put1(0x48), put1(0x8d), put1(0x84 | S << 3), put1(0x24), put4(oB + 63); /* lea S, [rsp + …] */
	put1(0x48), put1(0x83), put1(0xe0 | S), put1(0xc0);                     /* and S, -64 */
	to_frame(oW, S);
}

#define WIDE_SAVED (oB + 128) /* beyond the aligned 64 bytes, wherever they are */
_Static_assert(WIDE_SAVED + 16 <= FRAME_WIDE, "room for a saved vector register");

static void move_xmm0(unsigned int opcode, int base)
{
	put1(0x0f), put1(opcode), put1(base); /* movups, movaps */
}

static void move_xmm0_frame(unsigned int opcode)
{
	put1(0x0f), put1(opcode), put1(0x84), put1(0x24), put4(WIDE_SAVED);
}

void mmio_emit_wide(const struct mmio_site *site, int S)
{
	const struct mmio_insn *insn = &site->insn;

	wide_scratch(S);
	if (insn->class == CLASS_STORE) {
		mmio_emit_instruction(insn, S);
		mmio_emit_call(site, mmio_slow_begin);
		restore_registers();
		from_frame(S, oL);
		mmio_emit_instruction(insn, S); /* the access */
		from_frame(S, oK);
		from_frame(RAX, oX);
		to_memory(S, RECORD(kind), RAX);
		from_frame(RAX, oA);
		return;
	}
	mmio_emit_call(site, mmio_slow_begin);
	from_frame(S, oL);
	if (insn->inverse) {
		mmio_emit_instruction(insn, S); /* the access */
		from_frame(S, oW);
		inverse_vector(insn, S);
		mmio_emit_call(site, mmio_slow_load_done);
		restore_registers();
		return;
	}
	move_xmm0_frame(0x11);
	move_xmm0(insn->aligned ? 0x28 : 0x10, S); /* the access */
	from_frame(S, oW);
	move_xmm0(0x29, S);
	move_xmm0_frame(0x10);
	mmio_emit_call(site, mmio_slow_load_done);
	from_frame(S, oW);
	restore_registers();
	mmio_emit_instruction(insn, S);
}

void mmio_emit_narrow(const struct mmio_site *site, int S)
{
	switch ((enum mmio_class)site->insn.class) {
	case CLASS_LOAD:
		load_access(site, S);
		break;
	case CLASS_STORE:
		store_access(site, S);
		break;
	case CLASS_MODIFY:
		modify_access(site, S);
		break;
	default:
		atomic_access(site, S);
		break;
	}
}
