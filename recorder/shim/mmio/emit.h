/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing machine code: what the parts of a trampoline are made of. All of it is under the lock, into one buffer, for one
 * trampoline at a time.
 */
#ifndef VFIOTAPE_MMIO_EMIT_H
#define VFIOTAPE_MMIO_EMIT_H

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

struct mmio_out {
	uint8_t bytes[CODE_MAX];
	uint32_t at;
	uint64_t base; /* where it will be */
	bool failed;
};
extern struct mmio_out mmio_out;

static inline void put(const void *bytes, size_t length)
{
	if (mmio_out.at + length > CODE_MAX) {
		mmio_out.failed = true;
		return;
	}
	copy_bytes(mmio_out.bytes + mmio_out.at, bytes, length);
	mmio_out.at += (uint32_t)length;
}

static inline void put1(unsigned int byte)
{
	uint8_t value = (uint8_t)byte;

	put(&value, 1);
}

static inline void put4(uint32_t value)
{
	put(&value, 4);
}

static inline void put8(uint64_t value)
{
	put(&value, 8);
}

#define CODE(...)                                                                                                      \
	do {                                                                                                           \
		static const uint8_t code_[] = { __VA_ARGS__ };                                                        \
		put(code_, sizeof(code_));                                                                             \
	} while (0)

/* All of these are on 64-bit registers below r8, and none changes the flags. */
static inline void to_frame(int offset, int reg)
{
	put1(0x48), put1(0x89), put1(0x44 | reg << 3), put1(0x24), put1(offset);
}

static inline void from_frame(int reg, int offset)
{
	put1(0x48), put1(0x8b), put1(0x44 | reg << 3), put1(0x24), put1(offset);
}

static inline void address_of_frame(int reg, int offset)
{
	put1(0x48), put1(0x8d), put1(0x44 | reg << 3), put1(0x24), put1(offset);
}

static inline void to_memory(int base, int offset, int reg)
{
	put1(0x48), put1(0x89), put1(0x40 | reg << 3 | base), put1(offset);
}

static inline void from_memory(int reg, int base, int offset)
{
	put1(0x48), put1(0x8b), put1(0x40 | reg << 3 | base), put1(offset);
}

static inline void constant(int reg, uint64_t value)
{
	put1(0x48), put1(0xb8 | reg), put8(value);
}

static inline void byte_constant_to_memory(int base, int offset, uint8_t value)
{
	put1(0xc6), put1(0x40 | base), put1(offset), put1(value);
}

/* reg = zero-extended [base] */
static inline void load_width(int reg, int base, unsigned int width)
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
static inline void store_width(int base, int offset, int reg, unsigned int width)
{
	if (width == 2)
		put1(0x66);
	if (width == 8)
		put1(0x48);
	else if (width == 1)
		put1(0x40); /* sil, dil */
	put1(width == 1 ? 0x88 : 0x89), put1(0x40 | reg << 3 | base), put1(offset);
}

static inline uint32_t jump(unsigned int condition)
{
	if (condition)
		put1(0x0f), put1(condition);
	else
		put1(0xe9);
	put4(0);
	return mmio_out.at;
}

enum { ALWAYS = 0, BELOW = 0x82, ABOVE_EQUAL = 0x83, EQUAL = 0x84, NOT_EQUAL = 0x85 };

static inline void land(uint32_t from)
{
	int32_t distance = (int32_t)(mmio_out.at - from);

	if (!mmio_out.failed)
		copy_bytes(mmio_out.bytes + from - 4, &distance, 4);
}

static inline void jump_back(unsigned int condition, uint32_t to)
{
	uint32_t from = jump(condition);
	int32_t distance = (int32_t)(to - from);

	if (!mmio_out.failed)
		copy_bytes(mmio_out.bytes + from - 4, &distance, 4);
}

static inline void jump_to(uint64_t target)
{
	int64_t distance = (int64_t)(target - (mmio_out.base + mmio_out.at + 5));

	if (distance == (int32_t)distance) {
		put1(0xe9), put4((uint32_t)distance);
	} else {
		CODE(0xff, 0x25, 0, 0, 0, 0); /* jmp [rip] */
		put8(target);
	}
}

static inline void restore_flags(void)
{
	from_frame(RAX, oF);
	CODE(0x04, 0x7f, 0x9e); /* add al, 0x7f: overflows when seto gave 1; sahf: the other five */
}

static inline void restore_registers(void)
{
	restore_flags();
	from_frame(RAX, oA);
	from_frame(RDX, oD);
}

/* --- access.c: the access itself. `S` is the register that the trampoline has for itself. ------------------------------- */

/* The site's instruction with [S] for its memory operand. */
void mmio_emit_instruction(const struct mmio_insn *insn, int S);
void mmio_emit_call(const struct mmio_site *site, void (*function)(struct mmio_frame *, struct mmio_site *));
/* The access, its record, and its outcome: of up to 8 bytes with the slot in S, of more with the address in S. */
void mmio_emit_narrow(const struct mmio_site *site, int S);
void mmio_emit_wide(const struct mmio_site *site, int S);

#endif
