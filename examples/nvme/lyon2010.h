/* SPDX-License-Identifier: Apache-2.0 */
/* The same as vfio.h, of the first VFIO: /dev/vfioN and /dev/uiommu, 2010. vfio.c leads here. */
#ifndef NVME_LYON2010_H
#define NVME_LYON2010_H

#include "vfio.h"

void lyon_open(struct vfio *vfio, const char *bdf);
/* Registers for REMOVE and for suspend. */
void lyon_listen(struct vfio *vfio, const char *bdf);
/* Answers what has come since; true when the device is to be taken away. */
bool lyon_is_wanted_back(const struct vfio *vfio);
void lyon_map_bar(struct vfio *vfio, size_t bytes);
void lyon_map_memory(struct vfio *vfio, size_t bytes);
void lyon_unmap_memory(struct vfio *vfio);
void lyon_set_msix(const struct vfio *vfio, const int *eventfds, unsigned int count);

#endif
