/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VFIOTAPE_PROCESS_INFO_H
#define VFIOTAPE_PROCESS_INFO_H

#include "ring.h"

/* The PROCESS record: an image attached. */
void process_info_announce(struct ring_thread *ring);
/* The EXIT record, with the memory map as it is in the end (what was dlopened since). */
void process_info_exit(int status, uint64_t site);

#endif
