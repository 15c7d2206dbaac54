/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fills rings as the shim does, at a given rate and without a device: for the collector's tests and its throughput
 * figures. Each event carries its thread's running number, so that a trace can be checked for lost and doubled ones.
 *
 *	ring-producer DIR THREADS RATE COUNT [PAYLOAD]
 *
 * DIR "-": the session that the environment names. RATE: events a second of each thread, 0: as fast as it goes. COUNT: events of each thread, 0: until it is killed.
 * PAYLOAD: bytes that go with every 16th event. With a RATE it begins half a second after it attached, as a driver that
 * has set up its device. Prints "events E seconds S waits W waited-ns N max-wait-ns M".
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../../abi/wire/record.h"

#define MARGIN 64
#define PAYLOAD_EVERY 16

static const char *directory;
static struct vfiotape_control *control;
static uint32_t process_id;
static uint64_t rate, count;
static uint32_t payload_bytes;

struct producer {
	pthread_t thread;
	struct vfiotape_ring_header *header;
	struct vfiotape_record *records;
	unsigned char *side;
	uint64_t mask, side_mask, limit, waits, waited, longest, made;
	uint32_t number, index;
};

static uint64_t now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t ticks(void)
{
	return control->clock_source == VFIOTAPE_CLOCK_TSC ? __builtin_ia32_rdtsc() : now_ns(CLOCK_MONOTONIC);
}

static void *map(const char *name, size_t size, int flags)
{
	char path[4096];
	void *base;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_RDWR | flags, 0600);
	if (fd < 0 || ((flags & O_CREAT) && posix_fallocate(fd, 0, (off_t)size))) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(3);
	}
	base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	close(fd);
	if (base == MAP_FAILED)
		exit(3);
	return base;
}

static bool checked(const uint64_t *pair, uint64_t *value)
{
	uint64_t word = __atomic_load_n(&pair[0], __ATOMIC_ACQUIRE), check = __atomic_load_n(&pair[1], __ATOMIC_ACQUIRE);

	*value = word;
	return word == ~check || (!word && !check);
}

static bool claim(struct producer *self)
{
	size_t size = VFIOTAPE_RING_HEADER_BYTES + ((size_t)64 << control->records_log2) + ((size_t)1 << control->side_log2);

	for (uint32_t index = 0; index < control->ring_limit; index++) {
		uint32_t free = VFIOTAPE_RING_FREE;
		char name[32];

		if (!__atomic_compare_exchange_n(&control->ring_state[index], &free, VFIOTAPE_RING_OWNED, false,
						 __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			continue;
		snprintf(name, sizeof(name), "ring.%03u", index);
		self->header = map(name, size, O_CREAT);
		self->records = (void *)((char *)self->header + VFIOTAPE_RING_HEADER_BYTES);
		self->mask = (1ull << control->records_log2) - 1;
		self->side = (unsigned char *)(self->records + self->mask + 1);
		self->side_mask = (1ull << control->side_log2) - 1;
		self->index = index;
		self->header->pid = (uint32_t)getpid();
		self->header->tid = (uint32_t)syscall(SYS_gettid);
		self->header->process = process_id;
		self->header->index = index;
		self->header->records_log2 = control->records_log2;
		self->header->side_log2 = control->side_log2;
		__atomic_store_n(&self->header->magic, VFIOTAPE_RING_MAGIC, __ATOMIC_RELEASE);
		return true;
	}
	__atomic_fetch_add(&control->lost_no_ring, 1, __ATOMIC_RELAXED);
	return false;
}

static bool room(struct producer *self, uint64_t side)
{
	uint64_t tail, side_tail;

	if (!checked(&self->header->tail, &tail) || !checked(&self->header->side_tail, &side_tail))
		return false;
	self->limit = tail + self->mask + 1 - MARGIN;
	return self->header->head < self->limit &&
	       self->header->side_head + side <= side_tail + (self->side_mask + 1) / 4 * 3;
}

/* Answers false when nobody empties the rings any more. */
static bool wait_for_room(struct producer *self, uint64_t side)
{
	uint64_t began, began_ticks, spent;

	if (room(self, side))
		return true;
	if (control->when_full == VFIOTAPE_FULL_DROP)
		return false;
	began = now_ns(CLOCK_MONOTONIC);
	began_ticks = ticks();
	self->waits++;
	self->header->waits++;
	while (!room(self, side)) {
		struct timespec pause = { 0, 50000 };

		if (control->state == VFIOTAPE_STOPPED || (kill((pid_t)control->collector_pid, 0) && errno == ESRCH))
			return false;
		nanosleep(&pause, NULL);
	}
	spent = now_ns(CLOCK_MONOTONIC) - began;
	self->waited += spent;
	self->header->waited += ticks() - began_ticks;
	if (spent > self->longest)
		self->longest = spent;
	return true;
}

static bool put(struct producer *self, struct vfiotape_record *event, const void *bytes, uint32_t length, uint8_t role)
{
	uint64_t position, side = 0, need = bytes ? sizeof(struct vfiotape_segment) + ((length + 7u) & ~7u) : 0;
	struct vfiotape_record *slot;
	uint64_t commit;

	if ((self->header->head >= self->limit || need) && !wait_for_room(self, need + need))
		return false;
	if (bytes) {
		uint64_t at = self->header->side_head & self->side_mask;
		struct vfiotape_segment *segment;

		if (at + need > self->side_mask + 1)
			self->header->side_head += self->side_mask + 1 - at;
		side = self->header->side_head;
		segment = (void *)(self->side + (side & self->side_mask));
		*segment = (struct vfiotape_segment){ .length = length, .role = role };
		memcpy(segment + 1, bytes, length);
		__atomic_store_n(&self->header->side_head, side + need, __ATOMIC_RELEASE);
	}
	position = __atomic_fetch_add(&self->header->head, 1, __ATOMIC_RELAXED);
	slot = &self->records[position & self->mask];
	memcpy(slot, event, 56);
	commit = (uint64_t)event->kind | (uint64_t)(event->flags | (bytes ? VFIOTAPE_FLAG_PAYLOAD : 0)) << 8 |
		 (uint64_t)(uint16_t)((position >> control->records_log2) + 1) << 16 | (uint64_t)(uint32_t)(side / 8) << 32;
	__atomic_store_n((uint64_t *)&slot->kind, commit, __ATOMIC_RELEASE);
	return true;
}

static void clock_record(struct producer *self)
{
	struct vfiotape_record record = { .kind = VFIOTAPE_CLOCK, .fd = -1, .entered = ticks() };

	record.offset = now_ns(CLOCK_MONOTONIC);
	record.value = now_ns(CLOCK_REALTIME);
	put(self, &record, NULL, 0, 0);
}

static void *produce(void *argument)
{
	struct producer *self = argument;
	unsigned char bytes[65536];
	uint64_t start = now_ns(CLOCK_MONOTONIC), clock_at = 0;
	struct vfiotape_record record = { .kind = VFIOTAPE_THREAD, .fd = -1, .entered = ticks(), .offset = (uint64_t)getpid(),
					  .value = (uint64_t)syscall(SYS_gettid) };

	if (!self->header && !claim(self))
		return NULL;
	put(self, &record, "producer", 8, VFIOTAPE_ROLE_NAME);
	clock_record(self);
	memset(bytes, (int)self->number, sizeof(bytes));
	record = (struct vfiotape_record){ .kind = VFIOTAPE_READ, .fd = (int)(10 + self->number), .object = 1 + self->number,
					   .op = 4, .result = 4 };
	for (uint64_t n = 0; !count || n < count; n++) {
		bool with = payload_bytes && n % PAYLOAD_EVERY == 0;

		record.duration = (uint32_t)(1000 + n * 7919 % 512);
		record.entered = ticks() - record.duration;
		record.site_errno = 0x401000 + n % 24 * 16;
		record.offset = 0x70000000000 + n % 64 * 4;
		record.value = n;
		if (with)
			memcpy(bytes, &n, sizeof(n));
		if (put(self, &record, with ? bytes : NULL, payload_bytes, VFIOTAPE_ROLE_DATA))
			self->made++;
		else if (control->when_full == VFIOTAPE_FULL_DROP)
			self->header->lost++;
		else
			break;
		if (n >> 16 != clock_at) {
			clock_at = n >> 16;
			clock_record(self);
		}
		if (rate && n % 64 == 63) {
			uint64_t due = start + (uint64_t)((double)n * 1e9 / (double)rate), now;

			while ((now = now_ns(CLOCK_MONOTONIC)) < due) {
				/* Sleeps leave the processor to the collector, as a driver that waits for its device does. */
				if (due - now > 100000) {
					struct timespec pause = { 0, (long)(due - now - 50000) };

					if (pause.tv_nsec > 900000000)
						pause.tv_nsec = 900000000;
					nanosleep(&pause, NULL);
				} else {
					__builtin_ia32_pause();
				}
			}
		}
	}
	__atomic_store_n(&control->ring_state[self->index], VFIOTAPE_RING_LEFT, __ATOMIC_RELEASE);
	return NULL;
}

static void attach(void)
{
	struct vfiotape_process file = { .magic = VFIOTAPE_PROCESS_MAGIC, .pid = (uint32_t)getpid(),
					 .parent = (uint32_t)getppid(), .attached = 1, .started = ticks() };
	char path[4096];
	int fd;

	process_id = file.process = __atomic_fetch_add(&control->next_process, 1, __ATOMIC_RELAXED);
	snprintf(path, sizeof(path), "%s/process.%d", directory, getpid());
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || write(fd, &file, sizeof(file)) != sizeof(file))
		exit(3);
	close(fd);
}

int main(int argc, char **argv)
{
	struct producer *producers;
	uint64_t start, events = 0, waits = 0, waited = 0, longest = 0;
	uint32_t threads;

	if (argc < 5) {
		fprintf(stderr, "usage: ring-producer DIR THREADS RATE COUNT [PAYLOAD]\n");
		return 2;
	}
	directory = strcmp(argv[1], "-") ? argv[1] : getenv("VFIOTAPE_SESSION");
	if (!directory)
		return 2;
	threads = (uint32_t)atoi(argv[2]);
	rate = strtoull(argv[3], NULL, 10);
	count = strtoull(argv[4], NULL, 10);
	payload_bytes = argc > 5 ? (uint32_t)atoi(argv[5]) : 0;
	control = map("control", sizeof(*control), 0);
	attach();
	if (rate)
		usleep(500000);
	producers = calloc(threads, sizeof(*producers));
	for (uint32_t n = 0; n < threads; n++)
		producers[n].number = n;
	start = now_ns(CLOCK_MONOTONIC);
	for (uint32_t n = 0; n < threads; n++)
		pthread_create(&producers[n].thread, NULL, produce, &producers[n]);
	for (uint32_t n = 0; n < threads; n++) {
		pthread_join(producers[n].thread, NULL);
		events += producers[n].made;
		waits += producers[n].waits;
		waited += producers[n].waited;
		if (producers[n].longest > longest)
			longest = producers[n].longest;
	}
	printf("events %llu seconds %.3f waits %llu waited-ns %llu max-wait-ns %llu\n", (unsigned long long)events,
	       (double)(now_ns(CLOCK_MONOTONIC) - start) / 1e9, (unsigned long long)waits, (unsigned long long)waited,
	       (unsigned long long)longest);
	return 0;
}
