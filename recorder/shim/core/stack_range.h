/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VFIOTAPE_STACK_RANGE_H
#define VFIOTAPE_STACK_RANGE_H

#include "state.h"

/* Fills stack_low and stack_high of the calling thread's ring, or leaves them empty when it isn't sure. */
void stack_range(struct ring_thread *ring, bool first_thread);
/* The stack pointer may be below what was known: looks again from there. */
void stack_range_extend(struct ring_thread *ring);

#endif
