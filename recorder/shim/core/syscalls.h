/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel, asked directly. The shim's internals never call a libc function that it wraps (they would record
 * themselves), and never touch errno: these return the negative errno.
 */
#ifndef VFIOTAPE_SYSCALLS_H
#define VFIOTAPE_SYSCALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>

#include "compiler.h"

ALWAYS_INLINE long raw6(long number, long a, long b, long c, long d, long e, long f)
{
	long result;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

ALWAYS_INLINE long raw3(long number, long a, long b, long c)
{
	long result;

	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return result;
}

ALWAYS_INLINE long raw4(long number, long a, long b, long c, long d)
{
	long result;
	register long r10 __asm__("r10") = d;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
	return result;
}

ALWAYS_INLINE bool raw_failed(long result)
{
	return (unsigned long)result >= (unsigned long)-4095;
}

ALWAYS_INLINE int raw_openat(int directory, const char *path, int flags, int mode)
{
	return (int)raw4(SYS_openat, directory, (long)path, flags, mode);
}

ALWAYS_INLINE int raw_close(int fd)
{
	return (int)raw3(SYS_close, fd, 0, 0);
}

ALWAYS_INLINE long raw_read(int fd, void *buffer, size_t length)
{
	return raw3(SYS_read, fd, (long)buffer, (long)length);
}

ALWAYS_INLINE long raw_pread(int fd, void *buffer, size_t length, uint64_t offset)
{
	return raw4(SYS_pread64, fd, (long)buffer, (long)length, (long)offset);
}

ALWAYS_INLINE long raw_pwrite(int fd, const void *buffer, size_t length, uint64_t offset)
{
	return raw4(SYS_pwrite64, fd, (long)buffer, (long)length, (long)offset);
}

ALWAYS_INLINE void *raw_mmap(void *address, size_t length, int prot, int flags, int fd, uint64_t offset)
{
	return (void *)raw6(SYS_mmap, (long)address, (long)length, prot, flags, fd, (long)offset);
}

ALWAYS_INLINE long raw_munmap(void *address, size_t length)
{
	return raw3(SYS_munmap, (long)address, (long)length, 0);
}

ALWAYS_INLINE long raw_madvise(void *address, size_t length, int advice)
{
	return raw3(SYS_madvise, (long)address, (long)length, advice);
}

ALWAYS_INLINE int raw_getpid(void)
{
	return (int)raw3(SYS_getpid, 0, 0, 0);
}

ALWAYS_INLINE int raw_getppid(void)
{
	return (int)raw3(SYS_getppid, 0, 0, 0);
}

ALWAYS_INLINE int raw_gettid(void)
{
	return (int)raw3(SYS_gettid, 0, 0, 0);
}

ALWAYS_INLINE void raw_nanosleep(uint64_t nanoseconds)
{
	struct timespec time = { (time_t)(nanoseconds / 1000000000u), (long)(nanoseconds % 1000000000u) };

	raw3(SYS_nanosleep, (long)&time, 0, 0);
}

/* Where a raw call stands in for the libc function: its return value and errno. */
#define LIBC_RESULT(result)                                                                                            \
	({                                                                                                             \
		long result_ = (result);                                                                               \
		if (raw_failed(result_)) {                                                                             \
			errno = (int)-result_;                                                                         \
			result_ = -1;                                                                                  \
		}                                                                                                      \
		result_;                                                                                               \
	})

#endif
