// SPDX-License-Identifier: Apache-2.0
/* What /proc says of this process, as payload: executable, arguments, executable mappings. */
#include "process_info.h"

#include <fcntl.h>
#include <sys/mman.h>

#include "objects.h"

/* Scratch is mapped for the moment: the driver's stack may be small, and its heap is not ours to use. */
struct scratch {
	char exe[4096];
	char argv[VFIOTAPE_PAYLOAD_MAX];
	char maps[VFIOTAPE_PAYLOAD_MAX];
	char piece[16384];
};

static uint32_t read_file(const char *path, char *to, uint32_t size, bool *cut)
{
	int fd = raw_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	uint32_t length = 0;

	*cut = false;
	if (fd < 0)
		return 0;
	for (;;) {
		long got = raw_read(fd, to + length, size - length);

		if (got <= 0)
			break;
		length += (uint32_t)got;
		if (length == size) {
			*cut = true;
			break;
		}
	}
	raw_close(fd);
	return length;
}

/* "start-end r-xp …": the third permission letter. */
static bool is_executable(const char *line, const char *end)
{
	const char *space = memchr(line, ' ', (size_t)(end - line));

	return space && end - space > 3 && space[3] == 'x';
}

static uint32_t executable_maps(struct scratch *scratch, bool *cut)
{
	int fd = raw_openat(AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC, 0);
	uint32_t held = 0, length = 0;

	*cut = false;
	if (fd < 0)
		return 0;
	for (;;) {
		long got = raw_read(fd, scratch->piece + held, sizeof(scratch->piece) - held);
		char *line = scratch->piece, *end;

		if (got <= 0)
			break;
		held += (uint32_t)got;
		while ((end = memchr(line, '\n', (size_t)(scratch->piece + held - line)))) {
			uint32_t size = (uint32_t)(end + 1 - line);

			if (is_executable(line, end)) {
				if (length + size > sizeof(scratch->maps)) {
					*cut = true;
					break;
				}
				memcpy(scratch->maps + length, line, size);
				length += size;
			}
			line = end + 1;
		}
		if (*cut)
			break;
		held = (uint32_t)(scratch->piece + held - line);
		if (held == sizeof(scratch->piece)) /* no line is that long */
			break;
		memmove(scratch->piece, line, held);
	}
	raw_close(fd);
	return length;
}

static struct scratch *map_scratch(void)
{
	struct scratch *scratch = raw_mmap(NULL, sizeof(*scratch), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
					   -1, 0);

	return raw_failed((long)scratch) ? NULL : scratch;
}

void process_info_announce(struct ring_thread *ring)
{
	struct scratch *scratch = map_scratch();
	struct ring_event event = {
		.entered = shim_clock(),
		.offset = shim_process.pid,
		.value = shim_process.parent,
		.fd = -1,
		.kind = VFIOTAPE_PROCESS,
	};
	struct ring_segment segments[3];
	bool argv_cut, maps_cut;
	long exe;

	if (!scratch) {
		ring_write(ring, &event);
		return;
	}
	exe = raw3(SYS_readlink, (long)"/proc/self/exe", (long)scratch->exe, sizeof(scratch->exe));
	segments[0] = (struct ring_segment){ .role = VFIOTAPE_ROLE_EXE,
					     .length = exe > 0 ? (uint32_t)exe : 0,
					     .bytes = scratch->exe };
	segments[1] = (struct ring_segment){ .role = VFIOTAPE_ROLE_ARGV, .bytes = scratch->argv };
	segments[1].length = read_file("/proc/self/cmdline", scratch->argv, sizeof(scratch->argv), &argv_cut);
	segments[1].flags = argv_cut ? VFIOTAPE_SEGMENT_CUT : 0;
	segments[2] = (struct ring_segment){ .role = VFIOTAPE_ROLE_MAPS, .bytes = scratch->maps };
	segments[2].length = executable_maps(scratch, &maps_cut);
	segments[2].flags = maps_cut ? VFIOTAPE_SEGMENT_CUT : 0;
	ring_write_with(ring, &event, segments, 3);
	raw_munmap(scratch, sizeof(*scratch));
}

void process_info_exit(int status, uint64_t site)
{
	struct ring_thread *ring;
	struct scratch *scratch;
	struct ring_event event = { .site = site, .op = (uint32_t)status, .fd = -1, .kind = VFIOTAPE_EXIT };
	struct ring_segment segment = { .role = VFIOTAPE_ROLE_MAPS };
	bool cut;

	/* A process that had nothing to record is not made to take a ring for its last words. */
	if (!shim_process.announced)
		return;
	ring = ring_enter();
	if (!ring)
		return;
	objects_find_unseen();
	event.entered = shim_clock();
	scratch = map_scratch();
	if (!scratch) {
		ring_write(ring, &event);
		return;
	}
	segment.bytes = scratch->maps;
	segment.length = executable_maps(scratch, &cut);
	segment.flags = cut ? VFIOTAPE_SEGMENT_CUT : 0;
	ring_write_with(ring, &event, &segment, 1);
	raw_munmap(scratch, sizeof(*scratch));
}
