// SPDX-License-Identifier: Apache-2.0
/* How simulated VFIO files are opened, known and closed. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "internal.h"

uint64_t sim_inode(int fd)
{
	struct stat status;

	return raw3(SYS_fstat, fd, (long)&status, 0) == 0 && S_ISSOCK(status.st_mode) ? status.st_ino : 0;
}

static long open_connection(int fd, const char *node, int flags, uint32_t mode)
{
	struct vfiotape_sim_request request = {
		.length = (uint32_t)strlen(node),
		.type = VFIOTAPE_SIM_OPEN,
		.file = sim_inode(fd),
		.a = (uint64_t)(uint32_t)flags,
		.b = mode,
	};
	struct vfiotape_sim_reply reply;
	long result = sim_introduce(fd, &request, node, &reply);

	if (result < 0)
		return result;
	if (flags & O_NONBLOCK)
		raw3(SYS_fcntl, fd, F_SETFL, O_RDWR | O_NONBLOCK);
	return fd;
}

/* A first channel, while there are numbers: what is open can be used, though no more can be opened. */
static long reserve_channel(void)
{
	struct sim_call call;
	long fd;

	sim_begin(&call, VFIOTAPE_SIM_FILE, 0);
	fd = call.fd;
	sim_end(&call);
	return fd;
}

long sim_open(const char *node, int flags, uint32_t mode)
{
	uint64_t mask = sim_block_signals();
	long fd = reserve_channel(), result;

	if (fd >= 0)
		fd = sim_connect(flags & O_CLOEXEC ? SOCK_CLOEXEC : 0);
	result = fd;
	if (fd >= 0) {
		result = open_connection((int)fd, node, flags, mode);
		if (result < 0)
			raw_close((int)fd);
	}
	sim_restore_signals(mask);
	return result;
}

/* Whose socket it is can be told by what it is connected to. */
static bool is_ours(int fd)
{
	struct sockaddr_un address = { .sun_family = AF_UNSPEC };
	uint32_t length = sizeof(address);
	size_t directory = strlen(sim_directory);

	return raw3(SYS_getpeername, fd, (long)&address, (long)&length) == 0 && address.sun_family == AF_UNIX &&
	       !strncmp(address.sun_path, sim_directory, directory) &&
	       !strcmp(address.sun_path + directory, VFIOTAPE_SIM_SOCKET);
}

static long ask_what(int fd, struct sim_call *call, char *link, size_t room)
{
	long result;
	size_t length;

	sim_begin(call, VFIOTAPE_SIM_FILE, sim_inode(fd));
	result = sim_ask(call, NULL, 0);
	length = call->left < room ? call->left : room - 1;
	if (result < 0 || sim_take(call, (uint64_t)link, length))
		length = 0;
	link[length] = 0;
	sim_end(call);
	return result;
}

enum vfiotape_object_kind sim_kind_of(int fd, char *link, size_t room)
{
	struct sim_call call;

	if (!simulating() || sim_is_hidden(object_of(fd)) || !is_ours(fd) || ask_what(fd, &call, link, room) < 0)
		return VFIOTAPE_OBJECT_NONE;
	return call.reply.b < VFIOTAPE_OBJECT_KIND_END ? (enum vfiotape_object_kind)call.reply.b :
							 VFIOTAPE_OBJECT_NONE;
}

void sim_fstat(int fd, uint32_t *mode, uint64_t *device)
{
	struct sim_call call;
	char link[256];

	*mode = S_IRUSR | S_IWUSR; /* an anonymous inode's: it has no type */
	*device = 0;
	if (ask_what(fd, &call, link, sizeof(link)) < 0)
		return;
	if (call.reply.b == VFIOTAPE_OBJECT_LYON_NETLINK)
		*mode = S_IFSOCK | 0777;
	if (!call.reply.a)
		return;
	*mode = S_IFCHR | 0666;
	*device = call.reply.a;
}

void sim_closed(uint64_t inode)
{
	struct sim_call call;

	sim_begin(&call, VFIOTAPE_SIM_CLOSED, inode);
	sim_ask(&call, NULL, 0);
	sim_end(&call);
}
