/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The MMIO watcher, as the rest of the shim sees it: every load and store to a watched BAR mapping becomes a record.
 *
 * Where the driver believes its BAR to be, the pages are PROT_NONE; the shim's own mapping of the same part of the
 * device (the alias) lies elsewhere, with the protection that the driver asked for. The first access of an
 * instruction (a site) faults; the site is decoded, a trampoline is generated that makes the access on the alias and
 * records it, and the site is patched to jump there. What can't be patched goes to its trampoline by its fault; what
 * can't be put in a trampoline is emulated or stepped out of line, on the alias.
 *
 * All functions return a negative errno as the kernel does, never touch errno, and are safe in a signal handler.
 */
#ifndef VFIOTAPE_MMIO_H
#define VFIOTAPE_MMIO_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* How an access was caught: bits 16-23 of a record's op, and `value` of a SITE record. */
enum mmio_tier {
	MMIO_TIER_NONE = 0,
	MMIO_TIER_PATCH = 1,   /* the site jumps to its trampoline */
	MMIO_TIER_TRAP = 2,    /* SIGSEGV, then the trampoline */
	MMIO_TIER_EMULATE = 3, /* SIGSEGV, then done in the handler: string, stack and call forms, movdir64b */
	MMIO_TIER_STEP = 4,    /* SIGSEGV, then stepped in a copy, its base register moved to the alias */
	MMIO_TIER_KEY = 5,     /* SIGSEGV, then stepped in place, the page opened for this thread alone by a protection key */
	MMIO_TIER_HOLD = 6,    /* SIGSEGV, then stepped in place while the other threads are held */
	MMIO_TIER_KERNEL = 7,  /* a system call was given a pointer into the BAR: seen as that call, not as accesses */
};

/* What kind of instruction: bits 24-31 of a record's op. */
enum mmio_form {
	MMIO_FORM_OTHER = 0,
	MMIO_FORM_MOV = 1,       /* mov, from or to a register */
	MMIO_FORM_IMMEDIATE = 2, /* mov of an immediate */
	MMIO_FORM_EXTEND = 3,    /* movzx, movsx, movsxd */
	MMIO_FORM_STREAM = 4,    /* movnti, movdiri and other non-temporal stores */
	MMIO_FORM_READ = 5,      /* another instruction with a memory source: test, cmp, add r,m … */
	MMIO_FORM_WRITE = 6,     /* another instruction with a memory destination: setcc */
	MMIO_FORM_MODIFY = 7,    /* read-modify-write that is not locked: two accesses on the bus */
	MMIO_FORM_EXCHANGE = 8,  /* xchg, xadd, cmpxchg: old value known */
	MMIO_FORM_LOCKED = 9,    /* lock add … : old value not known, the record has the operand */
	MMIO_FORM_VECTOR = 10,   /* SSE and AVX moves and operands */
	MMIO_FORM_STRING = 11,   /* movs, stos, lods: one record an element */
	MMIO_FORM_STACK = 12,    /* push, pop, call, jmp through memory */
	MMIO_FORM_LINE = 13,     /* movdir64b, 64 bytes */
};

/* Why a site isn't patched: op of a SITE record. */
enum mmio_reason {
	MMIO_REASON_NONE = 0,         /* it is patched */
	MMIO_REASON_MODE = 1,         /* --mmio trap */
	MMIO_REASON_ANONYMOUS = 2,    /* generated code: it may be rewritten at any time */
	MMIO_REASON_WRITABLE = 3,     /* its mapping is writable, or comes from a memfd: the same */
	MMIO_REASON_TOO_SHORT = 4,    /* no jump fits, nor any that shares bytes with what follows */
	MMIO_REASON_NO_ROOM = 5,      /* no free memory within reach of a jump */
	MMIO_REASON_CANT_WRITE = 6,   /* neither /proc/self/mem nor mprotect lets the shim write code */
	MMIO_REASON_NO_MEMBARRIER = 7,/* other processors can't be told of changed code */
	MMIO_REASON_FORM = 8,         /* an instruction that is not put in a trampoline */
	MMIO_REASON_UNDECODED = 9,    /* not an instruction that the decoder knows */
	MMIO_REASON_SITES_FULL = 10,  /* more sites than the table holds */
	MMIO_REASON_REPLACED = 11,    /* was patched; the memory of its jump was taken by the driver */
	MMIO_REASON_SIMULATED = 12,  /* the device is simulated: each access is a message */
};

struct mmio_counters {
	uint64_t sites, patched_direct, patched_pun, patched_padding, unpatched, purged;
	uint64_t faults, races, emulated, stepped, stepped_key, stepped_held, unheld, delivered, repuns, evicted;
};
extern struct mmio_counters mmio_counters;

/*
 * Once, in the constructor, after the session is attached. NULL, or why the engine is not available, in a few words.
 * `mode` is enum vfiotape_mmio_mode; watching starts with the first mmio_mmap.
 */
const char *mmio_start(uint32_t mode);
/* Whether mappings of a device region are to be given to mmio_mmap. */
bool mmio_watching(void);

/* A mapping of a device region, about to be made. */
struct mmio_region {
	uint32_t object;  /* the device's */
	uint32_t region;  /* its index */
	uint64_t offset;  /* in the region, of the mapping's first byte */
};

/* mmap(2) of a device region. Falls back to an ordinary mapping (of which nothing is recorded) when it can't watch. */
long mmio_mmap(uint64_t address, size_t length, int prot, int flags, int fd, uint64_t offset,
	       const struct mmio_region *region);
/*
 * mmap(2) of a file of the simulated kernel: addresses are reserved, and each access there becomes a message. `inode` names
 * the file. Accesses are made so whether they are recorded or not.
 */
long mmio_simulated_mmap(uint64_t address, size_t length, int prot, int flags, uint64_t inode, uint64_t offset,
			 uint32_t object);
/* Does the range touch a simulated BAR? */
bool mmio_is_simulated(uint64_t address, size_t length);
/*
 * read, write, pread64 or pwrite64 with a buffer that lies in one: the bytes go by way of memory that the kernel can reach.
 * `offset` matters to the latter two.
 */
long mmio_simulated_io(long number, int fd, uint64_t buffer, size_t count, int64_t offset);
/*
 * The others. `mmio_touches` is the fast answer to "could this range matter to the watcher" (a watched mapping, a
 * patched site, or memory of the watcher's own); only when it is true need the rest be called.
 */
bool mmio_touches(uint64_t address, size_t length);
long mmio_munmap(uint64_t address, size_t length);
long mmio_mprotect(uint64_t address, size_t length, int prot);
long mmio_mremap(uint64_t old, size_t old_length, size_t new_length, int flags, uint64_t wanted);
/* Any other mmap with MAP_FIXED: the watcher lets go of what lies there, then makes the mapping. */
long mmio_mmap_over(uint64_t address, size_t length, int prot, int flags, int fd, uint64_t offset);
/* madvise: MADV_DONTFORK and its like must also reach the alias. Call after the kernel accepted it. */
void mmio_advised(uint64_t address, size_t length, int advice);

/* For pointers that go into the kernel: where the bytes can really be had. The same pointer when not watched. */
uint64_t mmio_translate(uint64_t address, size_t length);
/* True when [address, length) touches a watched page. */
bool mmio_is_watched(uint64_t address, size_t length);

/*
 * Reading memory that may not be there, while mmio_watching(): as far as it could be copied; and the offset of the 64 bytes
 * that are otherwise than in the copy, `length` when all is the same, SIZE_MAX when it is not there. Both are aligned to 64.
 */
size_t mmio_guarded_copy(void *to, uint64_t from, size_t length);
size_t mmio_guarded_compare(uint64_t address, const void *copy, size_t length);

/* VFIO_DEVICE_GET_REGION_INFO succeeded: in mode `syscalls`, or once /dev/kvm was opened, the answer loses FLAG_MMAP. */
struct vfio_region_info;
bool mmio_hide_mapping(struct vfio_region_info *info);
void mmio_saw_kvm(void);
bool mmio_region_info_hidden(void);

/*
 * Signals. SIGSEGV, SIGBUS and SIGTRAP always stay deliverable to the watcher; the driver sees its own dispositions
 * and masks.
 */
struct mmio_kernel_sigaction { /* what rt_sigaction takes */
	uint64_t handler;
	uint64_t flags;
	uint64_t restorer;
	uint64_t mask;
};
bool mmio_owns_signal(int signal);
/* Answers for an owned signal, in the kernel's layout; act and old may be NULL. */
long mmio_sigaction(int signal, const struct mmio_kernel_sigaction *act, struct mmio_kernel_sigaction *old);
/* rt_sigprocmask for the calling thread. */
long mmio_sigprocmask(int how, const uint64_t *set, uint64_t *old);
/* What came while it could not be delivered, and now can. */
void mmio_send_pending(void);
/* A mask that is given to ppoll, pselect, epoll_pwait, sigsuspend: without the owned signals. */
uint64_t mmio_mask(uint64_t set);

/* Around fork(2) by libc; a child made in any other way mends itself at its first fault. */
void mmio_before_fork(void);
void mmio_after_fork(bool child);

#endif
