/* SPDX-License-Identifier: Apache-2.0 */
/* The functions that ours stand in front of: the next ones in the driver's symbol order, another preload's or libc's. */
#ifndef VFIOTAPE_REAL_H
#define VFIOTAPE_REAL_H

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <sys/xattr.h>
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

int __xstat(int version, const char *path, struct stat *status);
int __lxstat(int version, const char *path, struct stat *status);
int __fxstat(int version, int fd, struct stat *status);
int __fxstatat(int version, int directory, const char *path, struct stat *status, int flags);
int __xstat64(int version, const char *path, struct stat64 *status);
int __lxstat64(int version, const char *path, struct stat64 *status);
int __fxstat64(int version, int fd, struct stat64 *status);
int __fxstatat64(int version, int directory, const char *path, struct stat64 *status, int flags);
ssize_t __readlink_chk(const char *path, char *link, size_t size, size_t room);
ssize_t __readlinkat_chk(int directory, const char *path, char *link, size_t size, size_t room);
char *__realpath_chk(const char *path, char *resolved, size_t size);
char *__getcwd_chk(char *buffer, size_t size, size_t room);
int __connect(int fd, const struct sockaddr *address, socklen_t length);
ssize_t __send(int fd, const void *bytes, size_t count, int flags);
ssize_t __recv_chk(int fd, void *bytes, size_t count, size_t size, int flags);
ssize_t __recvfrom_chk(int fd, void *restrict bytes, size_t count, size_t size, int flags, struct sockaddr *restrict from,
		       socklen_t *restrict length);

#define REAL_FUNCTIONS(X)                                                                                              \
	X(stat) X(stat64) X(lstat) X(lstat64) X(fstat) X(fstat64) X(fstatat) X(fstatat64) X(statx)                     \
	X(__xstat) X(__lxstat) X(__fxstat) X(__fxstatat) X(__xstat64) X(__lxstat64) X(__fxstat64) X(__fxstatat64)      \
	X(statfs) X(statfs64) X(statvfs) X(statvfs64) X(access) X(eaccess) X(euidaccess) X(faccessat)                  \
	X(readlink) X(readlinkat) X(__readlink_chk) X(__readlinkat_chk)                                                \
	X(realpath) X(__realpath_chk) X(canonicalize_file_name)                                                        \
	X(chdir) X(getcwd) X(__getcwd_chk) X(get_current_dir_name)                                                     \
	X(fopen) X(fopen64) X(freopen) X(freopen64) X(opendir) X(scandir) X(scandir64) X(scandirat) X(scandirat64)     \
	X(getxattr) X(lgetxattr) X(listxattr) X(llistxattr)                                                            \
	X(inotify_add_watch) X(glob) X(glob64) X(ftw) X(ftw64) X(nftw) X(nftw64)                                       \
	X(open) X(open64) X(openat) X(openat64) X(creat) X(creat64) X(__open_2) X(__open64_2) X(__openat_2)            \
	X(__openat64_2) X(close) X(dup) X(dup2) X(dup3) X(fcntl) X(fcntl64) X(ioctl)                                   \
	X(read) X(write) X(pread64) X(pwrite64) X(readv) X(writev) X(preadv64) X(pwritev64) X(preadv64v2)              \
	X(pwritev64v2) X(__read_chk) X(__pread64_chk) X(lseek64)                                                       \
	X(mmap64) X(munmap) X(mremap) X(mprotect) X(madvise)                                                           \
	X(poll) X(ppoll) X(__poll_chk) X(__ppoll_chk) X(select) X(pselect) X(epoll_wait) X(epoll_pwait)                \
	X(epoll_create) X(epoll_create1) X(epoll_ctl) X(eventfd)                                                       \
	X(socket) X(bind) X(connect) X(getsockname) X(getpeername) X(getsockopt) X(setsockopt)                         \
	X(send) X(sendto) X(recv) X(recvfrom) X(__recv_chk) X(__recvfrom_chk)                                          \
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
