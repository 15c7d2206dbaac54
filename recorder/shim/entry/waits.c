// SPDX-License-Identifier: Apache-2.0
/*
 * poll, select, epoll: when the driver wakes for an interrupt. What is stamped is the wake-up, with what was ready; the
 * eventfd's counter follows in its read. A relay or an observer thread would stamp a microsecond or two earlier and
 * slow the driver by more.
 */
#include "calls.h"

#define WATCHING unlikely(__atomic_load_n(&objects_interrupts, __ATOMIC_RELAXED))

static void record_wake(int fd, union object_entry entry, uint64_t events, int result, struct wait_origin wait,
			uint64_t left)
{
	struct ring_thread *ring = ring_enter();
	struct ring_event event = {
		.entered = wait.entered,
		.left = left,
		.site = wait.how.site,
		.value = events,
		.result = (uint64_t)(int64_t)result,
		.object = entry.fd.object,
		.op = (uint32_t)wait.op,
		.fd = fd,
		.kind = VFIOTAPE_WAKE,
		.flags = wait.how.flags,
	};

	if (ring)
		ring_write(ring, &event);
}

void record_ready_poll(const struct pollfd *fds, nfds_t count, int result, struct wait_origin wait)
{
	uint64_t left = wait.left ? wait.left : shim_clock();

	for (nfds_t i = 0; i < count; i++) {
		union object_entry entry;

		if (!fds[i].revents)
			continue;
		entry = object_of(fds[i].fd);
		if (unlikely(entry.fd.flags & OBJECT_INTERRUPT))
			record_wake(fds[i].fd, entry, (uint16_t)fds[i].revents, result, wait, left);
	}
}

void record_ready_select(int count, const fd_set *readable, int result, struct wait_origin wait)
{
	uint64_t left = wait.left ? wait.left : shim_clock();

	for (int fd = 0; readable && fd < count; fd++) {
		union object_entry entry = object_of(fd);

		/* A set may be larger than FD_SETSIZE: its words are looked at, not FD_ISSET's checked form. */
		if (unlikely(entry.fd.flags & OBJECT_INTERRUPT) &&
		    ((const uint64_t *)readable)[fd / 64] & 1ull << (fd % 64))
			record_wake(fd, entry, POLLIN, result, wait, left);
	}
}

void record_ready_epoll(int epoll, const struct epoll_event *events, int result, struct wait_origin wait)
{
	uint64_t left = wait.left ? wait.left : shim_clock();
	uint32_t object = object_of(epoll).fd.object;

	for (int i = 0; object && i < result; i++) {
		int fd = epoll_map_find(object, events[i].data.u64);
		union object_entry entry = object_of(fd);

		if (unlikely(entry.fd.flags & OBJECT_INTERRUPT))
			record_wake(fd, entry, events[i].events, result, wait, left);
	}
}

/* Whether it may wake the driver for a device: an interrupt's eventfd, or an epoll that holds one. */
static bool may_interrupt(int fd)
{
	union object_entry entry = object_of(fd);

	if (entry.fd.kind != VFIOTAPE_OBJECT_EPOLL)
		return entry.fd.flags & OBJECT_INTERRUPT;
	for (uint32_t at = 0; (fd = epoll_map_next(entry.fd.object, &at)) >= 0;)
		if (object_of(fd).fd.flags & OBJECT_INTERRUPT)
			return true;
	return false;
}

/* Nothing has looked at the arguments yet: they may not be there. */
COLD static bool may_interrupt_poll(const struct pollfd *fds, nfds_t count)
{
	struct pollfd some[16];

	for (nfds_t i = 0; i < count; i++) {
		size_t length = (count - i < 16 ? count - i : 16) * sizeof(some[0]);

		if (i % 16 == 0 && fault_safe_copy(some, (uint64_t)(fds + i), length) != length)
			return false;
		if (may_interrupt(some[i % 16].fd))
			return true;
	}
	return false;
}

COLD static bool may_interrupt_select(int count, const fd_set *readable)
{
	uint64_t word = 0;

	for (int fd = 0; readable && fd < count; fd++) {
		if (fd % 64 == 0 && fault_safe_copy(&word, (uint64_t)readable + (uint64_t)fd / 8, sizeof(word)) != sizeof(word))
			return false;
		if (word & 1ull << (fd % 64) && may_interrupt(fd))
			return true;
	}
	return false;
}

/* While memory is compared, before and after what may sleep until a device interrupts. */
#define WAIT_BEGIN(op_, sleeps)                                                                                        \
	struct wait_origin wait = { ORIGIN, WATCHING ? shim_clock() : 0, 0, op_ };                                        \
	struct dma_threads threads_;                                                                                   \
	bool compares_ = dma_comparing() && wait.entered && (sleeps);                                                  \
                                                                                                                       \
	if (compares_) {                                                                                               \
		dma_before_sleep(&threads_);                                                                           \
		wait.entered = shim_clock();                                                                           \
	}
#define WAIT_END                                                                                                       \
	if (compares_) {                                                                                               \
		wait.left = shim_clock();                                                                              \
		dma_after_sleep(&threads_);                                                                            \
	}

EXPORT int poll(struct pollfd *fds, nfds_t count, int timeout)
{
	WAIT_BEGIN(VFIOTAPE_WAIT_POLL, timeout && may_interrupt_poll(fds, count))
	int result = REAL(poll)(fds, count, timeout);

	WAIT_END
	if (result > 0 && wait.entered)
		record_ready_poll(fds, count, result, wait);
	return result;
}

EXPORT int __poll(struct pollfd *fds, nfds_t count, int timeout) __attribute__((alias("poll")));

EXPORT int __poll_chk(struct pollfd *fds, nfds_t count, int timeout, size_t size)
{
	WAIT_BEGIN(VFIOTAPE_WAIT_POLL, timeout && may_interrupt_poll(fds, count))
	int result = REAL(__poll_chk)(fds, count, timeout, size);

	WAIT_END
	if (result > 0 && wait.entered)
		record_ready_poll(fds, count, result, wait);
	return result;
}

EXPORT int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask)
{
	WAIT_BEGIN(VFIOTAPE_WAIT_PPOLL, may_interrupt_poll(fds, count))
	sigset_t room;
	int result = REAL(ppoll)(fds, count, timeout, unshared_mask(mask, &room));

	WAIT_END
	if (result > 0 && wait.entered)
		record_ready_poll(fds, count, result, wait);
	return result;
}

EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask,
		       size_t size)
{
	WAIT_BEGIN(VFIOTAPE_WAIT_PPOLL, may_interrupt_poll(fds, count))
	sigset_t room;
	int result = REAL(__ppoll_chk)(fds, count, timeout, unshared_mask(mask, &room), size);

	WAIT_END
	if (result > 0 && wait.entered)
		record_ready_poll(fds, count, result, wait);
	return result;
}

EXPORT int select(int count, fd_set *readable, fd_set *writable, fd_set *exceptional, struct timeval *timeout)
{
	WAIT_BEGIN(VFIOTAPE_WAIT_SELECT, may_interrupt_select(count, readable))
	int result = REAL(select)(count, readable, writable, exceptional, timeout);

	WAIT_END
	if (result > 0 && wait.entered)
		record_ready_select(count, readable, result, wait);
	return result;
}

EXPORT int __select(int count, fd_set *readable, fd_set *writable, fd_set *exceptional, struct timeval *timeout)
	__attribute__((alias("select")));

EXPORT int pselect(int count, fd_set *readable, fd_set *writable, fd_set *exceptional, const struct timespec *timeout,
		   const sigset_t *mask)
{
	WAIT_BEGIN(VFIOTAPE_WAIT_PSELECT, may_interrupt_select(count, readable))
	sigset_t room;
	int result = REAL(pselect)(count, readable, writable, exceptional, timeout, unshared_mask(mask, &room));

	WAIT_END
	if (result > 0 && wait.entered)
		record_ready_select(count, readable, result, wait);
	return result;
}

/* --- epoll -------------------------------------------------------------------------------------------------------- */

int recorded_epoll_create(int flags, struct call_origin how)
{
	int fd = PERFORM(how, epoll_create1, SYS_epoll_create1, flags);

	/* Known, so that its close takes its part of the map with it. */
	if (fd >= 0 && shim_session.mode == SHIM_RECORDING && objects_are_ours())
		object_add(fd, VFIOTAPE_OBJECT_EPOLL);
	return fd;
}

EXPORT int epoll_create1(int flags)
{
	return recorded_epoll_create(flags, ORIGIN);
}

EXPORT int epoll_create(int size)
{
	if (size <= 0) {
		errno = EINVAL;
		return -1;
	}
	return recorded_epoll_create(0, ORIGIN);
}

/* Once in a process: some interrupt's wake-ups will not be seen. */
static void lost_track(void)
{
	static uint32_t told;
	struct ring_thread *ring;

	if (__atomic_exchange_n(&told, 1, __ATOMIC_RELAXED) || !(ring = ring_enter()))
		return;
	ring_write(ring, &(struct ring_event){
				 .entered = shim_clock(),
				 .offset = VFIOTAPE_LOSS_INTERNAL,
				 .value = 1,
				 .op = VFIOTAPE_LOSS_INTERNAL,
				 .fd = -1,
				 .kind = VFIOTAPE_LOST,
			 });
	shim_count_loss(&shim_session.control->lost_other, 1);
}

/* A connection can be; a VFIO file has no poll, but for the queues of events and netlink's sockets. */
static bool cannot_be_polled(union object_entry entry)
{
	return entry.fd.flags & OBJECT_SIMULATED && entry.fd.kind != VFIOTAPE_OBJECT_FAULT_QUEUE &&
	       entry.fd.kind != VFIOTAPE_OBJECT_VEVENTQ && entry.fd.kind != VFIOTAPE_OBJECT_LYON_NETLINK;
}

int any_epoll_ctl(int epoll, int op, int fd, struct epoll_event *event, struct call_origin how)
{
	union object_entry entry;
	int result;

	if (simulating() && cannot_be_polled(object_of(fd)))
		return (int)LIBC_RESULT(-EPERM);
	result = PERFORM(how, epoll_ctl, SYS_epoll_ctl, epoll, op, fd, event);
	/* All eventfds, since a driver may wait first and tie the interrupt later. */
	if (likely(result != 0 || object_of(fd).fd.kind != VFIOTAPE_OBJECT_EVENTFD))
		return result;
	if (shim_session.mode != SHIM_RECORDING || !objects_are_ours())
		return result;
	entry = object_of(epoll);
	if (entry.fd.kind != VFIOTAPE_OBJECT_EPOLL) /* made past us */
		entry = object_add(epoll, VFIOTAPE_OBJECT_EPOLL);
	if (op == EPOLL_CTL_DEL)
		epoll_map_remove(entry.fd.object, fd);
	else if (!epoll_map_set(entry.fd.object, fd, event->data.u64))
		lost_track();
	return result;
}

EXPORT int epoll_ctl(int epoll, int op, int fd, struct epoll_event *event)
{
	return any_epoll_ctl(epoll, op, fd, event, ORIGIN);
}

EXPORT int epoll_wait(int epoll, struct epoll_event *events, int most, int timeout)
{
	WAIT_BEGIN(VFIOTAPE_WAIT_EPOLL, timeout && may_interrupt(epoll))
	int result = REAL(epoll_wait)(epoll, events, most, timeout);

	WAIT_END
	if (result > 0 && wait.entered)
		record_ready_epoll(epoll, events, result, wait);
	return result;
}

EXPORT int epoll_pwait(int epoll, struct epoll_event *events, int most, int timeout, const sigset_t *mask)
{
	WAIT_BEGIN(VFIOTAPE_WAIT_EPOLL_PWAIT, timeout && may_interrupt(epoll))
	sigset_t room;
	int result = REAL(epoll_pwait)(epoll, events, most, timeout, unshared_mask(mask, &room));

	WAIT_END
	if (result > 0 && wait.entered)
		record_ready_epoll(epoll, events, result, wait);
	return result;
}

int epoll_pwait2(int epoll, struct epoll_event *events, int most, const struct timespec *timeout, const sigset_t *mask);

EXPORT int epoll_pwait2(int epoll, struct epoll_event *events, int most, const struct timespec *timeout,
			const sigset_t *mask)
{
	WAIT_BEGIN(VFIOTAPE_WAIT_EPOLL_PWAIT2, may_interrupt(epoll))
	sigset_t room;
	int result;

	mask = unshared_mask(mask, &room);
	if (real_epoll_pwait2()) /* since glibc 2.35 */
		result = real_epoll_pwait2()(epoll, events, most, timeout, mask);
	else
		result = (int)LIBC_RESULT(raw6(SYS_epoll_pwait2, epoll, (long)events, most, (long)timeout, (long)mask, 8));
	WAIT_END
	if (result > 0 && wait.entered)
		record_ready_epoll(epoll, events, result, wait);
	return result;
}
