// SPDX-License-Identifier: Apache-2.0
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "environment.h"
#include "objects.h"
#include "../sim/sim.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

/* 2^28 ticks are about 100 ms at today's frequencies; in nanoseconds it is 100 ms. */
#define CLOCK_INTERVAL_TSC (1ull << 28)
#define CLOCK_INTERVAL_NS 100000000ull

struct shim_session shim_session;
struct shim_process shim_process;

void shim_file_path(char *path, const char *name, uint32_t number, unsigned int digits)
{
	char reversed[12];
	unsigned int count = 0;

	for (const char *from = shim_session.directory; *from;)
		*path++ = *from++;
	while (*name)
		*path++ = *name++;
	do {
		reversed[count++] = (char)('0' + number % 10);
		number /= 10;
	} while (number || count < digits);
	while (count)
		*path++ = reversed[--count];
	*path = 0;
}

bool shim_may_write(uint64_t end)
{
	struct rlimit64 limit;

	return raw4(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, (long)&limit) != 0 || end <= limit.rlim_cur;
}

void shim_count_loss(uint64_t *counter, uint64_t amount)
{
	__atomic_fetch_add(counter, amount, __ATOMIC_RELAXED);
}

void shim_count_other_loss(void)
{
	if (shim_session.control)
		shim_count_loss(&shim_session.control->lost_other, 1);
}

static struct vfiotape_control *open_control(const char *directory)
{
	char path[SHIM_PATH_MAX + 32];
	struct vfiotape_control *control;
	size_t length = strlen(directory);
	int fd;

	if (directory[0] != '/' || length >= SHIM_PATH_MAX)
		return NULL;
	memcpy(path, directory, length);
	memcpy(path + length, "/control", sizeof("/control"));
	fd = raw_openat(AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
	if (fd < 0)
		return NULL;
	control = raw_mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	raw_close(fd);
	if (raw_failed((long)control))
		return NULL;
	if (control->magic == VFIOTAPE_CONTROL_MAGIC && control->version == VFIOTAPE_WIRE_VERSION &&
	    control->records_log2 >= 8 && control->records_log2 <= 24 && control->side_log2 >= 12 &&
	    control->side_log2 <= 30)
		return control;
	raw_munmap(control, sizeof(*control));
	return NULL;
}

/* Whose descriptors the table's are is known by the pid here, too: see objects_are_ours. */
static void attach_unrecorded(const char *simulator)
{
	if (!simulator) {
		shim_session.mode = SHIM_PASSIVE;
		return;
	}
	environment_remember(NULL, simulator);
	if (raw_madvise(&shim_process, sizeof(shim_process), MADV_WIPEONFORK) == 0)
		shim_process.pid = (uint32_t)raw_getpid();
	__atomic_store_n(&shim_session.mode, SHIM_SIMULATING, __ATOMIC_RELEASE);
}

void shim_attach_session(void)
{
	const char *directory = environment_session(), *simulator = NULL;
	struct vfiotape_control *control = directory ? open_control(directory) : NULL;

	sim_attach();
	if (sim_active)
		simulator = sim_directory;
	/* Without wiping, a forked child would write into its parent's rings: rather record nothing. */
	if (!control || raw_madvise(&shim_process, sizeof(shim_process), MADV_WIPEONFORK) != 0) {
		attach_unrecorded(simulator);
		return;
	}
	memcpy(shim_session.directory, directory, strlen(directory) + 1);
	shim_session.control = control;
	shim_session.clock_monotonic = control->clock_source == VFIOTAPE_CLOCK_MONOTONIC;
	shim_session.clock_interval = shim_session.clock_monotonic ? CLOCK_INTERVAL_NS : CLOCK_INTERVAL_TSC;
	environment_remember(directory, simulator);
	__atomic_store_n(&shim_session.mode, SHIM_RECORDING, __ATOMIC_RELEASE);
}

/* /proc/self/ns/pid is "pid:[4026531836]". */
static uint64_t pid_namespace(void)
{
	char link[40];
	long length = raw3(SYS_readlink, (long)"/proc/self/ns/pid", (long)link, sizeof(link));
	uint64_t inode = 0;

	for (long at = 5; at < length && link[at] >= '0' && link[at] <= '9'; at++)
		inode = inode * 10 + (uint64_t)(link[at] - '0');
	return inode;
}

static void write_header(int file, uint32_t attached)
{
	struct vfiotape_process header = {
		.magic = VFIOTAPE_PROCESS_MAGIC,
		.pid = shim_process.pid,
		.parent = shim_process.parent,
		.process = shim_process.process,
		.attached = attached,
		.started = shim_process.started,
		.unseen = shim_process.unseen,
		.pid_namespace = pid_namespace(),
	};

	if (!shim_may_write(sizeof(header)) || raw_pwrite(file, &header, sizeof(header), 0) != sizeof(header))
		shim_count_loss(&shim_session.control->lost_other, 1);
}

static int open_process_file(uint32_t pid, int flags)
{
	char path[SHIM_PATH_MAX + 32];

	shim_file_path(path, "/process.", pid, 1);
	return raw_openat(AT_FDCWD, path, O_WRONLY | O_CLOEXEC | flags, 0600);
}

void shim_write_process_file(void)
{
	int file = open_process_file(shim_process.pid, O_CREAT | O_TRUNC);

	if (file < 0) {
		shim_count_loss(&shim_session.control->lost_other, 1);
		return;
	}
	objects_save(file);
	write_header(file, 1);
	raw_close(file);
}

void shim_write_unseen(void)
{
	int file = open_process_file(shim_process.pid, 0);

	if (file < 0)
		return;
	write_header(file, 1);
	raw_close(file);
}

void shim_attach_process(void)
{
	uint32_t pid = (uint32_t)raw_getpid();

	shim_session.memory_sharers = 0; /* a forked child has none yet, whatever its parent had */
	shim_process.started = shim_clock();
	shim_process.process = __atomic_fetch_add(&shim_session.control->next_process, 1, __ATOMIC_RELAXED);
	shim_process.parent = (uint32_t)raw_getppid();
	/* A forked child has its parent's table by copy; an image after exec finds what was left for it. */
	if (!shim_session.inherited) {
		shim_session.inherited = 1;
		if (objects_inherit(pid, shim_process.parent))
			ring_release_former_image(pid);
	}
	__atomic_store_n(&shim_process.pid, pid, __ATOMIC_RELEASE);
	shim_write_process_file();
}
