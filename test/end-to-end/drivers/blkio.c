// SPDX-License-Identifier: Apache-2.0
/*
 * libblkio's virtio-blk-vfio-pci driver, as far as its device goes: connects, starts, says how large the disk is. The library is
 * loaded by its path, since Debian 12 has none (test/lab/setup-libblkio).
 *
 *	blkio LIBRARY DDDD:BB:DD.F
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct blkio;

static void *library;
static const char *(*message)(void);

/* blkio.h, libblkio 1.5: all return 0 or a negative errno. */
#define FUNCTION(name, ...) ((int (*)(__VA_ARGS__))find(name))

static void *find(const char *name)
{
	void *found = dlsym(library, name);

	if (found)
		return found;
	fprintf(stderr, "blkio: %s\n", dlerror());
	exit(2);
}

static void check(int result, const char *what)
{
	if (result == 0)
		return;
	fprintf(stderr, "blkio: cannot %s: %s (%s)\n", what, message(), strerror(-result));
	exit(1);
}

int main(int argc, char **argv)
{
	struct blkio *blkio;
	uint64_t capacity;
	char path[128];
	int queues;

	if (argc != 3)
		return 2;
	library = dlopen(argv[1], RTLD_NOW);
	if (!library) {
		fprintf(stderr, "blkio: %s\n", dlerror());
		return 2;
	}
	message = (const char *(*)(void))find("blkio_get_error_msg");
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s", argv[2]);
	check(FUNCTION("blkio_create", const char *, struct blkio **)("virtio-blk-vfio-pci", &blkio), "create");
	check(FUNCTION("blkio_set_str", struct blkio *, const char *, const char *)(blkio, "path", path), "set the path");
	check(FUNCTION("blkio_connect", struct blkio *)(blkio), "connect");
	check(FUNCTION("blkio_get_uint64", struct blkio *, const char *, uint64_t *)(blkio, "capacity", &capacity),
	      "ask for the capacity");
	check(FUNCTION("blkio_get_int", struct blkio *, const char *, int *)(blkio, "max-queues", &queues),
	      "ask for the queues");
	printf("connected: %llu bytes, %d queues\n", (unsigned long long)capacity, queues);
	check(FUNCTION("blkio_start", struct blkio *)(blkio), "start");
	printf("started\n");
	((void (*)(struct blkio **))find("blkio_destroy"))(&blkio);
	return 0;
}
