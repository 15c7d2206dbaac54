/* SPDX-License-Identifier: Apache-2.0 */
/* The test build of the shim takes a memfd of this name for a VFIO device: see recorder/shim/core/standin.h. */
#ifndef STANDIN_DEVICE_H
#define STANDIN_DEVICE_H

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHECK(condition)                                                                                               \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno);              \
			_exit(99);                                                                                     \
		}                                                                                                      \
	} while (0)

static inline int standin_device(long bytes)
{
	int fd = memfd_create("vfiotape-standin-device", 0);

	if (fd >= 0 && ftruncate(fd, bytes) != 0)
		return -1;
	return fd;
}

#endif
