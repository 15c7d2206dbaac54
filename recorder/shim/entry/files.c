// SPDX-License-Identifier: Apache-2.0
/* open*, close*, dup*, fcntl: how descriptors come and go. */
#include <linux/close_range.h>
#include <stdarg.h>
#include <string.h>

#include "../sim/paths.h"
#include "calls.h"

int pidfd_getfd(int pidfd, int target, unsigned int flags); /* sys/pidfd.h, since glibc 2.36 */

/* --- open --------------------------------------------------------------------------------------------------------- */

#define PATH_ROOM 1024

/*
 * After a failed open. The kernel looks at the flags before it reads the path (build_open_flags): the path may be anything.
 * A relative one is told from where it starts, since nothing else in the trace says what it means.
 */
static const char *failed_path(int directory, const char *path, char room[PATH_ROOM])
{
	size_t length = fault_safe_string(room, (uint64_t)path, PATH_ROOM - 1);

	room[length] = 0;
	if (room[0] && room[0] != '/') {
		size_t start = object_directory(directory, room, PATH_ROOM - 1);

		length = start ? start + fault_safe_string(room + start, (uint64_t)path, PATH_ROOM - 1 - start) : 0;
		room[length] = 0;
	}
	return room;
}

void record_opened(int fd, int directory, const char *path, int flags, mode_t mode, uint64_t entered, uint64_t left,
		   int error, struct call_origin how)
{
	enum vfiotape_object_kind kind = VFIOTAPE_OBJECT_NONE;
	char room[PATH_ROOM];
	struct ring_segment segments[2];
	struct ring_event event;
	struct ring_thread *ring;
	uint32_t numbers[2] = { 0, 0 };

	if (fd >= 0) {
		kind = object_kind_of_open(fd, path);
	} else {
		path = failed_path(directory, path, room);
		kind = object_kind_of_path(path);
		if (unlikely(kind == VFIOTAPE_OBJECT_NONE && object_is_vfio_path(path)))
			kind = VFIOTAPE_OBJECT_KIND_END; /* a node that there is not, under a name that we don't know */
	}
	if (likely(kind == VFIOTAPE_OBJECT_NONE)) {
		if (fd >= 0)
			object_forget(fd);
		return;
	}
	ring = ring_enter();
	if (shim_session.mode == SHIM_SIMULATING && fd >= 0)
		object_add(fd, kind);
	if (shim_session.mode != SHIM_RECORDING || !objects_are_ours())
		return;
	if (kind == VFIOTAPE_OBJECT_KVM && fd >= 0)
		mmio_saw_kvm(); /* a VMM: its memory slots need real mappings */
	event = (struct ring_event){
		.entered = entered,
		.left = left,
		.site = how.site,
		.offset = mode,
		.result = (uint64_t)(int64_t)fd,
		.object = fd >= 0 ? object_add(fd, kind).fd.object : 0,
		.op = (uint32_t)flags,
		.fd = fd,
		.error = fd < 0 ? error : 0,
		.kind = VFIOTAPE_OPEN,
		.flags = how.flags,
	};
	segments[0] = (struct ring_segment){ .role = VFIOTAPE_ROLE_PATH, .address = (uint64_t)path, .bytes = path };
	if (path[0] != '/' && object_link(fd, room, PATH_ROOM) > 0)
		segments[0].bytes = room;
	segments[0].length = (uint32_t)strnlen(segments[0].bytes, 4096);
	numbers[0] = kind;
	segments[1] = (struct ring_segment){ .role = VFIOTAPE_ROLE_KIND, .length = sizeof(numbers), .bytes = numbers };
	if (ring)
		ring_write_with(ring, &event, segments, kind == VFIOTAPE_OBJECT_KIND_END ? 1 : 2);
}

#define MODE_OF(flags, mode)                                                                                           \
	({                                                                                                             \
		mode_t mode_ = 0;                                                                                      \
		if ((flags) & (O_CREAT | __O_TMPFILE)) {                                                               \
			va_list list_;                                                                                 \
			va_start(list_, flags);                                                                        \
			mode_ = va_arg(list_, mode_t);                                                                 \
			va_end(list_);                                                                                 \
		}                                                                                                      \
		mode_;                                                                                                 \
	})

#define OPENED(directory, path, flags, mode_bits, call)								       \
	do {													       \
		uint64_t entered_, left_;									       \
		int fd_, error_;										       \
														       \
		if (simulating())										       \
			return simulated_openat(directory, path, flags, mode_bits, ORIGIN);			       \
		entered_ = shim_clock();									       \
		fd_ = (call);											       \
		left_ = shim_clock();										       \
		error_ = errno;											       \
		if (likely(shim_session.mode != SHIM_PASSIVE))							       \
			record_opened(fd_, directory, path, flags, mode_bits, entered_, left_, error_, ORIGIN);	       \
		return fd_;											       \
	} while (0)

EXPORT int open(const char *path, int flags, ...)
{
	mode_t mode = MODE_OF(flags, mode);

	OPENED(AT_FDCWD, path, flags, mode, REAL(open)(path, flags, mode));
}

EXPORT int open64(const char *path, int flags, ...)
{
	mode_t mode = MODE_OF(flags, mode);

	OPENED(AT_FDCWD, path, flags, mode, REAL(open64)(path, flags, mode));
}

EXPORT int openat(int directory, const char *path, int flags, ...)
{
	mode_t mode = MODE_OF(flags, mode);

	OPENED(directory, path, flags, mode, REAL(openat)(directory, path, flags, mode));
}

EXPORT int openat64(int directory, const char *path, int flags, ...)
{
	mode_t mode = MODE_OF(flags, mode);

	OPENED(directory, path, flags, mode, REAL(openat64)(directory, path, flags, mode));
}

EXPORT int __open(const char *path, int flags, ...) __attribute__((alias("open")));
EXPORT int __open64(const char *path, int flags, ...) __attribute__((alias("open64")));

EXPORT int __open_2(const char *path, int flags)
{
	OPENED(AT_FDCWD, path, flags, 0, REAL(__open_2)(path, flags));
}

EXPORT int __open64_2(const char *path, int flags)
{
	OPENED(AT_FDCWD, path, flags, 0, REAL(__open64_2)(path, flags));
}

EXPORT int __openat_2(int directory, const char *path, int flags)
{
	OPENED(directory, path, flags, 0, REAL(__openat_2)(directory, path, flags));
}

EXPORT int __openat64_2(int directory, const char *path, int flags)
{
	OPENED(directory, path, flags, 0, REAL(__openat64_2)(directory, path, flags));
}

EXPORT int creat(const char *path, mode_t mode)
{
	OPENED(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode, REAL(creat)(path, mode));
}

EXPORT int creat64(const char *path, mode_t mode)
{
	OPENED(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode, REAL(creat64)(path, mode));
}

int simulated_openat(int directory, const char *path, int flags, mode_t mode, struct call_origin how)
{
	uint64_t entered = shim_clock();
	int fd = (int)LIBC_RESULT(sim_openat(directory, path, flags, mode));
	uint64_t left = shim_clock();
	int error = errno;

	record_opened(fd, directory, path, flags, mode, entered, left, error, how);
	errno = error;
	return fd;
}

int recorded_openat(int directory, const char *path, int flags, mode_t mode, struct call_origin how)
{
	uint64_t entered, left;
	int fd, error;

	if (simulating())
		return simulated_openat(directory, path, flags, flags & (O_CREAT | __O_TMPFILE) ? mode : 0, how);
	entered = shim_clock();
	fd = (int)LIBC_RESULT(raw_openat(directory, path, flags, (int)mode));
	left = shim_clock();
	error = errno;

	/* Without O_CREAT the kernel doesn't look at it, and a caller of syscall(2) need not have given it. */
	record_opened(fd, directory, path, flags, flags & (O_CREAT | __O_TMPFILE) ? mode : 0, entered, left, error, how);
	return fd;
}

/* --- close -------------------------------------------------------------------------------------------------------- */

static void is_same_object(int fd, union object_entry entry, void *context)
{
	union object_entry *wanted = context;

	(void)fd;
	if (entry.fd.object == wanted->fd.object)
		wanted->word = 0;
}

/* A descriptor's number means something else, or nothing, from now on. */
static void number_freed(int fd, union object_entry former, union object_entry now)
{
	object_set(fd, now);
	if (former.fd.kind == VFIOTAPE_OBJECT_EVENTFD)
		epoll_map_forget(fd);
	if (former.fd.kind == VFIOTAPE_OBJECT_EPOLL) {
		uint32_t object = former.fd.object;

		objects_each_entry(0, VFIOTAPE_FDS_MAX - 1, is_same_object, &former);
		if (former.word)
			epoll_map_forget_epoll(object);
	}
	if (dma_comparing() &&
	    (former.fd.kind == VFIOTAPE_OBJECT_CONTAINER || former.fd.kind == VFIOTAPE_OBJECT_IOMMUFD)) {
		uint32_t object = former.fd.object;

		objects_each_entry(0, VFIOTAPE_FDS_MAX - 1, is_same_object, &former);
		if (former.word)
			dma_space_gone(object);
	}
}

int recorded_close(int fd, struct call_origin how)
{
	union object_entry entry = object_of(fd);
	struct ring_thread *ring;
	struct ring_event event;
	uint64_t simulated;
	int result;

	if (likely(!entry.word))
		return PERFORM(how, close, SYS_close, fd);
	if (sim_is_hidden(entry) && objects_are_ours())
		return (int)LIBC_RESULT(-EBADF);
	simulated = entry.fd.flags & OBJECT_SIMULATED ? sim_inode(fd) : 0;
	if (dma_comparing() && entry.fd.kind < VFIOTAPE_OBJECT_EVENTFD && objects_are_ours())
		dma_compare(DMA_CALL);
	ring = ring_enter();
	if (!objects_are_ours())
		return PERFORM(how, close, SYS_close, fd);
	/*
	 * Forgotten before, not after: the number may be another thread's new descriptor by the time close returns. Linux
	 * frees it whatever close returns, but for EBADF.
	 */
	number_freed(fd, entry, (union object_entry){ .word = 0 });
	event = (struct ring_event){
		.entered = shim_clock(),
		.site = how.site,
		.object = entry.fd.object,
		.fd = fd,
		.kind = VFIOTAPE_CLOSE,
		.flags = how.flags,
	};
	result = PERFORM(how, close, SYS_close, fd);
	if (unlikely(simulated))
		sim_closed(simulated);
	event.left = shim_clock();
	event.result = (uint64_t)(int64_t)result;
	event.error = result < 0 ? errno : 0;
	if (ring && entry.fd.kind != VFIOTAPE_OBJECT_EPOLL)
		ring_write(ring, &event);
	return result;
}

EXPORT int close(int fd)
{
	if (likely(!object_of(fd).word))
		return REAL(close)(fd);
	return recorded_close(fd, ORIGIN);
}

EXPORT int __close(int fd) __attribute__((alias("close")));

struct range_close {
	struct ring_thread *ring;
	bool simulated;
	struct ring_event event;
};

static void close_one(int fd, union object_entry entry, void *context)
{
	struct range_close *range = context;

	if (sim_is_hidden(entry))
		return;
	if (entry.fd.flags & OBJECT_SIMULATED)
		range->simulated = true;
	number_freed(fd, entry, (union object_entry){ .word = 0 });
	if (!range->ring || entry.fd.kind == VFIOTAPE_OBJECT_EPOLL)
		return;
	range->event.object = entry.fd.object;
	range->event.fd = fd;
	ring_write(range->ring, &range->event);
}

int recorded_close_range(unsigned int first, unsigned int last, int flags, struct call_origin how)
{
	struct range_close range = { .ring = objects_any ? ring_enter() : NULL };
	long result;

	range.event = (struct ring_event){
		.entered = shim_clock(),
		.site = how.site,
		.offset = last,
		.op = 1,
		.kind = VFIOTAPE_CLOSE,
		.flags = how.flags,
	};
	dma_at(DMA_CALL);
	result = sim_close_range(first, last, (unsigned int)flags);
	range.event.left = shim_clock();
	/* With CLOSE_RANGE_CLOEXEC nothing is closed yet; what exec closes is seen by the image that comes after. */
	if (result == 0 && objects_are_ours() && !((unsigned int)flags & CLOSE_RANGE_CLOEXEC))
		objects_each_entry(first, last, close_one, &range);
	if (unlikely(range.simulated))
		sim_closed(0);
	return (int)LIBC_RESULT(result);
}

EXPORT int close_range(unsigned int first, unsigned int last, int flags)
{
	return recorded_close_range(first, last, flags, ORIGIN);
}

EXPORT void closefrom(int lowest)
{
	unsigned int first = lowest < 0 ? 0 : (unsigned int)lowest;

	/* As glibc's: it can't fail. Before Linux 5.9 it closes what /proc/self/fd lists. */
	if (recorded_close_range(first, ~0u, 0, ORIGIN) != 0) {
		long limit = sysconf(_SC_OPEN_MAX);

		for (long fd = (long)first; fd < limit; fd++)
			recorded_close((int)fd, ORIGIN);
	}
}

/* --- dup ---------------------------------------------------------------------------------------------------------- */

static void record_dup(union object_entry entry, int old, int wanted, int fd, int op, uint64_t entered, uint64_t left,
		       int error, struct call_origin how)
{
	struct ring_thread *ring;
	struct ring_event event = {
		.entered = entered,
		.left = left,
		.site = how.site,
		.value = (uint64_t)(int64_t)wanted,
		.result = (uint64_t)(int64_t)fd,
		.object = entry.fd.object,
		.op = (uint32_t)op,
		.fd = old,
		.error = fd < 0 ? error : 0,
		.kind = VFIOTAPE_DUP,
		.flags = how.flags,
	};

	ring = ring_enter();
	if (!objects_are_ours())
		return;
	if (fd >= 0 && fd != old && (entry.word || object_of(fd).word)) {
		number_freed(fd, object_of(fd), entry);
	}
	if (ring && entry.fd.kind && entry.fd.kind != VFIOTAPE_OBJECT_EPOLL)
		ring_write(ring, &event);
}

/* A duplicate of what matters, or one that takes the place of what matters, is looked at. */
#define DUPLICATED(old, wanted, op, how, call)                                                                         \
	do {                                                                                                           \
		union object_entry entry_ = object_of(old);                                                            \
		uint64_t entered_, left_, replaced_;                                                                   \
		int fd_;                                                                                               \
                                                                                                                       \
		if (likely(!entry_.word && !object_of(wanted).word)) {                                                 \
			fd_ = (call);                                                                                  \
			if (fd_ >= 0)                                                                                  \
				object_forget(fd_);                                                                    \
			return fd_;                                                                                    \
		}                                                                                                      \
		if (sim_is_hidden(entry_) && objects_are_ours())                                                       \
			return (int)LIBC_RESULT(-EBADF);                                                               \
		if (sim_is_hidden(object_of(wanted)) && objects_are_ours())                                            \
			sim_move_away(wanted);                                                                         \
		replaced_ = old != (wanted) && object_of(wanted).fd.flags & OBJECT_SIMULATED ? sim_inode(wanted) : 0;  \
		entered_ = shim_clock();                                                                               \
		fd_ = (call);                                                                                          \
		left_ = shim_clock();                                                                                  \
		record_dup(entry_, old, wanted, fd_, op, entered_, left_, errno, how);                                 \
		if (unlikely(replaced_) && fd_ >= 0)                                                                   \
			sim_closed(replaced_);                                                                         \
		return fd_;                                                                                            \
	} while (0)

int recorded_dup(int old, struct call_origin how)
{
	DUPLICATED(old, -1, VFIOTAPE_DUP_DUP, how, PERFORM(how, dup, SYS_dup, old));
}

EXPORT int dup(int old)
{
	return recorded_dup(old, ORIGIN);
}

int recorded_dup3(int old, int wanted, int flags, int op, struct call_origin how)
{
	if (op == VFIOTAPE_DUP_DUP2)
		DUPLICATED(old, wanted, op, how, PERFORM(how, dup2, SYS_dup2, old, wanted));
	DUPLICATED(old, wanted, op, how, PERFORM(how, dup3, SYS_dup3, old, wanted, flags));
}

EXPORT int dup2(int old, int wanted)
{
	return recorded_dup3(old, wanted, 0, VFIOTAPE_DUP_DUP2, ORIGIN);
}

EXPORT int __dup2(int old, int wanted) __attribute__((alias("dup2")));

EXPORT int dup3(int old, int wanted, int flags)
{
	return recorded_dup3(old, wanted, flags, VFIOTAPE_DUP_DUP3, ORIGIN);
}

int recorded_fcntl_dup(int fd, int command, int lowest, struct call_origin how)
{
	int op = command == F_DUPFD ? VFIOTAPE_DUP_F_DUPFD : VFIOTAPE_DUP_F_DUPFD_CLOEXEC;

	DUPLICATED(fd, -1, op, how, PERFORM(how, fcntl64, SYS_fcntl, fd, command, lowest));
}

#define FCNTL(name, fd, command)                                                                                       \
	do {                                                                                                           \
		va_list list_;                                                                                         \
		void *argument_;                                                                                       \
                                                                                                                       \
		va_start(list_, command);                                                                              \
		argument_ = va_arg(list_, void *);                                                                     \
		va_end(list_);                                                                                         \
		if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)                                                  \
			return recorded_fcntl_dup(fd, command, (int)(long)argument_, ORIGIN);                          \
		return REAL(name)(fd, command, argument_);                                                             \
	} while (0)

EXPORT int fcntl(int fd, int command, ...)
{
	FCNTL(fcntl, fd, command);
}

EXPORT int fcntl64(int fd, int command, ...)
{
	FCNTL(fcntl64, fd, command);
}

EXPORT int __fcntl(int fd, int command, ...) __attribute__((alias("fcntl")));

/* --- pidfd_getfd: another process's descriptor -------------------------------------------------------------------- */

int recorded_pidfd_getfd(int pidfd, int target, unsigned int flags, struct call_origin how)
{
	uint64_t entered = shim_clock();
	int fd = (int)LIBC_RESULT(raw3(SYS_pidfd_getfd, pidfd, target, (long)flags));
	uint64_t left = shim_clock();
	int error = errno;
	union object_entry entry;

	if (fd < 0)
		return fd;
	object_forget(fd);
	entry = object_received(fd);
	if (entry.word)
		record_dup(entry, target, -1, fd, VFIOTAPE_DUP_PIDFD_GETFD, entered, left, error, how);
	return fd;
}

EXPORT int pidfd_getfd(int pidfd, int target, unsigned int flags)
{
	return recorded_pidfd_getfd(pidfd, target, flags, ORIGIN);
}
