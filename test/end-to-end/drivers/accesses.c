// SPDX-License-Identifier: Apache-2.0
/*
 * Accesses of every kind and width to a BAR of plain memory, for what is done with their recording. Prints what the BAR's
 * first words hold in the end, in hexadecimal, and before it "avx512" when the last of them were stored to as 64 bytes at once.
 *
 *   accesses        on a stand-in device
 *   accesses BDF    compiled with -DVFIO, on a VFIO device (examples/nvme/vfio.c)
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef VFIO
#include "../../../examples/nvme/vfio.h"
#else
#include "standin-device.h"
#endif

#define BAR_BYTES 4096
#define SHOWN 1024

#define NOINLINE __attribute__((noinline, noclone))

static uint8_t data[64] __attribute__((aligned(64)));

NOINLINE static void fill(volatile uint8_t *bar)
{
	for (int at = 0; at < SHOWN; at += 8)
		*(volatile uint64_t *)(bar + at) = 0x0101010101010101u * (uint64_t)(at / 8 + 1);
	for (int i = 0; i < 64; i++)
		data[i] = (uint8_t)(0xc0 + i);
}

NOINLINE static void general(volatile uint8_t *bar)
{
	volatile uint16_t *half = (volatile uint16_t *)(bar + 0x12);
	volatile uint32_t *word = (volatile uint32_t *)(bar + 0x24);

	bar[0x11] = (uint8_t)(bar[0x10] + 1);
	half[1] = (uint16_t)(half[0] + 1);
	word[1] = word[0] + 1;
	*(volatile uint32_t *)(bar + 0x36) = 0x11223344; /* across eight bytes */
	__asm__ volatile("orl $0x80, %0" : "+m"(*word));
}

NOINLINE static void vectors(volatile uint8_t *bar)
{
	__asm__ volatile("movdqa (%1), %%xmm0\n\tmovdqu %%xmm0, 0x48(%0)\n\tmovdqa 0x50(%0), %%xmm0\n\tmovdqa %%xmm0, 0x60(%0)"
			 : : "r"(bar), "r"(data) : "xmm0", "memory");
	if (__builtin_cpu_supports("avx"))
		__asm__ volatile("vmovdqa (%1), %%ymm0\n\tvmovdqu %%ymm0, 0x80(%0)\n\tvmovdqu 0x40(%0), %%ymm0\n\t"
				 "vmovdqu %%ymm0, 0xa0(%0)\n\tvzeroupper"
				 : : "r"(bar), "r"(data) : "xmm0", "memory");
}

NOINLINE static void exchanges(volatile uint8_t *bar)
{
	uint64_t value = 0x1234567890abcdef, old = 0;

	__asm__ volatile("xchg %0, 0x100(%1)" : "+r"(value) : "r"(bar) : "memory");
	__asm__ volatile("lock xaddl %k0, 0x108(%1)" : "+r"(value) : "r"(bar) : "memory", "cc");
	/* One that finds what it expects, and one that doesn't. */
	__asm__ volatile("lock cmpxchgl %k2, 0x110(%1)" : "+a"(old) : "r"(bar), "r"(value) : "memory", "cc");
	__asm__ volatile("lock cmpxchgl %k2, 0x110(%1)" : "+a"(old) : "r"(bar), "r"(value) : "memory", "cc");
	__asm__ volatile("xchgb %b0, 0x119(%1)" : "+q"(value) : "r"(bar) : "memory");
}

NOINLINE static void locked(volatile uint8_t *bar)
{
	uint64_t value = 0xff00ff00ff;

	__asm__ volatile("lock addq %0, 0x140(%1)\n\tlock subl $5, 0x148(%1)\n\tlock andq %0, 0x150(%1)\n\t"
			 "lock orw $0x4321, 0x158(%1)\n\tlock xorb %b0, 0x161(%1)\n\tlock incl 0x168(%1)\n\t"
			 "lock decq 0x170(%1)\n\tlock notw 0x178(%1)\n\tlock negl 0x180(%1)\n\t"
			 "lock btsl $9, 0x188(%1)\n\tlock btrq $3, 0x190(%1)\n\tlock btcw $1, 0x198(%1)"
			 : : "r"(value), "r"(bar) : "memory", "cc");
}

NOINLINE static bool line(volatile uint8_t *bar)
{
	if (!__builtin_cpu_supports("avx512f"))
		return false;
	__asm__ volatile("vmovdqa64 (%1), %%zmm0\n\tvmovdqu64 %%zmm0, 0x3c0(%0)\n\tvmovdqu64 0x3c0(%0), %%zmm0\n\tvzeroupper"
			 : : "r"(bar), "r"(data) : "xmm0", "memory");
	return true;
}

int main(int argc, char **argv)
{
	volatile uint8_t *bar;

#ifdef VFIO
	struct vfio vfio;

	if (argc != 2)
		return 2;
	vfio_open(&vfio, argv[1], VFIO_GROUP);
	vfio_map_bar(&vfio, BAR_BYTES);
	bar = vfio.bar;
#else
	if (argc != 1 || !argv)
		return 2;
	bar = mmap(NULL, BAR_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, standin_device(16 << 20), 0);
	if (bar == MAP_FAILED)
		return 2;
#endif
	fill(bar);
	general(bar);
	vectors(bar);
	exchanges(bar);
	locked(bar);
	if (line(bar))
		puts("avx512");
	for (int at = 0; at < SHOWN; at += 8)
		printf("%016llx\n", *(volatile unsigned long long *)(bar + at));
#ifdef VFIO
	vfio_close(&vfio);
#endif
	return 0;
}
