// SPDX-License-Identifier: Apache-2.0
/* Connections to the server: how they are made, hidden from the driver, and spoken on. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "../core/environment.h"
#include "internal.h"

uint32_t sim_active;
char sim_directory[VFIOTAPE_SIM_DIRECTORY_MAX + 1];
char sim_root[VFIOTAPE_SIM_DIRECTORY_MAX + sizeof(VFIOTAPE_SIM_ROOT)];
size_t sim_root_length;
static uint32_t lost;

void sim_attach(void)
{
	const char *directory = environment_simulator();
	size_t length = directory ? strlen(directory) : 0;

	if (!length || directory[0] != '/' || length > VFIOTAPE_SIM_DIRECTORY_MAX || !sim_channels_attach())
		return;
	memcpy(sim_directory, directory, length + 1);
	memcpy(sim_root, directory, length);
	memcpy(sim_root + length, VFIOTAPE_SIM_ROOT, sizeof(VFIOTAPE_SIM_ROOT));
	sim_root_length = length + sizeof(VFIOTAPE_SIM_ROOT) - 1;
	__atomic_store_n(&sim_active, 1, __ATOMIC_RELEASE);
}

void sim_lost(void)
{
	static const char text[] = "vfiotape: the simulator has ended\n";

	if (!__atomic_exchange_n(&lost, 1, __ATOMIC_RELAXED))
		raw3(SYS_write, 2, (long)text, sizeof(text) - 1);
}

uint64_t sim_block_signals(void)
{
	uint64_t all = ~0ull, before = 0;

	raw4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&before, 8);
	return before;
}

void sim_restore_signals(uint64_t mask)
{
	raw4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&mask, 0, 8);
}

/* --- connections ------------------------------------------------------------------------------------------------------- */

long sim_connect(int flags)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	long fd = raw3(SYS_socket, AF_UNIX, SOCK_STREAM | flags, 0), result;
	size_t length = strlen(sim_directory);

	if (fd < 0)
		return fd;
	memcpy(address.sun_path, sim_directory, length);
	memcpy(address.sun_path + length, VFIOTAPE_SIM_SOCKET, sizeof(VFIOTAPE_SIM_SOCKET));
	do
		result = raw3(SYS_connect, fd, (long)&address, sizeof(address));
	while (result == -EINTR);
	if (!result)
		return fd;
	raw_close((int)fd);
	sim_lost();
	return -EIO;
}

/* Where drivers seldom are: not so high that the kernel would keep a large table for them. */
static int high_number(void)
{
	struct rlimit limit = { .rlim_cur = 1024 };

	raw4(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, (long)&limit);
	return limit.rlim_cur >= 4096 ? 3072 : (int)(limit.rlim_cur / 4 * 3);
}

long sim_hide(int fd)
{
	union object_entry entry = { .fd = { .kind = VFIOTAPE_OBJECT_SOCKET } };
	long high = raw3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, high_number());

	if (high < 0)
		high = raw3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 3);
	if (high < 0)
		return high;
	object_set((int)high, entry);
	return high;
}

void sim_unhide(int fd)
{
	if (sim_is_hidden(object_of(fd)))
		object_set(fd, (union object_entry){ .word = 0 });
	raw_close(fd);
}

static void advance(struct iovec **pieces, unsigned int *count, size_t done)
{
	while (*count && done >= (*pieces)->iov_len) {
		done -= (*pieces)->iov_len;
		(*pieces)++;
		(*count)--;
	}
	if (*count) {
		(*pieces)->iov_base = (char *)(*pieces)->iov_base + done;
		(*pieces)->iov_len -= done;
	}
}

long sim_send(int fd, struct iovec *pieces, unsigned int count)
{
	advance(&pieces, &count, 0);
	while (count) {
		struct msghdr message = { .msg_iov = pieces, .msg_iovlen = count };
		long sent = raw3(SYS_sendmsg, fd, (long)&message, MSG_NOSIGNAL);

		if (sent == -EINTR)
			continue;
		if (sent < 0)
			return sent;
		advance(&pieces, &count, (size_t)sent);
	}
	return 0;
}

long sim_receive(int fd, void *to, size_t length)
{
	size_t done = 0;

	while (done < length) {
		long got = raw6(SYS_recvfrom, fd, (long)to + (long)done, (long)(length - done), MSG_WAITALL, 0, 0);

		if (got == -EINTR)
			continue;
		if (got < 0)
			return got;
		if (!got)
			return -ECONNRESET;
		done += (size_t)got;
	}
	return 0;
}

long sim_introduce(int fd, struct vfiotape_sim_request *request, const void *payload, struct vfiotape_sim_reply *reply)
{
	struct iovec pieces[2] = { { request, sizeof(*request) }, { (void *)payload, request->length } };
	long result;

	request->version = VFIOTAPE_SIM_VERSION;
	request->pid = (uint32_t)raw_getpid();
	request->tid = (uint32_t)raw_gettid();
	result = sim_send(fd, pieces, 2);
	if (!result)
		result = sim_receive(fd, reply, sizeof(*reply));
	if (!result)
		return reply->result;
	sim_lost();
	return -EIO;
}
