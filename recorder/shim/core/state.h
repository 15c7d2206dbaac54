/* SPDX-License-Identifier: Apache-2.0 */
/* What the shim knows of itself: the session it records into, and this process's part of it. */
#ifndef VFIOTAPE_STATE_H
#define VFIOTAPE_STATE_H

#include <time.h>

#include "../../../abi/wire/record.h"
#include "syscalls.h"

#define SHIM_PATH_MAX 256 /* of the session directory */

enum shim_mode {
	SHIM_UNTRIED = 0, /* the environment has not been looked at yet: a constructor that ran before ours made a call */
	SHIM_RECORDING = 1,
	SHIM_PASSIVE = 2, /* no session, or one that can't be used: every call goes straight through */
	SHIM_SIMULATING = 3, /* no session, but a simulated kernel: descriptors are followed, nothing is recorded */
};

/* The same in a forked child: the session's files. */
struct shim_session {
	uint32_t mode; /* enum shim_mode */
	uint32_t clock_monotonic;
	struct vfiotape_control *control; /* NULL unless RECORDING */
	uint64_t clock_interval;          /* ticks between two CLOCK records of a ring */
	/*
	 * Children that share this memory and are not threads (vfork, clone with CLONE_VM) may exist: only then is
	 * getpid asked, lest such a child's close or exec be taken for its parent's.
	 */
	uint32_t memory_sharers;
	uint32_t watching;  /* the MMIO watcher is at work: pointers into BARs are translated */
	uint32_t comparing; /* DMA-mapped memory is compared: dma/ */
	uint32_t inherited; /* the table has been filled from a former image's or the parent's */
	char directory[SHIM_PATH_MAX];
};

/*
 * One for each ring of the pool that this process has mapped. They, and struct shim_process, lie in memory that the
 * kernel wipes in a forked child (MADV_WIPEONFORK), while the rings themselves are not inherited (MADV_DONTFORK):
 * whichever way a child came about, libc's fork or a bare clone system call, it finds no ring and claims its own.
 */
struct ring_thread {
	struct vfiotape_ring_header *header; /* NULL: not mapped */
	struct vfiotape_record *records;
	unsigned char *side;
	uint64_t record_mask;
	uint64_t limit;      /* head may grow up to here before the collector's tail must be read again */
	uint64_t next_clock; /* ticks at which the next CLOCK record is due */
	uint32_t records_log2;
	uint32_t index;

	uint64_t side_mask;
	uint64_t side_limit;
	uint64_t lost;       /* since the last LOST record */
	uint64_t lost_bytes;
	uint64_t stack_low;  /* the part of the thread's stack that is known to be readable: see fault_safe.h */
	uint64_t stack_high;
	uint32_t lost_cause; /* enum vfiotape_loss */
	uint32_t owned;      /* by a thread of this process now */
	uint64_t inflight_frame; /* of the call that the header's `inflight` shows */
} __attribute__((aligned(64)));

struct shim_process {
	uint32_t pid; /* 0: this process (a forked child) is not attached yet */
	uint32_t process;
	uint32_t parent;
	uint32_t announced; /* its PROCESS record is written */
	uint64_t claim_not_before; /* ticks; after a ring could not be had */
	uint64_t started;
	uint64_t unseen;
	uint64_t pad[3];
	struct ring_thread threads[VFIOTAPE_RINGS_MAX];
} __attribute__((aligned(4096)));

extern struct shim_session shim_session;
extern struct shim_process shim_process;

/* Opens the session once; whoever comes first. Signals are blocked meanwhile by the caller. */
void shim_attach_session(void);
/* This process's file and table; after shim_attach_session, and again in a forked child. */
void shim_attach_process(void);
/* process.PID: creates it with what the table holds now. Cheap enough for a child about to exec. */
void shim_write_process_file(void);
void shim_write_unseen(void);

/* DIR/NAME and a number of at least `digits` digits. `path` has SHIM_PATH_MAX + 32 bytes. */
void shim_file_path(char *path, const char *name, uint32_t number, unsigned int digits);

/* A write that ends there would not be answered with SIGXFSZ: the driver's RLIMIT_FSIZE is not to kill it for our files. */
bool shim_may_write(uint64_t end);

void shim_count_loss(uint64_t *counter, uint64_t amount);
/* The recorder can't keep up with something else than an event: counted where there is a recorder. */
void shim_count_other_loss(void);

ALWAYS_INLINE uint64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Ticks: see vfiotape_control.clock_source. */
ALWAYS_INLINE uint64_t shim_clock(void)
{
	if (unlikely(shim_session.clock_monotonic))
		return monotonic_ns();
	return __builtin_ia32_rdtsc();
}

#endif
