// SPDX-License-Identifier: Apache-2.0
/* A library that touches the BAR and is unloaded again: two builds of it, with different code at the same place. */
#include <stdint.h>

uint32_t probe(volatile void *at);

uint32_t probe(volatile void *at)
{
#ifdef SECOND
	return 1 + *(volatile uint32_t *)at;
#else
	return *(volatile uint32_t *)at;
#endif
}
