/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and writing the driver's memory by addresses that it gave to the kernel: argsz may be stale stack garbage, the kernel only
 * touches what it needs, and the shim must never fault where the driver would not have.
 */
#ifndef VFIOTAPE_FAULT_SAFE_H
#define VFIOTAPE_FAULT_SAFE_H

#include "state.h"

/* Copies up to `length` bytes; returns how many there were before the first unreadable one. */
size_t fault_safe_copy(void *to, uint64_t from, size_t length);
/* False, where the kernel would say EFAULT: some of it may be written then. */
bool fault_safe_write(uint64_t to, const void *from, size_t length);
/* strnlen and copy in one; a string that is cut by unreadable memory or `limit` has no NUL. */
size_t fault_safe_string(char *to, uint64_t from, size_t limit);

/*
 * Most arguments live on the calling thread's stack. From the page that the stack pointer was in when this thread was
 * first seen, up to the thread's control block (for the first thread: up to what the kernel laid out at exec), all is
 * mapped as long as the thread runs on that stack, and a plain copy spares the system call. On any other stack
 * (coroutines, sigaltstack) the stack pointer is not in that range.
 */
ALWAYS_INLINE bool fault_safe_on_stack(const struct ring_thread *ring, uint64_t address, size_t length)
{
	uint64_t here = (uint64_t)__builtin_frame_address(0);

	return here >= ring->stack_low && here < ring->stack_high && address >= ring->stack_low &&
	       address < ring->stack_high && length <= ring->stack_high - address;
}

#endif
