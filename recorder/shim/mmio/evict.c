// SPDX-License-Identifier: Apache-2.0
/*
 * A short site whose successor's bytes make every jump impossible: the successor is moved out, if it is of five bytes or
 * more and means the same anywhere (E9Patch's "successor eviction"). It becomes a jump to a copy of itself, and where that
 * copy lies is free to choose: its low bytes are such that the short site's jump, which ends in them, leads somewhere.
 */
#include "internal.h"

/* Displacements of the successor's jump that are tried: the top byte decides where the short site's jump goes. */
#define TRIES_LOW 8u
#define TRIES_HIGH 24u

/* Registers and an immediate only, or a jump. */
static bool can_move(const uint8_t *code, uint8_t length)
{
	if (length == 5)
		return (code[0] & 0xf8) == 0xb8 || code[0] == 0xa9 || ((code[0] & 0xc7) == 0x05) || code[0] == 0xe9;
	/* The group of 81 and test f7, on registers, with or without REX; mov r64, imm32. */
	if (length == 6)
		return (code[0] == 0x81 || code[0] == 0xf7) && code[1] >= 0xc0 && (code[0] == 0x81 || !(code[1] & 0x38));
	if (length == 7)
		return (code[0] & 0xf0) == 0x40 && (code[1] == 0x81 || code[1] == 0xc7) && code[2] >= 0xc0;
	return false;
}

/* The instruction, then a jump to what follows it; or, of a jump, one to its target. */
static size_t moved(const struct mmio_site *next, uint8_t out[MMIO_STUB_BYTES])
{
	const uint8_t *code = next->insn.bytes;
	uint64_t target = next->address + next->insn.length;
	size_t at = 0;
	int32_t displacement;

	if (code[0] == 0xe9) {
		copy_bytes(&displacement, code + 1, 4);
		target += (uint64_t)(int64_t)displacement;
	} else {
		copy_bytes(out, code, next->insn.length);
		at = next->insn.length;
	}
	out[at] = 0xff, out[at + 1] = 0x25;
	zero_bytes(out + at + 2, 4);
	copy_bytes(out + at + 6, &target, 8);
	return at + 14;
}

static bool move_out(struct mmio_site *next, uint16_t low)
{
	uint8_t code[MMIO_STUB_BYTES], jump[5] = { 0xe9 };
	size_t length = moved(next, code);

	for (uint32_t i = 0; i < TRIES_HIGH; i++) {
		/* Near first, below and above. */
		int32_t displacement = (int32_t)((((i & 1 ? 0u - (i / 2 + 1) : i / 2 + 1) * 0x37u) << 16) | low);
		uint64_t at = next->address + 5 + (uint64_t)(int64_t)displacement;

		if (!mmio_stub_place(at, code, length))
			continue;
		next->trampoline = at;
		next->trampoline_length = (uint16_t)length;
		__atomic_store_n(&next->state, SITE_TRAMPOLINE, __ATOMIC_RELEASE); /* its int3 is ours from here on */
		copy_bytes(jump + 1, &displacement, 4);
		return mmio_write_jump(next, jump, 5, 0, at);
	}
	return false;
}

static struct mmio_site *take_successor(const struct mmio_site *site)
{
	uint64_t at = site->address + site->insn.length;
	uint8_t code[16] = { 0 }, length = 0;
	size_t available = mmio_code_read(at, code);
	struct mmio_site *next;

	if (mmio_bytes_locked(at, 5, NULL))
		return NULL;
	if (mmio_decode_flow(code, available, &length) == FLOW_UNKNOWN || !can_move(code, length))
		return NULL;
	next = mmio_site_add(at);
	if (!next || (next->state != SITE_NEW && next->state != SITE_DEAD))
		return NULL;
	next->insn = (struct mmio_insn){ .length = length, .class = CLASS_MOVED };
	copy_bytes(next->insn.bytes, code, 16);
	next->tier = MMIO_TIER_NONE;
	return next;
}

/* True when the site's jump was written. */
bool mmio_evict_successor(struct mmio_site *site)
{
	uint8_t length = site->insn.length;
	struct mmio_site *next = length >= 2 && length <= 3 ? take_successor(site) : NULL;

	if (!next)
		return false;
	/* The site's displacement: what is its own, e9, then one or two bytes of the successor's displacement. */
	for (uint32_t top = 0; top < 256; top++) {
		for (uint32_t second = 0; second < TRIES_LOW; second++) {
			/* Those that lead down, and not far, first: below code there is usually nothing. */
			uint8_t high = (uint8_t)(0xfe - top * 0x25u), under = (uint8_t)(second * 0x53u);
			uint16_t low = length == 2 ? (uint16_t)(high << 8 | under) : (uint16_t)(under << 8 | high);
			uint64_t target = site->address + 5 +
					  (uint64_t)(int64_t)(int32_t)((uint32_t)high << 24 |
								       (length == 2 ? (uint32_t)under << 16 | 0xe900u
										    : 0xe90000u));

			if (!mmio_stub_possible(target))
				continue;
			if (!move_out(next, low))
				continue;
			mmio_counters.evicted++;
			return mmio_pun(site);
		}
	}
	return false;
}
