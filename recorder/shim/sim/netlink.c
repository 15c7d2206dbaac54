// SPDX-License-Identifier: Apache-2.0
/*
 * Generic netlink on a simulated machine of 2010. The descriptor is a connection as of every simulated file; what the
 * driver sends is a WRITE on a channel, what it is sent comes on the connection: one netlink message after the other, each
 * with its length in front, and a receive takes one.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "internal.h"

#define SMALL_DATAGRAM 1024u
#define HEADER_BYTES 16u /* struct nlmsghdr, whose first word is the length */

static uint32_t receiving;

long sim_netlink_bind(int fd, uint32_t wanted, bool bind, uint32_t *port)
{
	struct sim_call call;
	long result;

	sim_begin(&call, VFIOTAPE_SIM_BIND, sim_inode(fd));
	call.request.a = wanted;
	call.request.b = bind;
	result = sim_ask(&call, NULL, 0);
	*port = result < 0 ? 0 : (uint32_t)call.reply.a;
	sim_end(&call);
	return result;
}

/* What does not fit there, in a mapping. */
static unsigned char *room_for(size_t length, unsigned char small[SMALL_DATAGRAM])
{
	if (length <= SMALL_DATAGRAM)
		return small;
	return raw_mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void leave_room(unsigned char *bytes, size_t length, const unsigned char *small)
{
	if (bytes != small)
		raw_munmap(bytes, length);
}

/* --- sending ------------------------------------------------------------------------------------------------------------- */

static long gather(unsigned char *to, const struct iovec *pieces, size_t count)
{
	size_t done = 0;

	for (size_t i = 0; i < count; i++) {
		struct iovec piece;

		if (fault_safe_copy(&piece, (uint64_t)(pieces + i), sizeof(piece)) != sizeof(piece))
			return -EFAULT;
		if (piece.iov_len > VFIOTAPE_SIM_DATA_MAX - done)
			return -EMSGSIZE;
		if (to && fault_safe_copy(to + done, (uint64_t)piece.iov_base, piece.iov_len) != piece.iov_len)
			return -EFAULT;
		done += piece.iov_len;
	}
	return (long)done;
}

long sim_netlink_send(int fd, const struct iovec *pieces, size_t count)
{
	unsigned char small[SMALL_DATAGRAM], *bytes;
	long length = gather(NULL, pieces, count), result;

	if (length < 0)
		return length;
	bytes = room_for((size_t)length, small);
	if (raw_failed((long)bytes))
		return -ENOMEM;
	result = gather(bytes, pieces, count);
	if (result >= 0)
		result = sim_write(fd, bytes, (size_t)length, SIM_POSITION, 0);
	leave_room(bytes, (size_t)length, small);
	return result;
}

/* --- receiving ----------------------------------------------------------------------------------------------------------- */

/* The rest of a message is on its way; the descriptor may be one that doesn't wait. */
static long receive_all(int fd, unsigned char *to, size_t length)
{
	for (size_t done = 0; done < length;) {
		struct pollfd more = { .fd = fd, .events = POLLIN };
		long got = raw6(SYS_recvfrom, fd, (long)(to + done), (long)(length - done), MSG_DONTWAIT, 0, 0);

		if (got > 0)
			done += (size_t)got;
		else if (got == -EAGAIN)
			raw6(SYS_ppoll, (long)&more, 1, 0, 0, 8, 0);
		else if (got != -EINTR)
			return -EIO;
	}
	return 0;
}

static long peek_all(int fd, unsigned char *to, size_t length)
{
	for (;;) {
		long got = raw6(SYS_recvfrom, fd, (long)to, (long)length, MSG_PEEK | MSG_DONTWAIT, 0, 0);

		if (got == (long)length)
			return 0;
		if (got <= 0 && got != -EAGAIN && got != -EINTR)
			return -EIO;
		raw_nanosleep(50000);
	}
}

/* How much of it there was room for; -EFAULT: an address is none. */
static long scatter(const unsigned char *from, size_t length, const struct iovec *pieces, size_t count)
{
	size_t done = 0;

	for (size_t i = 0; i < count && done < length; i++) {
		struct iovec piece;

		if (fault_safe_copy(&piece, (uint64_t)(pieces + i), sizeof(piece)) != sizeof(piece))
			return -EFAULT;
		if (piece.iov_len > length - done)
			piece.iov_len = length - done;
		if (!fault_safe_write((uint64_t)piece.iov_base, from + done, piece.iov_len))
			return -EFAULT;
		done += piece.iov_len;
	}
	return (long)done;
}

static long take_datagram(int fd, const struct iovec *pieces, size_t count, bool peek, size_t *copied)
{
	unsigned char small[SMALL_DATAGRAM], *bytes;
	uint32_t length;
	long got = raw6(SYS_recvfrom, fd, (long)&length, sizeof(length), MSG_PEEK | MSG_DONTWAIT, 0, 0);

	if (got != sizeof(length))
		return got < 0 ? got : -EIO;
	if (length < HEADER_BYTES || length > VFIOTAPE_SIM_DATA_MAX)
		return -EIO;
	bytes = room_for(length, small);
	if (raw_failed((long)bytes))
		return -ENOMEM;
	got = peek ? peek_all(fd, bytes, length) : receive_all(fd, bytes, length);
	if (!got)
		got = scatter(bytes, length, pieces, count);
	leave_room(bytes, length, small);
	if (got < 0)
		return got;
	*copied = (size_t)got;
	return length;
}

/* Another thread of the parent's may have been receiving. */
void sim_netlink_in_child(void)
{
	__atomic_store_n(&receiving, 0, __ATOMIC_RELEASE);
}

long sim_netlink_take(int fd, const struct iovec *pieces, size_t count, bool peek, size_t *copied)
{
	uint64_t mask = sim_block_signals();
	long result;

	while (__atomic_exchange_n(&receiving, 1, __ATOMIC_ACQUIRE))
		raw_nanosleep(20000);
	result = take_datagram(fd, pieces, count, peek, copied);
	__atomic_store_n(&receiving, 0, __ATOMIC_RELEASE);
	sim_restore_signals(mask);
	if (result == -EIO)
		sim_lost();
	return result;
}
