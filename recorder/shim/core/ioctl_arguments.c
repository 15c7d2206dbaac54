// SPDX-License-Identifier: Apache-2.0
#include "ioctl_arguments.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "fault_safe.h"
#include "ranges.h"
#include "regions.h"
#include "stack_range.h"
#include "watcher.h"

#define LARGE_BYTES (4u * VFIOTAPE_PAYLOAD_MAX)
#define UNKNOWN_BYTES 64u
#define STRING_MAX 4096u

/* DEVICE_FEATURE: flags@4 */
#define FEATURE_GET (1u << 16)
#define FEATURE_SET (1u << 17)
#define FEATURE_PROBE (1u << 18)
enum feature {
	FEATURE_PCI_VF_TOKEN = 0,
	FEATURE_MIG_DEVICE_STATE = 2,
	FEATURE_LOW_POWER_WITH_WAKEUP = 4,
	FEATURE_DMA_LOGGING_START = 6,
	FEATURE_DMA_LOGGING_REPORT = 8,
	FEATURE_DMA_BUF = 11,
};

/* --- scratch ------------------------------------------------------------------------------------------------------ */

static unsigned char *grab(struct ioctl_call *call, size_t bytes)
{
	bytes = (bytes + 7) & ~(size_t)7;
	if (bytes <= sizeof(call->small) - call->used) {
		call->used += bytes;
		return call->small + call->used - bytes;
	}
	/* The driver's stack may be small and its heap is not ours: a long argument gets a mapping for its moment. */
	if (!call->large) {
		void *mapped = raw_mmap(NULL, LARGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (raw_failed((long)mapped))
			return NULL;
		call->large = mapped;
	}
	if (bytes > LARGE_BYTES - call->large_used)
		return NULL;
	call->large_used += bytes;
	return call->large + call->large_used - bytes;
}

void ioctl_release(struct ioctl_call *call)
{
	if (unlikely(call->large))
		raw_munmap(call->large, LARGE_BYTES);
}

static size_t copy_in(const struct ioctl_call *call, void *to, uint64_t from, size_t length)
{
	if (unlikely((uint64_t)__builtin_frame_address(0) < call->ring->stack_low))
		stack_range_extend(call->ring);
	if (likely(fault_safe_on_stack(call->ring, from, length))) {
		memcpy(to, (const void *)from, length);
		return length;
	}
	return fault_safe_copy(to, from, length);
}

static struct ring_segment *add(struct ioctl_call *call, uint8_t role, uint64_t address, const void *bytes,
				size_t length)
{
	struct ring_segment *segment;

	if (call->count == IOCTL_SEGMENTS_MAX)
		return NULL;
	segment = &call->segments[call->count++];
	*segment = (struct ring_segment){
		.role = role,
		.length = (uint32_t)length,
		.address = address,
		.bytes = bytes,
	};
	return segment;
}

/* A copy of `length` bytes of the driver's, as a segment; what could not be read or has no room is said. */
static const unsigned char *add_copy(struct ioctl_call *call, uint8_t role, uint64_t address, uint64_t length,
				     uint32_t *copied)
{
	struct ring_segment *segment;
	unsigned char *bytes;
	size_t got;
	bool cut = length > VFIOTAPE_PAYLOAD_MAX;

	*copied = 0;
	if (cut)
		length = VFIOTAPE_PAYLOAD_MAX;
	bytes = grab(call, length);
	if (!bytes) {
		segment = add(call, role, address, NULL, 0);
		if (segment)
			segment->flags = VFIOTAPE_SEGMENT_CUT;
		return NULL;
	}
	got = copy_in(call, bytes, address, length);
	segment = add(call, role, address, bytes, got);
	if (segment) {
		segment->flags = (uint8_t)((cut ? VFIOTAPE_SEGMENT_CUT : 0) |
					   (got < length ? VFIOTAPE_SEGMENT_FAULT : 0));
	}
	*copied = (uint32_t)got;
	return bytes;
}

static void add_pointed(struct ioctl_call *call, uint64_t address, uint64_t length)
{
	uint32_t copied;

	if (address && length)
		add_copy(call, VFIOTAPE_ROLE_POINTED, address, length, &copied);
}

static void add_pointed_out(struct ioctl_call *call, uint64_t address, uint64_t length)
{
	struct ring_segment *segment;

	if (!address || !length)
		return;
	segment = add(call, VFIOTAPE_ROLE_POINTED_OUT, address, (const void *)address,
		      length > VFIOTAPE_PAYLOAD_MAX ? VFIOTAPE_PAYLOAD_MAX : length);
	if (segment)
		segment->flags = RING_FOREIGN | (length > VFIOTAPE_PAYLOAD_MAX ? VFIOTAPE_SEGMENT_CUT : 0);
}

/* And as the kernel left them. */
static uint32_t out32(const struct ioctl_call *call, uint32_t offset)
{
	uint32_t value = 0;

	copy_in(call, &value, call->argument + offset, sizeof(value));
	return value;
}

/* --- before ------------------------------------------------------------------------------------------------------- */

static uint64_t clamp(uint64_t value, uint64_t least, uint64_t most)
{
	return value < least ? least : value > most ? most : value;
}

/* How much of a structure with an array the caller means: argsz alone may be garbage. */
static uint64_t wanted_in(struct ioctl_call *call, uint32_t argsz)
{
	uint32_t head[5] = { 0 };

	switch (call->shape->action) {
	case ACTION_SET_IRQS: { /* argsz, flags, index, start, count, data[] */
		uint64_t width;

		if (copy_in(call, head, call->argument, 20) != 20)
			return 20;
		width = head[1] & 4 ? 4 : head[1] & 2 ? 1 : 0; /* DATA_EVENTFD, DATA_BOOL */
		return clamp(argsz, 20, 20 + head[4] * width);
	}
	case ACTION_HOT_RESET: /* argsz, flags, count, group_fds[] */
		if (copy_in(call, head, call->argument, 12) != 12)
			return 12;
		return clamp(argsz, 12, 12 + 4ull * head[2]);
	default:
		return clamp(argsz, call->shape->size, call->shape->most);
	}
}

static void capture_string(struct ioctl_call *call)
{
	static const char secret[] = "vf_token=";
	char *text = (char *)grab(call, STRING_MAX);
	struct ring_segment *segment;
	size_t length;
	char *found;

	if (!text)
		return;
	length = fault_safe_string(text, call->argument, STRING_MAX);
	segment = add(call, VFIOTAPE_ROLE_IN, call->argument, text, length);
	found = memmem(text, length, secret, sizeof(secret) - 1);
	if (!found)
		return;
	segment->flags |= VFIOTAPE_SEGMENT_REDACTED;
	for (found += sizeof(secret) - 1; found < text + length && *found != ' '; found++)
		*found = 0;
}

static void capture_pointed(struct ioctl_call *call)
{
	static const unsigned char nothing[16];
	struct ring_segment *segment;
	uint32_t feature;

	switch ((enum ioctl_action)call->shape->action) {
	case ACTION_FEATURE:
		feature = ioctl_in32(call, 4);
		if ((feature & 0xffff) == FEATURE_PCI_VF_TOKEN && call->in_length > 8) {
			memset((unsigned char *)call->in + 8, 0, call->in_length - 8);
			call->segments[0].flags |= VFIOTAPE_SEGMENT_REDACTED;
		}
		if ((feature & 0xffff) == FEATURE_DMA_LOGGING_START && feature & FEATURE_SET)
			add_pointed(call, ioctl_in64(call, 24), 16ull * ioctl_in32(call, 16));
		break;
	case ACTION_BIND: /* flags bit 0: a VF token is at token_uuid_ptr */
		if (ioctl_in32(call, 4) & 1) {
			segment = add(call, VFIOTAPE_ROLE_POINTED, ioctl_in64(call, 16), nothing, sizeof(nothing));
			segment->flags = VFIOTAPE_SEGMENT_REDACTED;
		}
		break;
	case ACTION_IOAS_ALLOW_IOVAS:
		add_pointed(call, ioctl_in64(call, 16), 16ull * ioctl_in32(call, 8));
		break;
	case ACTION_HWPT_ALLOC:
		add_pointed(call, ioctl_in64(call, 32), ioctl_in32(call, 28));
		break;
	case ACTION_HWPT_INVALIDATE:
		add_pointed(call, ioctl_in64(call, 8), (uint64_t)ioctl_in32(call, 20) * ioctl_in32(call, 24));
		break;
	case ACTION_VIOMMU_ALLOC:
		add_pointed(call, ioctl_in64(call, 32), ioctl_in32(call, 24));
		break;
	default:
		break;
	}
}

void ioctl_capture_before(struct ioctl_call *call, struct ring_thread *ring, enum vfiotape_object_kind kind,
			  uint32_t object, unsigned long request, uint64_t argument)
{
	uint64_t length = 0;
	uint32_t first = 0;

	call->ring = ring;
	call->shape = ioctl_shape_of(kind, (uint32_t)request);
	call->argument = argument;
	call->object = object;
	call->in = NULL;
	call->in_length = 0;
	call->count = 0;
	call->used = 0;
	call->large = NULL;
	call->large_used = 0;

	switch ((enum ioctl_form)call->shape->form) {
	case IOCTL_NONE:
		return;
	case IOCTL_STRING:
		capture_string(call);
		return;
	case IOCTL_FIXED:
		length = call->shape->size;
		break;
	case IOCTL_SIZED:
		length = copy_in(call, &first, argument, sizeof(first)) == sizeof(first) ? wanted_in(call, first) :
											     call->shape->size;
		break;
	case IOCTL_COUNTED:
		copy_in(call, &first, argument, sizeof(first));
		length = 4 + 4 * clamp(first, 0, 2048); /* an MSI-X table has no more entries */
		break;
	case IOCTL_UNKNOWN:
		if (argument < 4096) /* a number, not an address */
			return;
		length = _IOC_SIZE(request) && _IOC_SIZE(request) < UNKNOWN_BYTES ? _IOC_SIZE(request) : UNKNOWN_BYTES;
		break;
	}
	call->in = add_copy(call, VFIOTAPE_ROLE_IN, argument, length, &call->in_length);
	/* An unknown request's argument was only guessed to be an address. */
	if (call->shape->form == IOCTL_UNKNOWN && !call->in_length)
		call->count = 0;
	if (call->in)
		capture_pointed(call);
}

/* --- after -------------------------------------------------------------------------------------------------------- */

static uint64_t bitmap_bytes(uint64_t length, uint64_t page_size)
{
	uint64_t bits = page_size ? length / page_size + (length % page_size != 0) : 0;

	return (bits / 64 + (bits % 64 != 0)) * 8;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void capture_pointed_out(struct ioctl_call *call)
{
	uint32_t feature;

	switch ((enum ioctl_action)call->shape->action) {
	case ACTION_FEATURE:
		feature = ioctl_in32(call, 4);
		if ((feature & 0xffff) == FEATURE_DMA_LOGGING_REPORT && feature & FEATURE_GET)
			add_pointed_out(call, ioctl_in64(call, 32), bitmap_bytes(ioctl_in64(call, 16), ioctl_in64(call, 24)));
		break;
	case ACTION_UNMAP_DMA:
		if (ioctl_in32(call, 4) & 1) /* GET_DIRTY_BITMAP: pgsize@24, size@32, data@40 */
			add_pointed_out(call, ioctl_in64(call, 40), ioctl_in64(call, 32));
		break;
	case ACTION_DIRTY_PAGES:
		if (ioctl_in32(call, 4) & 4) /* GET_BITMAP */
			add_pointed_out(call, ioctl_in64(call, 40), ioctl_in64(call, 32));
		break;
	case ACTION_IOAS_IOVA_RANGES:
		add_pointed_out(call, ioctl_in64(call, 16), 16 * smaller(ioctl_in32(call, 8), out32(call, 8)));
		break;
	case ACTION_GET_HW_INFO:
		add_pointed_out(call, ioctl_in64(call, 16), smaller(ioctl_in32(call, 12), out32(call, 12)));
		break;
	case ACTION_HWPT_GET_DIRTY:
		add_pointed_out(call, ioctl_in64(call, 40), bitmap_bytes(ioctl_in64(call, 24), ioctl_in64(call, 32)));
		break;
	case ACTION_VIOMMU_ALLOC:
		add_pointed_out(call, ioctl_in64(call, 32), ioctl_in32(call, 24));
		break;
	default:
		break;
	}
}

/* Errors with which the kernel says how much room it would have needed. */
static bool answers_with(const struct ioctl_call *call, long result)
{
	return result >= 0 || result == -ENOSPC || result == -EMSGSIZE || call->shape->action == ACTION_HWPT_INVALIDATE;
}

static void capture_out(struct ioctl_call *call, uint64_t length)
{
	struct ring_segment *segment =
		add(call, VFIOTAPE_ROLE_OUT, call->argument, (const void *)call->argument, length);

	/* What was readable before the call still is, on this stack. */
	if (segment && !fault_safe_on_stack(call->ring, call->argument, length))
		segment->flags = RING_FOREIGN;
}

/* GET_REGION_INFO: index@8, size@16, offset@24. In a VMM the answer is changed first: the trace has what the driver got. */
static void region_answered(struct ioctl_call *call)
{
	uint64_t places[2];

	if (call->in_length < 32)
		return;
	mmio_hide_mapping((struct vfio_region_info *)call->argument);
	if (copy_in(call, places, call->argument + 16, sizeof(places)) == sizeof(places))
		regions_learn(call->object, ioctl_in32(call, 8), places[1], places[0]);
}

void ioctl_capture_after(struct ioctl_call *call, long result)
{
	const struct ioctl_shape *shape = call->shape;
	uint32_t feature;

	if (shape->action == ACTION_GET_REGION_INFO && result >= 0)
		region_answered(call);

	if (!call->in_length || !answers_with(call, result))
		return;
	switch ((enum ioctl_form)shape->form) {
	case IOCTL_FIXED:
		if (shape->answer)
			capture_out(call, shape->answer);
		break;
	case IOCTL_SIZED:
		feature = shape->action == ACTION_FEATURE ? ioctl_in32(call, 4) : 0;
		/* A SET answers nothing, but for the migration state, which answers with the descriptor of the stream. */
		if (feature && (feature & FEATURE_PROBE || (feature & FEATURE_SET &&
							      (feature & 0xffff) != FEATURE_MIG_DEVICE_STATE)))
			break;
		/*
		 * Not more than the caller gave room for, even where the kernel wrote into argsz what it would need; and an
		 * argsz that no caller means is garbage, behind which the driver's own stack begins.
		 */
		if (shape->answer)
			capture_out(call, ioctl_in32(call, 0) > VFIOTAPE_PAYLOAD_MAX ?
						  smaller(shape->size, shape->answer) :
						  clamp(ioctl_in32(call, 0), smaller(shape->size, shape->answer),
							shape->answer));
		break;
	default:
		break;
	}
	if (result >= 0)
		capture_pointed_out(call);
}

/* --- effects ------------------------------------------------------------------------------------------------------ */

/* { kind, object }, so that the reader needs no table of its own to know what the new descriptor is. */
static void born(struct ioctl_call *call, int fd, enum vfiotape_object_kind kind)
{
	uint32_t *numbers = (uint32_t *)grab(call, 8);
	union object_entry entry;

	if (fd < 0 || !objects_are_ours())
		return;
	entry = object_add(fd, kind);
	if (!numbers)
		return;
	numbers[0] = kind;
	numbers[1] = entry.fd.object;
	add(call, VFIOTAPE_ROLE_KIND, 0, numbers, 8);
}

/* Eventfds that interrupts go to from now on; { kind, object } of each, 0 where there is none. */
static void tied(struct ioctl_call *call, const int32_t *fds, uint64_t count)
{
	uint32_t *numbers = count <= VFIOTAPE_PAYLOAD_MAX / 8 ? (uint32_t *)grab(call, count * 8) : NULL;

	for (uint64_t i = 0; i < count; i++) {
		union object_entry entry = { .word = 0 };

		if (fds[i] >= 0) {
			object_mark_interrupt(fds[i]);
			entry = object_of(fds[i]);
		}
		if (numbers) {
			numbers[2 * i] = entry.fd.kind;
			numbers[2 * i + 1] = entry.fd.object;
		}
	}
	if (numbers && count)
		add(call, VFIOTAPE_ROLE_KIND, 0, numbers, count * 8);
}

static void tied_at(struct ioctl_call *call, uint32_t offset)
{
	int32_t fd = (int32_t)ioctl_in32(call, offset);

	if (offset + 4 <= call->in_length && fd >= 0)
		tied(call, &fd, 1);
}

static void feature_effect(struct ioctl_call *call, long result)
{
	uint32_t feature = ioctl_in32(call, 4);

	if (feature & FEATURE_PROBE)
		return;
	switch (feature & 0xffff) {
	case FEATURE_MIG_DEVICE_STATE: /* device_state@8, data_fd@12 */
		if (feature & FEATURE_SET)
			born(call, (int)out32(call, 12), VFIOTAPE_OBJECT_MIGRATION);
		break;
	case FEATURE_LOW_POWER_WITH_WAKEUP:
		tied_at(call, 8);
		break;
	case FEATURE_DMA_BUF:
		if (feature & FEATURE_GET)
			born(call, (int)result, VFIOTAPE_OBJECT_DMABUF);
		break;
	default:
		break;
	}
}

void ioctl_take_effect(struct ioctl_call *call, long result)
{
	uint32_t count;

	if (result < 0)
		return;
	switch ((enum ioctl_action)call->shape->action) {
	case ACTION_GET_DEVICE_FD:
		born(call, (int)result, VFIOTAPE_OBJECT_DEVICE);
		break;
	case ACTION_GET_GFX_DMABUF:
		born(call, (int)result, VFIOTAPE_OBJECT_DMABUF);
		break;
	case ACTION_KVM_CREATE_VM:
		born(call, (int)result, VFIOTAPE_OBJECT_KVM_VM);
		break;
	case ACTION_FAULT_QUEUE:
		born(call, (int)out32(call, 12), VFIOTAPE_OBJECT_FAULT_QUEUE);
		break;
	case ACTION_VEVENTQ:
		born(call, (int)out32(call, 24), VFIOTAPE_OBJECT_VEVENTQ);
		break;
	case ACTION_FEATURE:
		feature_effect(call, result);
		break;
	case ACTION_SET_IRQS:
		if (ioctl_in32(call, 4) & 4 && call->in_length > 20)
			tied(call, (const int32_t *)(call->in + 20), (call->in_length - 20) / 4);
		break;
	case ACTION_IOEVENTFD:
		tied_at(call, 24);
		break;
	case ACTION_LYON_IRQ:
		tied_at(call, 0);
		break;
	case ACTION_LYON_MSI:
		count = (call->in_length - 4) / 4;
		if (call->in_length > 4)
			tied(call, (const int32_t *)(call->in + 4), smaller(count, ioctl_in32(call, 0)));
		break;
	case ACTION_KVM_IRQFD: { /* fd@0, gsi, flags, resamplefd@12 when flags bit 1 */
		int32_t fds[2] = { (int32_t)ioctl_in32(call, 0), (int32_t)ioctl_in32(call, 12) };

		tied(call, fds, ioctl_in32(call, 8) & 2 ? 2 : 1);
		break;
	}
	case ACTION_KVM_IOEVENTFD:
		tied_at(call, 20);
		break;
	case ACTION_MAP_DMA:
		ranges_add(ioctl_in64(call, 8), ioctl_in64(call, 24));
		break;
	case ACTION_DIRTY_PAGES: /* SPAPR_REGISTER_MEMORY has no flags, and a range where this has an IOVA */
		if (!ioctl_in32(call, 4))
			ranges_add(ioctl_in64(call, 8), ioctl_in64(call, 16));
		break;
	case ACTION_IOAS_MAP:
		ranges_add(ioctl_in64(call, 16), ioctl_in64(call, 24));
		break;
	case ACTION_LYON_MAP:
		ranges_add(ioctl_in64(call, 0), ioctl_in64(call, 16));
		break;
	default:
		break;
	}
}
