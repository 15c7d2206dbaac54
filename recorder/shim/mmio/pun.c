// SPDX-License-Identifier: Apache-2.0
/*
 * Sites that are shorter than a jump. The jump's last bytes are then those of the instructions that follow, which stay
 * as they are: its target is what those bytes make it, and a stub is put there (E9Patch's instruction punning;
 * Duck, Gao, Roychoudhury, "Binary Rewriting without Control Flow Recovery", PLDI 2020). Prefixes before the jump shift
 * what has to fit. When no target is free: a short jump to padding that nothing runs into.
 */
#include "internal.h"

#define PADDINGS_MAX 4096u

static struct { uint64_t at; } paddings[PADDINGS_MAX];
static uint32_t padding_count;

static bool try_target(struct mmio_site *site, uint8_t prefixes, uint32_t displacement)
{
	static const uint8_t prefix[] = { 0x2e, 0x26 }; /* segment prefixes mean nothing to a near jump */
	uint64_t target = site->address + prefixes + 5 + (uint64_t)(int64_t)(int32_t)displacement;
	uint8_t bytes[16], stub[14] = { 0xff, 0x25 }; /* jmp [rip + 0] */

	copy_bytes(stub + 6, &site->trampoline, 8);
	if (!mmio_stub_place(target, stub, sizeof(stub)))
		return false;
	for (uint8_t i = 0; i < prefixes; i++)
		bytes[i] = i + 1 == prefixes ? 0x48 : prefix[i & 1];
	bytes[prefixes] = 0xe9;
	copy_bytes(bytes + prefixes + 1, &displacement, 4);
	if (!mmio_write_jump(site, bytes, site->insn.length, prefixes, target))
		return false;
	mmio_counters.patched_pun++;
	return true;
}

bool mmio_pun(struct mmio_site *site)
{
	uint8_t code[16], length = site->insn.length;

	if (length < 2 || mmio_code_read(site->address, code) < length + 4u)
		return false;
	for (uint8_t prefixes = 0; prefixes < length; prefixes++) {
		uint8_t own = (uint8_t)(length - prefixes - 1); /* bytes of the displacement that may be chosen */
		uint32_t fixed = 0, step = own <= 1 ? 1 : own == 2 ? 61 : 4093;

		for (uint8_t i = own; i < 4; i++)
			fixed |= (uint32_t)code[prefixes + 1 + i] << (8 * i);
		for (uint32_t low = 0, tries = 0; low < 1u << (8 * own) && tries < 4096; low += step, tries++)
			if (try_target(site, prefixes, fixed | low))
				return true;
	}
	return false;
}

bool mmio_padding_used(uint64_t address, size_t length)
{
	for (uint32_t i = 0; i < padding_count; i++)
		if (paddings[i].at < address + length && address < paddings[i].at + 5)
			return true;
	return false;
}

/*
 * The first five bytes of no-operations after an instruction that doesn't go on, within reach of a short jump: not a jump
 * of ours already, nor the end of one that was punned over them.
 */
static uint64_t find_padding(const struct mmio_site *site)
{
	uint64_t at = site->address, run = 0;
	uint64_t limit = at + 2 + 127;
	bool ended = false;

	while (at <= limit) {
		const struct mmio_site *known = mmio_site_find(at);
		uint8_t code[16], length = 0;
		enum mmio_flow flow;

		if (known && known->insn.length) {
			flow = FLOW_NEXT;
			length = known->insn.length;
		} else {
			flow = mmio_decode_flow(code, mmio_code_read(at, code), &length);
		}
		if (flow == FLOW_UNKNOWN)
			return 0;
		if (!ended) {
			ended = flow == FLOW_END;
			run = at + length;
		} else if (flow != FLOW_NOP) {
			if (at - run >= 5 && !mmio_bytes_locked(run, 5, NULL))
				return run;
			ended = flow == FLOW_END;
			run = at + length;
		}
		at += length;
		if (ended && at - run >= 5 && run <= limit && !mmio_bytes_locked(run, 5, NULL))
			return run;
	}
	return 0;
}

bool mmio_padding_jump(struct mmio_site *site)
{
	uint64_t padding = site->insn.length >= 2 ? find_padding(site) : 0;
	int64_t distance = (int64_t)(site->trampoline - (padding + 5));
	int32_t displacement = (int32_t)distance;
	uint8_t jump[5] = { 0xe9 };
	uint8_t hop[2] = { 0xeb, (uint8_t)(padding - (site->address + 2)) };

	if (!padding || padding - (site->address + 2) > 127 || displacement != distance || padding_count == PADDINGS_MAX)
		return false;
	copy_bytes(jump + 1, &displacement, 4);
	if (!mmio_code_write(padding, jump, 5))
		return false;
	mmio_code_sync();
	paddings[padding_count++].at = padding;
	if (!mmio_write_jump(site, hop, 2, 0, padding))
		return false;
	site->jump_bytes = 2;
	mmio_counters.patched_padding++;
	return true;
}
