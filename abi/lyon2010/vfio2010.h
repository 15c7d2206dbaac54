/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interface of /dev/vfioN and /dev/uiommu, 2010, restated from its description: for drivers that are written against it
 * here, and for the test that holds the TypeScript tables to a C compiler. Names and numbers are the interface's own.
 */
#ifndef VFIO2010_H
#define VFIO2010_H

#include <stdint.h>
#include <sys/ioctl.h>

/* All but flags in bytes, and multiples of a page. The posting of June 2010 had `int rdwr` in the place of flags. */
struct vfio_dma_map {
	uint64_t vaddr;	  /* in the process */
	uint64_t dmaaddr; /* the IOVA */
	uint64_t size;
	uint64_t flags;
};
#define VFIO_FLAG_WRITE 0x1u /* the device may write, too */
#define VFIO_MAX_MAP_SIZE (1ull << 30)

#define VFIO_DMA_MAP_IOVA _IOWR(';', 101, struct vfio_dma_map)
#define VFIO_DMA_UNMAP _IOW(';', 102, struct vfio_dma_map)	  /* by vaddr and size */
#define VFIO_EVENTFD_IRQ _IOW(';', 103, int)			  /* -1: off */
#define VFIO_EVENTFDS_MSI _IOW(';', 104, int)			  /* an array: how many, then the eventfds; 0: off */
#define VFIO_EVENTFDS_MSIX _IOW(';', 105, int)
#define VFIO_BAR_LEN _IOWR(';', 167, uint32_t)			  /* BAR, 6 for the ROM, in; its length out */
#define VFIO_DOMAIN_SET _IOW(';', 107, int)			  /* an open /dev/uiommu */
#define VFIO_DOMAIN_UNSET _IO(';', 108)
#define VFIO_IRQ_EOI _IO(';', 109)
#define VFIO_IRQ_EOI_EVENTFD _IOW(';', 110, int)		  /* -1: off */

/* The posting of June 2010 only. VFIO_EVENTFD_MSI had the number of VFIO_EVENTFDS_MSI, and took one descriptor. */
#define VFIO_DMA_MAP_ANYWHERE _IOWR(';', 100, struct vfio_dma_map) /* the kernel chooses dmaaddr */
#define VFIO_DMA_MASK _IOW(';', 103, uint64_t)			   /* and switched bus mastering on */
#define VFIO_EVENTFD_MSI _IOW(';', 104, int)

/* Offsets in the file: the space above the 32 bits of the register. */
#define VFIO_PCI_SPACE_SHIFT 32
#define VFIO_PCI_ROM_RESOURCE 6
#define VFIO_PCI_CONFIG_RESOURCE 0xf
#define VFIO_PCI_SPACE_OFFSET(space) ((uint64_t)(space) << VFIO_PCI_SPACE_SHIFT)
#define VFIO_PCI_CONFIG_OFF VFIO_PCI_SPACE_OFFSET(VFIO_PCI_CONFIG_RESOURCE)

/* Generic netlink, family "VFIO". */
#define VFIO_GENL_NAME "VFIO"
enum {
	VFIO_MSG_REMOVE = 1,
	VFIO_MSG_ERROR_DETECTED,
	VFIO_MSG_MMIO_ENABLED,
	VFIO_MSG_LINK_RESET,
	VFIO_MSG_SLOT_RESET,
	VFIO_MSG_ERROR_RESUME,
	VFIO_MSG_PM_SUSPEND,
	VFIO_MSG_PM_RESUME,
	VFIO_MSG_REGISTER,
	VFIO_MSG_ERROR_HANDLING_REPLY,
	VFIO_MSG_PM_SUSPEND_REPLY,
};
enum {
	VFIO_ATTR_MSGCAP = 1, /* uint64_t, a bit for each message wanted */
	VFIO_ATTR_PCI_DOMAIN, /* uint32_t */
	VFIO_ATTR_PCI_BUS,    /* uint16_t */
	VFIO_ATTR_PCI_SLOT,   /* uint8_t */
	VFIO_ATTR_PCI_FUNC,   /* uint8_t */
	VFIO_ATTR_CHANNEL_STATE,
	VFIO_ATTR_ERROR_HANDLING_REPLY,
	VFIO_ATTR_PM_SUSPEND_REPLY,
};

#endif
