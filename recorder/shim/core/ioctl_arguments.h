/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an ioctl's argument points to, before and after the call. Which request means what depends on what kind of
 * descriptor it is made on; how long its structure is, on its own first word.
 */
#ifndef VFIOTAPE_IOCTL_ARGUMENTS_H
#define VFIOTAPE_IOCTL_ARGUMENTS_H

#include "objects.h"

#define IOCTL_SEGMENTS_MAX 8
#define IOCTL_SMALL_BYTES 768

/* How the argument is to be read. */
enum ioctl_form {
	IOCTL_NONE,   /* there is none, or it is the value itself */
	IOCTL_FIXED,  /* a structure of `size` bytes */
	IOCTL_SIZED,  /* its first u32 is its length: argsz, size */
	IOCTL_STRING, /* a NUL-terminated name */
	IOCTL_COUNTED, /* s32 count, then that many s32: the MSI requests of 2010 */
	IOCTL_UNKNOWN, /* a request that we don't know on a descriptor that we do */
};

struct ioctl_shape {
	uint32_t request;
	uint32_t kinds;  /* bit k: on objects of kind k */
	uint8_t form;    /* enum ioctl_form */
	uint8_t action;  /* enum ioctl_action */
	uint16_t size;   /* bytes that the kernel reads in any case */
	uint16_t most;   /* SIZED: bytes that it can read */
	uint16_t answer; /* bytes that it can write; 0: none */
};

/* What else a request does, or points to. */
enum ioctl_action {
	ACTION_NONE,
	ACTION_SET_CONTAINER,
	ACTION_GET_DEVICE_FD,
	ACTION_GET_REGION_INFO,
	ACTION_SET_IRQS,
	ACTION_HOT_RESET,
	ACTION_GET_GFX_DMABUF,
	ACTION_IOEVENTFD,
	ACTION_FEATURE,
	ACTION_BIND,
	ACTION_MAP_DMA,
	ACTION_UNMAP_DMA,
	ACTION_DIRTY_PAGES,
	ACTION_IOAS_ALLOW_IOVAS,
	ACTION_IOAS_IOVA_RANGES,
	ACTION_IOAS_MAP,
	ACTION_HWPT_ALLOC,
	ACTION_GET_HW_INFO,
	ACTION_HWPT_GET_DIRTY,
	ACTION_HWPT_INVALIDATE,
	ACTION_FAULT_QUEUE,
	ACTION_VIOMMU_ALLOC,
	ACTION_VEVENTQ,
	ACTION_REGISTER_MEMORY,
	ACTION_LYON_MAP,
	ACTION_LYON_IRQ,
	ACTION_LYON_MSI,
	ACTION_KVM_IRQFD,
	ACTION_KVM_IOEVENTFD,
	ACTION_KVM_CREATE_VM,
	ACTION_KVM_MEMORY,
};

struct ioctl_call {
	struct ring_thread *ring;
	const struct ioctl_shape *shape;
	uint64_t argument;
	const unsigned char *in; /* the argument as it was before the call; as much of it as could be read */
	uint32_t in_length;
	uint32_t object;
	unsigned int count;
	struct ring_segment segments[IOCTL_SEGMENTS_MAX];
	size_t used;
	unsigned char *large; /* mapped for this call, where `small` has no room */
	size_t large_used;
	unsigned char small[IOCTL_SMALL_BYTES] __attribute__((aligned(8)));
};

/* Fields of the argument as it was; zero where not all of one could be read. */
ALWAYS_INLINE uint32_t ioctl_in32(const struct ioctl_call *call, uint32_t offset)
{
	uint32_t value = 0;

	if (offset + sizeof(value) <= call->in_length)
		__builtin_memcpy(&value, call->in + offset, sizeof(value));
	return value;
}

ALWAYS_INLINE uint64_t ioctl_in64(const struct ioctl_call *call, uint32_t offset)
{
	uint64_t value = 0;

	if (offset + sizeof(value) <= call->in_length)
		__builtin_memcpy(&value, call->in + offset, sizeof(value));
	return value;
}

/* The shape of a request, never NULL; form UNKNOWN when it isn't in the table. */
const struct ioctl_shape *ioctl_shape_of(enum vfiotape_object_kind kind, uint32_t request);

/* Of KVM, only what concerns interrupts and memory; of sysfs and the like, nothing. */
bool ioctl_is_recorded(enum vfiotape_object_kind kind, uint32_t request);

void ioctl_capture_before(struct ioctl_call *call, struct ring_thread *ring, enum vfiotape_object_kind kind,
			  uint32_t object, unsigned long request, uint64_t argument);
/* After a call that returned `result` (a negative errno where it failed). */
void ioctl_capture_after(struct ioctl_call *call, long result);
/* Descriptors that came out of it, eventfds that it tied to interrupts, memory that it mapped. Records no event. */
void ioctl_take_effect(struct ioctl_call *call, long result);
/* Gives the scratch memory back; after the record is written. */
void ioctl_release(struct ioctl_call *call);

#endif
