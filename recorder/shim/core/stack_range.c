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

/*
 * Between a foreign stack and this thread's control block there is a guard page, which can't be read; on the real stack
 * everything between the stack pointer and its beginning can.
 */
static bool readable(uint64_t low, uint64_t high)
{
	unsigned char byte;

	for (uint64_t page = low; page < high; page += PAGE) {
		if (fault_safe_copy(&byte, page, 1) != 1)
			return false;
	}
	return true;
}

void stack_range_extend(struct ring_thread *ring)
{
	uint64_t here = (uint64_t)__builtin_frame_address(0) & ~(uint64_t)(PAGE - 1);

	if (ring->stack_high && here < ring->stack_low && ring->stack_low - here <= PAGES_MAX * PAGE &&
	    readable(here, ring->stack_low))
		ring->stack_low = here;
}

void stack_range(struct ring_thread *ring, bool first_thread)
{
	uint64_t low = (uint64_t)__builtin_frame_address(0) & ~(uint64_t)(PAGE - 1);
	uint64_t high = first_thread ? (uint64_t)__libc_stack_end : thread_control_block();

	ring->stack_low = ring->stack_high = 0;
	if (high <= low || high - low > PAGES_MAX * PAGE)
		return;
	if (!readable(low, high))
		return;
	ring->stack_low = low;
	ring->stack_high = high;
}
