/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the MMIO watcher share. Nothing here calls libc: it runs in signal handlers and inside patched code. */
#ifndef VFIOTAPE_MMIO_INTERNAL_H
#define VFIOTAPE_MMIO_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

#include "../core/ring.h"
#include "mmio.h"

#define PAGE 4096ull
#define page_down(a) ((a) & ~(PAGE - 1))
#define page_up(a) (((a) + PAGE - 1) & ~(PAGE - 1))
#define USER_LOW 0x10000ull
#define USER_HIGH 0x7fffffffe000ull

/* memcpy and memset by string instructions: libc's may be patched sites themselves, and use vector registers. */
ALWAYS_INLINE void copy_bytes(void *to, const void *from, size_t length)
{
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(length) : : "memory");
}

ALWAYS_INLINE void zero_bytes(void *to, size_t length)
{
	__asm__ volatile("rep stosb" : "+D"(to), "+c"(length) : "a"(0) : "memory");
}

ALWAYS_INLINE bool same_bytes(const uint8_t *a, const uint8_t *b, size_t length)
{
	while (length && *a == *b)
		a++, b++, length--;
	return !length;
}

/* --- ranges.c ------------------------------------------------------------------------------------------------------ */

/*
 * A watched range. Entries are only ever added at the front of a chain or taken out of it, never changed and never
 * reused: a thread may stop in the middle of the walk for as long as it likes.
 */
struct mmio_range {
	uint64_t base;
	uint64_t length;
	struct mmio_range *next;
	uint64_t delta;        /* alias address - driver's address */
	uint64_t region_delta; /* offset in the region - driver's address */
	uint64_t object_word;  /* bytes 40-47 of a record: duration 0, object */
	uint64_t op_word;      /* bytes 48-55: region index, fd -1 */
	uint64_t recorded;     /* 0: on a watched page, but outside what --watch asks for */
	uint64_t mapping;      /* of a simulated device: its id; there is no alias then, delta is 0 */
	uint64_t mapping_delta; /* offset in the mapping - driver's address */
	uint32_t prot;         /* what the driver asked for: PROT_* */
};

/* What a trampoline looks at first. The last entry of the chain covers everything, with delta 0 and not recorded. */
struct mmio_window {
	uint64_t low;
	uint64_t span;
	struct mmio_range *first;
};

extern struct mmio_window mmio_window;

const struct mmio_range *mmio_range_of(uint64_t address);
const struct mmio_range *mmio_range_of_alias(uint64_t address);

/* --- decode.c ------------------------------------------------------------------------------------------------------ */

enum mmio_class {
	CLASS_LOAD,
	CLASS_STORE,
	CLASS_MODIFY,   /* load, operate, store */
	CLASS_XCHG,
	CLASS_XADD,
	CLASS_CMPXCHG,
	CLASS_CMPXCHG8B,
	CLASS_LOCKED,   /* executed as it is; old value unknown */
	CLASS_STRING,   /* from here on: no trampoline */
	CLASS_PUSH,
	CLASS_POP,
	CLASS_CALL,
	CLASS_JUMP,
	CLASS_MOVDIR64B,
	CLASS_STEP,
	CLASS_UNDECODED,
	CLASS_MOVED,    /* touches no memory: see evict.c */
};

#define REG_NONE 0xff
#define REG_RIP_RELATIVE 0xfe

struct mmio_insn {
	uint8_t bytes[16];
	uint8_t length;
	uint8_t class;        /* enum mmio_class */
	uint8_t form;         /* enum mmio_form */
	uint8_t width;        /* bytes of the access (of an element, for strings) */
	uint8_t vex;          /* 0: legacy encoding, else the VEX prefix's length */
	uint8_t rex_at;       /* 0xff: none */
	uint8_t opcode_at;
	uint8_t modrm_at;     /* 0xff: none */
	uint8_t displacement_at, displacement_size;
	uint8_t immediate_at, immediate_size;
	uint8_t base, index, scale; /* of the memory operand; REG_NONE, REG_RIP_RELATIVE */
	uint8_t segment;      /* 0, or 1 fs, 2 gs */
	uint8_t address32;
	uint8_t vector_index; /* gather, scatter */
	uint8_t aligned;      /* the instruction faults unless its operand is aligned */
	uint8_t locked;
	uint8_t stream;       /* the plain store that writes the same bytes must be used on scratch memory */
	uint8_t inverse;      /* a 32-byte move: opcode of the store that undoes it, else 0 */
	uint8_t repeat;       /* strings: rep, repe or repne */
	uint8_t string_op;    /* 'm', 's', 'l' */
	uint8_t masked;       /* a store that may leave bytes of its operand as they are */
	uint8_t base_is_operand; /* the base register is also read or written as it is */
	uint8_t actions;      /* 1 reads, 2 writes the memory operand */
	uint32_t used;        /* general registers that are operands */
	int64_t displacement;
	uint64_t immediate;
};

/* What comes after an instruction: for finding padding that nothing runs into. */
enum mmio_flow { FLOW_NEXT, FLOW_END, FLOW_NOP, FLOW_UNKNOWN };
enum mmio_flow mmio_decode_flow(const uint8_t *bytes, size_t available, uint8_t *length);

const char *mmio_decode_start(void);
void mmio_decode(const uint8_t bytes[16], size_t available, struct mmio_insn *insn);
/* The effective address of the memory operand, with the registers of a signal's context. */
uint64_t mmio_effective_address(const struct mmio_insn *insn, uint64_t address, const greg_t *registers);
extern const uint8_t mmio_context_register[16];

/* --- sites.c ------------------------------------------------------------------------------------------------------- */

enum site_state {
	SITE_NEW = 0,
	SITE_TRAMPOLINE = 1, /* reached by its fault */
	SITE_PATCHED = 2,
	SITE_HANDLER = 3,    /* emulated or stepped */
	SITE_DEAD = 4,       /* its memory went away or changed; may come to life again */
};

struct mmio_site {
	uint64_t address;
	uint64_t op_word;     /* tier and form and width, where a record has them; the trampoline reads it each time */
	uint64_t trampoline;
	uint32_t state;       /* enum site_state */
	uint16_t trampoline_length;
	uint8_t scratch;      /* the register that holds the address in the trampoline */
	uint8_t kind;         /* VFIOTAPE_LOAD … */
	uint8_t tier;
	uint8_t reason;
	uint8_t jump_at;      /* patched: where the jump starts, after the prefixes */
	uint8_t jump_bytes;   /* patched: bytes from the site on that must not change (jump_at + 5 may be beyond its end) */
	uint8_t patched[16];  /* what is there now, `insn.length` bytes, in states PATCHED */
	uint64_t copy;        /* where it is stepped */
	uint64_t stub;        /* a punned jump's target, or the padding that a short jump goes to; else 0 */
	struct mmio_insn insn;
};

#define SITES_MAX 16384u

struct mmio_site *mmio_site_find(uint64_t address);
struct mmio_site *mmio_site_add(uint64_t address); /* under the lock */
struct mmio_site *mmio_site_next(uint32_t *cursor); /* all that were ever added */
/* May there be sites in the range? */
bool mmio_site_pages_touch(uint64_t address, size_t length);
/* Which site's trampoline an address is in, or NULL. */
struct mmio_site *mmio_site_of_trampoline(uint64_t address);
/* False when there is no place for one more: a fault in it would not be known for what it is. */
bool mmio_site_index_trampoline(const struct mmio_site *site, uint64_t start, uint32_t length);

/* The lock of everything that changes. Taken with all asynchronous signals blocked; the owner is known, for fork. */
/* On a page that a forked child gets zeroed, however it was forked: there, nobody holds a lock. */
struct mmio_wiped {
	uint32_t held;
	uint32_t tid;
	uint64_t mask;
	uint32_t stepping; /* one step on an open page at a time */
} __attribute__((aligned(4096)));
extern struct mmio_wiped mmio_wiped;

void mmio_lock(void);
void mmio_unlock(void);
bool mmio_lock_is_mine(void);
void mmio_lock_reset(void);

/* --- code.c -------------------------------------------------------------------------------------------------------- */

bool mmio_code_start(void);
/* `size` bytes of executable memory within reach of a 32-bit displacement of `near`; 0 when there is none. */
uint64_t mmio_code_room(uint64_t near, size_t size);
/* Gives back what was not used of the last room. */
void mmio_code_trim(uint64_t address, size_t asked, size_t used);
/* A few instructions at exactly `at`, if that memory is free or ours. */
#define MMIO_STUB_BYTES 24u
bool mmio_stub_place(uint64_t at, const uint8_t *code, size_t length);
/* Whether that is likely to succeed there. */
bool mmio_stub_possible(uint64_t at);
/* Is any of our executable memory in the range, or code that was looked up? */
bool mmio_code_overlaps(uint64_t address, size_t length);
/* The driver takes that memory: what leads there is undone first. */
void mmio_code_forget(uint64_t address, size_t length);
bool mmio_code_write(uint64_t address, const void *bytes, size_t length);
bool mmio_code_sync(void);
bool mmio_can_sync(void);
enum mmio_reason mmio_code_patchable(uint64_t address, size_t length);
void mmio_code_maps_changed(void);

/* --- trampoline.c -------------------------------------------------------------------------------------------------- */

#define RED_ZONE 128
/* The part of the driver's stack that a trampoline uses, below the red zone. Offsets are in generated code. */
struct mmio_frame {
	uint64_t scratch;   /* 0 */
	uint64_t rax;       /* 8 */
	uint64_t rdx;       /* 16 */
	uint64_t flags;     /* 24: lahf, seto */
	struct mmio_range *range; /* 32 */
	uint64_t alias;     /* 40 */
	uint64_t true_address; /* 48 */
	struct vfiotape_record *slot; /* 56 */
	uint64_t commit;    /* 64: with INTENT */
	uint64_t after;     /* 72: the final commit word of wide accesses; saved rax after an operation */
	uint64_t value[2];  /* 80 */
	uint64_t saved_rdx; /* 96 */
	uint64_t vector;    /* 104: wide: where the bytes are */
	uint64_t wide[20];  /* 112: only wide sites: room for an aligned 64 bytes and a saved vector register */
};
#define FRAME_SMALL 112
#define FRAME_WIDE ((int)sizeof(struct mmio_frame))

bool mmio_trampoline_make(struct mmio_site *site);
/* Puts back the registers as they were at the site; `site` is the one whose trampoline RIP is in. */
struct mmio_frame *mmio_trampoline_recover(struct mmio_site *site, greg_t *registers);
void mmio_trampoline_start(void);

/* --- patch.c, pun.c ------------------------------------------------------------------------------------------------ */

void mmio_patch_site(struct mmio_site *site);
/* Gives a site its original bytes back; what shares bytes with it, too. They are met anew at their next fault. */
void mmio_unpatch(struct mmio_site *site, enum mmio_reason reason);
/* The memory is about to go, or to be replaced. */
void mmio_purge_range(uint64_t address, size_t length);
/* The driver may now write there: its code is its own again. */
void mmio_unpatch_range(uint64_t address, size_t length);
bool mmio_bytes_locked(uint64_t address, size_t length, const struct mmio_site *except);
struct mmio_site *mmio_site_covering(uint64_t address, const struct mmio_site *except);
bool mmio_write_jump(struct mmio_site *site, const uint8_t *bytes, size_t length, uint8_t jump_at, uint64_t stub);
bool mmio_pun(struct mmio_site *site);
bool mmio_padding_jump(struct mmio_site *site);
bool mmio_evict_successor(struct mmio_site *site);
bool mmio_padding_used(uint64_t address, size_t length);

/* --- record.c ------------------------------------------------------------------------------------------------------ */

struct mmio_access {
	const struct mmio_range *range;
	uint64_t address;   /* the driver's */
	uint64_t site;
	uint64_t value;
	uint64_t result;
	const void *wide;   /* more than 8 bytes of data */
	uint8_t kind, width, tier, form, flags;
};
/* An access made in C. Begin stores the intent; end stores it again with what is known. Slot is NULL when not recorded. */
void mmio_record_begin(const struct mmio_access *access, struct ring_slot *slot);
void mmio_record_end(const struct mmio_access *access, const struct ring_slot *slot, int error);
void mmio_record_site(const struct mmio_site *site);
/* Called by trampolines, through mmio_call_c. */
void mmio_slow_begin(struct mmio_frame *frame, struct mmio_site *site);
void mmio_slow_clock(struct mmio_frame *frame, struct mmio_site *site);
void mmio_slow_load_done(struct mmio_frame *frame, struct mmio_site *site);

/* --- fault.c ------------------------------------------------------------------------------------------------------- */

/* The site at an address where an access faulted: decoded, given its trampoline, and patched when it is met first. */
struct mmio_site *mmio_site_at(uint64_t address);
/* The handler of SIGSEGV, SIGBUS and SIGTRAP. */
void mmio_on_signal(int signal, siginfo_t *info, void *context);

/* --- guard.c: touching memory that may fault -------------------------------------------------------------------------- */

struct mmio_fault { int signal; int code; uint64_t address; };
bool mmio_guarded_load(uint64_t address, unsigned int width, uint64_t *value, struct mmio_fault *fault);
bool mmio_guarded_store(uint64_t address, unsigned int width, uint64_t value, struct mmio_fault *fault);
size_t mmio_code_read(uint64_t address, uint8_t code[16]);
bool mmio_guarded_line(uint64_t to, const void *from, struct mmio_fault *fault);
/* In the fault handler: true when the fault was one of the above's, and the context continues after it. */
bool mmio_guard_fixup(int signal, siginfo_t *info, ucontext_t *context);

/* --- emulate.c, step.c ----------------------------------------------------------------------------------------------- */

/* Makes the accesses of an instruction that has no trampoline. False: *fault is the driver's, registers as far as it got. */
bool mmio_emulate(struct mmio_site *site, ucontext_t *context, struct mmio_fault *fault);

void mmio_step_start(void);
/* The context is made to execute one instruction and come back with SIGTRAP. False: it can't be done here. */
bool mmio_step_begin(struct mmio_site *site, uint64_t address, bool straddles, ucontext_t *context);
/* SIGTRAP: was it the end of a step? */
bool mmio_step_end(ucontext_t *context);
/* A fault in the middle of a step: back to the site. */
bool mmio_step_cancel(ucontext_t *context);
bool mmio_step_under_way(void);
/* A site for an access of this thread that no site can be kept for: stepped where it stands. */
struct mmio_site *mmio_step_stray(uint64_t address);

/* --- hold.c ---------------------------------------------------------------------------------------------------------- */

/* One at a time: under mmio_wiped.stepping. */
void mmio_hold_others(void);
void mmio_let_others_go(void);
/* In the fault handler, of a signal that was sent: waits while this thread is held. True when the signal said so. */
bool mmio_held(const siginfo_t *info);
/* Where a thread that can't be interrupted waits for one that holds the others. */
bool mmio_hold_here(void);

/* --- simulated.c ------------------------------------------------------------------------------------------------------ */

/* Bytes at the driver's addresses: in simulated BARs by messages, beside them by access. */
bool mmio_simulated_load(uint64_t address, void *to, size_t length, uint64_t site, struct mmio_fault *fault);
bool mmio_simulated_store(uint64_t address, const void *from, size_t length, uint64_t site, struct mmio_fault *fault);
/* Reads (1) and writes (2). */
bool mmio_simulated_allows(const struct mmio_range *range, unsigned int actions);
/* The context is made to execute the instruction on the scratch and come back with SIGTRAP. False: *fault is the driver's. */
bool mmio_simulated_begin(struct mmio_site *site, uint64_t touched, ucontext_t *context, struct mmio_fault *fault);
bool mmio_simulated_under_way(void);
/* SIGTRAP, while one is under way. False: *fault is the driver's. */
bool mmio_simulated_end(ucontext_t *context, struct mmio_fault *fault);
/* The instruction itself faulted: back to the site. */
void mmio_simulated_cancel(ucontext_t *context);
/* In ranges.c. */
bool mmio_simulated_watch(uint64_t base, size_t length, uint64_t mapping, int prot, const struct mmio_region *region);

/* --- signals.c ------------------------------------------------------------------------------------------------------- */

#define SIGNAL_BIT(signal) (1ull << ((signal) - 1))
#define OWNED_SIGNALS (SIGNAL_BIT(SIGSEGV) | SIGNAL_BIT(SIGBUS) | SIGNAL_BIT(SIGTRAP))
/* In the handler and under the lock. SIGBUS is how a thread is held, and must find it elsewhere: hold.c. */
#define SIGNALS_THAT_WAIT (~OWNED_SIGNALS | SIGNAL_BIT(SIGBUS))

bool mmio_signals_start(void);
/* Gives a fault, or a signal that somebody sent, to the driver as its own. The context is the driver's. */
void mmio_deliver(int signal, siginfo_t *info, ucontext_t *context);

extern uint32_t mmio_mode;

#endif
