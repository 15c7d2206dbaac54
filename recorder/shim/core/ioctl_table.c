// SPDX-License-Identifier: Apache-2.0
/* Which request reads and writes how much, by the kind of the descriptor: linux/vfio.h, linux/iommufd.h, linux/kvm.h, and
 * the interface of 2010. */
#include "ioctl_arguments.h"

#define BIT(kind) (1u << VFIOTAPE_OBJECT_##kind)

/* An iommufd answers a container's requests when it is used as one (IOMMU_VFIO_IOAS). */
#define CONTAINERS (BIT(CONTAINER) | BIT(IOMMUFD))
#define GROUPS (BIT(GROUP) | BIT(NOIOMMU_GROUP))
#define DEVICES (BIT(DEVICE) | BIT(CDEV))

#define VFIO(n) (0x3b64u + (n))
#define CHAIN 16384 /* what a structure with a capability chain or an array is allowed to be */

#define NO_ARGUMENT(request, kinds) { request, kinds, IOCTL_NONE, ACTION_NONE, 0, 0, 0 }
#define SIZED(request, kinds, size, most, answer, action) { request, kinds, IOCTL_SIZED, action, size, most, answer }
#define FIXED(request, kinds, size, answer, action) { request, kinds, IOCTL_FIXED, action, size, size, answer }
#define IOMMU(n, size, answer, action) { 0x3b00u + (n), BIT(IOMMUFD), IOCTL_SIZED, action, size, 128, answer }

static const struct ioctl_shape shapes[] = {
	/* container */
	NO_ARGUMENT(VFIO(0), CONTAINERS), /* GET_API_VERSION */
	NO_ARGUMENT(VFIO(1), CONTAINERS), /* CHECK_EXTENSION: by value */
	NO_ARGUMENT(VFIO(2), CONTAINERS), /* SET_IOMMU: by value */
	SIZED(VFIO(12), CONTAINERS, 16, 24, CHAIN, ACTION_NONE), /* IOMMU_GET_INFO, SPAPR_TCE_GET_INFO */
	SIZED(VFIO(13), CONTAINERS, 32, 32, 0, ACTION_MAP_DMA),
	SIZED(VFIO(14), CONTAINERS, 24, 48, 48, ACTION_UNMAP_DMA),
	NO_ARGUMENT(VFIO(15), CONTAINERS), /* IOMMU_ENABLE */
	NO_ARGUMENT(VFIO(16), CONTAINERS), /* IOMMU_DISABLE */
	SIZED(VFIO(17), CONTAINERS, 8, 48, 0, ACTION_DIRTY_PAGES), /* and SPAPR_REGISTER_MEMORY */
	SIZED(VFIO(18), CONTAINERS, 24, 24, 0, ACTION_NONE), /* SPAPR_UNREGISTER_MEMORY */
	SIZED(VFIO(19), CONTAINERS, 40, 40, 40, ACTION_NONE), /* SPAPR_TCE_CREATE */
	SIZED(VFIO(20), CONTAINERS, 16, 16, 0, ACTION_NONE), /* SPAPR_TCE_REMOVE */
	SIZED(VFIO(21), CONTAINERS, 8, 40, 0, ACTION_NONE), /* EEH_PE_OP */
	/* group */
	SIZED(VFIO(3), GROUPS, 8, 8, 8, ACTION_NONE), /* GET_STATUS */
	FIXED(VFIO(4), GROUPS, 4, 0, ACTION_SET_CONTAINER),
	NO_ARGUMENT(VFIO(5), GROUPS), /* UNSET_CONTAINER */
	{ VFIO(6), GROUPS, IOCTL_STRING, ACTION_GET_DEVICE_FD, 0, 4096, 0 },
	/* device */
	SIZED(VFIO(7), DEVICES, 16, 24, CHAIN, ACTION_NONE), /* GET_INFO */
	SIZED(VFIO(8), DEVICES, 32, 32, CHAIN, ACTION_GET_REGION_INFO),
	SIZED(VFIO(9), DEVICES, 16, 16, 16, ACTION_NONE), /* GET_IRQ_INFO */
	SIZED(VFIO(10), DEVICES, 20, 20, 0, ACTION_SET_IRQS),
	NO_ARGUMENT(VFIO(11), DEVICES), /* RESET */
	SIZED(VFIO(12), DEVICES, 12, 12, CHAIN, ACTION_NONE), /* GET_PCI_HOT_RESET_INFO */
	SIZED(VFIO(13), DEVICES, 12, 12, 0, ACTION_HOT_RESET),
	SIZED(VFIO(14), DEVICES, 64, 64, 64, ACTION_NONE), /* QUERY_GFX_PLANE */
	FIXED(VFIO(15), DEVICES, 4, 0, ACTION_GET_GFX_DMABUF),
	SIZED(VFIO(16), DEVICES, 32, 32, 0, ACTION_IOEVENTFD),
	SIZED(VFIO(17), DEVICES, 8, CHAIN, CHAIN, ACTION_FEATURE),
	SIZED(VFIO(18), BIT(CDEV), 16, 24, 16, ACTION_BIND),
	SIZED(VFIO(19), BIT(CDEV), 12, 16, 16, ACTION_NONE), /* ATTACH_IOMMUFD_PT */
	SIZED(VFIO(20), BIT(CDEV), 8, 12, 0, ACTION_NONE), /* DETACH_IOMMUFD_PT */
	SIZED(VFIO(21), BIT(MIGRATION), 24, 24, 24, ACTION_NONE), /* MIG_GET_PRECOPY_INFO */
	/* iommufd */
	IOMMU(0x80, 8, 0, ACTION_NONE), /* DESTROY */
	IOMMU(0x81, 12, 12, ACTION_NONE), /* IOAS_ALLOC */
	IOMMU(0x82, 24, 0, ACTION_IOAS_ALLOW_IOVAS),
	IOMMU(0x83, 40, 40, ACTION_NONE), /* IOAS_COPY */
	IOMMU(0x84, 32, 32, ACTION_IOAS_IOVA_RANGES),
	IOMMU(0x85, 40, 40, ACTION_IOAS_MAP),
	IOMMU(0x86, 24, 24, ACTION_NONE), /* IOAS_UNMAP */
	IOMMU(0x87, 24, 24, ACTION_NONE), /* OPTION */
	IOMMU(0x88, 12, 12, ACTION_NONE), /* VFIO_IOAS */
	IOMMU(0x89, 40, 48, ACTION_HWPT_ALLOC),
	IOMMU(0x8a, 40, 40, ACTION_GET_HW_INFO),
	IOMMU(0x8b, 16, 0, ACTION_NONE), /* HWPT_SET_DIRTY_TRACKING */
	IOMMU(0x8c, 48, 0, ACTION_HWPT_GET_DIRTY),
	IOMMU(0x8d, 32, 32, ACTION_HWPT_INVALIDATE),
	IOMMU(0x8e, 16, 16, ACTION_FAULT_QUEUE),
	IOMMU(0x8f, 40, 40, ACTION_NONE), /* IOAS_MAP_FILE */
	IOMMU(0x90, 24, 40, ACTION_VIOMMU_ALLOC),
	IOMMU(0x91, 24, 24, ACTION_NONE), /* VDEVICE_ALLOC */
	IOMMU(0x92, 8, 0, ACTION_NONE), /* IOAS_CHANGE_PROCESS */
	IOMMU(0x93, 32, 32, ACTION_VEVENTQ),
	IOMMU(0x94, 40, 64, ACTION_NONE), /* HW_QUEUE_ALLOC */
	IOMMU(0x95, 40, 40, ACTION_NONE), /* IOAS_NOIOMMU_GET_PA */
	/* /dev/vfioN of 2010: 0x3b6c and 0x3b6d are other requests on today's devices */
	FIXED(0xc0203b65u, BIT(LYON_DEVICE), 32, 32, ACTION_LYON_MAP), /* DMA_MAP_IOVA */
	FIXED(0x40203b66u, BIT(LYON_DEVICE), 32, 0, ACTION_NONE), /* DMA_UNMAP */
	FIXED(0x40043b67u, BIT(LYON_DEVICE), 4, 0, ACTION_LYON_IRQ), /* EVENTFD_IRQ */
	{ 0x40043b68u, BIT(LYON_DEVICE), IOCTL_COUNTED, ACTION_LYON_MSI, 4, 4, 0 }, /* EVENTFDS_MSI: _IOC_SIZE is a lie */
	{ 0x40043b69u, BIT(LYON_DEVICE), IOCTL_COUNTED, ACTION_LYON_MSI, 4, 4, 0 }, /* EVENTFDS_MSIX */
	FIXED(0xc0043ba7u, BIT(LYON_DEVICE), 4, 4, ACTION_NONE), /* BAR_LEN */
	FIXED(0x40043b6bu, BIT(LYON_DEVICE), 4, 0, ACTION_NONE), /* DOMAIN_SET */
	NO_ARGUMENT(0x3b6cu, BIT(LYON_DEVICE)), /* DOMAIN_UNSET */
	NO_ARGUMENT(0x3b6du, BIT(LYON_DEVICE)), /* IRQ_EOI */
	FIXED(0x40043b6eu, BIT(LYON_DEVICE), 4, 0, ACTION_LYON_IRQ), /* IRQ_EOI_EVENTFD */
	/* KVM, as far as it takes interrupts and memory out of the driver's hands */
	{ 0xae01u, BIT(KVM), IOCTL_NONE, ACTION_KVM_CREATE_VM, 0, 0, 0 },
	FIXED(0x4020ae46u, BIT(KVM_VM), 32, 0, ACTION_KVM_MEMORY), /* SET_USER_MEMORY_REGION */
	FIXED(0x40a0ae49u, BIT(KVM_VM), 160, 0, ACTION_KVM_MEMORY), /* SET_USER_MEMORY_REGION2 */
	FIXED(0x4020ae76u, BIT(KVM_VM), 32, 0, ACTION_KVM_IRQFD),
	FIXED(0x4040ae79u, BIT(KVM_VM), 64, 0, ACTION_KVM_IOEVENTFD),
};

static const struct ioctl_shape unknown = { .form = IOCTL_UNKNOWN };

#define SHAPES (sizeof(shapes) / sizeof(shapes[0]))

/* By the request's low byte: 1 + the first shape that has it, and from each shape to the next; 0 ends. */
static uint8_t first_with[256], next_with[SHAPES];
static bool indexed;

__attribute__((constructor(101))) static void index_shapes(void)
{
	for (unsigned int i = SHAPES; !indexed && i-- > 0;) {
		next_with[i] = first_with[shapes[i].request & 0xff];
		first_with[shapes[i].request & 0xff] = (uint8_t)(i + 1);
	}
	indexed = true;
}

const struct ioctl_shape *ioctl_shape_of(enum vfiotape_object_kind kind, uint32_t request)
{
	if (unlikely(!indexed)) /* another library's constructor came first */
		index_shapes();
	for (unsigned int i = first_with[request & 0xff]; i; i = next_with[i - 1]) {
		if (shapes[i - 1].request == request && shapes[i - 1].kinds & 1u << kind)
			return &shapes[i - 1];
	}
	return &unknown;
}

bool ioctl_is_recorded(enum vfiotape_object_kind kind, uint32_t request)
{
	switch (kind) {
	case VFIOTAPE_OBJECT_KVM:
	case VFIOTAPE_OBJECT_KVM_VM:
		return ioctl_shape_of(kind, request)->form != IOCTL_UNKNOWN;
	case VFIOTAPE_OBJECT_NONE:
	case VFIOTAPE_OBJECT_SYSFS:
	case VFIOTAPE_OBJECT_PAGEMAP:
	case VFIOTAPE_OBJECT_EPOLL:
	case VFIOTAPE_OBJECT_SOCKET:
	case VFIOTAPE_OBJECT_LYON_NETLINK:
	case VFIOTAPE_OBJECT_EVENTFD:
	case VFIOTAPE_OBJECT_KIND_END:
		return false;
	default:
		return true;
	}
}
