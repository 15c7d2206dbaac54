// SPDX-License-Identifier: Apache-2.0
/* ioctl: what VFIO is made of. */
#include <linux/userfaultfd.h>
#include <stdarg.h>
#include <string.h>

#include "../core/fault_safe.h"
#include "../core/ioctl_arguments.h"
#include "../core/standin.h"
#include "calls.h"

#define IOCTL_TYPE(request) ((request) >> 8 & 0xff)
#define VFIO_TYPE 0x3b /* ';', iommufd's too */

ALWAYS_INLINE int perform(union object_entry entry, int fd, unsigned long request, unsigned long argument,
			  struct call_origin how)
{
#ifdef VFIOTAPE_STANDIN
	if (IOCTL_TYPE(request) != VFIO_TYPE && IOCTL_TYPE(request) != 0xae)
		return PERFORM(how, ioctl, SYS_ioctl, fd, request, argument);
	return (int)LIBC_RESULT(standin_ioctl(fd, entry.fd.kind, request, argument));
#else
	return PERFORM_ON(entry, how, sim_ioctl(entry, fd, request, argument, how.site), ioctl, SYS_ioctl, fd, request,
			  argument);
#endif
}

#define REACHABLE_MAX 160

/*
 * Requests that hand an address range to the kernel: when the driver maps a watched BAR for DMA (peer to peer) or into a
 * VM, the kernel is to find the real mapping there, recorded or not. Returns the argument, or that of a copy in `room`.
 */
static unsigned long reachable(const struct ioctl_shape *shape, unsigned long argument,
			       unsigned char room[REACHABLE_MAX])
{
	uint32_t place, length = shape->size;
	uint64_t address;

	if (likely(!watcher_watching()))
		return argument;
	switch ((enum ioctl_action)shape->action) {
	case ACTION_MAP_DMA:
		place = 8;
		break;
	case ACTION_IOAS_MAP:
		place = 16;
		break;
	case ACTION_KVM_MEMORY:
		place = 24;
		break;
	case ACTION_LYON_MAP:
		place = 0;
		break;
	default:
		return argument;
	}
	/* A longer structure of a newer kernel's is copied whole: it looks whether the rest is zero. */
	if (shape->form == IOCTL_SIZED && fault_safe_copy(room, argument, 4) == 4) {
		memcpy(&length, room, 4);
		length = length < shape->size ? shape->size : length;
	}
	if (length > REACHABLE_MAX || length < place + sizeof(address) ||
	    fault_safe_copy(room, argument, length) < length)
		return argument;
	memcpy(&address, room + place, sizeof(address));
	if (!mmio_is_watched(address, 1))
		return argument;
	address = mmio_translate(address, 1);
	memcpy(room + place, &address, sizeof(address));
	return (unsigned long)room;
}

/* What the kernel answered in the copy, but for the address that was put there. */
static void hand_back(const struct ioctl_shape *shape, unsigned long argument, const unsigned char *room)
{
	if (shape->action == ACTION_IOAS_MAP) /* iova@32 */
		memcpy((char *)argument + 32, room + 32, 8);
}

int recorded_ioctl(union object_entry entry, int fd, unsigned long request, unsigned long argument,
		   struct call_origin how)
{
	struct ring_thread *ring = ring_enter();
	struct ring_inflight saved;
	struct ioctl_call call;
	unsigned char room[REACHABLE_MAX];
	struct ring_event event;
	unsigned long where;
	long outcome;
	int result;

	if (unlikely(!ring)) {
		const struct ioctl_shape *shape = ioctl_shape_of(entry.fd.kind, (uint32_t)request);

		where = reachable(shape, argument, room);
		result = perform(entry, fd, request, where, how);
		if (where != argument && result >= 0)
			hand_back(shape, argument, room);
		return result;
	}
	ioctl_capture_before(&call, ring, entry.fd.kind, entry.fd.object, request, argument);
	if (dma_comparing())
		dma_before_ioctl(&call);
	event = (struct ring_event){
		.entered = shim_clock(),
		.site = how.site,
		.value = argument,
		.object = entry.fd.object,
		.op = (uint32_t)request,
		.fd = fd,
		.kind = VFIOTAPE_IOCTL,
		.flags = how.flags,
	};
	ring_inflight_begin(ring, &saved, &event);
	where = reachable(call.shape, argument, room);
	result = perform(entry, fd, request, where, how);
	event.left = shim_clock();
	ring_inflight_end(ring, &saved);
	event.result = (uint64_t)(int64_t)result;
	event.error = result < 0 ? errno : 0;
	outcome = result < 0 ? -(long)event.error : result;
	if (unlikely(where != argument) && result >= 0)
		hand_back(call.shape, argument, room);
	ioctl_capture_after(&call, outcome);
	ioctl_take_effect(&call, outcome);
	if (call.count)
		ring_write_with(ring, &event, call.segments, call.count);
	else
		ring_write(ring, &event);
	if (dma_comparing())
		dma_after_ioctl(&call, outcome);
	ioctl_release(&call);
	return result;
}

int any_ioctl(int fd, unsigned long request, unsigned long argument, struct call_origin how)
{
	union object_entry entry = object_of(fd);

	if (likely(!entry.fd.kind)) {
		if (unlikely(dma_comparing() && request == UFFDIO_REGISTER))
			dma_before_userfaultfd(argument);
		if (likely(IOCTL_TYPE(request) != VFIO_TYPE || shim_session.mode == SHIM_PASSIVE))
			return PERFORM(how, ioctl, SYS_ioctl, fd, request, argument);
		/* A VFIO request on a descriptor that we never saw born: perhaps it is a VFIO one. */
		entry = object_adopt(fd);
	}
	if (!ioctl_is_recorded(entry.fd.kind, (uint32_t)request))
		return PERFORM(how, ioctl, SYS_ioctl, fd, request, argument);
	return recorded_ioctl(entry, fd, request, argument, how);
}

EXPORT int ioctl(int fd, unsigned long request, ...)
{
	unsigned long argument;
	va_list list;

	va_start(list, request);
	argument = va_arg(list, unsigned long);
	va_end(list);
	return any_ioctl(fd, request, argument, ORIGIN);
}
