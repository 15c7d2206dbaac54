// SPDX-License-Identifier: Apache-2.0
/*
 * A driver that does anything, as a process of its own: random ioctls with random arguments (also at addresses that are
 * none), config space, BARs by read, write and through mappings, doorbells, DMA inside and outside of what is mapped,
 * mappings that are cut and moved, descriptors duplicated, closed, and inherited by children. For each call only
 * one thing is right: that it returns, or gives a SIGBUS or SIGSEGV. Memory that is never named for DMA stays as it is.
 *
 *	driver-fuzz SEED CALLS THREADS REQUEST... - REQUEST... - REQUEST...
 *
 * Requests of containers, of devices and of all others.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARENA (1u << 20)
#define SCRATCH 16384u
#define FILES 24
#define MAPPINGS 12
#define EVENTFDS 4
#define THREADS_MAX 8
/* After that many all is closed and set up again: random writes have put everything to sleep by then. */
#define LIFE 600u

static const char *const nodes[] = {
	"/dev/vfio/vfio", "/dev/vfio/vfio", "/dev/iommu", "/dev/vfio/1", "/dev/vfio/2", "/dev/vfio/3",
	"/dev/vfio/devices/vfio0", "/dev/vfio/devices/vfio1", "/dev/vfio/devices/vfio2", "/dev/vfio/9", "/dev/vfio/noiommu-1",
};
static const char *const devices[] = { "0000:00:04.0", "0000:00:05.0", "0000:01:00.0", "0000:00:09.0" };

static unsigned long *requests;
#define LISTS 3
static uint32_t list_start[LISTS + 1];
static int thread_count;
static uint64_t wanted;
static unsigned char *arena, *guard;
static unsigned char *read_only, *nowhere;
static int eventfds[EVENTFDS];

struct mapping {
	unsigned char *at;
	size_t length;
};

/* A thread's own; other threads' descriptors are used, too. */
struct fuzzer {
	uint64_t state, calls, succeeded, signals, life;
	struct mapping mappings[MAPPINGS];
	unsigned char *scratch; /* its last page is followed by none */
	pthread_t thread;
	bool child;
};
static struct fuzzer fuzzers[THREADS_MAX];
/* Plus one. First the container and the devices as an honest driver has them, then the groups, then anything. */
static int files[FILES];
#define DEVICES 3
#define DEVICE_SLOT 1
#define GROUP_SLOT (DEVICE_SLOT + DEVICES)
#define ANY_SLOT (GROUP_SLOT + DEVICES)
static __thread sigjmp_buf back;
static __thread volatile sig_atomic_t may_fault;

static uint32_t next(struct fuzzer *f)
{
	f->state = f->state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(f->state >> 33);
}

static uint32_t below(struct fuzzer *f, uint32_t bound)
{
	return next(f) % bound;
}

static bool chance(struct fuzzer *f, uint32_t percent)
{
	return below(f, 100) < percent;
}

static void faulted(int signal)
{
	if (!may_fault) {
		static const char text[] = "driver-fuzz: a fault where none may be\n";

		if (write(2, text, sizeof(text) - 1) < 0)
			_exit(3);
		_exit(3);
	}
	siglongjmp(back, signal);
}

static long counted(struct fuzzer *f, long result)
{
	f->calls++;
	f->succeeded += result >= 0;
	return result;
}

/* --- numbers and addresses ------------------------------------------------------------------------------------------ */

static int file_at(uint32_t slot)
{
	return __atomic_load_n(&files[slot], __ATOMIC_RELAXED) - 1;
}

static int some_file(struct fuzzer *f)
{
	return file_at(chance(f, 60) ? below(f, ANY_SLOT) : below(f, FILES));
}

static int some_device(struct fuzzer *f)
{
	return chance(f, 85) ? file_at(DEVICE_SLOT + below(f, DEVICES)) : some_file(f);
}

static uint32_t some_number(struct fuzzer *f)
{
	static const uint32_t edges[] = { 0,  1,  2,  3,  4,  7,	  8,	      12,	  16,	     20,	 24,
					  32, 40, 48, 64, 4096, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff };

	switch (below(f, 6)) {
	case 0:
		return next(f);
	case 1:
		return (uint32_t)eventfds[below(f, EVENTFDS)];
	case 2:
		return (uint32_t)some_file(f);
	case 3:
		return below(f, 8);
	case 4:
		return below(f, 64) * 4096;
	default:
		return edges[below(f, sizeof(edges) / sizeof(edges[0]))];
	}
}

/* What the kernel may be told to read or write: never the guard. */
static uint64_t some_address(struct fuzzer *f)
{
	uint64_t page = below(f, ARENA / 4096) * 4096ull;
	struct mapping *mapping = &f->mappings[below(f, MAPPINGS)];

	switch (below(f, 10)) {
	case 0:
	case 1:
	case 2:
		return (uint64_t)arena + page;
	case 3:
		return page; /* an IOVA that may be mapped */
	case 4:
		return 0xfee00000 + page;
	case 5:
		return ~0ull - page;
	case 6:
		return (uint64_t)f->scratch + SCRATCH - below(f, 256); /* its end */
	case 7:
		return (uint64_t)(chance(f, 50) ? read_only : nowhere) + below(f, 4096);
	case 8:
		return mapping->at ? (uint64_t)mapping->at : 0;
	default:
		return (uint64_t)next(f) << below(f, 33);
	}
}

static void fill_argument(struct fuzzer *f, unsigned char *bytes)
{
	static const uint32_t sizes[] = { 8, 16, 20, 24, 32, 40, 48, 56, 64, 256 };
	uint32_t number = chance(f, 85) ? sizes[below(f, sizeof(sizes) / sizeof(sizes[0]))] : some_number(f);
	uint64_t address;

	memset(bytes, 0, 256);
	for (unsigned int at = 4; at < 64; at += 4) {
		uint32_t value = some_number(f);

		if (chance(f, 55))
			memcpy(bytes + at, &value, 4);
	}
	memcpy(bytes, &number, 4);
	for (unsigned int at = 8; at <= 40; at += 8) {
		address = some_address(f);
		if (chance(f, 35))
			memcpy(bytes + at, &address, 8);
	}
	if (chance(f, 5))
		strcpy((char *)bytes, devices[below(f, sizeof(devices) / sizeof(devices[0]))]);
}

/* --- calls ------------------------------------------------------------------------------------------------------------ */

static void keep_at(struct fuzzer *f, uint32_t slot, int fd)
{
	int former;

	if (fd < 0)
		return;
	former = __atomic_exchange_n(&files[slot], fd + 1, __ATOMIC_RELAXED) - 1;
	if (former >= 0)
		counted(f, close(former));
}

static void keep(struct fuzzer *f, int fd)
{
	keep_at(f, chance(f, 97) ? ANY_SLOT + below(f, FILES - ANY_SLOT) : below(f, FILES), fd);
}

static void do_open(struct fuzzer *f)
{
	keep(f, (int)counted(f, open(nodes[below(f, sizeof(nodes) / sizeof(nodes[0]))], O_RDWR | (chance(f, 50) ? O_CLOEXEC : 0))));
}

static void do_ioctl(struct fuzzer *f)
{
	uint32_t slot = chance(f, 85) ? below(f, ANY_SLOT) : below(f, FILES);
	uint32_t list = slot == 0 ? 0 : slot < GROUP_SLOT ? 1 : 2;
	bool fitting = chance(f, 80);
	uint32_t first = fitting ? list_start[list] : 0, end = list_start[fitting ? list + 1 : LISTS];
	unsigned long request = chance(f, 97) ? requests[first + below(f, end - first)] : next(f);
	int fd = file_at(slot);
	unsigned char *argument = f->scratch + (chance(f, 90) ? 0 : SCRATCH - 4 - below(f, 60));
	long result;

	if (argument == f->scratch)
		fill_argument(f, argument);
	else
		memset(argument, (int)next(f), (size_t)(f->scratch + SCRATCH - argument));
	if (chance(f, 8))
		result = counted(f, ioctl(fd, request, some_address(f)));
	else if (chance(f, 5))
		result = counted(f, ioctl(fd, request, (unsigned long)some_number(f)));
	else
		result = counted(f, ioctl(fd, request, argument));
	/* A descriptor that is new: of a device. */
	if (result > 2 && request == VFIO_GROUP_GET_DEVICE_FD && !f->child)
		keep(f, (int)result);
}

static void do_irqs(struct fuzzer *f)
{
	struct vfio_irq_set *irqs = (struct vfio_irq_set *)f->scratch;
	uint32_t count = chance(f, 60) ? 1 : below(f, 6);

	*irqs = (struct vfio_irq_set){
		.argsz = (uint32_t)sizeof(*irqs) + count * (chance(f, 90) ? 4 : below(f, 8)),
		.flags = chance(f, 60) ? VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER :
					 1u << below(f, 3) | 8u << below(f, 3),
		.index = below(f, chance(f, 80) ? 3 : 6),
		.start = chance(f, 80) ? 0 : below(f, 40),
		.count = count,
	};
	for (uint32_t i = 0; i < count; i++) {
		int fd = chance(f, 80) ? eventfds[below(f, EVENTFDS)] : (int)some_number(f);

		memcpy(irqs->data + 4 * i, &fd, 4);
	}
	counted(f, ioctl(some_device(f), VFIO_DEVICE_SET_IRQS, irqs));
}

static void do_dma_map(struct fuzzer *f)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = 1 + below(f, 3),
		.vaddr = (uint64_t)arena + below(f, ARENA / 8192) * 4096ull,
		.iova = below(f, 64) * 4096ull,
		.size = (1 + below(f, 16)) * 4096ull,
	};
	struct vfio_iommu_type1_dma_unmap unmap = { .argsz = sizeof(unmap), .iova = map.iova, .size = map.size };

	int fd = chance(f, 85) ? file_at(0) : some_file(f);

	if (chance(f, 70))
		counted(f, ioctl(fd, VFIO_IOMMU_MAP_DMA, &map));
	else
		counted(f, ioctl(fd, VFIO_IOMMU_UNMAP_DMA, &unmap));
}

static void do_transfer(struct fuzzer *f)
{
	static const size_t sizes[] = { 1, 2, 4, 4, 4, 8, 3, 64, 256, 5000 };
	int fd = some_device(f);
	uint64_t region = chance(f, 70) ? 7 : chance(f, 95) ? below(f, 9) : below(f, 300);
	off_t offset = (off_t)(region << 40 | below(f, region == 7 ? 0x140 : chance(f, 80) ? 0x4000 : 0x200000));
	size_t size = sizes[below(f, sizeof(sizes) / sizeof(sizes[0]))];
	unsigned char *buffer = chance(f, 93) ? f->scratch : (unsigned char *)some_address(f);
	struct iovec pieces[2] = { { f->scratch, below(f, 64) }, { buffer, size } };

	if (chance(f, 5))
		offset = (off_t)((uint64_t)next(f) << below(f, 33));
	if (buffer == f->scratch)
		memset(buffer, (int)next(f), size);
	switch (below(f, 10)) {
	case 0:
		counted(f, read(fd, buffer, size));
		break;
	case 1:
		counted(f, write(fd, buffer, size));
		break;
	case 2:
		counted(f, preadv(fd, pieces, 2, offset));
		break;
	case 3:
		counted(f, pwritev(fd, pieces, 2, offset));
		break;
	case 4:
	case 5:
	case 6:
		counted(f, pread(fd, buffer, size, offset));
		break;
	default:
		counted(f, pwrite(fd, buffer, size, offset));
		break;
	}
}

static void do_map(struct fuzzer *f)
{
	static const size_t lengths[] = { 4096, 8192, 0x4000, 0x20000, 0x100000, 1, 0 };
	struct mapping *mapping = &f->mappings[below(f, MAPPINGS)];
	void *at;

	if (mapping->at) {
		size_t cut = mapping->length / 2 & ~4095ul;

		if (chance(f, 20) && cut) {
			counted(f, munmap(mapping->at, cut));
			mapping->at += cut;
			mapping->length -= cut;
			return;
		}
		if (chance(f, 10)) {
			at = mremap(mapping->at, mapping->length, mapping->length, MREMAP_MAYMOVE);
			counted(f, at == MAP_FAILED ? -1 : 0);
			if (at != MAP_FAILED)
				mapping->at = at;
			return;
		}
		counted(f, munmap(mapping->at, mapping->length));
		mapping->at = NULL;
		return;
	}
	mapping->length = lengths[below(f, sizeof(lengths) / sizeof(lengths[0]))];
	at = mmap(NULL, mapping->length, PROT_READ | (chance(f, 90) ? PROT_WRITE : 0), chance(f, 95) ? MAP_SHARED : MAP_PRIVATE,
		  some_device(f), (off_t)((uint64_t)below(f, chance(f, 70) ? 1 : 9) << 40 | below(f, 3) * 4096));
	counted(f, at == MAP_FAILED ? -1 : 0);
	mapping->at = at == MAP_FAILED ? NULL : at;
	mapping->length = (mapping->length + 4095) & ~4095ul;
}

/* Registers of NVMe and edu that do something. */
static const uint32_t registers[] = { 0,    0x14,   0x1c,   0x24,   0x28,   0x30,   0x08,   0x20, 0x60, 0x64,
				      0x80, 0x88, 0x90, 0x98, 0x1000, 0x1004, 0x1008, 0x100c, 0x2000 };

static void access_once(struct fuzzer *f, unsigned char *at)
{
	uint64_t value = chance(f, 50) ? below(f, 33) : chance(f, 30) ? 0x460001 : some_address(f);

	switch (below(f, 8)) {
	case 0:
		*(volatile uint8_t *)at = (uint8_t)value;
		break;
	case 1:
		*(volatile uint64_t *)at = value;
		break;
	case 2:
		*(volatile uint32_t *)f->scratch = *(volatile uint32_t *)at;
		break;
	case 3:
		*(volatile uint64_t *)f->scratch = *(volatile uint64_t *)at;
		break;
	case 4:
		memcpy(f->scratch, at, 32);
		break;
	case 5:
		__atomic_fetch_add((uint32_t *)at, 1, __ATOMIC_SEQ_CST);
		break;
	default:
		*(volatile uint32_t *)at = (uint32_t)value;
		break;
	}
}

static void do_access(struct fuzzer *f)
{
	struct mapping *mapping = &f->mappings[below(f, MAPPINGS)];
	size_t offset = chance(f, 80) ? registers[below(f, sizeof(registers) / sizeof(registers[0]))] : next(f) & ~3ul;

	if (!mapping->at) {
		do_map(f);
		return;
	}
	offset = mapping->length > 32 ? offset % (mapping->length - 32) : 0;
	may_fault = 1;
	if (!sigsetjmp(back, 1)) {
		access_once(f, mapping->at + offset);
		f->succeeded++;
	} else {
		f->signals++;
	}
	may_fault = 0;
	f->calls++;
}

/* Commands for NVMe's queues, which lie in the arena once set up. */
static void write_commands(struct fuzzer *f)
{
	for (unsigned int slot = 0; slot < 32; slot++) {
		unsigned char *command = arena + 4096 + 64 * slot;
		uint64_t prp = chance(f, 80) ? below(f, 65536) & ~3u : some_address(f);

		for (unsigned int i = 0; i < 64; i++)
			command[i] = (unsigned char)next(f);
		command[0] = (unsigned char)below(f, 16);
		command[1] = 0;
		command[4] = (unsigned char)below(f, 3);
		memcpy(command + 24, &prp, 8);
		prp = below(f, 16) | below(f, 64) << 16;
		memcpy(command + 40, &prp, 4);
	}
}

/* What an honest driver does to edu and NVMe, with addresses that may be good. */
static void do_drive(struct fuzzer *f)
{
	struct mapping *mapping = &f->mappings[1 + below(f, DEVICES)];
	uint64_t iova = chance(f, 80) ? below(f, 65536) & ~3u : some_address(f);
	unsigned char *bar = mapping->at;
	bool out = chance(f, 50);

	if (!bar || mapping->length < 0x2000)
		return;
	if (mapping == &f->mappings[1])
		write_commands(f);
	may_fault = 1;
	if (sigsetjmp(back, 1)) {
		f->signals++;
	} else if (mapping == &f->mappings[1]) {
		*(volatile uint32_t *)(bar + 0x1000) = below(f, 32);
		*(volatile uint32_t *)(bar + 0x1004) = below(f, 32);
		f->succeeded += 2;
	} else {
		*(volatile uint64_t *)(bar + 0x80) = out ? 0x40000 : iova;
		*(volatile uint64_t *)(bar + 0x88) = out ? iova : 0x40000;
		*(volatile uint64_t *)(bar + 0x90) = below(f, 4097);
		*(volatile uint64_t *)(bar + 0x98) = (out ? 3 : 1) | below(f, 2) * 4;
		f->succeeded += 4;
	}
	may_fault = 0;
	f->calls += mapping == &f->mappings[1] ? 2 : 4;
}

static void do_process(struct fuzzer *f)
{
	pid_t child;

	if (thread_count > 1 || f->child)
		return;
	child = fork();
	if (!child) {
		f->child = true;
		f->calls = 0;
		return;
	}
	if (child > 0)
		counted(f, waitpid(child, &(int){ 0 }, 0));
}

static void set_up(struct fuzzer *f)
{
	int container = open("/dev/vfio/vfio", O_RDWR);
	bool chosen = false;

	keep_at(f, 0, container);
	for (uint32_t group = 1; group <= DEVICES; group++) {
		int fd = open(nodes[2 + group], O_RDWR), device;
		unsigned char command[2] = { 6, 1 };

		if (fd < 0 || ioctl(fd, VFIO_GROUP_SET_CONTAINER, &container)) {
			keep_at(f, GROUP_SLOT + group - 1, fd);
			continue;
		}
		if (!chosen && ioctl(container, VFIO_SET_IOMMU, chance(f, 50) ? 1ul : 3ul) == 0)
			chosen = true;
		device = ioctl(fd, VFIO_GROUP_GET_DEVICE_FD, devices[group - 1]);
		keep_at(f, GROUP_SLOT + group - 1, fd);
		if (device < 0)
			continue;
		if (pwrite(device, command, 2, (7l << 40) + 4) == 2 && !f->mappings[group].at) {
			void *at = mmap(NULL, 0x4000, PROT_READ | PROT_WRITE, MAP_SHARED, device, 0);

			f->mappings[group] = (struct mapping){ at == MAP_FAILED ? NULL : at, 0x4000 };
		}
		keep_at(f, DEVICE_SLOT + group - 1, device);
	}
	for (uint64_t i = 0; i < 16; i++) {
		struct vfio_iommu_type1_dma_map map = { .argsz = sizeof(map), .flags = 3, .vaddr = (uint64_t)arena + 4096 * i,
							.iova = 4096 * i, .size = 4096 };

		ioctl(container, VFIO_IOMMU_MAP_DMA, &map);
	}
	if (!f->mappings[1].at)
		return;
	may_fault = 1;
	if (!sigsetjmp(back, 1)) {
		unsigned char *nvme = f->mappings[1].at;

		write_commands(f);
		*(volatile uint32_t *)(nvme + 0x24) = 0x001f001f;
		*(volatile uint64_t *)(nvme + 0x28) = 0x1000;
		*(volatile uint64_t *)(nvme + 0x30) = 0x2000;
		*(volatile uint32_t *)(nvme + 0x14) = 0x00460001;
	}
	may_fault = 0;
}

static void start_again(struct fuzzer *f)
{
	for (int i = 0; i < FILES && f == fuzzers; i++) {
		int fd = __atomic_exchange_n(&files[i], 0, __ATOMIC_RELAXED) - 1;

		if (fd >= 0)
			counted(f, close(fd));
	}
	for (int i = 0; i < MAPPINGS; i++) {
		if (f->mappings[i].at)
			counted(f, munmap(f->mappings[i].at, f->mappings[i].length));
		f->mappings[i].at = NULL;
	}
	if (f == fuzzers && chance(f, 90))
		set_up(f);
}

static void step(struct fuzzer *f)
{
	uint32_t kind = below(f, 1000);

	if (kind < 20)
		do_open(f);
	else if (kind < 24)
		keep(f, (int)counted(f, dup(some_file(f))));
	else if (kind < 340)
		do_ioctl(f);
	else if (kind < 380)
		do_irqs(f);
	else if (kind < 420)
		do_dma_map(f);
	else if (kind < 680)
		do_transfer(f);
	else if (kind < 710)
		do_map(f);
	else if (kind < 970)
		do_access(f);
	else if (kind < 998)
		do_drive(f);
	else if (chance(f, 30))
		do_process(f);
}

static void *fuzz(void *argument)
{
	struct fuzzer *f = argument;

	start_again(f);
	while (f->calls < (f->child ? 50 : wanted)) {
		step(f);
		if (++f->life % LIFE == 0)
			start_again(f);
	}
	if (f->child)
		_exit(0);
	return NULL;
}

static unsigned char *pages(size_t size, int prot)
{
	unsigned char *at = mmap(NULL, size, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		exit(2);
	return at;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = faulted, .sa_flags = SA_NODEFER };
	uint64_t calls = 0, succeeded = 0, signals = 0;

	if (argc < 5)
		return 2;
	wanted = strtoull(argv[2], NULL, 10);
	thread_count = atoi(argv[3]) < THREADS_MAX ? atoi(argv[3]) : THREADS_MAX;
	wanted /= (uint64_t)thread_count;
	requests = calloc((size_t)argc, sizeof(*requests));
	for (int i = 4, list = 0; i < argc && list < LISTS; i++) {
		if (!strcmp(argv[i], "-")) {
			list_start[list + 2] = list_start[list + 1];
			list++;
			continue;
		}
		requests[list_start[list + 1]++] = strtoul(argv[i], NULL, 0);
	}
	arena = pages(ARENA, PROT_READ | PROT_WRITE);
	read_only = pages(4096, PROT_READ);
	nowhere = pages(8192, PROT_NONE);
	guard = pages(ARENA, PROT_READ | PROT_WRITE);
	memset(guard, 0xa5, ARENA);
	for (int i = 0; i < EVENTFDS; i++)
		eventfds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	for (int i = 0; i < thread_count; i++) {
		fuzzers[i].state = strtoull(argv[1], NULL, 0) * 2 + (uint64_t)i * 0x9e3779b97f4a7c15ull;
		fuzzers[i].scratch = pages(SCRATCH + 4096, PROT_READ | PROT_WRITE);
		mprotect(fuzzers[i].scratch + SCRATCH, 4096, PROT_NONE);
	}
	for (int i = 1; i < thread_count; i++)
		pthread_create(&fuzzers[i].thread, NULL, fuzz, &fuzzers[i]);
	fuzz(&fuzzers[0]);
	for (int i = 0; i < thread_count; i++) {
		if (i)
			pthread_join(fuzzers[i].thread, NULL);
		calls += fuzzers[i].calls;
		succeeded += fuzzers[i].succeeded;
		signals += fuzzers[i].signals;
	}
	for (uint32_t i = 0; i < ARENA; i++) {
		if (guard[i] != 0xa5) {
			printf("memory that was never mapped for DMA was written\n");
			return 1;
		}
	}
	printf("%llu calls, %llu succeeded, %llu signals\n", (unsigned long long)calls, (unsigned long long)succeeded,
	       (unsigned long long)signals);
	return 0;
}
