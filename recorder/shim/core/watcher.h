/* SPDX-License-Identifier: Apache-2.0 */
/* The MMIO watcher, as the wrappers call it: the questions that every call asks are answered inline. */
#ifndef VFIOTAPE_WATCHER_H
#define VFIOTAPE_WATCHER_H

#include "../mmio/mmio.h"
#include "state.h"

#ifdef VFIOTAPE_WITHOUT_MMIO
ALWAYS_INLINE bool watcher_watching(void)
{
	return false;
}
#define watcher_pointer(pointer, length) (pointer)
#define mmio_start(mode) ((void)(mode), (const char *)0)
#define mmio_watching() false
#define mmio_touches(address, length) false
#define mmio_mmap(address, length, prot, flags, fd, offset, region) ((void)(region), -ENODEV)
#define mmio_simulated_mmap(address, length, prot, flags, inode, offset, object) (-ENODEV)
#define mmio_is_simulated(address, length) false
#define mmio_simulated_io(number, fd, buffer, count, offset) (-EFAULT)
#define mmio_munmap(address, length) (-ENODEV)
#define mmio_mprotect(address, length, prot) (-ENODEV)
#define mmio_mremap(old, old_length, new_length, flags, wanted) (-ENODEV)
#define mmio_mmap_over(address, length, prot, flags, fd, offset) (-ENODEV)
#define mmio_advised(address, length, advice) ((void)0)
#define mmio_translate(address, length) (address)
#define mmio_is_watched(address, length) false
#define mmio_hide_mapping(info) ((void)(info))
#define mmio_saw_kvm() ((void)0)
#define mmio_owns_signal(signal) false
#define mmio_sigaction(signal, act, old) ((void)(act), (void)(old), -ENODEV)
#define mmio_sigprocmask(how, set, old) ((void)(set), (void)(old), -ENODEV)
#define mmio_send_pending() ((void)0)
#define mmio_mask(set) (set)
#define mmio_before_fork() ((void)0)
#define mmio_after_fork(child) ((void)0)
#else
ALWAYS_INLINE bool watcher_watching(void)
{
	return unlikely(shim_session.watching);
}

/* A pointer that the kernel is to read or write through: where it really can, when it points into a watched BAR. */
#define watcher_pointer(pointer, length)                                                                               \
	(unlikely(shim_session.watching) ? (__typeof__(pointer))mmio_translate((uint64_t)(pointer), length) : (pointer))
#endif

#endif
