// SPDX-License-Identifier: Apache-2.0
/*
 * What an instruction does to memory, in the few terms that the rest needs. Zydis decodes; it is opened at start, so
 * that the shim loads where it is not installed (the watcher then says so, and doesn't watch).
 */
#include <Zydis/Zydis.h>
#include <dlfcn.h>

#include "internal.h"

static ZydisDecoder decoder;
static ZyanStatus (*decode_full)(const ZydisDecoder *, const void *, ZyanUSize, ZydisDecodedInstruction *,
				 ZydisDecodedOperand *);
static ZydisRegister (*largest_enclosing)(ZydisMachineMode, ZydisRegister);

const char *mmio_decode_start(void)
{
	static const char *const names[] = { "libZydis.so.4.0", "libZydis.so.4.1", "libZydis.so.4", "libZydis.so" };
	ZyanStatus (*init)(ZydisDecoder *, ZydisMachineMode, ZydisStackWidth) = NULL;
	ZyanU64 (*version)(void) = NULL;
	void *library = NULL;

	/* RTLD_NOW: it is called in signal handlers, where a lazy binding would take the dynamic linker's lock. */
	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]) && !library; i++)
		library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return "libZydis is not installed";
	*(void **)&version = dlsym(library, "ZydisGetVersion");
	*(void **)&init = dlsym(library, "ZydisDecoderInit");
	*(void **)&decode_full = dlsym(library, "ZydisDecoderDecodeFull");
	*(void **)&largest_enclosing = dlsym(library, "ZydisRegisterGetLargestEnclosing");
	if (!version || !init || !decode_full || !largest_enclosing)
		return "libZydis lacks a function of version 4";
	/* The structures are the library's ABI: they change with the minor version. */
	if ((version() ^ ZYDIS_VERSION) >> 32)
		return "libZydis is of another version than the one that the shim was built for";
	if (!ZYAN_SUCCESS(init(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)))
		return "libZydis did not start";
	return NULL;
}

static uint8_t general(ZydisRegister reg)
{
	ZydisRegister whole = largest_enclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);

	if (whole >= ZYDIS_REGISTER_RAX && whole <= ZYDIS_REGISTER_R15)
		return (uint8_t)(whole - ZYDIS_REGISTER_RAX);
	return REG_NONE;
}

static bool is_string(const ZydisDecodedInstruction *in, struct mmio_insn *insn)
{
	if (in->meta.category != ZYDIS_CATEGORY_STRINGOP)
		return false;
	switch (in->mnemonic) {
	case ZYDIS_MNEMONIC_MOVSB: case ZYDIS_MNEMONIC_MOVSW: case ZYDIS_MNEMONIC_MOVSD: case ZYDIS_MNEMONIC_MOVSQ:
		insn->string_op = 'm';
		break;
	case ZYDIS_MNEMONIC_STOSB: case ZYDIS_MNEMONIC_STOSW: case ZYDIS_MNEMONIC_STOSD: case ZYDIS_MNEMONIC_STOSQ:
		insn->string_op = 's';
		break;
	case ZYDIS_MNEMONIC_LODSB: case ZYDIS_MNEMONIC_LODSW: case ZYDIS_MNEMONIC_LODSD: case ZYDIS_MNEMONIC_LODSQ:
		insn->string_op = 'l';
		break;
	default:
		return false;
	}
	insn->repeat = !!(in->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE));
	return true;
}

/* The plain moves of vector registers, and how they want to be treated. */
enum vector_kind { VECTOR_NONE, VECTOR_PLAIN, VECTOR_ALIGNED, VECTOR_OPERAND };

static enum vector_kind vector_kind(ZydisMnemonic mnemonic)
{
	switch (mnemonic) {
	case ZYDIS_MNEMONIC_MOVUPS: case ZYDIS_MNEMONIC_MOVUPD: case ZYDIS_MNEMONIC_MOVDQU: case ZYDIS_MNEMONIC_LDDQU:
	case ZYDIS_MNEMONIC_VMOVUPS: case ZYDIS_MNEMONIC_VMOVUPD: case ZYDIS_MNEMONIC_VMOVDQU: case ZYDIS_MNEMONIC_VLDDQU:
	case ZYDIS_MNEMONIC_MOVD: case ZYDIS_MNEMONIC_MOVQ: case ZYDIS_MNEMONIC_MOVSS: case ZYDIS_MNEMONIC_MOVSD:
	case ZYDIS_MNEMONIC_MOVHPS: case ZYDIS_MNEMONIC_MOVHPD: case ZYDIS_MNEMONIC_MOVLPS: case ZYDIS_MNEMONIC_MOVLPD:
	case ZYDIS_MNEMONIC_VMOVD: case ZYDIS_MNEMONIC_VMOVQ: case ZYDIS_MNEMONIC_VMOVSS: case ZYDIS_MNEMONIC_VMOVSD:
	case ZYDIS_MNEMONIC_VMOVHPS: case ZYDIS_MNEMONIC_VMOVHPD: case ZYDIS_MNEMONIC_VMOVLPS: case ZYDIS_MNEMONIC_VMOVLPD:
		return VECTOR_PLAIN;
	case ZYDIS_MNEMONIC_MOVAPS: case ZYDIS_MNEMONIC_MOVAPD: case ZYDIS_MNEMONIC_MOVDQA:
	case ZYDIS_MNEMONIC_VMOVAPS: case ZYDIS_MNEMONIC_VMOVAPD: case ZYDIS_MNEMONIC_VMOVDQA:
	case ZYDIS_MNEMONIC_MOVNTPS: case ZYDIS_MNEMONIC_MOVNTPD: case ZYDIS_MNEMONIC_MOVNTDQ: case ZYDIS_MNEMONIC_MOVNTDQA:
	case ZYDIS_MNEMONIC_VMOVNTPS: case ZYDIS_MNEMONIC_VMOVNTPD: case ZYDIS_MNEMONIC_VMOVNTDQ:
	case ZYDIS_MNEMONIC_VMOVNTDQA:
		return VECTOR_ALIGNED;
	/* 16-byte operands of the legacy encoding must be aligned, those of VEX need not. */
	case ZYDIS_MNEMONIC_PXOR: case ZYDIS_MNEMONIC_POR: case ZYDIS_MNEMONIC_PAND: case ZYDIS_MNEMONIC_PANDN:
	case ZYDIS_MNEMONIC_PADDB: case ZYDIS_MNEMONIC_PADDW: case ZYDIS_MNEMONIC_PADDD: case ZYDIS_MNEMONIC_PADDQ:
	case ZYDIS_MNEMONIC_PCMPEQB: case ZYDIS_MNEMONIC_PCMPEQW: case ZYDIS_MNEMONIC_PCMPEQD: case ZYDIS_MNEMONIC_PSHUFD:
	case ZYDIS_MNEMONIC_PSHUFB: case ZYDIS_MNEMONIC_PTEST:
	case ZYDIS_MNEMONIC_VPXOR: case ZYDIS_MNEMONIC_VPOR: case ZYDIS_MNEMONIC_VPAND: case ZYDIS_MNEMONIC_VPANDN:
	case ZYDIS_MNEMONIC_VPADDB: case ZYDIS_MNEMONIC_VPADDW: case ZYDIS_MNEMONIC_VPADDD: case ZYDIS_MNEMONIC_VPADDQ:
	case ZYDIS_MNEMONIC_VPCMPEQB: case ZYDIS_MNEMONIC_VPCMPEQW: case ZYDIS_MNEMONIC_VPCMPEQD:
	case ZYDIS_MNEMONIC_VPSHUFD: case ZYDIS_MNEMONIC_VPSHUFB: case ZYDIS_MNEMONIC_VPTEST:
		return VECTOR_OPERAND;
	default:
		return VECTOR_NONE;
	}
}

static bool classify_vector(const ZydisDecodedInstruction *in, struct mmio_insn *insn, enum vector_kind kind)
{
	insn->form = MMIO_FORM_VECTOR;
	insn->class = insn->actions == 1 ? CLASS_LOAD : CLASS_STORE;
	insn->aligned = insn->width > 8 && (kind == VECTOR_ALIGNED || (kind == VECTOR_OPERAND && !insn->vex));
	if (insn->width <= 8)
		return true;
	if (insn->width == 32) {
		/* A load is made by the instruction itself; the store that undoes it tells what came. */
		if (insn->actions == 1) {
			if (kind == VECTOR_OPERAND)
				return false;
			switch (in->opcode) {
			case 0x10: case 0x28:
				insn->inverse = (uint8_t)(in->opcode + 1);
				break;
			case 0x6f:
				insn->inverse = 0x7f;
				break;
			default:
				return false;
			}
		}
		return true;
	}
	return insn->width == 16;
}

static bool classify_general(const ZydisDecodedInstruction *in, struct mmio_insn *insn)
{
	bool reads = insn->actions & 1, writes = insn->actions & 2;

	switch (in->mnemonic) {
	case ZYDIS_MNEMONIC_MOV:
		insn->form = insn->immediate_size ? MMIO_FORM_IMMEDIATE : MMIO_FORM_MOV;
		break;
	case ZYDIS_MNEMONIC_MOVZX: case ZYDIS_MNEMONIC_MOVSX: case ZYDIS_MNEMONIC_MOVSXD:
		insn->form = MMIO_FORM_EXTEND;
		break;
	case ZYDIS_MNEMONIC_MOVBE:
		insn->form = MMIO_FORM_MOV;
		break;
	case ZYDIS_MNEMONIC_MOVNTI: case ZYDIS_MNEMONIC_MOVDIRI:
		insn->form = MMIO_FORM_STREAM;
		insn->stream = 1;
		break;
	case ZYDIS_MNEMONIC_ADD: case ZYDIS_MNEMONIC_SUB: case ZYDIS_MNEMONIC_AND: case ZYDIS_MNEMONIC_OR:
	case ZYDIS_MNEMONIC_XOR: case ZYDIS_MNEMONIC_ADC: case ZYDIS_MNEMONIC_SBB: case ZYDIS_MNEMONIC_INC:
	case ZYDIS_MNEMONIC_DEC: case ZYDIS_MNEMONIC_NOT: case ZYDIS_MNEMONIC_NEG: case ZYDIS_MNEMONIC_SHL:
	case ZYDIS_MNEMONIC_SHR: case ZYDIS_MNEMONIC_SAR: case ZYDIS_MNEMONIC_ROL: case ZYDIS_MNEMONIC_ROR:
	case ZYDIS_MNEMONIC_RCL: case ZYDIS_MNEMONIC_RCR: case ZYDIS_MNEMONIC_SHLD: case ZYDIS_MNEMONIC_SHRD:
		insn->form = writes ? MMIO_FORM_MODIFY : MMIO_FORM_READ;
		break;
	case ZYDIS_MNEMONIC_BT: case ZYDIS_MNEMONIC_BTS: case ZYDIS_MNEMONIC_BTR: case ZYDIS_MNEMONIC_BTC:
		/* With a register the bit may lie anywhere: SDM vol. 2, "bit(bitbase, bitoffset)". */
		if (!insn->immediate_size)
			return false;
		insn->form = writes ? MMIO_FORM_MODIFY : MMIO_FORM_READ;
		break;
	case ZYDIS_MNEMONIC_CMP: case ZYDIS_MNEMONIC_TEST: case ZYDIS_MNEMONIC_IMUL: case ZYDIS_MNEMONIC_MUL:
	case ZYDIS_MNEMONIC_POPCNT: case ZYDIS_MNEMONIC_LZCNT: case ZYDIS_MNEMONIC_TZCNT: case ZYDIS_MNEMONIC_BSF:
	case ZYDIS_MNEMONIC_BSR: case ZYDIS_MNEMONIC_CRC32: case ZYDIS_MNEMONIC_ANDN: case ZYDIS_MNEMONIC_BEXTR:
	case ZYDIS_MNEMONIC_BLSR: case ZYDIS_MNEMONIC_BLSI: case ZYDIS_MNEMONIC_BLSMSK: case ZYDIS_MNEMONIC_BZHI:
	case ZYDIS_MNEMONIC_SARX: case ZYDIS_MNEMONIC_SHLX: case ZYDIS_MNEMONIC_SHRX: case ZYDIS_MNEMONIC_RORX:
	case ZYDIS_MNEMONIC_PEXT: case ZYDIS_MNEMONIC_PDEP: case ZYDIS_MNEMONIC_ADCX: case ZYDIS_MNEMONIC_ADOX:
	case ZYDIS_MNEMONIC_CMOVB: case ZYDIS_MNEMONIC_CMOVBE: case ZYDIS_MNEMONIC_CMOVL: case ZYDIS_MNEMONIC_CMOVLE:
	case ZYDIS_MNEMONIC_CMOVNB: case ZYDIS_MNEMONIC_CMOVNBE: case ZYDIS_MNEMONIC_CMOVNL: case ZYDIS_MNEMONIC_CMOVNLE:
	case ZYDIS_MNEMONIC_CMOVNO: case ZYDIS_MNEMONIC_CMOVNP: case ZYDIS_MNEMONIC_CMOVNS: case ZYDIS_MNEMONIC_CMOVNZ:
	case ZYDIS_MNEMONIC_CMOVO: case ZYDIS_MNEMONIC_CMOVP: case ZYDIS_MNEMONIC_CMOVS: case ZYDIS_MNEMONIC_CMOVZ:
		insn->form = MMIO_FORM_READ;
		insn->class = CLASS_LOAD;
		return !writes;
	case ZYDIS_MNEMONIC_SETB: case ZYDIS_MNEMONIC_SETBE: case ZYDIS_MNEMONIC_SETL: case ZYDIS_MNEMONIC_SETLE:
	case ZYDIS_MNEMONIC_SETNB: case ZYDIS_MNEMONIC_SETNBE: case ZYDIS_MNEMONIC_SETNL: case ZYDIS_MNEMONIC_SETNLE:
	case ZYDIS_MNEMONIC_SETNO: case ZYDIS_MNEMONIC_SETNP: case ZYDIS_MNEMONIC_SETNS: case ZYDIS_MNEMONIC_SETNZ:
	case ZYDIS_MNEMONIC_SETO: case ZYDIS_MNEMONIC_SETP: case ZYDIS_MNEMONIC_SETS: case ZYDIS_MNEMONIC_SETZ:
		insn->form = MMIO_FORM_WRITE;
		insn->class = CLASS_STORE;
		return !reads;
	case ZYDIS_MNEMONIC_XCHG:
		insn->form = MMIO_FORM_EXCHANGE;
		insn->class = CLASS_XCHG;
		return true;
	case ZYDIS_MNEMONIC_XADD:
		insn->form = MMIO_FORM_EXCHANGE;
		insn->class = CLASS_XADD;
		return true;
	case ZYDIS_MNEMONIC_CMPXCHG:
		insn->form = MMIO_FORM_EXCHANGE;
		insn->class = CLASS_CMPXCHG;
		return true;
	case ZYDIS_MNEMONIC_CMPXCHG8B:
		insn->form = MMIO_FORM_EXCHANGE;
		insn->class = CLASS_CMPXCHG8B;
		return insn->width == 8;
	default:
		return false;
	}
	if (insn->locked) {
		insn->form = MMIO_FORM_LOCKED;
		insn->class = CLASS_LOCKED;
		return true;
	}
	insn->class = reads && writes ? CLASS_MODIFY : writes ? CLASS_STORE : CLASS_LOAD;
	return true;
}

static bool is_stack_form(const ZydisDecodedInstruction *in, struct mmio_insn *insn)
{
	insn->form = MMIO_FORM_STACK;
	if (in->operand_width != 64 || insn->segment)
		return false;
	switch (in->mnemonic) {
	case ZYDIS_MNEMONIC_PUSH:
		insn->class = CLASS_PUSH;
		return true;
	case ZYDIS_MNEMONIC_POP:
		insn->class = CLASS_POP;
		return true;
	case ZYDIS_MNEMONIC_CALL:
		insn->class = CLASS_CALL;
		return true;
	case ZYDIS_MNEMONIC_JMP:
		insn->class = CLASS_JUMP;
		return true;
	default:
		return false;
	}
}

static void find_raw(const ZydisDecodedInstruction *in, struct mmio_insn *insn)
{
	insn->rex_at = in->attributes & ZYDIS_ATTRIB_HAS_REX ? in->raw.rex.offset : 0xff;
	insn->vex = in->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX ? in->raw.vex.size : 0;
	insn->modrm_at = in->attributes & ZYDIS_ATTRIB_HAS_MODRM ? in->raw.modrm.offset : 0xff;
	insn->opcode_at = insn->modrm_at != 0xff ? (uint8_t)(insn->modrm_at - 1) : 0;
	insn->displacement_at = in->raw.disp.offset;
	insn->displacement_size = in->raw.disp.size / 8;
	insn->immediate_at = in->raw.imm[0].offset;
	insn->immediate_size = in->raw.imm[0].size / 8;
	insn->immediate = in->raw.imm[0].value.u;
	insn->address32 = in->address_width != 64;
	insn->locked = !!(in->attributes & ZYDIS_ATTRIB_HAS_LOCK);
}

static const ZydisDecodedOperand *find_memory(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *operands,
					      struct mmio_insn *insn, bool *plain)
{
	const ZydisDecodedOperand *memory = NULL;

	*plain = true;
	for (unsigned int i = 0; i < in->operand_count; i++) {
		const ZydisDecodedOperand *operand = &operands[i];

		if (operand->type == ZYDIS_OPERAND_TYPE_REGISTER) {
			uint8_t reg = general(operand->reg.value);

			if (reg != REG_NONE)
				insn->used |= 1u << reg;
		}
		if (operand->type != ZYDIS_OPERAND_TYPE_MEMORY)
			continue;
		if (operand->visibility != ZYDIS_OPERAND_VISIBILITY_EXPLICIT) {
			*plain = false; /* the stack of push and call, the operands of strings */
			continue;
		}
		*plain &= !memory && operand->mem.type == ZYDIS_MEMOP_TYPE_MEM;
		memory = operand;
	}
	return memory;
}

static void find_address(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *operands,
			 const ZydisDecodedOperand *memory, struct mmio_insn *insn)
{
	insn->base = memory->mem.base == ZYDIS_REGISTER_RIP ? REG_RIP_RELATIVE : general(memory->mem.base);
	insn->index = memory->mem.type == ZYDIS_MEMOP_TYPE_VSIB ? REG_NONE : general(memory->mem.index);
	insn->vector_index = memory->mem.type == ZYDIS_MEMOP_TYPE_VSIB;
	insn->scale = memory->mem.scale;
	insn->displacement = memory->mem.disp.has_displacement ? memory->mem.disp.value : 0;
	insn->segment = memory->mem.segment == ZYDIS_REGISTER_FS ? 1 : memory->mem.segment == ZYDIS_REGISTER_GS ? 2 : 0;
	insn->actions = (memory->actions & ZYDIS_OPERAND_ACTION_MASK_READ ? 1 : 0) |
			(memory->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE ? 2 : 0);
	insn->width = (uint8_t)(memory->size / 8);
	for (unsigned int i = 0; i < in->operand_count && insn->base < 16; i++)
		if (operands[i].type == ZYDIS_OPERAND_TYPE_REGISTER && general(operands[i].reg.value) == insn->base)
			insn->base_is_operand = 1;
}

static bool is_masked_store(const ZydisDecodedInstruction *in)
{
	switch (in->mnemonic) {
	case ZYDIS_MNEMONIC_MASKMOVDQU: case ZYDIS_MNEMONIC_VMASKMOVDQU: case ZYDIS_MNEMONIC_MASKMOVQ:
	case ZYDIS_MNEMONIC_VMASKMOVPS: case ZYDIS_MNEMONIC_VMASKMOVPD:
	case ZYDIS_MNEMONIC_VPMASKMOVD: case ZYDIS_MNEMONIC_VPMASKMOVQ:
		return true;
	default:
		return in->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX && in->avx.mask.reg > ZYDIS_REGISTER_K0 &&
		       in->avx.mask.reg <= ZYDIS_REGISTER_K7;
	}
}

/* xlat, maskmovdqu, cmps, scas: stepped, and recorded with what is known of their operand. */
static void note_implicit(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *operands, struct mmio_insn *insn)
{
	for (unsigned int i = 0; i < in->operand_count; i++) {
		if (operands[i].type != ZYDIS_OPERAND_TYPE_MEMORY || general(operands[i].mem.base) == 4)
			continue;
		insn->width = (uint8_t)(operands[i].size / 8);
		insn->actions |= (operands[i].actions & ZYDIS_OPERAND_ACTION_MASK_READ ? 1 : 0) |
				 (operands[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE ? 2 : 0);
	}
}

void mmio_decode(const uint8_t bytes[16], size_t available, struct mmio_insn *insn)
{
	ZydisDecodedInstruction in;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	const ZydisDecodedOperand *memory;
	enum vector_kind kind;
	bool plain;

	*insn = (struct mmio_insn){ .class = CLASS_UNDECODED, .base = REG_NONE, .index = REG_NONE };
	copy_bytes(insn->bytes, bytes, 16);
	if (!ZYAN_SUCCESS(decode_full(&decoder, bytes, available, &in, operands)))
		return;
	insn->length = in.length;
	insn->class = CLASS_STEP;
	find_raw(&in, insn);
	insn->masked = is_masked_store(&in);
	memory = find_memory(&in, operands, insn, &plain);
	if (is_string(&in, insn)) {
		insn->class = insn->address32 || in.attributes & (ZYDIS_ATTRIB_HAS_SEGMENT_FS | ZYDIS_ATTRIB_HAS_SEGMENT_GS)
				      ? CLASS_STEP : CLASS_STRING;
		insn->form = MMIO_FORM_STRING;
		insn->width = (uint8_t)(in.operand_width / 8);
		return;
	}
	if (!memory) {
		note_implicit(&in, operands, insn);
		return;
	}
	find_address(&in, operands, memory, insn);
	if (in.mnemonic == ZYDIS_MNEMONIC_MOVDIR64B && !insn->address32) {
		insn->class = CLASS_MOVDIR64B;
		insn->form = MMIO_FORM_LINE;
		insn->width = 64;
		return;
	}
	if (memory->mem.type != ZYDIS_MEMOP_TYPE_MEM || insn->address32)
		return;
	if (insn->modrm_at != 0xff && is_stack_form(&in, insn))
		return;
	insn->form = MMIO_FORM_OTHER;
	if (!plain || insn->segment || insn->modrm_at == 0xff || insn->used & 1u << 4)
		return;
	if (in.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY && in.encoding != ZYDIS_INSTRUCTION_ENCODING_VEX)
		return;
	kind = vector_kind(in.mnemonic);
	if (kind != VECTOR_NONE && insn->actions != 3 && insn->actions) {
		if (classify_vector(&in, insn, kind))
			return;
	} else if ((insn->width == 1 || insn->width == 2 || insn->width == 4 || insn->width == 8) && insn->actions &&
		   classify_general(&in, insn)) {
		return;
	}
	insn->class = CLASS_STEP;
	insn->form = MMIO_FORM_OTHER;
}

enum mmio_flow mmio_decode_flow(const uint8_t *bytes, size_t available, uint8_t *length)
{
	ZydisDecodedInstruction in;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];

	if (!ZYAN_SUCCESS(decode_full(&decoder, bytes, available, &in, operands)))
		return FLOW_UNKNOWN;
	*length = in.length;
	switch (in.meta.category) {
	case ZYDIS_CATEGORY_RET: case ZYDIS_CATEGORY_UNCOND_BR:
		return FLOW_END;
	case ZYDIS_CATEGORY_NOP: case ZYDIS_CATEGORY_WIDENOP:
		return FLOW_NOP;
	default:
		return in.mnemonic == ZYDIS_MNEMONIC_INT3 ? FLOW_NOP : FLOW_NEXT;
	}
}

const uint8_t mmio_context_register[16] = {
	REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
	REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
};

uint64_t mmio_effective_address(const struct mmio_insn *insn, uint64_t address, const greg_t *registers)
{
	uint64_t at = (uint64_t)insn->displacement;

	if (insn->base == REG_RIP_RELATIVE)
		at += address + insn->length;
	else if (insn->base < 16)
		at += (uint64_t)registers[mmio_context_register[insn->base]];
	if (insn->index < 16)
		at += (uint64_t)registers[mmio_context_register[insn->index]] * insn->scale;
	return insn->address32 ? (uint32_t)at : at;
}
