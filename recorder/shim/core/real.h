/* SPDX-License-Identifier: Apache-2.0 */
/* The functions that ours stand in front of: the next ones in the driver's symbol order, another preload's or libc's. */
#ifndef VFIOTAPE_REAL_H
#define VFIOTAPE_REAL_H

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <stdbool.h>

#include "compiler.h"

/* Entry points of _FORTIFY_SOURCE and old aliases that no public header declares. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int directory, const char *path, int flags);
int __openat64_2(int directory, const char *path, int flags);
ssize_t __read_chk(int fd, void *buffer, size_t count, size_t size);
ssize_t __pread_chk(int fd, void *buffer, size_t count, off_t offset, size_t size);
ssize_t __pread64_chk(int fd, void *buffer, size_t count, off64_t offset, size_t size);
__sighandler_t __sysv_signal(int number, __sighandler_t handler);
int __poll_chk(struct pollfd *fds, nfds_t count, int timeout, size_t size);
int __ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask, size_t size);

#define REAL_FUNCTIONS(X)                                                                                              \
	X(open) X(open64) X(openat) X(openat64) X(creat) X(creat64) X(__open_2) X(__open64_2) X(__openat_2)            \
	X(__openat64_2) X(close) X(dup) X(dup2) X(dup3) X(fcntl) X(fcntl64) X(ioctl)                                   \
	X(read) X(write) X(pread64) X(pwrite64) X(readv) X(writev) X(preadv64) X(pwritev64) X(preadv64v2)              \
	X(pwritev64v2) X(__read_chk) X(__pread64_chk) X(lseek64)                                                       \
	X(mmap64) X(munmap) X(mremap) X(mprotect) X(madvise)                                                           \
	X(poll) X(ppoll) X(__poll_chk) X(__ppoll_chk) X(select) X(pselect) X(epoll_wait) X(epoll_pwait)                \
	X(epoll_create) X(epoll_create1) X(epoll_ctl) X(eventfd)                                                       \
	X(sendmsg) X(recvmsg) X(sendmmsg) X(recvmmsg)                                                                  \
	X(fork) X(_exit) X(_Exit) X(quick_exit) X(execve) X(execv) X(execvp) X(execvpe) X(fexecve)                     \
	X(posix_spawn) X(posix_spawnp) X(clone) X(syscall)                                                             \
	X(sigaction) X(signal) X(__sysv_signal) X(sigprocmask) X(pthread_sigmask) X(sigsuspend)

struct real_functions {
#define REAL_MEMBER(name) __typeof__(&name) name##_;
	REAL_FUNCTIONS(REAL_MEMBER)
#undef REAL_MEMBER
};

extern struct real_functions real_functions;

/* Not in every glibc that the shim may meet: NULL where it is missing. */
typedef int (*epoll_pwait2_function)(int, struct epoll_event *, int, const struct timespec *, const sigset_t *);
epoll_pwait2_function real_epoll_pwait2(void); /* since 2.35 */
pid_t _Fork(void);
typedef pid_t (*_Fork_function)(void);
_Fork_function real__Fork(void); /* since 2.34 */
#define REAL_IF_ANY(name) real_##name()

/* Looks all of them up; by our constructor, or by whoever calls before it. */
void real_resolve(void);

#define REAL(name)                                                                                                     \
	({                                                                                                             \
		if (unlikely(!real_functions.name##_))                                                                 \
			real_resolve();                                                                                \
		real_functions.name##_;                                                                                \
	})

#endif
