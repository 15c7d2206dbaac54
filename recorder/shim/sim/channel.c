// SPDX-License-Identifier: Apache-2.0
/*
 * Connections to the server. A thread takes a channel for one request, with its signals blocked: a handler of the
 * driver's that makes a call of its own takes another. A forked child, however it was forked, finds the page with
 * `ours` wiped, and closes its parent's channels; one that shares our memory has descriptors of its own, so it
 * connects anew for each request.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "../core/environment.h"
#include "internal.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

#define CHANNELS 64u

struct sim_channel {
	uint32_t busy;
	int32_t number; /* of the descriptor, plus one; 0: not connected */
};

static struct sim_channel channels[CHANNELS];

static struct owner {
	uint32_t pid; /* whose channels they are; 0: nobody's yet, or our parent's */
	uint32_t cleaning;
} __attribute__((aligned(4096))) ours;

uint32_t sim_active;
char sim_directory[VFIOTAPE_SIM_DIRECTORY_MAX + 1];
char sim_root[VFIOTAPE_SIM_DIRECTORY_MAX + sizeof(VFIOTAPE_SIM_ROOT)];
size_t sim_root_length;
static uint32_t lost;

void sim_attach(void)
{
	const char *directory = environment_simulator();
	size_t length = directory ? strlen(directory) : 0;

	if (!length || directory[0] != '/' || length > VFIOTAPE_SIM_DIRECTORY_MAX ||
	    raw_madvise(&ours, sizeof(ours), MADV_WIPEONFORK) != 0)
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

static long new_channel(void)
{
	struct vfiotape_sim_request hello = { .type = VFIOTAPE_SIM_CHANNEL, .a = (uint64_t)raw_getppid() };
	struct vfiotape_sim_reply reply;
	long fd = sim_connect(SOCK_CLOEXEC), result;

	if (fd < 0)
		return fd;
	result = sim_introduce((int)fd, &hello, NULL, &reply);
	if (!result)
		return fd;
	raw_close((int)fd);
	return -EIO;
}

/* --- the pool ------------------------------------------------------------------------------------------------------------ */

/* In a forked child: the connections are the parent's, which is not to be kept from hanging up. */
static void drop_parents(void)
{
	for (unsigned int i = 0; i < CHANNELS; i++) {
		if (channels[i].number)
			sim_unhide(channels[i].number - 1);
		channels[i] = (struct sim_channel){ 0 };
	}
}

static void claim_pool(uint32_t pid)
{
	if (__atomic_exchange_n(&ours.cleaning, 1, __ATOMIC_ACQ_REL)) {
		while (!__atomic_load_n(&ours.pid, __ATOMIC_ACQUIRE))
			raw_nanosleep(50000);
		return;
	}
	drop_parents();
	sim_service_drop();
	__atomic_store_n(&ours.pid, pid, __ATOMIC_RELEASE);
}

static long connect_channel(struct sim_channel *channel)
{
	long low = new_channel(), fd;

	if (low < 0)
		return low;
	fd = sim_hide((int)low);
	raw_close((int)low);
	if (fd >= 0)
		channel->number = (int32_t)fd + 1;
	return fd;
}

/* Signals are blocked. */
static struct sim_channel *take_channel(void)
{
	for (;;) {
		for (unsigned int i = 0; i < CHANNELS; i++) {
			if (!__atomic_load_n(&channels[i].busy, __ATOMIC_RELAXED) &&
			    !__atomic_exchange_n(&channels[i].busy, 1, __ATOMIC_ACQUIRE))
				return &channels[i];
		}
		raw_nanosleep(50000);
	}
}

static long open_call(struct sim_call *call)
{
	uint32_t pid = call->request.pid;
	long fd;

	call->channel = NULL;
	if (!__atomic_load_n(&ours.pid, __ATOMIC_ACQUIRE))
		claim_pool(pid);
	if (__atomic_load_n(&ours.pid, __ATOMIC_ACQUIRE) != pid) {
		fd = new_channel(); /* a child that shares our memory */
	} else {
		call->channel = take_channel();
		fd = call->channel->number ? call->channel->number - 1 : connect_channel(call->channel);
	}
	call->fd = (int)fd;
	return fd;
}

static void close_call(struct sim_call *call)
{
	if (call->channel)
		__atomic_store_n(&call->channel->busy, 0, __ATOMIC_RELEASE);
	else if (call->fd >= 0)
		raw_close(call->fd);
}

/* The server is gone, or what it says can't be understood: this connection is of no more use. */
static long broken(struct sim_call *call)
{
	sim_lost();
	if (call->channel && call->fd >= 0) {
		sim_unhide(call->fd);
		call->channel->number = 0;
	} else if (call->fd >= 0) {
		raw_close(call->fd);
	}
	call->fd = -1;
	call->left = 0;
	return -EIO;
}

void sim_begin(struct sim_call *call, enum vfiotape_sim_type type, uint64_t file)
{
	call->request = (struct vfiotape_sim_request){
		.type = (uint16_t)type,
		.pid = (uint32_t)raw_getpid(),
		.tid = (uint32_t)raw_gettid(),
		.file = file,
	};
	call->left = 0;
	call->mask = sim_block_signals();
	open_call(call);
}

long sim_ask(struct sim_call *call, const void *payload, size_t length)
{
	struct iovec pieces[2] = { { &call->request, sizeof(call->request) }, { (void *)payload, length } };

	if (call->fd < 0)
		return -EIO;
	call->request.length = (uint32_t)length;
	if (sim_send(call->fd, pieces, 2) || sim_receive(call->fd, &call->reply, sizeof(call->reply)) ||
	    call->reply.type != call->request.type || call->reply.length > VFIOTAPE_SIM_DATA_MAX)
		return broken(call);
	call->left = call->reply.length;
	return call->reply.result;
}

static void drop(struct sim_call *call)
{
	char bin[512];

	while (call->left && call->fd >= 0) {
		size_t piece = call->left < sizeof(bin) ? call->left : sizeof(bin);

		if (sim_receive(call->fd, bin, piece)) {
			broken(call);
			return;
		}
		call->left -= piece;
	}
}

/*
 * How much of a payload has arrived at a bad address can't be told. The next connection is made before this one is closed:
 * a process without any is gone, for the server.
 */
static void replace(struct sim_call *call)
{
	int former = call->fd;

	call->left = 0;
	call->fd = -1;
	if (call->channel) {
		connect_channel(call->channel);
		if (call->channel->number == former + 1)
			call->channel->number = 0;
		call->fd = call->channel->number - 1;
		sim_unhide(former);
	} else {
		raw_close(former);
	}
}

long sim_take(struct sim_call *call, uint64_t to, size_t length)
{
	long result;

	if (length > call->left)
		return broken(call);
	result = length ? sim_receive(call->fd, (void *)to, length) : 0;
	if (!result) {
		call->left -= length;
		return 0;
	}
	if (result != -EFAULT)
		return broken(call);
	replace(call);
	return -EFAULT;
}

void sim_end(struct sim_call *call)
{
	drop(call);
	close_call(call);
	sim_restore_signals(call->mask);
}

/* --- hidden from the driver ------------------------------------------------------------------------------------------------ */

void sim_move_away(int fd)
{
	uint64_t mask = sim_block_signals();

	for (unsigned int i = 0; i < CHANNELS; i++) {
		struct sim_channel *channel = &channels[i];

		if (channel->number != fd + 1)
			continue;
		while (__atomic_exchange_n(&channel->busy, 1, __ATOMIC_ACQUIRE))
			raw_nanosleep(20000);
		if (channel->number == fd + 1) {
			long moved = sim_hide(fd);

			channel->number = moved < 0 ? 0 : (int32_t)moved + 1;
		}
		__atomic_store_n(&channel->busy, 0, __ATOMIC_RELEASE);
	}
	sim_service_move_away(fd);
	object_set(fd, (union object_entry){ .word = 0 });
	sim_restore_signals(mask);
}

struct holes {
	unsigned int next, flags;
	long result;
};

static void close_up_to(int fd, union object_entry entry, void *context)
{
	struct holes *holes = context;

	if (!sim_is_hidden(entry))
		return;
	if ((unsigned int)fd > holes->next && !holes->result)
		holes->result = raw3(SYS_close_range, holes->next, fd - 1, holes->flags);
	holes->next = (unsigned int)fd + 1;
}

long sim_close_range(unsigned int first, unsigned int last, unsigned int flags)
{
	struct holes holes = { first, flags, 0 };

	if (first > last || flags & ~6u || !simulating() || !objects_are_ours())
		return raw3(SYS_close_range, first, last, flags);
	objects_each_entry(first, last, close_up_to, &holes);
	if (holes.result || holes.next > last)
		return holes.result;
	return raw3(SYS_close_range, holes.next, last, flags);
}

/* --- processes ----------------------------------------------------------------------------------------------------------------- */

void sim_forked(int child)
{
	struct sim_call call;

	if (!ours.pid || child <= 0)
		return;
	sim_begin(&call, VFIOTAPE_SIM_FORKED, 0);
	call.request.a = (uint64_t)child;
	sim_ask(&call, NULL, 0);
	sim_end(&call);
}

void sim_in_child(void)
{
	struct sim_call call;
	bool used = false;

	if (shim_session.mode == SHIM_SIMULATING)
		shim_process.pid = (uint32_t)raw_getpid();
	for (unsigned int i = 0; i < CHANNELS; i++)
		used |= channels[i].number != 0;
	if (!used)
		return; /* the parent had nothing to do with devices either */
	sim_begin(&call, VFIOTAPE_SIM_FILE, 0); /* by being connected it is known that the child lives */
	sim_end(&call);
	/* Should the parent end first, its interrupts' eventfds are signalled from here. */
	if (sim_service_has_tokens())
		sim_service_start();
}
