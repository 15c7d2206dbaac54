/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VFIOTAPE_COMPILER_H
#define VFIOTAPE_COMPILER_H

#ifndef __x86_64__
#error "the shim is x86-64 only: records are little endian, ticks are rdtsc, the MMIO watcher patches x86 code"
#endif

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
/* The halves are marked: what is exported says EXPORT, everything else is hidden (-fvisibility=hidden). */
#define EXPORT __attribute__((visibility("default")))
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define COLD __attribute__((cold, noinline))

/* Where the driver called from: the address after its call instruction. Only valid in an exported function itself. */
#define CALL_SITE ((uint64_t)__builtin_return_address(0))

#endif
