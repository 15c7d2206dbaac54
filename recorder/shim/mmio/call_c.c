// SPDX-License-Identifier: Apache-2.0
/* How a trampoline calls C. */
#include <cpuid.h>

#include "internal.h"

uint64_t mmio_xsave_mask, mmio_xsave_size;

/*
 * From a trampoline into C: rdx the function, [frame + saved_rdx] the site. Saves what the C calling convention doesn't;
 * vector state by xsave, whatever its size on this processor.
 */
__asm__(".pushsection .text\n"
	".globl mmio_call_c\n"
	".hidden mmio_call_c\n"
	"mmio_call_c:\n"
	"	pushq %rbp\n"
	"	movq %rsp, %rbp\n"
	"	pushq %rcx\n	pushq %rsi\n	pushq %rdi\n	pushq %r8\n	pushq %r9\n	pushq %r10\n	pushq %r11\n	pushfq\n"
	"	cld\n"
	"	leaq 16(%rbp), %rdi\n"
	"	movq 96(%rdi), %rsi\n"
	"	movq %rdx, %rcx\n"
	"	subq mmio_xsave_size(%rip), %rsp\n"
	"	andq $-64, %rsp\n"
	"	xorl %eax, %eax\n"
	"	movq %rax, 512(%rsp)\n	movq %rax, 520(%rsp)\n	movq %rax, 528(%rsp)\n	movq %rax, 536(%rsp)\n"
	"	movq %rax, 544(%rsp)\n	movq %rax, 552(%rsp)\n	movq %rax, 560(%rsp)\n	movq %rax, 568(%rsp)\n"
	"	movl mmio_xsave_mask(%rip), %eax\n"
	"	xorl %edx, %edx\n"
	"	testl %eax, %eax\n"
	"	jz 1f\n"
	"	xsave64 (%rsp)\n"
	"	callq *%rcx\n"
	"	movl mmio_xsave_mask(%rip), %eax\n"
	"	xorl %edx, %edx\n"
	"	xrstor64 (%rsp)\n"
	"	jmp 2f\n"
	"1:	fxsave64 (%rsp)\n"
	"	callq *%rcx\n"
	"	fxrstor64 (%rsp)\n"
	"2:\n"
	"	leaq -64(%rbp), %rsp\n"
	"	popfq\n	popq %r11\n	popq %r10\n	popq %r9\n	popq %r8\n	popq %rdi\n	popq %rsi\n	popq %rcx\n"
	"	popq %rbp\n"
	"	ret\n"
	".popsection\n");

void mmio_trampoline_start(void)
{
	uint32_t a, b, c, d, enabled;

	mmio_xsave_size = 576;
	__cpuid(1, a, b, c, d);
	if (!(c & 1u << 27)) /* OSXSAVE: without it fxsave has all there is */
		return;
	/* x87, SSE, AVX, AVX-512: the rest (AMX, protection keys) C code doesn't touch. */
	__asm__ volatile("xgetbv" : "=a"(enabled), "=d"(d) : "c"(0));
	mmio_xsave_mask = enabled & 0xe7u;
	for (uint32_t component = 2; component <= 7; component++) {
		if (!(mmio_xsave_mask & 1u << component))
			continue;
		__cpuid_count(0xd, component, a, b, c, d);
		if (b + a > mmio_xsave_size)
			mmio_xsave_size = b + a;
	}
	mmio_xsave_size += 64;
}
