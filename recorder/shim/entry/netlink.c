// SPDX-License-Identifier: Apache-2.0
/*
 * Sockets of generic netlink, by which the VFIO of 2010 tells drivers of hot-unplug and suspend. On a simulated machine of that
 * time they lead to the simulator; on every other machine, and of every other protocol, they are none of our business.
 */
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>

#include "calls.h"

#define TYPE_MASK 0xf

bool is_netlink(int fd)
{
	return unlikely(object_of(fd).fd.kind == VFIOTAPE_OBJECT_LYON_NETLINK);
}

/* --- sockets ------------------------------------------------------------------------------------------------------------- */

int any_socket(int domain, int type, int protocol, struct call_origin how)
{
	bool concerns = simulating() && domain == AF_NETLINK && protocol == NETLINK_GENERIC &&
			((type & TYPE_MASK) == SOCK_RAW || (type & TYPE_MASK) == SOCK_DGRAM);
	int flags = O_RDWR | (type & (SOCK_CLOEXEC | SOCK_NONBLOCK)), fd;
	uint64_t entered;
	long opened;

	if (unlikely(concerns)) {
		entered = shim_clock();
		opened = sim_open(VFIOTAPE_SIM_NETLINK, flags, 0);
		if (opened >= 0) {
			record_opened((int)opened, AT_FDCWD, VFIOTAPE_SIM_NETLINK, flags, 0, entered, shim_clock(), 0,
				      how);
			return (int)opened;
		}
		if (opened == -EMFILE || opened == -ENFILE)
			return (int)LIBC_RESULT(opened);
	}
	fd = PERFORM(how, socket, SYS_socket, domain, type, protocol);
	if (fd >= 0)
		object_forget(fd);
	return fd;
}

EXPORT int socket(int domain, int type, int protocol)
{
	return any_socket(domain, type, protocol, ORIGIN);
}

/* The kernel's own checks of an address that a driver names (netlink_bind, netlink_connect, netlink_sendmsg). */
static long port_in(const void *address, socklen_t length, uint32_t *port)
{
	struct sockaddr_nl given = { 0 };

	if (length < sizeof(given))
		return -EINVAL;
	if (fault_safe_copy(&given, (uint64_t)address, sizeof(given)) != sizeof(given))
		return -EFAULT;
	if (given.nl_family != AF_NETLINK)
		return -EINVAL;
	*port = given.nl_pid;
	return 0;
}

/* To anybody but the kernel: there is nobody else. */
static long to_kernel(const void *address, socklen_t length)
{
	uint32_t port = 0;
	long result = port_in(address, length, &port);

	return result ? result : port ? -ECONNREFUSED : 0;
}

int any_bind(int fd, const struct sockaddr *address, socklen_t length, struct call_origin how)
{
	uint32_t port = 0;
	long result;

	if (!is_netlink(fd))
		return PERFORM(how, bind, SYS_bind, fd, address, length);
	result = port_in(address, length, &port);
	if (!result)
		result = sim_netlink_bind(fd, port, true, &port);
	return (int)LIBC_RESULT(result);
}

EXPORT int bind(int fd, const struct sockaddr *address, socklen_t length)
{
	return any_bind(fd, address, length, ORIGIN);
}

int any_connect(int fd, const struct sockaddr *address, socklen_t length, struct call_origin how)
{
	uint32_t port;
	long result;

	if (!is_netlink(fd))
		return PERFORM(how, connect, SYS_connect, fd, address, length);
	result = to_kernel(address, length);
	if (!result)
		result = sim_netlink_bind(fd, 0, true, &port);
	return (int)LIBC_RESULT(result);
}

EXPORT int connect(int fd, const struct sockaddr *address, socklen_t length)
{
	return any_connect(fd, address, length, ORIGIN);
}

EXPORT int __connect(int fd, const struct sockaddr *address, socklen_t length) __attribute__((alias("connect")));

/* As move_addr_to_user: as much as there is room for, and how long it is. */
static long tell(const void *value, socklen_t length, void *to, socklen_t *room)
{
	socklen_t given;

	if (fault_safe_copy(&given, (uint64_t)room, sizeof(given)) != sizeof(given))
		return -EFAULT;
	if ((int)given < 0)
		return -EINVAL;
	if (!fault_safe_write((uint64_t)to, value, given < length ? given : length) ||
	    !fault_safe_write((uint64_t)room, &length, sizeof(length)))
		return -EFAULT;
	return 0;
}

int any_getsockname(int fd, struct sockaddr *address, socklen_t *length, struct call_origin how)
{
	struct sockaddr_nl name = { .nl_family = AF_NETLINK };
	long result;

	if (!is_netlink(fd))
		return PERFORM(how, getsockname, SYS_getsockname, fd, address, length);
	result = sim_netlink_bind(fd, 0, false, &name.nl_pid);
	if (!result)
		result = tell(&name, sizeof(name), address, length);
	return (int)LIBC_RESULT(result);
}

EXPORT int getsockname(int fd, struct sockaddr *address, socklen_t *length)
{
	return any_getsockname(fd, address, length, ORIGIN);
}

static const struct sockaddr_nl of_kernel = { .nl_family = AF_NETLINK };

int any_getpeername(int fd, struct sockaddr *address, socklen_t *length, struct call_origin how)
{
	if (!is_netlink(fd))
		return PERFORM(how, getpeername, SYS_getpeername, fd, address, length);
	return (int)LIBC_RESULT(tell(&of_kernel, sizeof(of_kernel), address, length));
}

EXPORT int getpeername(int fd, struct sockaddr *address, socklen_t *length)
{
	return any_getpeername(fd, address, length, ORIGIN);
}

/* SOL_SOCKET's hold for the connection as for any socket; netlink's own (groups, packet information) change nothing here. */
int any_setsockopt(int fd, int level, int option, const void *value, socklen_t length, struct call_origin how)
{
	if (level == SOL_NETLINK && is_netlink(fd))
		return 0;
	return PERFORM(how, setsockopt, SYS_setsockopt, fd, level, option, value, length);
}

EXPORT int setsockopt(int fd, int level, int option, const void *value, socklen_t length)
{
	return any_setsockopt(fd, level, option, value, length, ORIGIN);
}

int any_getsockopt(int fd, int level, int option, void *value, socklen_t *length, struct call_origin how)
{
	int number = 0;

	if (is_netlink(fd)) {
		bool known = true;

		if (level == SOL_SOCKET && option == SO_TYPE)
			number = SOCK_RAW;
		else if (level == SOL_SOCKET && option == SO_DOMAIN)
			number = AF_NETLINK;
		else if (level == SOL_SOCKET && option == SO_PROTOCOL)
			number = NETLINK_GENERIC;
		else
			known = level == SOL_NETLINK;
		if (known)
			return (int)LIBC_RESULT(tell(&number, sizeof(number), value, length));
	}
	return PERFORM(how, getsockopt, SYS_getsockopt, fd, level, option, value, length);
}

EXPORT int getsockopt(int fd, int level, int option, void *value, socklen_t *length)
{
	return any_getsockopt(fd, level, option, value, length, ORIGIN);
}

/* --- datagrams ----------------------------------------------------------------------------------------------------------- */

long netlink_vector(int fd, const struct iovec *pieces, size_t count, int flags, bool writing, struct call_origin how)
{
	uint32_t first;
	size_t copied = 0;
	long length;

	if (writing)
		return flags & MSG_OOB ? -EOPNOTSUPP : sim_netlink_send(fd, pieces, count);
	if (flags & MSG_OOB)
		return -EOPNOTSUPP;
	/* As import_iovec: all of the array must be there, whatever of it is needed. */
	for (size_t i = 0; i < count; i++) {
		struct iovec piece;

		if (fault_safe_copy(&piece, (uint64_t)(pieces + i), sizeof(piece)) != sizeof(piece))
			return -EFAULT;
	}
	/* Waits as the driver said, by libc's function: a signal or a cancellation ends it as on any socket. */
	do {
		ssize_t ready = PERFORM(how, recvfrom, SYS_recvfrom, fd, &first, sizeof(first),
					MSG_PEEK | (flags & MSG_DONTWAIT), NULL, NULL);

		if (ready < 0)
			return -errno;
		length = sim_netlink_take(fd, pieces, count, flags & MSG_PEEK, &copied);
	} while (length == -EAGAIN); /* another thread was faster */
	return length < 0 || flags & MSG_TRUNC ? length : (long)copied;
}

/* How many bytes a receive has put there; it succeeded, so they can be read. */
static size_t total(const struct iovec *pieces, size_t count)
{
	size_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += pieces[i].iov_len;
	return sum;
}

/* As copy_msghdr_from_user. */
static long header_in(const struct msghdr *message, struct msghdr *given)
{
	if (fault_safe_copy(given, (uint64_t)message, sizeof(*given)) != sizeof(*given))
		return -EFAULT;
	if (!given->msg_name)
		given->msg_namelen = 0;
	if ((int)given->msg_namelen < 0)
		return -EINVAL;
	return given->msg_iovlen > UIO_MAXIOV ? -EMSGSIZE : 0;
}

ssize_t netlink_sendmsg(int fd, const struct msghdr *message, int flags, struct call_origin how)
{
	struct msghdr given;
	long result = header_in(message, &given);

	if (!result && given.msg_namelen)
		result = to_kernel(given.msg_name, given.msg_namelen);
	if (result)
		return LIBC_RESULT(result);
	return recorded_writev(object_of(fd), fd, given.msg_iov, (int)given.msg_iovlen, AT_POSITION, flags, how);
}

ssize_t netlink_recvmsg(int fd, struct msghdr *message, int flags, struct call_origin how)
{
	const size_t no_control = 0;
	struct msghdr given;
	long result = header_in(message, &given);
	ssize_t length;
	size_t room;
	int told;

	if (result)
		return LIBC_RESULT(result);
	length = recorded_readv(object_of(fd), fd, given.msg_iov, (int)given.msg_iovlen, AT_POSITION,
				flags | MSG_TRUNC, how);
	if (length < 0)
		return length;
	room = total(given.msg_iov, given.msg_iovlen);
	told = (size_t)length > room ? MSG_TRUNC : 0;
	/* As ____sys_recvmsg; the message is gone. */
	if (given.msg_name)
		result = tell(&of_kernel, sizeof(of_kernel), given.msg_name, &message->msg_namelen);
	if (result)
		return LIBC_RESULT(result);
	if (!fault_safe_write((uint64_t)&message->msg_flags, &told, sizeof(told)) ||
	    !fault_safe_write((uint64_t)&message->msg_controllen, &no_control, sizeof(no_control)))
		return LIBC_RESULT(-EFAULT);
	return (size_t)length > room && !(flags & MSG_TRUNC) ? (ssize_t)room : length;
}

ssize_t any_sendto(int fd, const void *bytes, size_t count, int flags, const struct sockaddr *to, socklen_t length,
		   struct call_origin how)
{
	struct iovec piece = { (void *)bytes, count };
	struct msghdr message = { .msg_name = (void *)to, .msg_namelen = length, .msg_iov = &piece, .msg_iovlen = 1 };

	if (!is_netlink(fd))
		return PERFORM(how, sendto, SYS_sendto, fd, watcher_pointer(bytes, count), count, flags, to, length);
	return netlink_sendmsg(fd, &message, flags, how);
}

EXPORT ssize_t sendto(int fd, const void *bytes, size_t count, int flags, const struct sockaddr *to, socklen_t length)
{
	return any_sendto(fd, bytes, count, flags, to, length, ORIGIN);
}

EXPORT ssize_t send(int fd, const void *bytes, size_t count, int flags)
{
	if (is_netlink(fd))
		return any_sendto(fd, bytes, count, flags, NULL, 0, ORIGIN);
	return REAL(send)(fd, watcher_pointer(bytes, count), count, flags);
}

EXPORT ssize_t __send(int fd, const void *bytes, size_t count, int flags) __attribute__((alias("send")));

ssize_t any_recvfrom(int fd, void *bytes, size_t count, int flags, struct sockaddr *from, socklen_t *length,
		     struct call_origin how)
{
	struct iovec piece = { bytes, count };
	ssize_t got;

	if (!is_netlink(fd))
		return PERFORM(how, recvfrom, SYS_recvfrom, fd, watcher_pointer(bytes, count), count, flags, from,
			       length);
	got = recorded_readv(object_of(fd), fd, &piece, 1, AT_POSITION, flags, how);
	if (got >= 0 && from) {
		long result = tell(&of_kernel, sizeof(of_kernel), from, length);

		if (result)
			return LIBC_RESULT(result);
	}
	return got;
}

EXPORT ssize_t recvfrom(int fd, void *restrict bytes, size_t count, int flags, struct sockaddr *restrict from,
			socklen_t *restrict length)
{
	return any_recvfrom(fd, bytes, count, flags, from, length, ORIGIN);
}

EXPORT ssize_t recv(int fd, void *bytes, size_t count, int flags)
{
	if (is_netlink(fd))
		return any_recvfrom(fd, bytes, count, flags, NULL, NULL, ORIGIN);
	return REAL(recv)(fd, watcher_pointer(bytes, count), count, flags);
}

/* The fortified forms abort when the buffer is too small: then they are libc's to handle. */
EXPORT ssize_t __recv_chk(int fd, void *bytes, size_t count, size_t size, int flags)
{
	if (is_netlink(fd) && count <= size)
		return any_recvfrom(fd, bytes, count, flags, NULL, NULL, ORIGIN);
	return REAL(__recv_chk)(fd, watcher_pointer(bytes, count), count, size, flags);
}

EXPORT ssize_t __recvfrom_chk(int fd, void *restrict bytes, size_t count, size_t size, int flags,
			      struct sockaddr *restrict from, socklen_t *restrict length)
{
	if (is_netlink(fd) && count <= size)
		return any_recvfrom(fd, bytes, count, flags, from, length, ORIGIN);
	return REAL(__recvfrom_chk)(fd, watcher_pointer(bytes, count), count, size, flags, from, length);
}
