// SPDX-License-Identifier: Apache-2.0
/* In the test build a memfd with the right name is the birth of a VFIO descriptor, recorded as its open. */
#ifdef VFIOTAPE_STANDIN

#include <string.h>

#include "calls.h"

EXPORT int memfd_create(const char *name, unsigned int flags)
{
	uint64_t entered = shim_clock();
	int fd = (int)LIBC_RESULT(raw3(SYS_memfd_create, (long)name, (long)flags, 0));
	enum vfiotape_object_kind kind;
	uint32_t numbers[2] = { 0, 0 };
	struct ring_thread *ring;
	struct ring_segment segments[2];
	struct ring_event event;

	if (fd < 0 || shim_session.mode == SHIM_PASSIVE)
		return fd;
	object_forget(fd);
	kind = object_kind_of_link(fd);
	if (kind == VFIOTAPE_OBJECT_NONE)
		return fd;
	ring = ring_enter();
	if (shim_session.mode != SHIM_RECORDING || !objects_are_ours())
		return fd;
	if (kind == VFIOTAPE_OBJECT_KVM)
		mmio_saw_kvm();
	numbers[0] = kind;
	event = (struct ring_event){
		.entered = entered,
		.left = shim_clock(),
		.site = CALL_SITE,
		.result = (uint64_t)fd,
		.object = object_add(fd, kind).fd.object,
		.op = O_RDWR,
		.fd = fd,
		.kind = VFIOTAPE_OPEN,
	};
	segments[0] = (struct ring_segment){ .role = VFIOTAPE_ROLE_PATH,
					     .length = (uint32_t)strlen(name),
					     .address = (uint64_t)name,
					     .bytes = name };
	segments[1] = (struct ring_segment){ .role = VFIOTAPE_ROLE_KIND, .length = sizeof(numbers), .bytes = numbers };
	if (ring)
		ring_write_with(ring, &event, segments, 2);
	return fd;
}

#endif
