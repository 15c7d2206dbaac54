// SPDX-License-Identifier: Apache-2.0
// What a replay can't leave to JavaScript: one access of the right kind and width and no more (a typed array's access is what
// the engine makes of it, and Atomics.store is a locked exchange, which also reads), SIGBUS as an answer, and times that hold.
#include <cpuid.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define EXPORT __attribute__((visibility("default")))

static __thread volatile sig_atomic_t accessing;
static __thread sigjmp_buf refused;
static struct sigaction others;

/* vfio_pci_core.c vfio_pci_mmap_fault: what the device does not decode now, or is gone, is SIGBUS. */
static void bus_error(int number, siginfo_t *info, void *context)
{
	if (accessing) {
		accessing = 0;
		siglongjmp(refused, 1);
	}
	if (others.sa_flags & SA_SIGINFO) {
		others.sa_sigaction(number, info, context);
	} else if (others.sa_handler != SIG_DFL && others.sa_handler != SIG_IGN) {
		others.sa_handler(number);
	} else {
		/* The access is made again, and ends the process. */
		signal(number, SIG_DFL);
	}
}

/* Once, before the first access. 0, or a negative errno. */
EXPORT int vfiotape_start(void)
{
	/* SA_NODEFER: the handler is left by a jump. SA_ONSTACK: V8's threads have alternate stacks. */
	struct sigaction action = { .sa_sigaction = bus_error, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK };

	sigemptyset(&action.sa_mask);
	return sigaction(SIGBUS, &action, &others) == 0 ? 0 : -errno;
}

/* --- the accesses: each one instruction, on `data` and never on a copy of what lies beside it ---------------------- */

typedef void (*access_function)(volatile void *at, void *data);

/* Of those that tell no old value `data` stays the operand. */
#define LOCKED(bits, name, instruction)                                                                                \
	static void name##bits(volatile void *at, void *data)                                                          \
	{                                                                                                              \
		uint##bits##_t value = *(const uint##bits##_t *)data;                                                  \
                                                                                                                       \
		__asm__ volatile("lock " instruction " %1, %0"                                                         \
				 : "+m"(*(volatile uint##bits##_t *)at), "+q"(value)                                   \
				 :                                                                                     \
				 : "cc");                                                                              \
		*(uint##bits##_t *)data = value;                                                                       \
	}

/* A compare-exchange's `data`: the new value, and in the next eight bytes the value that it is to replace. */
#define EXPECTED 8

#define GENERAL(bits, suffix)                                                                                          \
	static void load##bits(volatile void *at, void *data)                                                          \
	{                                                                                                              \
		*(uint##bits##_t *)data = *(volatile uint##bits##_t *)at;                                              \
	}                                                                                                              \
	static void store##bits(volatile void *at, void *data)                                                         \
	{                                                                                                              \
		*(volatile uint##bits##_t *)at = *(const uint##bits##_t *)data;                                        \
	}                                                                                                              \
	LOCKED(bits, exchange, "xchg")                                                                                 \
	LOCKED(bits, add, "xadd")                                                                                      \
	LOCKED(bits, and, "and")                                                                                       \
	LOCKED(bits, or, "or")                                                                                         \
	LOCKED(bits, xor, "xor")                                                                                       \
	static void negate##bits(volatile void *at, void *data)                                                        \
	{                                                                                                              \
		(void)data;                                                                                            \
		__asm__ volatile("lock neg" suffix " %0" : "+m"(*(volatile uint##bits##_t *)at) : : "cc");             \
	}                                                                                                              \
	static void compare_exchange##bits(volatile void *at, void *data)                                              \
	{                                                                                                              \
		uint##bits##_t old = *(const uint##bits##_t *)((char *)data + EXPECTED);                               \
                                                                                                                       \
		__asm__ volatile("lock cmpxchg %2, %0"                                                                 \
				 : "+m"(*(volatile uint##bits##_t *)at), "+a"(old)                                     \
				 : "q"(*(const uint##bits##_t *)data)                                                  \
				 : "cc");                                                                              \
		*(uint##bits##_t *)data = old;                                                                         \
	}

GENERAL(8, "b")
GENERAL(16, "w")
GENERAL(32, "l")
GENERAL(64, "q")

#define VECTOR(bits, move, reg, after)                                                                                 \
	static void load##bits(volatile void *at, void *data)                                                          \
	{                                                                                                              \
		__asm__ volatile(move " (%0), %%" reg "\n\t" move " %%" reg ", (%1)\n\t" after                        \
				 :                                                                                     \
				 : "r"(at), "r"(data)                                                                  \
				 : "xmm0", "memory");                                                                  \
	}                                                                                                              \
	static void store##bits(volatile void *at, void *data)                                                         \
	{                                                                                                              \
		__asm__ volatile(move " (%1), %%" reg "\n\t" move " %%" reg ", (%0)\n\t" after                        \
				 :                                                                                     \
				 : "r"(at), "r"(data)                                                                  \
				 : "xmm0", "memory");                                                                  \
	}

VECTOR(128, "movdqu", "xmm0", "")
VECTOR(256, "vmovdqu", "ymm0", "vzeroupper")
VECTOR(512, "vmovdqu64", "zmm0", "vzeroupper")

/* `at` is aligned to 64 bytes: the instruction is refused elsewhere. */
static void store_line(volatile void *at, void *data)
{
	__asm__ volatile("movdir64b (%1), %0" : : "r"(at), "r"(data) : "memory");
}

/* access.ts has the same numbers. */
enum access_kind { LOAD, STORE, EXCHANGE, COMPARE_EXCHANGE, ADD, AND, OR, XOR, NEGATE, STORE_LINE, KINDS };
enum feature { ANY, AVX, AVX512F, MOVDIR64B };

#define WIDTHS 7 /* 1 to 64 bytes */
#define GENERAL_WIDTHS(name) { { name##8, ANY }, { name##16, ANY }, { name##32, ANY }, { name##64, ANY } }
#define ALL_WIDTHS(name)                                                                                               \
	{ { name##8, ANY }, { name##16, ANY }, { name##32, ANY }, { name##64, ANY },                                   \
	  { name##128, ANY }, { name##256, AVX }, { name##512, AVX512F } }

static const struct {
	access_function make;
	enum feature needs;
} accesses[KINDS][WIDTHS] = {
	[LOAD] = ALL_WIDTHS(load),
	[STORE] = ALL_WIDTHS(store),
	[EXCHANGE] = GENERAL_WIDTHS(exchange),
	[COMPARE_EXCHANGE] = GENERAL_WIDTHS(compare_exchange),
	[ADD] = GENERAL_WIDTHS(add),
	[AND] = GENERAL_WIDTHS(and),
	[OR] = GENERAL_WIDTHS(or),
	[XOR] = GENERAL_WIDTHS(xor),
	[NEGATE] = GENERAL_WIDTHS(negate),
	[STORE_LINE] = { [6] = { store_line, MOVDIR64B } },
};

static bool has(enum feature feature)
{
	uint32_t a, b, c, d;

	switch (feature) {
	case AVX:
		return __builtin_cpu_supports("avx");
	case AVX512F:
		return __builtin_cpu_supports("avx512f");
	case MOVDIR64B:
		return __get_cpuid_count(7, 0, &a, &b, &c, &d) && c & 1u << 28;
	default:
		return true;
	}
}

/* 0; -EINVAL: there is no such access; -EOPNOTSUPP: this processor has no instruction for it. */
EXPORT int vfiotape_can(unsigned int kind, unsigned int width)
{
	if (kind >= KINDS || width == 0 || width > 64 || width & (width - 1) || !accesses[kind][__builtin_ctz(width)].make)
		return -EINVAL;
	return has(accesses[kind][__builtin_ctz(width)].needs) ? 0 : -EOPNOTSUPP;
}

/*
 * One access of a kind and width that vfiotape_can() allows. `data` has its width (a compare-exchange's sixteen bytes):
 * what is stored, or the operand; afterwards what was loaded, or the old value. 0, -EINVAL, or -EFAULT: the device does
 * not answer there.
 */
EXPORT int vfiotape_access(uintptr_t address, unsigned int kind, unsigned int width, void *data)
{
	access_function make;

	if (kind >= KINDS || width == 0 || width > 64 || width & (width - 1))
		return -EINVAL;
	make = accesses[kind][__builtin_ctz(width)].make;
	if (!make)
		return -EINVAL;
	if (sigsetjmp(refused, 0) != 0)
		return -EFAULT;
	accessing = 1;
	make((volatile void *)address, data);
	accessing = 0;
	return 0;
}

/* A store by value, which an FFI passes faster. */
EXPORT int vfiotape_store(uintptr_t address, unsigned int width, uint64_t value)
{
	return width > sizeof(value) ? -EINVAL : vfiotape_access(address, STORE, width, &value);
}

/* --- pace ---------------------------------------------------------------------------------------------------------- */

static int64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* A sleep ends when the scheduler likes: the last of it is spent looking at the clock. */
#define SPIN_NS 150000

/*
 * Returns at `due` (CLOCK_MONOTONIC, ns), or before it when a signal came. How late it is, ns: negative when it is too early.
 */
EXPORT int64_t vfiotape_wait_until(int64_t due)
{
	int64_t late = now() - due;

	if (late < -SPIN_NS) {
		int64_t until = due - SPIN_NS;
		struct timespec time = { .tv_sec = until / 1000000000, .tv_nsec = until % 1000000000 };

		if (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) != 0)
			return now() - due;
		late = now() - due;
	}
	while (late < 0) {
		__builtin_ia32_pause();
		late = now() - due;
	}
	return late;
}
