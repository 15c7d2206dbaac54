// SPDX-License-Identifier: Apache-2.0
#include "standin.h"

#ifdef VFIOTAPE_STANDIN

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <string.h>

#include "objects.h"

/* What a test looks for in the shipped library, to find it missing. */
EXPORT const char vfiotape_standin[] = "this library takes memfds for VFIO devices";

static const struct {
	const char *name;
	enum vfiotape_object_kind kind;
} names[] = {
	{ "container", VFIOTAPE_OBJECT_CONTAINER },     { "group", VFIOTAPE_OBJECT_GROUP },
	{ "device", VFIOTAPE_OBJECT_DEVICE },           { "cdev", VFIOTAPE_OBJECT_CDEV },
	{ "iommufd", VFIOTAPE_OBJECT_IOMMUFD },         { "migration", VFIOTAPE_OBJECT_MIGRATION },
	{ "lyon", VFIOTAPE_OBJECT_LYON_DEVICE },        { "uiommu", VFIOTAPE_OBJECT_UIOMMU },
	{ "kvm-vm", VFIOTAPE_OBJECT_KVM_VM },           { "kvm", VFIOTAPE_OBJECT_KVM },
};

/* "/memfd:vfiotape-standin-device (deleted)", and what may follow the kind: "-2", say. */
enum vfiotape_object_kind standin_kind_of_link(const char *link)
{
	static const char prefix[] = "/memfd:vfiotape-standin-";

	if (strncmp(link, prefix, sizeof(prefix) - 1))
		return VFIOTAPE_OBJECT_NONE;
	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!strncmp(link + sizeof(prefix) - 1, names[i].name, strlen(names[i].name)))
			return names[i].kind;
	}
	return VFIOTAPE_OBJECT_NONE;
}

/* A new descriptor for what a request gives out: a memfd with the name of its kind. */
static long make(const char *name)
{
	long fd = raw3(SYS_memfd_create, (long)name, 1 /* MFD_CLOEXEC */, 0);

	if (fd >= 0)
		raw3(SYS_ftruncate, fd, 8 << 20, 0);
	return fd;
}

static void put32(unsigned long argument, uint32_t offset, uint32_t value)
{
	memcpy((char *)argument + offset, &value, sizeof(value));
}

static void put64(unsigned long argument, uint32_t offset, uint64_t value)
{
	memcpy((char *)argument + offset, &value, sizeof(value));
}

static uint32_t get32(unsigned long argument, uint32_t offset)
{
	uint32_t value;

	memcpy(&value, (char *)argument + offset, sizeof(value));
	return value;
}

static long device_ioctl(unsigned long request, unsigned long argument)
{
	uint32_t feature;

	switch (request) {
	case 0x3b6b: /* GET_INFO: resettable PCI, nine regions, five interrupt indexes */
		put32(argument, 4, 3);
		put32(argument, 8, 9);
		put32(argument, 12, 5);
		return 0;
	case 0x3b6c: /* GET_REGION_INFO: each region a MiB, at its index's MiB of the file */
		if (get32(argument, 8) >= 9)
			return -EINVAL;
		put32(argument, 4, 7);
		put32(argument, 12, 0);
		put64(argument, 16, 1 << 20);
		put64(argument, 24, (uint64_t)get32(argument, 8) << 20);
		return 0;
	case 0x3b6d: /* GET_IRQ_INFO */
		put32(argument, 4, 9);
		put32(argument, 12, get32(argument, 8) == 2 ? 2048 : 1);
		return 0;
	case 0x3b6e: /* SET_IRQS */
	case 0x3b6f: /* RESET */
	case 0x3b71: /* PCI_HOT_RESET */
	case 0x3b74: /* IOEVENTFD */
	case 0x3b78: /* DETACH */
		return 0;
	case 0x3b70: /* GET_PCI_HOT_RESET_INFO */
		put32(argument, 8, 2);
		return get32(argument, 0) < 28 ? -ENOSPC : 0;
	case 0x3b72: /* QUERY_GFX_PLANE */
		return -EINVAL;
	case 0x3b73: /* GET_GFX_DMABUF */
		return make("vfiotape-standin-other");
	case 0x3b75: /* DEVICE_FEATURE */
		feature = get32(argument, 4);
		if ((feature & 0xffff) == 2 && feature & 1u << 17)
			put32(argument, 12, (uint32_t)make("vfiotape-standin-migration"));
		if ((feature & 0xffff) == 11)
			return make("vfiotape-standin-other");
		return 0;
	case 0x3b76: /* BIND_IOMMUFD */
		put32(argument, 12, 1);
		return 0;
	case 0x3b77: /* ATTACH */
		put32(argument, 8, 3);
		return 0;
	default:
		return -ENOTTY;
	}
}

/* pin_user_pages, and kvm's vma_is_valid: what can't be read isn't mapped for a device or a guest. */
static long pin(uint64_t address)
{
	char byte;
	struct iovec to = { &byte, 1 }, from = { (void *)address, 1 };

	return raw6(SYS_process_vm_readv, raw_getpid(), (long)&to, 1, (long)&from, 1, 0) == 1 ? 0 : -EFAULT;
}

static uint64_t get64(unsigned long argument, uint32_t offset)
{
	uint64_t value;

	memcpy(&value, (char *)argument + offset, sizeof(value));
	return value;
}

static long container_ioctl(unsigned long request, unsigned long argument)
{
	switch (request) {
	case 0x3b64: /* GET_API_VERSION */
		return 0;
	case 0x3b65: /* CHECK_EXTENSION */
		return argument == 1 || argument == 3;
	case 0x3b66: /* SET_IOMMU */
	case 0x3b75: /* DIRTY_PAGES */
		return 0;
	case 0x3b71: /* MAP_DMA */
		return pin(get64(argument, 8));
	case 0x3b72: /* UNMAP_DMA */
		return 0;
	case 0x3b70: /* GET_INFO */
		put32(argument, 4, 1);
		put64(argument, 8, 4096);
		return 0;
	default:
		return -ENOTTY;
	}
}

static long iommufd_ioctl(unsigned long request, unsigned long argument)
{
	switch (request) {
	case 0x3b81: /* IOAS_ALLOC */
		put32(argument, 8, 7);
		return 0;
	case 0x3b85: /* IOAS_MAP: says where */
		if (pin(get64(argument, 16)))
			return -EFAULT;
		if (!(get32(argument, 4) & 1))
			put64(argument, 32, 0x4000);
		return 0;
	case 0x3b84: /* IOVA_RANGES: two of them */
		if (get32(argument, 8) < 2) {
			put32(argument, 8, 2);
			return -EMSGSIZE;
		}
		put32(argument, 8, 2);
		return 0;
	case 0x3b8e: /* FAULT_QUEUE_ALLOC */
		put32(argument, 12, (uint32_t)raw3(SYS_eventfd2, 0, EFD_CLOEXEC, 0));
		return 0;
	case 0x3b93: /* VEVENTQ_ALLOC */
		put32(argument, 24, (uint32_t)raw3(SYS_eventfd2, 0, EFD_CLOEXEC, 0));
		return 0;
	default:
		return request >= 0x3b80 && request <= 0x3b95 ? 0 : container_ioctl(request, argument);
	}
}

long standin_ioctl(int fd, enum vfiotape_object_kind kind, unsigned long request, unsigned long argument)
{
	(void)fd;
	switch (kind) {
	case VFIOTAPE_OBJECT_CONTAINER:
		return container_ioctl(request, argument);
	case VFIOTAPE_OBJECT_IOMMUFD:
		return iommufd_ioctl(request, argument);
	case VFIOTAPE_OBJECT_GROUP:
		if (request == 0x3b6a)
			return make("vfiotape-standin-device");
		if (request == 0x3b67)
			put32(argument, 4, 3);
		return request >= 0x3b67 && request <= 0x3b69 ? 0 : -ENOTTY;
	case VFIOTAPE_OBJECT_DEVICE:
	case VFIOTAPE_OBJECT_CDEV:
		return device_ioctl(request, argument);
	case VFIOTAPE_OBJECT_MIGRATION:
		return request == 0x3b79 ? 0 : -ENOTTY;
	case VFIOTAPE_OBJECT_LYON_DEVICE:
		return 0;
	case VFIOTAPE_OBJECT_KVM_VM: /* KVM_SET_USER_MEMORY_REGION */
		return request == 0x4020ae46 ? pin(get64(argument, 24)) : 0;
	case VFIOTAPE_OBJECT_KVM:
		return request == 0xae01 ? make("vfiotape-standin-kvm-vm") : -ENOTTY;
	default:
		return -ENOTTY;
	}
}

#endif
