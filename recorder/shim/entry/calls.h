/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The recorded form of each call, for its own libc entry point and for syscall(2). `how` says whence: the call site and
 * VFIOTAPE_FLAG_RAW.
 */
#ifndef VFIOTAPE_CALLS_H
#define VFIOTAPE_CALLS_H

#include <errno.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "../core/fault_safe.h"
#include "../core/epoll_map.h"
#include "../core/objects.h"
#include "../core/real.h"
#include "../core/ring.h"
#include "../core/watcher.h"
#include "../dma/dma.h"
#include "../sim/sim.h"

struct call_origin {
	uint64_t site;
	uint8_t flags; /* VFIOTAPE_FLAG_RAW or 0 */
};

#define ORIGIN ((struct call_origin){ .site = CALL_SITE })
#define IS_RAW(how) unlikely((how).flags & VFIOTAPE_FLAG_RAW)

/* The call itself: libc's function, which is a cancellation point where POSIX says so, or the bare system call. */
#define PERFORM(how, name, number, ...)                                                                                \
	(IS_RAW(how) ? (__typeof__(REAL(name)(__VA_ARGS__)))LIBC_RESULT(raw_syscall(number, __VA_ARGS__))              \
		     : REAL(name)(__VA_ARGS__))

#define RAW_PICK(n, a, b, c, d, e, f, ...) raw6(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define raw_syscall(...) RAW_PICK(__VA_ARGS__, 0, 0, 0, 0, 0, 0)

/* Where a descriptor's entry says that the simulated kernel is asked instead; `simulated` is a negative errno on failure. */
#define PERFORM_ON(entry, how, simulated, name, number, ...)                                                           \
	(unlikely((entry).fd.flags & OBJECT_SIMULATED)                                                                 \
		 ? (__typeof__(REAL(name)(__VA_ARGS__)))LIBC_RESULT(simulated)                                          \
		 : PERFORM(how, name, number, __VA_ARGS__))

/* After an open, in whatever form; errno is given. */
void record_opened(int fd, int directory, const char *path, int flags, mode_t mode, uint64_t entered, uint64_t left,
		   int error, struct call_origin how);
int recorded_openat(int directory, const char *path, int flags, mode_t mode, struct call_origin how);
/* An open on a simulated machine: of a device, a file of the simulator's tree, or of any other. */
int simulated_openat(int directory, const char *path, int flags, mode_t mode, struct call_origin how);
/* The same for functions that tell of paths. */
struct statx;
int simulated_fstatat(int directory, const char *path, struct stat *status, int flags);
int simulated_statx(int directory, const char *path, int flags, unsigned int mask, struct statx *status);
long simulated_readlinkat(int directory, const char *path, char *link, size_t size);
int recorded_close(int fd, struct call_origin how);
int recorded_close_range(unsigned int first, unsigned int last, int flags, struct call_origin how);
int recorded_dup(int old, struct call_origin how);
int recorded_dup3(int old, int wanted, int flags, int op, struct call_origin how);
/* F_DUPFD and F_DUPFD_CLOEXEC only. */
int recorded_fcntl_dup(int fd, int command, int lowest, struct call_origin how);
int recorded_pidfd_getfd(int pidfd, int target, unsigned int flags, struct call_origin how);

/* With the table's entry already looked up and found to matter. */
int recorded_ioctl(union object_entry entry, int fd, unsigned long request, unsigned long argument,
		   struct call_origin how);
/* The whole of ioctl. */
int any_ioctl(int fd, unsigned long request, unsigned long argument, struct call_origin how);

ssize_t recorded_read(union object_entry entry, int fd, void *buffer, size_t count, struct call_origin how);
ssize_t recorded_write(union object_entry entry, int fd, const void *buffer, size_t count, struct call_origin how);
ssize_t recorded_pread(union object_entry entry, int fd, void *buffer, size_t count, off64_t offset,
		       struct call_origin how);
ssize_t recorded_pwrite(union object_entry entry, int fd, const void *buffer, size_t count, off64_t offset,
			struct call_origin how);
/* offset AT_POSITION: at the file position, where -1 may be the driver's own mistake; flags are preadv2's. */
#define AT_POSITION INT64_MIN
ssize_t recorded_readv(union object_entry entry, int fd, const struct iovec *pieces, int count, off64_t offset,
		       int flags, struct call_origin how);
ssize_t recorded_writev(union object_entry entry, int fd, const struct iovec *pieces, int count, off64_t offset,
			int flags, struct call_origin how);
off64_t recorded_lseek(union object_entry entry, int fd, off64_t offset, int whence, struct call_origin how);

int recorded_eventfd(unsigned int initial, int flags, struct call_origin how);

void *any_mmap(void *address, size_t length, int prot, int flags, int fd, off64_t offset, struct call_origin how);
int any_munmap(void *address, size_t length, struct call_origin how);
void *any_mremap(void *address, size_t length, size_t new_length, int flags, void *wanted, struct call_origin how);
int any_mprotect(void *address, size_t length, int prot, struct call_origin how);
int any_madvise(void *address, size_t length, int advice, struct call_origin how);

/* A mask that a wait puts in place of the thread's own: the watcher's signals stay deliverable. */
ALWAYS_INLINE const sigset_t *unshared_mask(const sigset_t *mask, sigset_t *room)
{
	uint64_t bits; /* all that the kernel reads of libc's longer type */

	if (likely(!mask || !watcher_watching()))
		return mask;
	if (fault_safe_copy(&bits, (uint64_t)mask, sizeof(bits)) != sizeof(bits))
		return mask; /* EFAULT is the kernel's to give */
	bits = mmio_mask(bits);
	__builtin_memset(room, 0, sizeof(*room));
	__builtin_memcpy(room, &bits, sizeof(bits));
	return room;
}

/* The interrupts among what a wait found ready; after the call, errno kept. */
struct wait_origin {
	struct call_origin how;
	uint64_t entered;
	uint64_t left; /* 0: now */
	int op;        /* enum vfiotape_wait */
};
void record_ready_poll(const struct pollfd *fds, nfds_t count, int result, struct wait_origin wait);
void record_ready_select(int count, const fd_set *readable, int result, struct wait_origin wait);
void record_ready_epoll(int epoll, const struct epoll_event *events, int result, struct wait_origin wait);
int any_epoll_ctl(int epoll, int op, int fd, struct epoll_event *event, struct call_origin how);
int recorded_epoll_create(int flags, struct call_origin how);

int any_socket(int domain, int type, int protocol, struct call_origin how);
int any_bind(int fd, const struct sockaddr *address, socklen_t length, struct call_origin how);
int any_connect(int fd, const struct sockaddr *address, socklen_t length, struct call_origin how);
int any_getsockname(int fd, struct sockaddr *address, socklen_t *length, struct call_origin how);
int any_getpeername(int fd, struct sockaddr *address, socklen_t *length, struct call_origin how);
int any_setsockopt(int fd, int level, int option, const void *value, socklen_t length, struct call_origin how);
int any_getsockopt(int fd, int level, int option, void *value, socklen_t *length, struct call_origin how);
ssize_t any_sendto(int fd, const void *bytes, size_t count, int flags, const struct sockaddr *to, socklen_t length,
		   struct call_origin how);
ssize_t any_recvfrom(int fd, void *bytes, size_t count, int flags, struct sockaddr *from, socklen_t *length,
		     struct call_origin how);

/* A netlink socket of a simulated machine, which is what these are for. */
bool is_netlink(int fd);
ssize_t netlink_sendmsg(int fd, const struct msghdr *message, int flags, struct call_origin how);
ssize_t netlink_recvmsg(int fd, struct msghdr *message, int flags, struct call_origin how);
/* One datagram; flags of sendmsg and recvmsg. A negative errno when it fails. */
long netlink_vector(int fd, const struct iovec *pieces, size_t count, int flags, bool writing, struct call_origin how);

ssize_t any_sendmsg(int socket, const struct msghdr *message, int flags, struct call_origin how);
ssize_t any_recvmsg(int socket, struct msghdr *message, int flags, struct call_origin how);
int any_sendmmsg(int socket, struct mmsghdr *messages, unsigned int count, int flags, struct call_origin how);
int any_recvmmsg(int socket, struct mmsghdr *messages, unsigned int count, int flags, struct timespec *timeout,
		 struct call_origin how);

int any_execve(const char *path, char *const argv[], char *const environment[], struct call_origin how);
int any_execveat(int directory, const char *path, char *const argv[], char *const environment[], int flags,
		 struct call_origin how);
/* read, write and their kin by syscall(2) on a descriptor that doesn't matter. */
long reaching_syscall(long number, long a, long b, long c, long d, long e, long f);
/* rt_sigaction, rt_sigprocmask, rt_sigsuspend by syscall(2), in the kernel's own layout. */
long shared_signal_call(long number, long a, long b, long c, long d);
void shared_memory_begins(void);
pid_t recorded_fork(struct call_origin how);
void record_exit(int status, struct call_origin how);
void record_fork(uint64_t entered, int op, pid_t child, struct call_origin how);

#endif
