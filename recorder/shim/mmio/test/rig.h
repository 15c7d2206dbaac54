/* SPDX-License-Identifier: Apache-2.0 */
/* The watcher by itself: a memfd for a BAR, and rings in plain memory behind core/ring.h's interface. */
#ifndef VFIOTAPE_MMIO_RIG_H
#define VFIOTAPE_MMIO_RIG_H

#include <stdio.h>
#include <stdlib.h>

#include "../internal.h"

#define RIG_CHECK(condition)                                                                                           \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                \
			exit(1);                                                                                       \
		}                                                                                                      \
	} while (0)

extern unsigned int rig_records_log2; /* before rig_start */
extern struct vfiotape_control rig_control;

void rig_start(uint32_t mode);
/* Before rig_start: the BAR is a simulated device's, which rig.c answers for. */
void rig_simulate(void);
/* A BAR of `length` bytes: as the driver sees it, and (plain) as the test may look at it. */
uint8_t *rig_bar(size_t length, uint8_t **plain, void *wanted);
int rig_bar_fd(void);
/* This thread's records so far, from the first, those of SITE and CLOCK kinds left out; *count may be 0. */
uint64_t rig_position(void);
struct vfiotape_record *rig_record(uint64_t position);
const uint8_t *rig_payload(const struct vfiotape_record *record, uint32_t *length);
bool rig_is_access(const struct vfiotape_record *record);
void rig_forget(void); /* this thread's ring starts anew */
uint64_t rig_lost(void);

#endif
