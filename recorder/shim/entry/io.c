// SPDX-License-Identifier: Apache-2.0
/* read, write and their kin, on devices (config space, BARs), eventfds, migration and fault streams. */
#include <fcntl.h>
#include <string.h>

#include "../core/fault_safe.h"
#include "calls.h"

#define VECTOR_ROOM 16 /* pieces of a vector that may point into a BAR */
#define PIECES_MAX 16  /* of a readv or writev that are kept; the last one kept says that more were cut */

struct io_call {
	struct ring_thread *ring;
	struct ring_event event;
	struct ring_inflight saved;
};

ALWAYS_INLINE bool io_begin(struct io_call *call, union object_entry entry, int fd, uint8_t kind, uint64_t offset,
			    size_t count, struct call_origin how)
{
	call->ring = ring_enter();
	if (unlikely(!call->ring))
		return false;
	call->event = (struct ring_event){
		.entered = shim_clock(),
		.site = how.site,
		.offset = offset,
		.object = entry.fd.object,
		.op = count > UINT32_MAX ? UINT32_MAX : (uint32_t)count,
		.fd = fd,
		.kind = kind,
		.flags = how.flags,
	};
	ring_inflight_begin(call->ring, &call->saved, &call->event);
	return true;
}

/* errno is only read: what the driver finds there is libc's. */
ALWAYS_INLINE void io_returned(struct io_call *call, ssize_t result)
{
	call->event.left = shim_clock();
	ring_inflight_end(call->ring, &call->saved);
	call->event.result = (uint64_t)result;
	if (unlikely(result < 0))
		call->event.error = errno;
}

/* The kernel has just copied these bytes itself: they can be read. */
ALWAYS_INLINE uint64_t first_bytes(const void *buffer, size_t count)
{
	uint64_t value = 0;

	if (likely(count == 4)) {
		memcpy(&value, buffer, 4);
		return value;
	}
	switch (count) {
	case 0:
		break;
	case 1:
		value = *(const uint8_t *)buffer;
		break;
	case 2:
		memcpy(&value, buffer, 2);
		break;
	default:
		memcpy(&value, buffer, count < 8 ? count : 8);
	}
	return value;
}

/* The event by value, and out of line: what has an address isn't kept in registers. */
COLD static void write_with_data(struct ring_thread *ring, struct ring_event event, const void *buffer, size_t count)
{
	struct ring_segment segment = {
		.role = VFIOTAPE_ROLE_DATA,
		.length = count > UINT32_MAX ? UINT32_MAX : (uint32_t)count,
		.address = (uint64_t)buffer,
		.bytes = buffer,
	};

	ring_write_with(ring, &event, &segment, 1);
}

static void write_event(struct ring_thread *ring, struct ring_event *event, const void *buffer, ssize_t result)
{
	if (result > 0 && buffer) {
		event->value = first_bytes(buffer, (size_t)result);
		if (result > 8) {
			write_with_data(ring, *event, buffer, (size_t)result);
			return;
		}
	}
	ring_write(ring, event);
}

/* `buffer` is NULL when it lies in a device's registers, which are not read a second time. */
ALWAYS_INLINE void io_end(struct io_call *call, const void *buffer, ssize_t result)
{
	io_returned(call, result);
	if (likely(result > 0 && buffer)) {
		call->event.value = first_bytes(buffer, (size_t)result);
		if (unlikely(result > 8)) {
			write_with_data(call->ring, call->event, buffer, (size_t)result);
			return;
		}
	}
	ring_write(call->ring, &call->event);
}

/* read and write tell no offset: the position is asked for where there is one. */
static uint64_t position_of(union object_entry entry, int fd)
{
	long position;

	if (entry.fd.kind == VFIOTAPE_OBJECT_EVENTFD || entry.fd.kind == VFIOTAPE_OBJECT_LYON_NETLINK)
		return 0;
	position = raw3(SYS_lseek, fd, 0, SEEK_CUR);
	return raw_failed(position) ? 0 : (uint64_t)position;
}

/* A read that may sleep until the device interrupts. */
COLD static bool waits_for_interrupt(union object_entry entry, int fd)
{
	return entry.fd.flags & OBJECT_INTERRUPT && !(raw3(SYS_fcntl, fd, F_GETFL, 0) & O_NONBLOCK);
}

/* A netlink socket's are whole datagrams. */
static long simulated_vector(union object_entry entry, int fd, const struct iovec *pieces, long count, off64_t offset,
			     int flags, bool writing, struct call_origin how)
{
	if (entry.fd.kind != VFIOTAPE_OBJECT_LYON_NETLINK)
		return sim_vector(fd, pieces, count, offset, flags, writing, how.site);
	if (offset != AT_POSITION)
		return -ESPIPE;
	if (count < 0 || count > UIO_MAXIOV)
		return -EINVAL;
	return netlink_vector(fd, pieces, (size_t)count, flags, writing, how);
}

static long simulated_io(union object_entry entry, int fd, void *buffer, size_t count, bool writing, struct call_origin how)
{
	struct iovec piece = { buffer, count };

	if (entry.fd.kind == VFIOTAPE_OBJECT_LYON_NETLINK)
		return netlink_vector(fd, &piece, 1, 0, writing, how);
	return writing ? sim_write(fd, buffer, count, SIM_POSITION, how.site) :
			 sim_read(fd, buffer, count, SIM_POSITION, how.site);
}

#define SIM_READ simulated_io(entry, fd, buffer, count, false, how)
#define SIM_WRITE simulated_io(entry, fd, (void *)buffer, count, true, how)

ssize_t recorded_read(union object_entry entry, int fd, void *buffer, size_t count, struct call_origin how)
{
	uint64_t offset = position_of(entry, fd);
	void *where = watcher_pointer(buffer, count);
	bool sleeps = dma_comparing() && waits_for_interrupt(entry, fd);
	struct dma_threads threads;
	struct io_call call;
	ssize_t result;

	if (sleeps)
		dma_before_sleep(&threads);
	if (!io_begin(&call, entry, fd, VFIOTAPE_READ, offset, count, how))
		return PERFORM_ON(entry, how, SIM_READ, read, SYS_read, fd, where, count);
	result = PERFORM_ON(entry, how, SIM_READ, read, SYS_read, fd, where, count);
	if (sleeps)
		dma_after_sleep(&threads);
	io_end(&call, where == buffer ? buffer : NULL, result);
	return result;
}

ssize_t recorded_write(union object_entry entry, int fd, const void *buffer, size_t count, struct call_origin how)
{
	uint64_t offset = position_of(entry, fd);
	const void *where = watcher_pointer(buffer, count);
	struct io_call call;
	ssize_t result;

	dma_at_write(entry);
	if (!io_begin(&call, entry, fd, VFIOTAPE_WRITE, offset, count, how))
		return PERFORM_ON(entry, how, SIM_WRITE, write, SYS_write, fd, where, count);
	result = PERFORM_ON(entry, how, SIM_WRITE, write, SYS_write, fd, where, count);
	io_end(&call, where == buffer ? buffer : NULL, result);
	return result;
}

/* A negative offset is EINVAL before the file is asked. */
#define SIM_PREAD (offset < 0 ? -EINVAL : sim_read(fd, buffer, count, offset, how.site))
#define SIM_PWRITE (offset < 0 ? -EINVAL : sim_write(fd, buffer, count, offset, how.site))

ssize_t recorded_pread(union object_entry entry, int fd, void *buffer, size_t count, off64_t offset,
		       struct call_origin how)
{
	void *where = watcher_pointer(buffer, count);
	struct io_call call;
	ssize_t result;

	if (!io_begin(&call, entry, fd, VFIOTAPE_READ, (uint64_t)offset, count, how))
		return PERFORM_ON(entry, how, SIM_PREAD, pread64, SYS_pread64, fd, where, count, offset);
	result = PERFORM_ON(entry, how, SIM_PREAD, pread64, SYS_pread64, fd, where, count, offset);
	io_end(&call, where == buffer ? buffer : NULL, result);
	return result;
}

ssize_t recorded_pwrite(union object_entry entry, int fd, const void *buffer, size_t count, off64_t offset,
			struct call_origin how)
{
	const void *where = watcher_pointer(buffer, count);
	struct io_call call;
	ssize_t result;

	dma_at_write(entry);
	if (!io_begin(&call, entry, fd, VFIOTAPE_WRITE, (uint64_t)offset, count, how))
		return PERFORM_ON(entry, how, SIM_PWRITE, pwrite64, SYS_pwrite64, fd, where, count, offset);
	result = PERFORM_ON(entry, how, SIM_PWRITE, pwrite64, SYS_pwrite64, fd, where, count, offset);
	io_end(&call, where == buffer ? buffer : NULL, result);
	return result;
}

/* --- the hot path ------------------------------------------------------------------------------------------------- */

/* The end of a call that is not a usual one. */
COLD static ssize_t unusual_end(struct ring_thread *ring, uint64_t entry, int fd, const void *buffer, size_t count,
				off64_t offset, uint64_t site, uint8_t kind, uint64_t entered, uint64_t left,
				ssize_t result)
{
	struct ring_event event = {
		.entered = entered,
		.left = left,
		.site = site,
		.offset = (uint64_t)offset,
		.result = (uint64_t)result,
		.object = (uint32_t)entry,
		.op = count > UINT32_MAX ? UINT32_MAX : (uint32_t)count,
		.fd = fd,
		.error = result < 0 ? errno : 0,
		.kind = kind,
	};

	write_event(ring, &event, buffer, result);
	return result;
}

/*
 * A pread or pwrite of a register's width, by its own entry point, takes 1 to 8 bytes: nearly every access. What a
 * struct ring_event would hold stays in registers here: written as a whole and read in parts, or the reverse, it costs
 * more than the rest of the record (measured: 12 ns of 43).
 */
#define recorded_pread64 recorded_pread
#define recorded_pwrite64 recorded_pwrite
#define PLAIN_IO(kind_, name, buffer_type)                                                                             \
	static __attribute__((noinline)) ssize_t plain_##name(int fd, buffer_type buffer, size_t count,                \
							      off64_t offset, uint64_t site, uint64_t word)            \
	{                                                                                                              \
		struct ring_thread *ring = ring_enter();                                                               \
		uint64_t entered, left, value;                                                                         \
		struct vfiotape_record *inflight, *record;                                                             \
		struct ring_slot slot;                                                                                 \
		ssize_t result;                                                                                        \
                                                                                                                       \
		if (unlikely(!ring || shim_session.watching || shim_session.comparing || ring->header->inflight.kind != VFIOTAPE_NONE ||         \
			     count > UINT32_MAX))                                                                      \
			return recorded_##name((union object_entry){ .word = word }, fd, buffer, count, offset,        \
					       (struct call_origin){ .site = site });                                  \
		entered = shim_clock();                                                                                \
		ring->inflight_frame = (uint64_t)__builtin_frame_address(0);                                           \
		inflight = &ring->header->inflight;                                                                    \
		inflight->entered = entered;                                                                           \
		inflight->site_errno = site & VFIOTAPE_SITE_MASK;                                                      \
		inflight->offset = (uint64_t)offset;                                                                   \
		inflight->value = 0;                                                                                   \
		inflight->object = (uint32_t)word;                                                                     \
		inflight->op = (uint32_t)count;                                                                        \
		inflight->fd = fd;                                                                                     \
		__asm__ volatile("" : : : "memory");                                                                   \
		inflight->kind = kind_;                                                                                \
		result = REAL(name)(fd, buffer, count, offset);                                                        \
		left = shim_clock();                                                                                   \
		inflight->kind = VFIOTAPE_NONE;                                                                        \
		if (unlikely((size_t)(result - 1) >= 8 || entered >= ring->next_clock || (left - entered) >> 32))      \
			return unusual_end(ring, word, fd, buffer, count, offset, site, kind_, entered, left, result); \
		value = first_bytes(buffer, (size_t)result);                                                           \
		if (unlikely(!ring_reserve(ring, &slot)))                                                              \
			return result;                                                                                 \
		record = slot.record;                                                                                  \
		record->entered = entered;                                                                             \
		record->site_errno = site & VFIOTAPE_SITE_MASK;                                                        \
		record->offset = (uint64_t)offset;                                                                     \
		record->value = value;                                                                                 \
		record->result = (uint64_t)result;                                                                     \
		record->duration = (uint32_t)(left - entered);                                                         \
		record->object = (uint32_t)word;                                                                       \
		record->op = (uint32_t)count;                                                                          \
		record->fd = fd;                                                                                       \
		ring_commit(&slot, kind_, 0, 0);                                                                       \
		return result;                                                                                         \
	}

PLAIN_IO(VFIOTAPE_READ, pread64, void *)
PLAIN_IO(VFIOTAPE_WRITE, pwrite64, const void *)

/* --- vectors ------------------------------------------------------------------------------------------------------ */

/* The pieces that point into watched registers point to where the kernel can reach them; the others are as they were. */
static const struct iovec *reachable(const struct iovec *pieces, int count, struct iovec room[VECTOR_ROOM])
{
	bool changed = false;

	if (likely(!watcher_watching()) || count <= 0 || count > VECTOR_ROOM ||
	    fault_safe_copy(room, (uint64_t)pieces, (size_t)count * sizeof(*room)) != (size_t)count * sizeof(*room))
		return pieces;
	for (int i = 0; i < count; i++) {
		void *where = watcher_pointer(room[i].iov_base, room[i].iov_len);

		changed |= where != room[i].iov_base;
		room[i].iov_base = where;
	}
	return changed ? room : pieces;
}

static void vector_end(struct io_call *call, const struct iovec *pieces, int count, ssize_t result)
{
	struct ring_segment segments[PIECES_MAX];
	unsigned int kept = 0;
	size_t left = result > 0 ? (size_t)result : 0, first = 0;
	unsigned char start[8] = { 0 };

	io_returned(call, result);
	for (int i = 0; i < count && left; i++) {
		size_t length = pieces[i].iov_len < left ? pieces[i].iov_len : left;

		left -= length;
		if (watcher_watching() && mmio_is_watched((uint64_t)pieces[i].iov_base, length))
			continue; /* registers are not read a second time */
		for (size_t at = 0; at < length && first < sizeof(start); at++)
			start[first++] = ((const unsigned char *)pieces[i].iov_base)[at];
		if (!length)
			continue;
		if (kept == PIECES_MAX) {
			segments[kept - 1].flags |= VFIOTAPE_SEGMENT_CUT;
			break;
		}
		segments[kept++] = (struct ring_segment){
			.role = VFIOTAPE_ROLE_DATA,
			.index = (uint16_t)i,
			.length = length > UINT32_MAX ? UINT32_MAX : (uint32_t)length,
			.address = (uint64_t)pieces[i].iov_base,
			.bytes = pieces[i].iov_base,
		};
	}
	memcpy(&call->event.value, start, sizeof(start));
	if (result > 8)
		ring_write_with(call->ring, &call->event, segments, kept);
	else
		ring_write(call->ring, &call->event);
}

/* What stands in the event's offset: of a netlink socket, which has no position, the flags of the call. */
static uint64_t place_of(union object_entry entry, int fd, off64_t offset, int flags)
{
	if (offset != AT_POSITION)
		return (uint64_t)offset;
	return entry.fd.kind == VFIOTAPE_OBJECT_LYON_NETLINK ? (uint32_t)flags : position_of(entry, fd);
}

static size_t vector_length(const struct iovec *pieces, int count, ssize_t result)
{
	size_t total = 0;

	/* An array that the kernel could not read is not ours to read either. */
	if (result < 0)
		return 0;
	for (int i = 0; i < count; i++)
		total += pieces[i].iov_len;
	return total;
}

#define VECTOR(how, op_kind, plain, plain_nr, at, at_nr, flagged, flagged_nr)                                          \
	do {                                                                                                           \
		if (op_kind == VFIOTAPE_WRITE)                                                                         \
			dma_at_write(entry);                                                                           \
		struct io_call call;                                                                                   \
		bool recording = io_begin(&call, entry, fd, op_kind,                                                   \
					  place_of(entry, fd, offset, flags), 0, how);                                 \
		struct iovec room[VECTOR_ROOM];                                                                        \
		const struct iovec *where = reachable(pieces, count, room);                                            \
		ssize_t result;                                                                                        \
                                                                                                                       \
		if (unlikely(entry.fd.flags & OBJECT_SIMULATED))                                                       \
			result = LIBC_RESULT(simulated_vector(entry, fd, pieces, count, offset, flags,                \
							      op_kind == VFIOTAPE_WRITE, how));                       \
		else if (flags)                                                                                        \
			result = IS_RAW(how) ? LIBC_RESULT(raw6(flagged_nr, fd, (long)where, count,                   \
								offset == AT_POSITION ? -1 : (long)offset, 0,         \
								flags)) :                                              \
					       REAL(flagged)(fd, where, count, offset == AT_POSITION ? -1 : offset,   \
							     flags);                                                  \
		else if (offset == AT_POSITION)                                                                        \
			result = PERFORM(how, plain, plain_nr, fd, where, count);                                     \
		else                                                                                                   \
			result = PERFORM(how, at, at_nr, fd, where, count, offset);                                   \
		if (!recording)                                                                                        \
			return result;                                                                                 \
		{                                                                                                      \
			size_t length = vector_length(pieces, count, result);                                          \
                                                                                                                       \
			call.event.op = length > UINT32_MAX ? UINT32_MAX : (uint32_t)length;                           \
		}                                                                                                      \
		vector_end(&call, pieces, count, result);                                                              \
		return result;                                                                                         \
	} while (0)

ssize_t recorded_readv(union object_entry entry, int fd, const struct iovec *pieces, int count, off64_t offset,
		       int flags, struct call_origin how)
{
	VECTOR(how, VFIOTAPE_READ, readv, SYS_readv, preadv64, SYS_preadv, preadv64v2, SYS_preadv2);
}

ssize_t recorded_writev(union object_entry entry, int fd, const struct iovec *pieces, int count, off64_t offset,
			int flags, struct call_origin how)
{
	VECTOR(how, VFIOTAPE_WRITE, writev, SYS_writev, pwritev64, SYS_pwritev, pwritev64v2, SYS_pwritev2);
}

off64_t recorded_lseek(union object_entry entry, int fd, off64_t offset, int whence, struct call_origin how)
{
	uint64_t entered = shim_clock();
	off64_t result = PERFORM(how, lseek64, SYS_lseek, fd, offset, whence);
	struct ring_event event = {
		.entered = entered,
		.left = shim_clock(),
		.site = how.site,
		.offset = (uint64_t)offset,
		.value = (uint64_t)(int64_t)whence,
		.result = (uint64_t)result,
		.object = entry.fd.object,
		.fd = fd,
		.error = result < 0 ? errno : 0,
		.kind = VFIOTAPE_LSEEK,
		.flags = how.flags,
	};
	struct ring_thread *ring = ring_enter();

	if (ring)
		ring_write(ring, &event);
	return result;
}

/* --- the entry points --------------------------------------------------------------------------------------------- */

/* On any other descriptor; a buffer in a simulated BAR is nothing that the kernel could read or write. */
#define BOUNCED(number, fd, buffer, count, offset, call)                                                               \
	(watcher_watching() && mmio_is_simulated((uint64_t)(buffer), count)                                            \
		 ? LIBC_RESULT(mmio_simulated_io(number, fd, (uint64_t)(buffer), count, offset))                        \
		 : (call))

#define IF_IO(fd, call)                                                                                                \
	union object_entry entry = object_of(fd);                                                                      \
                                                                                                                       \
	if (unlikely(entry.fd.flags & OBJECT_IO))                                                                      \
	return call

EXPORT ssize_t read(int fd, void *buffer, size_t count)
{
	IF_IO(fd, recorded_read(entry, fd, buffer, count, ORIGIN));
	return BOUNCED(SYS_read, fd, buffer, count, 0, REAL(read)(fd, watcher_pointer(buffer, count), count));
}

EXPORT ssize_t write(int fd, const void *buffer, size_t count)
{
	IF_IO(fd, recorded_write(entry, fd, buffer, count, ORIGIN));
	return BOUNCED(SYS_write, fd, buffer, count, 0, REAL(write)(fd, watcher_pointer(buffer, count), count));
}

EXPORT ssize_t pread64(int fd, void *buffer, size_t count, off64_t offset)
{
	IF_IO(fd, plain_pread64(fd, buffer, count, offset, CALL_SITE, entry.word));
	return BOUNCED(SYS_pread64, fd, buffer, count, offset,
		       REAL(pread64)(fd, watcher_pointer(buffer, count), count, offset));
}

EXPORT ssize_t pwrite64(int fd, const void *buffer, size_t count, off64_t offset)
{
	IF_IO(fd, plain_pwrite64(fd, buffer, count, offset, CALL_SITE, entry.word));
	return BOUNCED(SYS_pwrite64, fd, buffer, count, offset,
		       REAL(pwrite64)(fd, watcher_pointer(buffer, count), count, offset));
}

EXPORT ssize_t __read(int fd, void *buffer, size_t count) __attribute__((alias("read")));
EXPORT ssize_t __write(int fd, const void *buffer, size_t count) __attribute__((alias("write")));
EXPORT ssize_t pread(int fd, void *buffer, size_t count, off_t offset) __attribute__((alias("pread64")));
EXPORT ssize_t __pread64(int fd, void *buffer, size_t count, off64_t offset) __attribute__((alias("pread64")));
EXPORT ssize_t pwrite(int fd, const void *buffer, size_t count, off_t offset) __attribute__((alias("pwrite64")));
EXPORT ssize_t __pwrite64(int fd, const void *buffer, size_t count, off64_t offset)
	__attribute__((alias("pwrite64")));

/* The fortified forms abort when the buffer is too small: then they are libc's to handle. */
EXPORT ssize_t __read_chk(int fd, void *buffer, size_t count, size_t size)
{
	union object_entry entry = object_of(fd);

	if (unlikely((entry.fd.flags & OBJECT_IO) && count <= size))
		return recorded_read(entry, fd, buffer, count, ORIGIN);
	return BOUNCED(SYS_read, fd, buffer, count, 0,
		       REAL(__read_chk)(fd, watcher_pointer(buffer, count), count, size));
}

EXPORT ssize_t __pread64_chk(int fd, void *buffer, size_t count, off64_t offset, size_t size)
{
	union object_entry entry = object_of(fd);

	if (unlikely((entry.fd.flags & OBJECT_IO) && count <= size))
		return recorded_pread(entry, fd, buffer, count, offset, ORIGIN);
	return BOUNCED(SYS_pread64, fd, buffer, count, offset,
		       REAL(__pread64_chk)(fd, watcher_pointer(buffer, count), count, offset, size));
}

EXPORT ssize_t __pread_chk(int fd, void *buffer, size_t count, off_t offset, size_t size)
	__attribute__((alias("__pread64_chk")));

/* An offset of the driver's: -1 is an error to preadv, and the file position to preadv2. */
ALWAYS_INLINE off64_t given(off64_t offset)
{
	return offset == AT_POSITION ? -1 : offset;
}

ALWAYS_INLINE off64_t given2(off64_t offset)
{
	return offset == -1 ? AT_POSITION : offset == AT_POSITION ? AT_POSITION + 1 : offset;
}

/* On any descriptor: the pieces may lie in a watched BAR. */
#define REACHING(name, fd, pieces, ...)                                                                                \
	({                                                                                                             \
		struct iovec room_[VECTOR_ROOM];                                                                       \
		REAL(name)(fd, reachable(pieces, count, room_), __VA_ARGS__);                                          \
	})

/* The same for what comes by syscall(2) and isn't recorded. */
long reaching_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	struct iovec room[VECTOR_ROOM];

	if (number == SYS_read || number == SYS_write || number == SYS_pread64 || number == SYS_pwrite64) {
		if (watcher_watching() && mmio_is_simulated((uint64_t)b, (size_t)c))
			return LIBC_RESULT(mmio_simulated_io(number, (int)a, (uint64_t)b, (size_t)c, d));
		b = (long)watcher_pointer((void *)b, (size_t)c);
	} else if (number != SYS_lseek) {
		b = (long)reachable((const struct iovec *)b, (int)c, room);
	}
	return LIBC_RESULT(raw6(number, a, b, c, d, e, f));
}

EXPORT ssize_t readv(int fd, const struct iovec *pieces, int count)
{
	IF_IO(fd, recorded_readv(entry, fd, pieces, count, AT_POSITION, 0, ORIGIN));
	return REACHING(readv, fd, pieces, count);
}

EXPORT ssize_t writev(int fd, const struct iovec *pieces, int count)
{
	IF_IO(fd, recorded_writev(entry, fd, pieces, count, AT_POSITION, 0, ORIGIN));
	return REACHING(writev, fd, pieces, count);
}

EXPORT ssize_t preadv64(int fd, const struct iovec *pieces, int count, off64_t offset)
{
	IF_IO(fd, recorded_readv(entry, fd, pieces, count, given(offset), 0, ORIGIN));
	return REACHING(preadv64, fd, pieces, count, offset);
}

EXPORT ssize_t pwritev64(int fd, const struct iovec *pieces, int count, off64_t offset)
{
	IF_IO(fd, recorded_writev(entry, fd, pieces, count, given(offset), 0, ORIGIN));
	return REACHING(pwritev64, fd, pieces, count, offset);
}

EXPORT ssize_t preadv64v2(int fd, const struct iovec *pieces, int count, off64_t offset, int flags)
{
	IF_IO(fd, recorded_readv(entry, fd, pieces, count, given2(offset), flags, ORIGIN));
	return REACHING(preadv64v2, fd, pieces, count, offset, flags);
}

EXPORT ssize_t pwritev64v2(int fd, const struct iovec *pieces, int count, off64_t offset, int flags)
{
	IF_IO(fd, recorded_writev(entry, fd, pieces, count, given2(offset), flags, ORIGIN));
	return REACHING(pwritev64v2, fd, pieces, count, offset, flags);
}

EXPORT ssize_t preadv(int fd, const struct iovec *pieces, int count, off_t offset) __attribute__((alias("preadv64")));
EXPORT ssize_t pwritev(int fd, const struct iovec *pieces, int count, off_t offset)
	__attribute__((alias("pwritev64")));
EXPORT ssize_t preadv2(int fd, const struct iovec *pieces, int count, off_t offset, int flags)
	__attribute__((alias("preadv64v2")));
EXPORT ssize_t pwritev2(int fd, const struct iovec *pieces, int count, off_t offset, int flags)
	__attribute__((alias("pwritev64v2")));

EXPORT off64_t lseek64(int fd, off64_t offset, int whence)
{
	union object_entry entry = object_of(fd);

	if (unlikely((entry.fd.flags & OBJECT_IO) && entry.fd.kind != VFIOTAPE_OBJECT_EVENTFD))
		return recorded_lseek(entry, fd, offset, whence, ORIGIN);
	return REAL(lseek64)(fd, offset, whence);
}

EXPORT off_t lseek(int fd, off_t offset, int whence) __attribute__((alias("lseek64")));
EXPORT off_t __lseek(int fd, off_t offset, int whence) __attribute__((alias("lseek64")));
