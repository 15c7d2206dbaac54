// SPDX-License-Identifier: Apache-2.0
/* sendmsg and recvmsg: descriptors that travel between processes (SCM_RIGHTS): vhost-user, vfio-user, DPDK's secondaries. */
#include <string.h>
#include <sys/stat.h>

#include "calls.h"

/* Calls visit for each descriptor in a message's control data. */
static void each_fd(const struct msghdr *message, void (*visit)(int fd, unsigned int number, void *context),
		    void *context)
{
	unsigned int number = 0;

	if (!message->msg_control)
		return;
	for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR((struct msghdr *)message, part)) {
		size_t bytes = part->cmsg_len > CMSG_LEN(0) ? part->cmsg_len - CMSG_LEN(0) : 0;

		if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; at + sizeof(int) <= bytes; at += sizeof(int)) {
			int fd;

			memcpy(&fd, CMSG_DATA(part) + at, sizeof(fd));
			visit(fd, number++, context);
		}
	}
}

struct passing {
	struct ring_event event;
};

static uint64_t inode_of(int socket)
{
	struct stat status;

	return raw3(SYS_fstat, socket, (long)&status, 0) == 0 ? status.st_ino : 0;
}

static void sent(int fd, unsigned int number, void *context)
{
	struct passing *passing = context;
	union object_entry entry = object_of(fd);
	struct ring_thread *ring;

	if (!entry.fd.kind || !(ring = ring_enter()))
		return;
	passing->event.object = entry.fd.object;
	passing->event.op = number;
	passing->event.fd = fd;
	ring_write(ring, &passing->event);
}

static void received(int fd, unsigned int number, void *context)
{
	struct passing *passing = context;
	uint32_t numbers[2] = { 0, 0 };
	struct ring_segment segment = { .role = VFIOTAPE_ROLE_KIND, .length = sizeof(numbers), .bytes = numbers };
	struct ring_thread *ring = ring_enter();
	union object_entry entry;

	if (!objects_are_ours())
		return;
	object_forget(fd);
	entry = object_received(fd);
	if (!entry.fd.kind || !ring)
		return;
	passing->event.object = entry.fd.object;
	passing->event.op = number;
	passing->event.fd = fd;
	numbers[0] = entry.fd.kind;
	ring_write_with(ring, &passing->event, &segment, 1);
}

static bool carries(const struct msghdr *message)
{
	return message && message->msg_control && message->msg_controllen >= CMSG_LEN(sizeof(int));
}

static struct passing passing_of(uint8_t kind, int socket, uint64_t entered, ssize_t result, struct call_origin how)
{
	return (struct passing){
		.event = {
			.entered = entered,
			.left = shim_clock(),
			.site = how.site,
			.value = inode_of(socket),
			.result = (uint64_t)result,
			.kind = kind,
			.flags = how.flags,
		},
	};
}

ssize_t any_sendmsg(int socket, const struct msghdr *message, int flags, struct call_origin how)
{
	uint64_t entered;
	ssize_t result;

	if (is_netlink(socket))
		return netlink_sendmsg(socket, message, flags, how);
	if (likely(shim_session.mode != SHIM_RECORDING))
		return PERFORM(how, sendmsg, SYS_sendmsg, socket, message, flags);
	entered = shim_clock();
	result = PERFORM(how, sendmsg, SYS_sendmsg, socket, message, flags);
	/* It succeeded: the kernel has read what we are about to read. */
	if (unlikely(result >= 0 && carries(message))) {
		struct passing passing = passing_of(VFIOTAPE_SEND_FD, socket, entered, result, how);

		each_fd(message, sent, &passing);
	}
	return result;
}

EXPORT ssize_t sendmsg(int socket, const struct msghdr *message, int flags)
{
	return any_sendmsg(socket, message, flags, ORIGIN);
}

ssize_t any_recvmsg(int socket, struct msghdr *message, int flags, struct call_origin how)
{
	uint64_t entered;
	ssize_t result;

	if (is_netlink(socket))
		return netlink_recvmsg(socket, message, flags, how);
	if (likely(shim_session.mode == SHIM_PASSIVE))
		return PERFORM(how, recvmsg, SYS_recvmsg, socket, message, flags);
	entered = shim_clock();
	result = PERFORM(how, recvmsg, SYS_recvmsg, socket, message, flags);
	if (unlikely(result >= 0 && carries(message))) {
		struct passing passing = passing_of(VFIOTAPE_RECV_FD, socket, entered, result, how);

		each_fd(message, received, &passing);
	}
	return result;
}

EXPORT ssize_t recvmsg(int socket, struct msghdr *message, int flags)
{
	return any_recvmsg(socket, message, flags, ORIGIN);
}

static long length_out(struct mmsghdr *message, unsigned int length)
{
	return fault_safe_write((uint64_t)&message->msg_len, &length, sizeof(length)) ? 0 : LIBC_RESULT(-EFAULT);
}

int any_sendmmsg(int socket, struct mmsghdr *messages, unsigned int count, int flags, struct call_origin how)
{
	uint64_t entered = shim_clock();
	int result;

	if (is_netlink(socket)) {
		if (count > UIO_MAXIOV)
			count = UIO_MAXIOV;
		for (result = 0; (unsigned int)result < count; result++) {
			ssize_t sent = netlink_sendmsg(socket, &messages[result].msg_hdr, flags, how);

			if (sent >= 0)
				sent = length_out(&messages[result], (unsigned int)sent);
			if (sent < 0)
				return result ? result : -1;
		}
		return result;
	}
	result = PERFORM(how, sendmmsg, SYS_sendmmsg, socket, messages, count, flags);

	for (int i = 0; shim_session.mode == SHIM_RECORDING && i < result; i++) {
		if (unlikely(carries(&messages[i].msg_hdr))) {
			struct passing passing = passing_of(VFIOTAPE_SEND_FD, socket, entered, messages[i].msg_len, how);

			each_fd(&messages[i].msg_hdr, sent, &passing);
		}
	}
	return result;
}

EXPORT int sendmmsg(int socket, struct mmsghdr *messages, unsigned int count, int flags)
{
	return any_sendmmsg(socket, messages, count, flags, ORIGIN);
}

int any_recvmmsg(int socket, struct mmsghdr *messages, unsigned int count, int flags, struct timespec *timeout,
		 struct call_origin how)
{
	uint64_t entered = shim_clock();
	int result;

	/* The time limit is looked at between messages: one message is what a caller may count on. */
	if (is_netlink(socket)) {
		ssize_t got = count ? netlink_recvmsg(socket, &messages[0].msg_hdr, flags & ~MSG_WAITFORONE, how) : 0;

		if (got < 0 || !count)
			return (int)got;
		return length_out(&messages[0], (unsigned int)got) < 0 ? -1 : 1;
	}
	result = PERFORM(how, recvmmsg, SYS_recvmmsg, socket, messages, count, flags, timeout);

	for (int i = 0; shim_session.mode != SHIM_PASSIVE && i < result; i++) {
		if (unlikely(carries(&messages[i].msg_hdr))) {
			struct passing passing = passing_of(VFIOTAPE_RECV_FD, socket, entered, messages[i].msg_len, how);

			each_fd(&messages[i].msg_hdr, received, &passing);
		}
	}
	return result;
}

EXPORT int recvmmsg(int socket, struct mmsghdr *messages, unsigned int count, int flags, struct timespec *timeout)
{
	return any_recvmmsg(socket, messages, count, flags, timeout, ORIGIN);
}
