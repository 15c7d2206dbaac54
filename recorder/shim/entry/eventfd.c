// SPDX-License-Identifier: Apache-2.0
/* eventfds: how a driver hears of interrupts, and rings doorbells of its own. */
#include "calls.h"

int recorded_eventfd(unsigned int initial, int flags, struct call_origin how)
{
	uint64_t entered = shim_clock();
	int fd = PERFORM(how, eventfd, SYS_eventfd2, initial, flags);
	struct ring_event event = {
		.entered = entered,
		.left = shim_clock(),
		.site = how.site,
		.value = initial,
		.result = (uint64_t)(int64_t)fd,
		.op = (uint32_t)flags,
		.fd = fd,
		.error = fd < 0 ? errno : 0,
		.kind = VFIOTAPE_EVENTFD,
		.flags = how.flags,
	};
	struct ring_thread *ring;

	if (likely(shim_session.mode == SHIM_PASSIVE))
		return fd;
	ring = ring_enter();
	if (shim_session.mode != SHIM_RECORDING || !objects_are_ours())
		return fd;
	if (fd >= 0)
		event.object = object_add(fd, VFIOTAPE_OBJECT_EVENTFD).fd.object;
	if (ring)
		ring_write(ring, &event);
	return fd;
}

EXPORT int eventfd(unsigned int initial, int flags)
{
	return recorded_eventfd(initial, flags, ORIGIN);
}

/* libc's own forms read and write without going through the symbols that are wrapped. */
EXPORT int eventfd_read(int fd, eventfd_t *value)
{
	union object_entry entry = object_of(fd);
	ssize_t got = unlikely(entry.fd.flags & OBJECT_IO) ? recorded_read(entry, fd, value, sizeof(*value), ORIGIN) :
							     REAL(read)(fd, value, sizeof(*value));

	return got == (ssize_t)sizeof(*value) ? 0 : -1;
}

EXPORT int eventfd_write(int fd, eventfd_t value)
{
	union object_entry entry = object_of(fd);
	ssize_t put = unlikely(entry.fd.flags & OBJECT_IO) ?
			      recorded_write(entry, fd, &value, sizeof(value), ORIGIN) :
			      REAL(write)(fd, &value, sizeof(value));

	return put == (ssize_t)sizeof(value) ? 0 : -1;
}
