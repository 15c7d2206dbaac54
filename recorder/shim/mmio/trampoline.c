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
#include "emit.h"

#define SLOTS_AHEAD 8

struct mmio_out mmio_out;

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
	walk = mmio_out.at;
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
	exits->clock_back = mmio_out.at;
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

static bool emit(struct mmio_site *site, int S)
{
	bool wide = site->insn.width > 8;
	int frame = wide ? FRAME_WIDE : FRAME_SMALL;
	struct exits exits = { 0 };

	mmio_out.at = 0;
	mmio_out.failed = false;
	enter(site, S, frame);
	look_up(S, &exits);
	if (wide) {
		mmio_emit_wide(site, S);
		leave(site, S, frame);
	} else {
		uint32_t joined;

		if (shim_session.clock_monotonic || (shim_session.comparing && site->kind != VFIOTAPE_LOAD))
			out_to_slow(&exits, ALWAYS);
		else
			reserve(site, S, &exits);
		joined = mmio_out.at;
		mmio_emit_narrow(site, S);
		leave(site, S, frame);
		for (unsigned int i = 0; i < exits.slow_count; i++)
			land(exits.slow[i]);
		mmio_emit_call(site, mmio_slow_begin);
		from_frame(S, oK);
		jump_back(ALWAYS, joined);
		if (exits.clock) {
			land(exits.clock);
			mmio_emit_call(site, mmio_slow_clock);
			jump_back(ALWAYS, exits.clock_back);
		}
	}
	land(exits.quiet); /* on a watched page, or no page of ours: delta is then 0 */
	put1(0x48), put1(0x03), put1(0x40 | S << 3), put1((int)offsetof(struct mmio_range, delta));
	land(exits.pass);
	restore_registers();
	mmio_emit_instruction(&site->insn, S);
	leave(site, S, frame);
	return !mmio_out.failed;
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
	mmio_out.base = mmio_code_room(site->address, CODE_MAX);
	if (!mmio_out.base || !emit(site, S))
		return false;
	mmio_code_trim(mmio_out.base, CODE_MAX, mmio_out.at);
	if (!mmio_code_write(mmio_out.base, mmio_out.bytes, mmio_out.at) || !mmio_site_index_trampoline(site, mmio_out.base, mmio_out.at))
		return false;
	site->trampoline_length = (uint16_t)mmio_out.at;
	__atomic_store_n(&site->trampoline, mmio_out.base, __ATOMIC_RELEASE);
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
