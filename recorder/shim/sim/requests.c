// SPDX-License-Identifier: Apache-2.0
/* What is asked of a simulated VFIO file: ioctl, read and write. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "internal.h"

#define SMALL_DATA 1024u

#define VFIO_GROUP_GET_DEVICE_FD_ 0x3b6aul
#define VFIO_DEVICE_SET_IRQS_ 0x3b6eul
#define VFIO_DEVICE_IOEVENTFD_ 0x3b74ul
#define VFIO_DEVICE_FEATURE_ 0x3b75ul
#define LOW_POWER_ENTRY_WITH_WAKEUP 4 /* VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP */
#define IOMMU_FAULT_QUEUE_ALLOC_ 0x3b8eul
#define IOMMU_VEVENTQ_ALLOC_ 0x3b93ul

/* Of 2010. */
#define LYON_DMA_MAP_IOVA_ 0xc0203b65ul
#define LYON_EVENTFD_IRQ_ 0x40043b67ul
#define LYON_EVENTFDS_MSI_ 0x40043b68ul
#define LYON_EVENTFDS_MSIX_ 0x40043b69ul
#define LYON_IRQ_EOI_EVENTFD_ 0x40043b6eul

uint32_t sim_watches_memory;

/* Requests that make a descriptor: a connection is there for it before the request is made. */
static bool makes_descriptor(enum vfiotape_object_kind kind, unsigned long request)
{
	switch (kind) {
	case VFIOTAPE_OBJECT_GROUP:
	case VFIOTAPE_OBJECT_NOIOMMU_GROUP:
		return request == VFIO_GROUP_GET_DEVICE_FD_;
	case VFIOTAPE_OBJECT_IOMMUFD:
		return request == IOMMU_FAULT_QUEUE_ALLOC_ || request == IOMMU_VEVENTQ_ALLOC_;
	default:
		return false;
	}
}

/* Requests that name eventfds: they are signalled by the service thread. */
static bool names_eventfds(enum vfiotape_object_kind kind, unsigned long request, const unsigned char *argument,
			   size_t length)
{
	switch (kind) {
	case VFIOTAPE_OBJECT_DEVICE:
	case VFIOTAPE_OBJECT_CDEV:
		return request == VFIO_DEVICE_SET_IRQS_ || request == VFIO_DEVICE_IOEVENTFD_ ||
		       (request == VFIO_DEVICE_FEATURE_ && length >= 8 && argument[4] == LOW_POWER_ENTRY_WITH_WAKEUP);
	case VFIOTAPE_OBJECT_LYON_DEVICE:
		return request == LYON_EVENTFD_IRQ_ || request == LYON_EVENTFDS_MSI_ ||
		       request == LYON_EVENTFDS_MSIX_ || request == LYON_IRQ_EOI_EVENTFD_;
	default:
		return false;
	}
}

static long make_spare(void)
{
	struct vfiotape_sim_request request = { .type = VFIOTAPE_SIM_SPARE };
	struct vfiotape_sim_reply reply;
	long fd = sim_connect(SOCK_CLOEXEC), result;

	if (fd < 0)
		return fd;
	request.file = sim_inode((int)fd);
	result = sim_introduce((int)fd, &request, NULL, &reply);
	if (!result)
		return fd;
	raw_close((int)fd);
	return -EIO;
}

/* What the call writes to the caller's memory. */
static long take_copies(struct sim_call *call)
{
	long result = 0;

	while (call->left && !result) {
		struct vfiotape_sim_copy copy;
		char padding[8];

		result = sim_take(call, (uint64_t)&copy, sizeof(copy));
		if (!result)
			result = sim_take(call, copy.address, copy.length);
		if (!result)
			result = sim_take(call, (uint64_t)padding, -copy.length & 7u);
	}
	return result;
}

static void settle_spare(const struct sim_call *call, long spare, bool answered)
{
	if (spare < 0)
		return;
	if (!answered || call->reply.a != 1) {
		raw_close((int)spare);
		return;
	}
	/* When recording, the event's own bookkeeping enters it. */
	if (shim_session.mode == SHIM_SIMULATING && call->reply.b && call->reply.b < VFIOTAPE_OBJECT_KIND_END)
		object_add((int)spare, (enum vfiotape_object_kind)call->reply.b);
}

long sim_ioctl(union object_entry entry, int fd, unsigned long request, unsigned long argument, uint64_t site)
{
	unsigned char bytes[VFIOTAPE_SIM_ARGUMENT_MAX];
	size_t length = argument < 4096 ? 0 : fault_safe_copy(bytes, argument, sizeof(bytes));
	struct sim_call call;
	long spare = -1, result, copied;

	if (names_eventfds(entry.fd.kind, request, bytes, length)) {
		result = sim_service_start();
		/* Without it there would be no interrupts. A simulator that has ended is found out by the call. */
		if (result < 0 && result != -EIO)
			return result;
	}
	sim_begin(&call, VFIOTAPE_SIM_IOCTL, sim_inode(fd));
	if (makes_descriptor(entry.fd.kind, request)) {
		spare = make_spare();
		if (spare < 0) {
			sim_end(&call);
			return spare;
		}
	}
	call.request.a = request;
	call.request.b = argument;
	call.request.c = (uint64_t)spare;
	call.request.d = spare < 0 ? 0 : sim_inode((int)spare);
	call.request.site = site;
	result = sim_ask(&call, bytes, length);
	copied = take_copies(&call);
	settle_spare(&call, spare, call.fd >= 0 || copied == -EFAULT);
	sim_end(&call);
	if (entry.fd.kind == VFIOTAPE_OBJECT_LYON_DEVICE && request == LYON_DMA_MAP_IOVA_ && !result)
		sim_watches_memory = 1;
	return copied < 0 ? copied : result;
}

long sim_read(int fd, void *buffer, size_t count, int64_t offset, uint64_t site)
{
	struct sim_call call;
	long result, taken;

	sim_begin(&call, offset == SIM_POSITION ? VFIOTAPE_SIM_READ : VFIOTAPE_SIM_PREAD, sim_inode(fd));
	call.request.a = offset == SIM_POSITION ? 0 : (uint64_t)offset;
	call.request.b = count < VFIOTAPE_SIM_DATA_MAX ? count : VFIOTAPE_SIM_DATA_MAX;
	call.request.site = site;
	result = sim_ask(&call, NULL, 0);
	if (result > 0 && (size_t)result <= call.request.b) {
		taken = sim_take(&call, (uint64_t)buffer, (size_t)result);
		result = taken < 0 ? taken : result;
	}
	sim_end(&call);
	return result;
}

long sim_write(int fd, const void *buffer, size_t count, int64_t offset, uint64_t site)
{
	unsigned char small[SMALL_DATA], *bytes = small;
	struct sim_call call;
	size_t length;
	long result;

	if (count > VFIOTAPE_SIM_DATA_MAX)
		count = VFIOTAPE_SIM_DATA_MAX;
	if (count > sizeof(small))
		bytes = raw_mmap(NULL, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (raw_failed((long)bytes))
		return -ENOMEM;
	length = fault_safe_copy(bytes, (uint64_t)buffer, count);
	sim_begin(&call, offset == SIM_POSITION ? VFIOTAPE_SIM_WRITE : VFIOTAPE_SIM_PWRITE, sim_inode(fd));
	call.request.a = offset == SIM_POSITION ? 0 : (uint64_t)offset;
	call.request.b = count;
	call.request.site = site;
	result = sim_ask(&call, bytes, length);
	sim_end(&call);
	if (bytes != small)
		raw_munmap(bytes, count);
	return result;
}

/* As do_loop_readv_writev does it for files that know no vectors: piece by piece, until one is cut short. */
long sim_vector(int fd, const struct iovec *pieces, long count, int64_t offset, int flags, bool writing, uint64_t site)
{
	long total = 0;

	if (flags & ~1 /* RWF_HIPRI */)
		return -EOPNOTSUPP;
	if (offset != SIM_POSITION && offset < 0)
		return -EINVAL;
	if (count < 0 || count > 1024 /* UIO_MAXIOV */)
		return -EINVAL;
	for (long i = 0; i < count; i++) {
		struct iovec piece;
		long done;

		if (fault_safe_copy(&piece, (uint64_t)(pieces + i), sizeof(piece)) != sizeof(piece))
			return total ? total : -EFAULT;
		if (!piece.iov_len)
			continue;
		done = writing ? sim_write(fd, piece.iov_base, piece.iov_len, offset, site) :
				 sim_read(fd, piece.iov_base, piece.iov_len, offset, site);
		if (done < 0)
			return total ? total : done;
		total += done;
		if (offset != SIM_POSITION)
			offset += done;
		if ((size_t)done < piece.iov_len)
			break;
	}
	return total;
}

/* --- mappings ---------------------------------------------------------------------------------------------------------------- */

long sim_mmap(uint64_t inode, uint64_t address, size_t length, uint64_t offset, int prot, int flags, uint32_t *region,
	      uint64_t *region_offset)
{
	struct sim_call call;
	long result;

	sim_begin(&call, VFIOTAPE_SIM_MMAP, inode);
	call.request.a = address;
	call.request.b = length;
	call.request.c = offset;
	call.request.d = (uint64_t)(uint32_t)prot | (uint64_t)(uint32_t)flags << 32;
	result = sim_ask(&call, NULL, 0);
	*region = (uint32_t)call.reply.a;
	*region_offset = call.reply.b;
	sim_end(&call);
	return result;
}

static void tell(enum vfiotape_sim_type type, uint64_t a, uint64_t b, uint64_t c)
{
	struct sim_call call;

	sim_begin(&call, type, 0);
	call.request.a = a;
	call.request.b = b;
	call.request.c = c;
	sim_ask(&call, NULL, 0);
	sim_end(&call);
}

void sim_unmapped(uint64_t address, size_t length)
{
	tell(VFIOTAPE_SIM_MUNMAP, address, length, 0);
}

void sim_changed(uint64_t address, size_t length, uint32_t prot)
{
	tell(VFIOTAPE_SIM_CHANGED, address, length, prot);
}

void sim_moved(uint64_t address, size_t length, uint64_t to)
{
	tell(VFIOTAPE_SIM_MOVED, address, length, to);
}

/* A dead server's device answers as one that was pulled out: all ones, and stores go nowhere. */
bool sim_load(uint64_t mapping, uint64_t offset, unsigned int width, uint64_t site, uint64_t *value)
{
	struct sim_call call;
	long result;

	sim_begin(&call, VFIOTAPE_SIM_LOAD, mapping);
	call.request.a = offset;
	call.request.b = width;
	call.request.site = site;
	result = sim_ask(&call, NULL, 0);
	*value = result < 0 ? ~0ull : call.reply.a;
	sim_end(&call);
	return result != -EFAULT;
}

bool sim_store(uint64_t mapping, uint64_t offset, unsigned int width, uint64_t site, uint64_t value)
{
	struct sim_call call;
	long result;

	sim_begin(&call, VFIOTAPE_SIM_STORE, mapping);
	call.request.a = offset;
	call.request.b = width;
	call.request.c = value;
	call.request.site = site;
	result = sim_ask(&call, NULL, 0);
	sim_end(&call);
	return result != -EFAULT;
}
