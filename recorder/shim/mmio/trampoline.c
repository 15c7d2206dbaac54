// SPDX-License-Identifier: Apache-2.0
/*
 * The code that stands in for one instruction: if its address is watched, the access is made once on the alias, between
 * an intent and its outcome in this thread's ring; if not, the instruction runs as it is. Whatever it does besides
 * touching memory (results, flags) it does to a copy of the value on the stack, or, where it must be executed as one
 * (xchg, lock), on the alias itself.
 *
 * Below the driver's red zone lies struct mmio_frame. rax, rdx and one more register ("S") are used; every other
 * register stays the driver's throughout, and all three are in the frame at every place where an access can fault.
 */
#include <cpuid.h>
#include <string.h>

#include "internal.h"

enum { RAX = 0, RCX = 1, RDX = 2, RBX = 3, RSI = 6, RDI = 7 };
enum {
	oS = offsetof(struct mmio_frame, scratch),
	oA = offsetof(struct mmio_frame, rax),
	oD = offsetof(struct mmio_frame, rdx),
	oF = offsetof(struct mmio_frame, flags),
	oN = offsetof(struct mmio_frame, range),
	oL = offsetof(struct mmio_frame, alias),
	oT = offsetof(struct mmio_frame, true_address),
	oK = offsetof(struct mmio_frame, slot),
	oC = offsetof(struct mmio_frame, commit),
	oX = offsetof(struct mmio_frame, after),
	oV = offsetof(struct mmio_frame, value),
	oY = offsetof(struct mmio_frame, saved_rdx),
	oW = offsetof(struct mmio_frame, vector),
	oB = offsetof(struct mmio_frame, wide),
};
_Static_assert(oW + 8 == FRAME_SMALL && oB == FRAME_SMALL, "offsets of generated code");
_Static_assert(oB < 128, "offsets are one byte");

#define RECORD(field) ((int)offsetof(struct vfiotape_record, field))
#define RING(field) ((int)offsetof(struct ring_thread, field))
#define CODE_MAX 1024u
#define SLOTS_AHEAD 8

/* Under the lock. */
static struct {
	uint8_t bytes[CODE_MAX];
	uint32_t at;
	uint64_t base; /* where it will be */
	bool failed;
} out;

uint64_t mmio_xsave_mask, mmio_xsave_size;

static void put(const void *bytes, size_t length)
{
	if (out.at + length > CODE_MAX) {
		out.failed = true;
		return;
	}
	copy_bytes(out.bytes + out.at, bytes, length);
	out.at += (uint32_t)length;
}

static void put1(unsigned int byte)
{
	uint8_t value = (uint8_t)byte;

	put(&value, 1);
}

static void put4(uint32_t value)
{
	put(&value, 4);
}

static void put8(uint64_t value)
{
	put(&value, 8);
}

#define CODE(...)                                                                                                      \
	do {                                                                                                           \
		static const uint8_t code_[] = { __VA_ARGS__ };                                                        \
		put(code_, sizeof(code_));                                                                             \
	} while (0)

/* All of these are on 64-bit registers below r8, and none changes the flags. */
static void to_frame(int offset, int reg)
{
	put1(0x48), put1(0x89), put1(0x44 | reg << 3), put1(0x24), put1(offset);
}

static void from_frame(int reg, int offset)
{
	put1(0x48), put1(0x8b), put1(0x44 | reg << 3), put1(0x24), put1(offset);
}

static void address_of_frame(int reg, int offset)
{
	put1(0x48), put1(0x8d), put1(0x44 | reg << 3), put1(0x24), put1(offset);
}

static void to_memory(int base, int offset, int reg)
{
	put1(0x48), put1(0x89), put1(0x40 | reg << 3 | base), put1(offset);
}

static void from_memory(int reg, int base, int offset)
{
	put1(0x48), put1(0x8b), put1(0x40 | reg << 3 | base), put1(offset);
}

static void constant(int reg, uint64_t value)
{
	put1(0x48), put1(0xb8 | reg), put8(value);
}

static void byte_constant_to_memory(int base, int offset, uint8_t value)
{
	put1(0xc6), put1(0x40 | base), put1(offset), put1(value);
}

/* reg = zero-extended [base] */
static void load_width(int reg, int base, unsigned int width)
{
	if (width == 8)
		put1(0x48);
	if (width <= 2)
		put1(0x0f), put1(width == 1 ? 0xb6 : 0xb7);
	else
		put1(0x8b);
	put1(reg << 3 | base);
}

/* [base + offset] = low bytes of reg */
static void store_width(int base, int offset, int reg, unsigned int width)
{
	if (width == 2)
		put1(0x66);
	if (width == 8)
		put1(0x48);
	else if (width == 1)
		put1(0x40); /* sil, dil */
	put1(width == 1 ? 0x88 : 0x89), put1(0x40 | reg << 3 | base), put1(offset);
}

static uint32_t jump(unsigned int condition)
{
	if (condition)
		put1(0x0f), put1(condition);
	else
		put1(0xe9);
	put4(0);
	return out.at;
}

enum { ALWAYS = 0, BELOW = 0x82, ABOVE_EQUAL = 0x83, EQUAL = 0x84, NOT_EQUAL = 0x85 };

static void land(uint32_t from)
{
	int32_t distance = (int32_t)(out.at - from);

	if (!out.failed)
		copy_bytes(out.bytes + from - 4, &distance, 4);
}

static void jump_back(unsigned int condition, uint32_t to)
{
	uint32_t from = jump(condition);
	int32_t distance = (int32_t)(to - from);

	if (!out.failed)
		copy_bytes(out.bytes + from - 4, &distance, 4);
}

static void jump_to(uint64_t target)
{
	int64_t distance = (int64_t)(target - (out.base + out.at + 5));

	if (distance == (int32_t)distance) {
		put1(0xe9), put4((uint32_t)distance);
	} else {
		CODE(0xff, 0x25, 0, 0, 0, 0); /* jmp [rip] */
		put8(target);
	}
}

static void restore_flags(void)
{
	from_frame(RAX, oF);
	CODE(0x04, 0x7f, 0x9e); /* add al, 0x7f: overflows when seto gave 1; sahf: the other five */
}

static void restore_registers(void)
{
	restore_flags();
	from_frame(RAX, oA);
	from_frame(RDX, oD);
}

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
static void instruction(const struct mmio_insn *insn, int base)
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
		instruction(insn, base);
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

	instruction(insn, S);
	modrm = out.at - insn->immediate_size - 1;
	if (!out.failed)
		out.bytes[modrm] |= 0xc0;
}

static void inverse_vector(const struct mmio_insn *insn, int base)
{
	struct mmio_insn store = *insn;

	store.bytes[store.opcode_at] = insn->inverse;
	instruction(&store, base);
}

/* --- the parts of a trampoline ---------------------------------------------------------------------------------------- */

static void call_c(const struct mmio_site *site, void (*function)(struct mmio_frame *, struct mmio_site *))
{
	extern const uint8_t mmio_call_c[];

	constant(RAX, (uint64_t)site);
	to_frame(oY, RAX);
	constant(RDX, (uint64_t)function);
	constant(RAX, (uint64_t)mmio_call_c);
	CODE(0xff, 0xd0); /* call rax */
}

static void effective_address(const struct mmio_site *site, int reg, int frame)
{
	const struct mmio_insn *insn = &site->insn;
	uint8_t modrm = insn->bytes[insn->modrm_at];
	unsigned int rex = 0;

	if (insn->base == REG_RIP_RELATIVE) {
		constant(reg, site->address + insn->length + (uint64_t)insn->displacement);
		return;
	}
	if (insn->vex == 3)
		rex = (~(unsigned int)insn->bytes[insn->opcode_at - 2] >> 5) & 3;
	else if (!insn->vex && insn->rex_at != 0xff)
		rex = insn->bytes[insn->rex_at] & 3u;
	put1(0x48 | rex), put1(0x8d), put1((modrm & 0xc7u) | (unsigned int)reg << 3);
	if ((modrm & 7) == 4)
		put1(insn->bytes[insn->modrm_at + 1]);
	put(insn->bytes + insn->displacement_at, insn->displacement_size);
	if (insn->base == 4) { /* rsp has moved */
		put1(0x48), put1(0x8d), put1(0x80u | (unsigned int)reg << 3 | (unsigned int)reg);
		put4((uint32_t)(RED_ZONE + frame));
	}
}

static void enter(const struct mmio_site *site, int S, int frame)
{
	CODE(0x48, 0x8d, 0xa4, 0x24); /* lea rsp, [rsp - …] */
	put4((uint32_t)-(RED_ZONE + frame));
	to_frame(oS, S);
	effective_address(site, S, frame);
	to_frame(oA, RAX);
	to_frame(oD, RDX);
	CODE(0x9f, 0x0f, 0x90, 0xc0); /* lahf; seto al */
	to_frame(oF, RAX);
}

static void leave(const struct mmio_site *site, int S, int frame)
{
	from_frame(S, oS);
	CODE(0x48, 0x8d, 0xa4, 0x24);
	put4((uint32_t)(RED_ZONE + frame));
	jump_to(site->address + site->insn.length);
}

struct exits {
	uint32_t pass, quiet, clock, clock_back, slow[8];
	unsigned int slow_count;
};

/* S is the address: out through `pass` when it is not watched, `quiet` when it is not to be recorded; rax the range. */
static void look_up(int S, struct exits *exits)
{
	uint32_t walk;

	constant(RAX, (uint64_t)&mmio_window);
	put1(0x48), put1(0x89), put1(0xc2 | S << 3); /* mov rdx, S */
	CODE(0x48, 0x2b, 0x10);                      /* sub rdx, [rax] */
	CODE(0x48, 0x3b, 0x50, 0x08);                /* cmp rdx, [rax + 8] */
	exits->pass = jump(ABOVE_EQUAL);
	walk = out.at;
	CODE(0x48, 0x8b, 0x40, 0x10);                /* mov rax, [rax + 16]: first, next */
	put1(0x48), put1(0x89), put1(0xc2 | S << 3);
	CODE(0x48, 0x2b, 0x10);
	CODE(0x48, 0x3b, 0x50, 0x08);
	jump_back(ABOVE_EQUAL, walk);
	CODE(0x83, 0x78, (uint8_t)offsetof(struct mmio_range, recorded), 0); /* cmp dword [rax + recorded], 0 */
	exits->quiet = jump(EQUAL);
	to_frame(oN, RAX);
	to_frame(oT, S);
	put1(0x48), put1(0x8b), put1(0x50), put1((int)offsetof(struct mmio_range, delta)); /* mov rdx, [rax + delta] */
	put1(0x48), put1(0x01), put1(0xc2 | S << 3);                                       /* add rdx, S */
	to_frame(oL, RDX);
}

static void out_to_slow(struct exits *exits, unsigned int condition)
{
	exits->slow[exits->slow_count++] = jump(condition);
}

/* What ring_enter and ring_reserve do. Leaves the slot in S and in the frame, with the fields that all kinds share. */
static void reserve(const struct mmio_site *site, int S, struct exits *exits)
{
	uint64_t variable = (uint64_t)&ring_tls;
	int32_t tls;

	__asm__("" : "+r"(variable)); /* whole: ld can't relax a 32-bit load of the offset */
	tls = (int32_t)(variable - (uint64_t)__builtin_thread_pointer());
	CODE(0x64, 0x48, 0x8b, 0x04, 0x25); /* mov rax, fs:[ring_tls] */
	put4((uint32_t)tls);
	CODE(0x48, 0x85, 0xc0);
	out_to_slow(exits, EQUAL);
	constant(RDX, (uint64_t)&shim_session.memory_sharers);
	CODE(0x83, 0x3a, 0x00); /* cmp dword [rdx], 0 */
	out_to_slow(exits, NOT_EQUAL);
	constant(RDX, (uint64_t)&shim_session.control->state);
	CODE(0x83, 0x3a, VFIOTAPE_RECORDING);
	out_to_slow(exits, NOT_EQUAL);
	from_memory(S, RAX, RING(header));
	put1(0x48), put1(0x85), put1(0xc0 | S << 3 | S); /* test S, S */
	out_to_slow(exits, EQUAL);
	from_memory(RDX, S, (int)offsetof(struct vfiotape_ring_header, head));
	put1(0x48), put1(0x3b), put1(0x50), put1(RING(limit)); /* cmp rdx, [rax + limit] */
	out_to_slow(exits, ABOVE_EQUAL);
	CODE(0xba, 1, 0, 0, 0);                                    /* mov edx, 1 */
	put1(0xf0), put1(0x48), put1(0x0f), put1(0xc1), put1(0x50 | S);
	put1((int)offsetof(struct vfiotape_ring_header, head));    /* lock xadd [S + head], rdx */
	put1(0x48), put1(0x89), put1(0xd0 | S);                    /* mov S, rdx */
	put1(0x48), put1(0x23), put1(0x40 | S << 3), put1(RING(record_mask));
	put1(0x48), put1(0xc1), put1(0xe0 | S), put1(6);           /* shl S, 6 */
	put1(0x48), put1(0x03), put1(0x40 | S << 3), put1(RING(records));
	/* The next lock waits until these stores have their cache lines: let those of later slots be on their way. */
	put1(0x0f), put1(0x0d), put1(0x88 | S), put4(SLOTS_AHEAD * 64); /* prefetchw [S + …] */
	to_frame(oK, S);
	put1(0x48), put1(0xc1), put1(0xea), put1(shim_session.control->records_log2); /* shr rdx, … */
	CODE(0xff, 0xc2, 0x0f, 0xb7, 0xd2, 0xc1, 0xe2, 0x10);      /* inc edx; movzx edx, dx; shl edx, 16 */
	put1(0x81), put1(0xca), put4(site->kind | VFIOTAPE_FLAG_INTENT << 8); /* or edx, … */
	to_frame(oC, RDX);
	CODE(0x0f, 0x31, 0x48, 0xc1, 0xe2, 0x20, 0x48, 0x09, 0xc2); /* rdtsc; shl rdx, 32; or rdx, rax */
	to_memory(S, RECORD(entered), RDX);
	CODE(0x64, 0x48, 0x8b, 0x04, 0x25);
	put4((uint32_t)tls);
	put1(0x48), put1(0x3b), put1(0x50), put1(RING(next_clock));
	exits->clock = jump(ABOVE_EQUAL);
	exits->clock_back = out.at;
	constant(RAX, site->address & VFIOTAPE_SITE_MASK);
	to_memory(S, RECORD(site_errno), RAX);
	from_frame(RAX, oN);
	from_frame(RDX, oT);
	put1(0x48), put1(0x03), put1(0x50), put1((int)offsetof(struct mmio_range, region_delta)); /* add rdx, [rax + …] */
	to_memory(S, RECORD(offset), RDX);
	put1(0x48), put1(0xc7), put1(0x40 | S), put1(RECORD(result)), put4(0);
	from_memory(RDX, RAX, (int)offsetof(struct mmio_range, object_word));
	to_memory(S, RECORD(duration), RDX);
	constant(RDX, (uint64_t)&site->op_word);
	CODE(0x48, 0x8b, 0x12);
	put1(0x48), put1(0x0b), put1(0x50), put1((int)offsetof(struct mmio_range, op_word));
	to_memory(S, RECORD(op), RDX);
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
	instruction(&site->insn, S);
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
	instruction(&site->insn, S); /* the access */
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
		instruction(&site->insn, S);
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
	instruction(insn, S); /* the access: once, unsplit */
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

static void wide_access(const struct mmio_site *site, int S)
{
	const struct mmio_insn *insn = &site->insn;

	wide_scratch(S);
	if (insn->class == CLASS_STORE) {
		instruction(insn, S);
		call_c(site, mmio_slow_begin);
		restore_registers();
		from_frame(S, oL);
		instruction(insn, S); /* the access */
		from_frame(S, oK);
		from_frame(RAX, oX);
		to_memory(S, RECORD(kind), RAX);
		from_frame(RAX, oA);
		return;
	}
	call_c(site, mmio_slow_begin);
	from_frame(S, oL);
	if (insn->inverse) {
		instruction(insn, S); /* the access */
		from_frame(S, oW);
		inverse_vector(insn, S);
		call_c(site, mmio_slow_load_done);
		restore_registers();
		return;
	}
	move_xmm0_frame(0x11);
	move_xmm0(insn->aligned ? 0x28 : 0x10, S); /* the access */
	from_frame(S, oW);
	move_xmm0(0x29, S);
	move_xmm0_frame(0x10);
	call_c(site, mmio_slow_load_done);
	from_frame(S, oW);
	restore_registers();
	instruction(insn, S);
}

static void narrow_access(const struct mmio_site *site, int S)
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

static bool emit(struct mmio_site *site, int S)
{
	bool wide = site->insn.width > 8;
	int frame = wide ? FRAME_WIDE : FRAME_SMALL;
	struct exits exits = { 0 };

	out.at = 0;
	out.failed = false;
	enter(site, S, frame);
	look_up(S, &exits);
	if (wide) {
		wide_access(site, S);
		leave(site, S, frame);
	} else {
		uint32_t joined;

		if (shim_session.clock_monotonic)
			out_to_slow(&exits, ALWAYS);
		else
			reserve(site, S, &exits);
		joined = out.at;
		narrow_access(site, S);
		leave(site, S, frame);
		for (unsigned int i = 0; i < exits.slow_count; i++)
			land(exits.slow[i]);
		call_c(site, mmio_slow_begin);
		from_frame(S, oK);
		jump_back(ALWAYS, joined);
		if (exits.clock) {
			land(exits.clock);
			call_c(site, mmio_slow_clock);
			jump_back(ALWAYS, exits.clock_back);
		}
	}
	land(exits.quiet); /* on a watched page, or no page of ours: delta is then 0 */
	put1(0x48), put1(0x03), put1(0x40 | S << 3), put1((int)offsetof(struct mmio_range, delta));
	land(exits.pass);
	restore_registers();
	instruction(&site->insn, S);
	leave(site, S, frame);
	return !out.failed;
}

static int pick_scratch(const struct mmio_insn *insn)
{
	static const int candidates[] = { RCX, RSI, RDI, RBX };

	for (unsigned int i = 0; i < 4; i++)
		if (!(insn->used & 1u << candidates[i]))
			return candidates[i];
	return -1;
}

static uint8_t record_kind(const struct mmio_insn *insn)
{
	switch ((enum mmio_class)insn->class) {
	case CLASS_LOAD:
		return VFIOTAPE_LOAD;
	case CLASS_STORE:
		return VFIOTAPE_STORE;
	default:
		return VFIOTAPE_UPDATE;
	}
}

bool mmio_trampoline_make(struct mmio_site *site)
{
	int S = pick_scratch(&site->insn);

	if (S < 0 || site->insn.class >= CLASS_STRING)
		return false;
	site->kind = record_kind(&site->insn);
	site->scratch = (uint8_t)S;
	site->op_word = VFIOTAPE_ACCESS(0, site->insn.width, MMIO_TIER_TRAP, site->insn.form);
	out.base = mmio_code_room(site->address, CODE_MAX);
	if (!out.base || !emit(site, S))
		return false;
	mmio_code_trim(out.base, CODE_MAX, out.at);
	if (!mmio_code_write(out.base, out.bytes, out.at) || !mmio_site_index_trampoline(site, out.base, out.at))
		return false;
	site->trampoline_length = (uint16_t)out.at;
	__atomic_store_n(&site->trampoline, out.base, __ATOMIC_RELEASE);
	return true;
}

struct mmio_frame *mmio_trampoline_recover(struct mmio_site *site, greg_t *registers)
{
	struct mmio_frame *frame = (struct mmio_frame *)registers[REG_RSP];
	uint64_t flags = (uint64_t)registers[REG_EFL] & ~0x8d5ull;

	flags |= frame->flags >> 8 & 0xd5;
	flags |= (frame->flags & 1) << 11;
	registers[REG_EFL] = (greg_t)flags;
	registers[mmio_context_register[site->scratch]] = (greg_t)frame->scratch;
	registers[REG_RAX] = (greg_t)frame->rax;
	registers[REG_RDX] = (greg_t)frame->rdx;
	registers[REG_RSP] += RED_ZONE + (site->insn.width > 8 ? FRAME_WIDE : FRAME_SMALL);
	registers[REG_RIP] = (greg_t)site->address;
	return frame;
}

/*
 * From a trampoline into C: rdx the function, [frame + saved_rdx] the site. Saves what the C calling convention doesn't;
 * vector state by xsave, whatever its size on this processor.
 */
__asm__(".pushsection .text\n"
	".globl mmio_call_c\n"
	".hidden mmio_call_c\n"
	"mmio_call_c:\n"
	"	pushq %rbp\n"
	"	movq %rsp, %rbp\n"
	"	pushq %rcx\n	pushq %rsi\n	pushq %rdi\n	pushq %r8\n	pushq %r9\n	pushq %r10\n	pushq %r11\n	pushfq\n"
	"	cld\n"
	"	leaq 16(%rbp), %rdi\n"
	"	movq 96(%rdi), %rsi\n"
	"	movq %rdx, %rcx\n"
	"	subq mmio_xsave_size(%rip), %rsp\n"
	"	andq $-64, %rsp\n"
	"	xorl %eax, %eax\n"
	"	movq %rax, 512(%rsp)\n	movq %rax, 520(%rsp)\n	movq %rax, 528(%rsp)\n	movq %rax, 536(%rsp)\n"
	"	movq %rax, 544(%rsp)\n	movq %rax, 552(%rsp)\n	movq %rax, 560(%rsp)\n	movq %rax, 568(%rsp)\n"
	"	movl mmio_xsave_mask(%rip), %eax\n"
	"	xorl %edx, %edx\n"
	"	testl %eax, %eax\n"
	"	jz 1f\n"
	"	xsave64 (%rsp)\n"
	"	callq *%rcx\n"
	"	movl mmio_xsave_mask(%rip), %eax\n"
	"	xorl %edx, %edx\n"
	"	xrstor64 (%rsp)\n"
	"	jmp 2f\n"
	"1:	fxsave64 (%rsp)\n"
	"	callq *%rcx\n"
	"	fxrstor64 (%rsp)\n"
	"2:\n"
	"	leaq -64(%rbp), %rsp\n"
	"	popfq\n	popq %r11\n	popq %r10\n	popq %r9\n	popq %r8\n	popq %rdi\n	popq %rsi\n	popq %rcx\n"
	"	popq %rbp\n"
	"	ret\n"
	".popsection\n");

void mmio_trampoline_start(void)
{
	uint32_t a, b, c, d, enabled;

	mmio_xsave_size = 576;
	__cpuid(1, a, b, c, d);
	if (!(c & 1u << 27)) /* OSXSAVE: without it fxsave has all there is */
		return;
	/* x87, SSE, AVX, AVX-512: the rest (AMX, protection keys) C code doesn't touch. */
	__asm__ volatile("xgetbv" : "=a"(enabled), "=d"(d) : "c"(0));
	mmio_xsave_mask = enabled & 0xe7u;
	for (uint32_t component = 2; component <= 7; component++) {
		if (!(mmio_xsave_mask & 1u << component))
			continue;
		__cpuid_count(0xd, component, a, b, c, d);
		if (b + a > mmio_xsave_size)
			mmio_xsave_size = b + a;
	}
	mmio_xsave_size += 64;
}
