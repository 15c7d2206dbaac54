// SPDX-License-Identifier: Apache-2.0
/*
 * Touching memory that may fault: the driver's code and operands, and the alias (a device with memory decode off, or in
 * D3, answers with SIGBUS). The accesses are in one piece of assembly; a fault in it continues at mmio_guard_failed.
 */
#include <errno.h>
#include <sys/uio.h>

#include "internal.h"

__asm__(".pushsection .text\n"
	".globl mmio_guard_first, mmio_guard_last, mmio_guard_failed\n"
	".hidden mmio_guard_first, mmio_guard_last, mmio_guard_failed\n"
	"mmio_guard_first:\n"
	/* rdi address, esi width -> rax; edx 0 */
	"mmio_guard_load:\n"
	"	xor %edx, %edx\n"
	"	cmp $4, %esi\n	je 4f\n	cmp $8, %esi\n	je 8f\n	cmp $2, %esi\n	je 2f\n"
	"	movzbl (%rdi), %eax\n	ret\n"
	"2:	movzwl (%rdi), %eax\n	ret\n"
	"4:	movl (%rdi), %eax\n	ret\n"
	"8:	movq (%rdi), %rax\n	ret\n"
	/* rdi address, esi width, rax value -> edx 0 */
	"mmio_guard_store:\n"
	"	xor %edx, %edx\n"
	"	cmp $4, %esi\n	je 4f\n	cmp $8, %esi\n	je 8f\n	cmp $2, %esi\n	je 2f\n"
	"	movb %al, (%rdi)\n	ret\n"
	"2:	movw %ax, (%rdi)\n	ret\n"
	"4:	movl %eax, (%rdi)\n	ret\n"
	"8:	movq %rax, (%rdi)\n	ret\n"
	/* rdi to, rsi from, rcx length -> rcx not copied; edx 0 */
	"mmio_guard_copy:\n"
	"	xor %edx, %edx\n	rep movsb\n	ret\n"
	/* rdi and rsi what is compared, rcx length -> rax the offset of the first 64 bytes that differ, or length; edx 0 */
	"mmio_guard_compare:\n"
	"	xor %edx, %edx\n	xor %eax, %eax\n"
	"1:	cmp %rcx, %rax\n	jae 2f\n"
	"	movdqa (%rdi,%rax), %xmm0\n	movdqa 16(%rdi,%rax), %xmm1\n"
	"	movdqa 32(%rdi,%rax), %xmm2\n	movdqa 48(%rdi,%rax), %xmm3\n"
	"	pcmpeqb (%rsi,%rax), %xmm0\n	pcmpeqb 16(%rsi,%rax), %xmm1\n"
	"	pcmpeqb 32(%rsi,%rax), %xmm2\n	pcmpeqb 48(%rsi,%rax), %xmm3\n"
	"	pand %xmm1, %xmm0\n	pand %xmm3, %xmm2\n	pand %xmm2, %xmm0\n"
	"	pmovmskb %xmm0, %r10d\n	cmp $0xffff, %r10d\n	jne 2f\n"
	"	add $64, %rax\n	jmp 1b\n"
	"2:	ret\n"
	/* rax to, rsi from: movdir64b (%rsi), %rax */
	"mmio_guard_line:\n"
	"	xor %edx, %edx\n	.byte 0x66, 0x0f, 0x38, 0xf8, 0x06\n	ret\n"
	"mmio_guard_last:\n"
	/* edx is the signal, r8 the address, r9d the code: put there by mmio_guard_fixup. */
	"mmio_guard_failed:\n"
	"	ret\n"
	".popsection\n");

extern const uint8_t mmio_guard_first[], mmio_guard_last[], mmio_guard_failed[];

/* The call is made below the red zone of the C function that this is inlined into. */
#define GUARDED(name) "lea -128(%%rsp), %%rsp\n\tcall " name "\n\tlea 128(%%rsp), %%rsp"

__attribute__((noinline)) bool mmio_guarded_load(uint64_t address, unsigned int width, uint64_t *value,
						 struct mmio_fault *fault)
{
	uint32_t signal;
	uint64_t loaded;
	register uint64_t at __asm__("r8");
	register uint32_t code __asm__("r9");

	__asm__ volatile(GUARDED("mmio_guard_load")
			 : "=a"(loaded), "=d"(signal), "=r"(at), "=r"(code)
			 : "D"(address), "S"(width)
			 : "rcx", "memory", "cc");
	if (signal) {
		*fault = (struct mmio_fault){ (int)signal, (int)code, at };
		return false;
	}
	*value = loaded;
	return true;
}

__attribute__((noinline)) bool mmio_guarded_store(uint64_t address, unsigned int width, uint64_t value,
						  struct mmio_fault *fault)
{
	uint32_t signal;
	register uint64_t at __asm__("r8");
	register uint32_t code __asm__("r9");

	__asm__ volatile(GUARDED("mmio_guard_store")
			 : "+a"(value), "=d"(signal), "=r"(at), "=r"(code)
			 : "D"(address), "S"(width)
			 : "rcx", "memory", "cc");
	if (signal)
		*fault = (struct mmio_fault){ (int)signal, (int)code, at };
	return !signal;
}

__attribute__((noinline)) size_t mmio_guarded_copy(void *to, uint64_t from, size_t length)
{
	uint32_t signal;
	size_t left = length;

	__asm__ volatile(GUARDED("mmio_guard_copy")
			 : "+D"(to), "+S"(from), "+c"(left), "=d"(signal)
			 :
			 : "rax", "r8", "r9", "memory", "cc");
	return length - left;
}

__attribute__((noinline)) size_t mmio_guarded_compare(uint64_t address, const void *copy, size_t length)
{
	uint32_t signal;
	size_t at;

	__asm__ volatile(GUARDED("mmio_guard_compare")
			 : "=a"(at), "=d"(signal)
			 : "D"(address), "S"(copy), "c"(length)
			 : "r8", "r9", "r10", "xmm0", "xmm1", "xmm2", "xmm3", "memory", "cc");
	return signal ? SIZE_MAX : at;
}

/*
 * Up to 16 bytes of code. What follows a page may not be there, and is asked of the kernel: a fault in the fault handler
 * would take a second signal frame of a stack that may be small.
 */
size_t mmio_code_read(uint64_t address, uint8_t code[16])
{
	size_t here = PAGE - (address & (PAGE - 1)), got;
	struct iovec to = { .iov_base = code + here, .iov_len = 16 - here };
	struct iovec from = { .iov_base = (void *)(address + here), .iov_len = 16 - here };
	long more;

	if (here >= 16)
		return mmio_guarded_copy(code, address, 16);
	got = mmio_guarded_copy(code, address, here);
	if (got < here)
		return got;
	more = raw6(SYS_process_vm_readv, raw_getpid(), (long)&to, 1, (long)&from, 1, 0);
	return more == -EPERM || more == -ENOSYS ? here + mmio_guarded_copy(code + here, address + here, 16 - here) :
	       raw_failed(more)			 ? here :
						   here + (size_t)more;
}

__attribute__((noinline)) bool mmio_guarded_line(uint64_t to, const void *from, struct mmio_fault *fault)
{
	uint32_t signal;
	register uint64_t at __asm__("r8");
	register uint32_t code __asm__("r9");

	__asm__ volatile(GUARDED("mmio_guard_line")
			 : "+a"(to), "=d"(signal), "=r"(at), "=r"(code)
			 : "S"(from)
			 : "rcx", "rdi", "memory", "cc");
	if (signal)
		*fault = (struct mmio_fault){ (int)signal, (int)code, at };
	return !signal;
}

bool mmio_guard_fixup(int signal, siginfo_t *info, ucontext_t *context)
{
	greg_t *registers = context->uc_mcontext.gregs;
	uint64_t at = (uint64_t)registers[REG_RIP];

	if (at < (uint64_t)mmio_guard_first || at >= (uint64_t)mmio_guard_last)
		return false;
	registers[REG_RIP] = (greg_t)(uint64_t)mmio_guard_failed;
	registers[REG_RDX] = signal;
	registers[REG_R8] = (greg_t)(uint64_t)info->si_addr;
	registers[REG_R9] = info->si_code;
	return true;
}
