// SPDX-License-Identifier: Apache-2.0
#include "stack_range.h"

#include "fault_safe.h"

#define PAGE 4096u
#define PAGES_MAX 64u

extern void *__libc_stack_end; /* ld.so: where the first thread's stack began */

/* glibc keeps a thread's control block at the top of its stack; fs:0 points to itself. */
static uint64_t thread_control_block(void)
{
	uint64_t address;

	__asm__("movq %%fs:0, %0" : "=r"(address));
	return address;
}

void stack_range(struct ring_thread *ring, bool first_thread)
{
	uint64_t low = (uint64_t)__builtin_frame_address(0) & ~(uint64_t)(PAGE - 1);
	uint64_t high = first_thread ? (uint64_t)__libc_stack_end : thread_control_block();
	unsigned char byte;

	ring->stack_low = ring->stack_high = 0;
	if (high <= low || high - low > PAGES_MAX * PAGE)
		return;
	/*
	 * Between a foreign stack and this thread's control block there is a guard page, which can't be read; the real
	 * stack's pages up to here have all been used already.
	 */
	for (uint64_t page = low; page < high; page += PAGE) {
		if (fault_safe_copy(&byte, page, 1) != 1)
			return;
	}
	ring->stack_low = low;
	ring->stack_high = high;
}
