// SPDX-License-Identifier: Apache-2.0
/*
 * The process's channels. A thread takes a channel for one request, with its signals blocked: a handler of the
 * driver's that makes a call of its own takes another. A forked child, however it was forked, finds the page with
 * `ours` wiped, and closes its parent's channels; one that shares our memory has descriptors of its own, so it
 * connects anew for each request.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

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

bool sim_channels_attach(void)
{
	return raw_madvise(&ours, sizeof(ours), MADV_WIPEONFORK) == 0;
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
	return result < 0 ? result : -EIO;
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

static bool any_connected(void)
{
	for (unsigned int i = 0; i < CHANNELS; i++) {
		if (__atomic_load_n(&channels[i].number, __ATOMIC_RELAXED))
			return true;
	}
	return false;
}

static long connect_channel(struct sim_channel *channel)
{
	long low = new_channel(), fd;

	if (low < 0)
		return low;
	fd = sim_hide((int)low);
	if (fd == -EMFILE && !any_connected()) {
		fd = low; /* the last number that there is */
		object_set((int)fd, (union object_entry){ .fd = { .kind = VFIOTAPE_OBJECT_SOCKET } });
	} else {
		raw_close((int)low);
	}
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

/* Waits for one that is connected already; NULL when none is. */
static struct sim_channel *take_connected(void)
{
	while (any_connected()) {
		for (unsigned int i = 0; i < CHANNELS; i++) {
			struct sim_channel *channel = &channels[i];

			if (!__atomic_load_n(&channel->number, __ATOMIC_RELAXED) ||
			    __atomic_exchange_n(&channel->busy, 1, __ATOMIC_ACQUIRE))
				continue;
			if (channel->number)
				return channel;
			__atomic_store_n(&channel->busy, 0, __ATOMIC_RELEASE);
		}
		raw_nanosleep(50000);
	}
	return NULL;
}

static long connect_or_share(struct sim_call *call)
{
	long fd = connect_channel(call->channel);
	struct sim_channel *other;

	/* A driver that has used up its descriptors still makes calls on those that it has. */
	if (fd != -EMFILE && fd != -ENFILE)
		return fd;
	__atomic_store_n(&call->channel->busy, 0, __ATOMIC_RELEASE);
	call->channel = NULL;
	other = take_connected();
	if (!other)
		return fd;
	call->channel = other;
	return other->number - 1;
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
		fd = call->channel->number ? call->channel->number - 1 : connect_or_share(call);
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
	call->fd = -EIO;
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
		return call->fd;
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
	call->fd = -EIO;
	if (call->channel) {
		connect_channel(call->channel);
		if (call->channel->number == former + 1)
			call->channel->number = 0;
		if (call->channel->number)
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

	sim_netlink_in_child();
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
