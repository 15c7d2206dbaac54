// SPDX-License-Identifier: Apache-2.0
/*
 * A whole userspace NVMe driver: brings a controller up through VFIO, identifies it, makes one pair of I/O queues,
 * writes a pattern to the first blocks, reads it back and compares, puts the old blocks back, and shuts it down.
 *
 *	nvme 0000:00:04.0               through the group and a type 1 container (every kernel with VFIO)
 *	nvme --cdev 0000:00:04.0        through /dev/vfio/devices/vfioN and iommufd (Linux 6.8 and later, if configured)
 *	nvme --lyon2010 0000:00:04.0    through /dev/vfioN, the interface of 2010 (simulated: vfiotape run --abi lyon2010)
 *	nvme --irq msix 0000:00:04.0    waits for interrupts instead of polling the completion queues
 *	nvme --repeat 1000 …            does it so often, unless the host wants the device back
 *
 * Sections named below are those of the NVM Express Base Specification 1.4. VFIO's part is in vfio.c and lyon2010.c.
 */
#include "vfio.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* Section 3.1. The doorbells of queue 1 lie in the second page when they are not more than 256 bytes apart. */
enum nvme_register {
	NVME_CAP = 0x00,
	NVME_VS = 0x08,
	NVME_CC = 0x14,
	NVME_CSTS = 0x1c,
	NVME_AQA = 0x24,
	NVME_ASQ = 0x28,
	NVME_ACQ = 0x30,
	NVME_DOORBELLS = 0x1000,
};
#define NVME_BAR_BYTES (2 * PAGE_BYTES)
#define NVME_STRIDE_MAX 256u

#define CC_ENABLE 0x1u
#define CC_SHUTDOWN_NORMAL (1u << 14)
#define CC_QUEUE_ENTRIES (6u << 16 | 4u << 20) /* 64-byte commands, 16-byte completions */
#define CSTS_READY 0x1u
#define CSTS_FATAL 0x2u
#define CSTS_SHUTDOWN_MASK 0xcu
#define CSTS_SHUTDOWN_DONE 0x8u

#define PCI_CLASS 0x08
#define PCI_CLASS_NVME 0x010802u

/* Sections 5 and 6. */
enum nvme_admin {
	DELETE_SQ = 0x00,
	CREATE_SQ = 0x01,
	DELETE_CQ = 0x04,
	CREATE_CQ = 0x05,
	IDENTIFY = 0x06,
	SET_FEATURES = 0x09,
};
enum nvme_io { FLUSH = 0x00, WRITE = 0x01, READ = 0x02 };
#define IDENTIFY_NAMESPACE 0u
#define IDENTIFY_CONTROLLER 1u
#define FEATURE_QUEUES 7u
#define QUEUE_CONTIGUOUS 1u
#define QUEUE_INTERRUPTS 2u

struct nvme_command {
	uint8_t opcode;
	uint8_t flags;
	uint16_t id;
	uint32_t nsid;
	uint64_t reserved;
	uint64_t metadata;
	uint64_t prp1;
	uint64_t prp2;
	uint32_t cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
};
struct nvme_completion {
	uint32_t result;
	uint32_t reserved;
	uint16_t sq_head;
	uint16_t sq_id;
	uint16_t id;
	uint16_t status; /* bit 0 is the phase */
};
_Static_assert(sizeof(struct nvme_command) == 64, "section 4.2");
_Static_assert(sizeof(struct nvme_completion) == 16, "section 4.6");

#define ENTRIES 32u
#define COMMAND_TIMEOUT_MS 30000

/* The memory that the device may reach, in pages. */
#define DATA_PAGES 4
enum nvme_page {
	ADMIN_SQ,
	ADMIN_CQ,
	IO_SQ,
	IO_CQ,
	IDENTITY,
	PRP_LIST,
	OLD_DATA,
	NEW_DATA = OLD_DATA + DATA_PAGES,
	PAGES = NEW_DATA + DATA_PAGES,
};

struct queue_pair {
	unsigned int id;
	enum nvme_page sq_page, cq_page;
	uint16_t tail, head;
	uint16_t phase;
	uint16_t next_id;
	int interrupt; /* -1: polled */
};

static struct nvme {
	struct vfio vfio;
	struct queue_pair admin, io;
	unsigned int stride; /* of doorbells */
	unsigned int timeout_ms;
	bool enabled;
	uint64_t interrupts;
} nvme;

static uint32_t load(enum nvme_register where)
{
	return *(volatile uint32_t *)(nvme.vfio.bar + where);
}

static uint64_t load64(enum nvme_register where)
{
	return *(volatile uint64_t *)(nvme.vfio.bar + where);
}

static void store(unsigned int where, uint32_t value)
{
	*(volatile uint32_t *)(nvme.vfio.bar + where) = value;
}

static void store64(enum nvme_register where, uint64_t value)
{
	*(volatile uint64_t *)(nvme.vfio.bar + where) = value;
}

static void *page(enum nvme_page number)
{
	return nvme.vfio.memory + number * PAGE_BYTES;
}

static uint64_t iova(enum nvme_page number)
{
	return nvme.vfio.iova + number * PAGE_BYTES;
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* False, and errno, when it does not come to that in the controller's own time. */
static bool wait_status(uint32_t mask, uint32_t wanted)
{
	const uint64_t end = now_ms() + nvme.timeout_ms;
	const struct timespec pause = { .tv_nsec = 1000000 };
	uint32_t status;

	while (((status = load(NVME_CSTS)) & mask) != wanted) {
		errno = status & CSTS_FATAL ? EIO : ETIMEDOUT; /* all ones: the device is gone */
		if (status & CSTS_FATAL || now_ms() >= end)
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}

static bool disable(void)
{
	nvme.enabled = false;
	store(NVME_CC, 0);
	return wait_status(CSTS_READY, 0) && vfio_set_bus_master(&nvme.vfio, false);
}

/* Whatever goes wrong, the controller does not go on reaching into memory. */
static void disable_at_exit(void)
{
	if (nvme.enabled)
		disable();
}

static unsigned int doorbell(const struct queue_pair *queue, bool completion)
{
	return NVME_DOORBELLS + (2 * queue->id + completion) * nvme.stride;
}

/* Until the next completion, or the end of its time. */
static void wait_completion(struct queue_pair *queue, const struct nvme_completion *completion)
{
	const uint64_t end = now_ms() + COMMAND_TIMEOUT_MS;
	struct pollfd ready = { .fd = queue->interrupt, .events = POLLIN };
	uint64_t times;

	do {
		const uint64_t now = now_ms();

		errno = ETIMEDOUT;
		check(now < end, "see a command completed");
		if (queue->interrupt >= 0 && poll(&ready, 1, (int)(end - now)) == 1) {
			check(read(queue->interrupt, &times, sizeof(times)) == sizeof(times), "read the eventfd");
			nvme.interrupts += times;
		}
	} while ((le16toh(__atomic_load_n(&completion->status, __ATOMIC_ACQUIRE)) & 1) != queue->phase);
}

/* One command at a time: sections 4.1 and 7.2. */
static uint32_t submit(struct queue_pair *queue, struct nvme_command *command, const char *what)
{
	struct nvme_command *commands = page(queue->sq_page);
	const struct nvme_completion *completion = (struct nvme_completion *)page(queue->cq_page) + queue->head;
	uint16_t status;
	uint32_t result;

	command->id = queue->next_id++;
	commands[queue->tail] = *command;
	queue->tail = (uint16_t)((queue->tail + 1) % ENTRIES);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	store(doorbell(queue, false), queue->tail);

	wait_completion(queue, completion);
	status = le16toh(completion->status);
	result = le32toh(completion->result);
	errno = EPROTO;
	check(completion->id == command->id, what);
	queue->head = (uint16_t)((queue->head + 1) % ENTRIES);
	if (queue->head == 0)
		queue->phase ^= 1;
	store(doorbell(queue, true), queue->head);
	if (status >> 1 != 0) {
		fprintf(stderr, "nvme: cannot %s: status code type %u, status code 0x%02x\n", what, status >> 9 & 7,
			status >> 1 & 0xff);
		exit(EXIT_FAILURE);
	}
	return result;
}

static void start(bool interrupts)
{
	uint64_t capabilities;
	uint32_t version;

	vfio_map_bar(&nvme.vfio, NVME_BAR_BYTES);
	capabilities = load64(NVME_CAP);
	version = load(NVME_VS);
	nvme.stride = 4u << (capabilities >> 32 & 0xf);
	nvme.timeout_ms = 500 * ((uint32_t)(capabilities >> 24) & 0xff) + 500;
	printf("controller: NVMe %u.%u, queues of up to %u entries\n", version >> 16, version >> 8 & 0xff,
	       (unsigned int)(capabilities & 0xffff) + 1);
	errno = ENOTSUP;
	check(nvme.stride <= NVME_STRIDE_MAX, "reach the doorbells: they are too far apart");
	check((capabilities >> 48 & 0xf) == 0, "use pages of 4 KiB with this controller");
	check((capabilities & 0xffff) + 1 >= ENTRIES, "have queues of the size that is needed");

	/* A reset by VFIO left it disabled; where there was none, this is the reset. */
	if (!nvme.vfio.was_reset)
		printf("no function level reset: resetting the controller itself\n");
	store(NVME_CC, 0);
	check(wait_status(CSTS_READY, 0), "reset the controller");

	vfio_map_memory(&nvme.vfio, PAGES * PAGE_BYTES);
	nvme.admin = (struct queue_pair){ .id = 0, .sq_page = ADMIN_SQ, .cq_page = ADMIN_CQ, .phase = 1, .interrupt = -1 };
	nvme.io = (struct queue_pair){ .id = 1, .sq_page = IO_SQ, .cq_page = IO_CQ, .phase = 1, .interrupt = -1 };
	if (interrupts) {
		int eventfds[2] = { eventfd(0, EFD_CLOEXEC), eventfd(0, EFD_CLOEXEC) };

		check(eventfds[0] >= 0 && eventfds[1] >= 0, "make eventfds");
		errno = ENOTSUP;
		check(nvme.vfio.msix_count >= 2, "have two MSI-X vectors");
		vfio_set_msix(&nvme.vfio, eventfds, 2);
		nvme.admin.interrupt = eventfds[0];
		nvme.io.interrupt = eventfds[1];
	}

	check(vfio_set_bus_master(&nvme.vfio, true), "enable bus mastering");
	nvme.enabled = true;
	store(NVME_AQA, (ENTRIES - 1) << 16 | (ENTRIES - 1));
	store64(NVME_ASQ, iova(ADMIN_SQ));
	store64(NVME_ACQ, iova(ADMIN_CQ));
	store(NVME_CC, CC_QUEUE_ENTRIES | CC_ENABLE);
	check(wait_status(CSTS_READY, CSTS_READY), "enable the controller");
}

/* Strings of Identify are padded with spaces. */
static int trimmed(const uint8_t *text, int length)
{
	while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == '\0'))
		length--;
	return length;
}

/* What one command may move at most, in bytes. */
static uint32_t identify_controller(void)
{
	struct nvme_command command = { .opcode = IDENTIFY, .prp1 = iova(IDENTITY), .cdw10 = IDENTIFY_CONTROLLER };
	const uint8_t *data = page(IDENTITY);

	submit(&nvme.admin, &command, "identify the controller");
	printf("identity: model '%.*s', serial '%.*s', firmware '%.*s'\n", trimmed(data + 24, 40), data + 24,
	       trimmed(data + 4, 20), data + 4, trimmed(data + 64, 8), data + 64);
	return data[77] == 0 || data[77] > 8 ? UINT32_MAX : PAGE_BYTES << data[77]; /* MDTS */
}

/* The block size in bytes. */
static uint32_t identify_namespace(void)
{
	struct nvme_command command = {
		.opcode = IDENTIFY, .nsid = 1, .prp1 = iova(IDENTITY), .cdw10 = IDENTIFY_NAMESPACE
	};
	const uint8_t *data = page(IDENTITY);
	uint64_t blocks;
	unsigned int shift;

	submit(&nvme.admin, &command, "identify namespace 1");
	memcpy(&blocks, data, sizeof(blocks));
	shift = data[128 + 4 * (data[26] & 0xf) + 2]; /* the LBA format in use: FLBAS, LBADS */
	printf("namespace 1: %" PRIu64 " blocks of %u bytes\n", le64toh(blocks), 1u << shift);
	errno = ENOTSUP;
	check(shift >= 9 && shift <= 12 && le64toh(blocks) >= (DATA_PAGES * PAGE_BYTES) >> shift, "use this namespace");
	return 1u << shift;
}

static void create_queues(void)
{
	const uint32_t size = (ENTRIES - 1) << 16 | nvme.io.id;
	const uint32_t interrupts = nvme.io.interrupt < 0 ? 0 : 1u << 16 | QUEUE_INTERRUPTS; /* vector 1 */
	struct nvme_command features = { .opcode = SET_FEATURES, .cdw10 = FEATURE_QUEUES, .cdw11 = 0 };
	struct nvme_command cq = { .opcode = CREATE_CQ, .prp1 = iova(IO_CQ), .cdw10 = size };
	struct nvme_command sq = { .opcode = CREATE_SQ, .prp1 = iova(IO_SQ), .cdw10 = size };

	submit(&nvme.admin, &features, "ask for a pair of I/O queues");
	cq.cdw11 = interrupts | QUEUE_CONTIGUOUS;
	submit(&nvme.admin, &cq, "create the completion queue");
	sq.cdw11 = nvme.io.id << 16 | QUEUE_CONTIGUOUS;
	submit(&nvme.admin, &sq, "create the submission queue");
	printf("queues: one pair of %u entries, %s\n", ENTRIES, nvme.io.interrupt < 0 ? "polled" : "by MSI-X");
}

static void delete_queues(void)
{
	struct nvme_command sq = { .opcode = DELETE_SQ, .cdw10 = nvme.io.id };
	struct nvme_command cq = { .opcode = DELETE_CQ, .cdw10 = nvme.io.id };

	submit(&nvme.admin, &sq, "delete the submission queue");
	submit(&nvme.admin, &cq, "delete the completion queue");
}

/* Pages after the first are found through prp2: a second page itself, or a list of them (section 4.3). */
static void transfer(enum nvme_io opcode, enum nvme_page data, uint32_t bytes, uint32_t block_bytes, const char *what)
{
	struct nvme_command command = {
		.opcode = opcode, .nsid = 1, .prp1 = iova(data), .cdw12 = bytes / block_bytes - 1
	};
	uint64_t *list = page(PRP_LIST);

	for (unsigned int i = 1; i < bytes / PAGE_BYTES; i++)
		list[i - 1] = htole64(iova(data + i));
	if (bytes > 2 * PAGE_BYTES)
		command.prp2 = iova(PRP_LIST);
	else if (bytes > PAGE_BYTES)
		command.prp2 = iova(data + 1);
	submit(&nvme.io, &command, what);
}

static void flush(void)
{
	struct nvme_command command = { .opcode = FLUSH, .nsid = 1 };

	submit(&nvme.io, &command, "flush");
}

/* The blocks that were there are put back, whatever came of the comparison. */
static bool there_and_back(uint32_t bytes, uint32_t block_bytes)
{
	uint8_t *data = page(NEW_DATA);
	bool same = true;

	transfer(READ, OLD_DATA, bytes, block_bytes, "read the first blocks");
	for (uint32_t i = 0; i < bytes; i++)
		data[i] = (uint8_t)(i * 7 + (i >> 8) + 3);
	transfer(WRITE, NEW_DATA, bytes, block_bytes, "write a pattern");
	flush();
	memset(data, 0, bytes);
	transfer(READ, NEW_DATA, bytes, block_bytes, "read the pattern back");
	for (uint32_t i = 0; i < bytes && same; i++)
		same = data[i] == (uint8_t)(i * 7 + (i >> 8) + 3);
	transfer(WRITE, OLD_DATA, bytes, block_bytes, "put the old blocks back");
	flush();
	return same;
}

/* Section 7.6.2: tell it, wait for it, then disable it. */
static void shut_down(void)
{
	delete_queues();
	store(NVME_CC, CC_QUEUE_ENTRIES | CC_ENABLE | CC_SHUTDOWN_NORMAL);
	check(wait_status(CSTS_SHUTDOWN_MASK, CSTS_SHUTDOWN_DONE), "shut the controller down");
	check(disable(), "disable the controller");
	if (nvme.io.interrupt >= 0) {
		vfio_set_msix(&nvme.vfio, NULL, 0);
		close(nvme.io.interrupt);
		close(nvme.admin.interrupt);
		printf("interrupts: %" PRIu64 "\n", nvme.interrupts);
	}
	vfio_unmap_memory(&nvme.vfio);
	vfio_close(&nvme.vfio);
}

int main(int argc, char **argv)
{
	enum vfio_dialect dialect = VFIO_GROUP;
	bool interrupts = false, usable = true;
	uint32_t class, limit, block_bytes, bytes;
	int next = 1;
	unsigned long times = 1, done = 0;
	bool same;

	for (; next < argc - 1 && usable; next++) {
		if (strcmp(argv[next], "--cdev") == 0) {
			dialect = VFIO_CDEV;
		} else if (strcmp(argv[next], "--lyon2010") == 0) {
			dialect = VFIO_LYON2010;
		} else if (strcmp(argv[next], "--irq") == 0 && next + 1 < argc - 1) {
			interrupts = strcmp(argv[++next], "msix") == 0;
			usable = interrupts || strcmp(argv[next], "polled") == 0;
		} else if (strcmp(argv[next], "--repeat") == 0 && next + 1 < argc - 1) {
			times = strtoul(argv[++next], NULL, 10);
			usable = times > 0;
		} else {
			usable = false;
		}
	}
	if (!usable || next != argc - 1 || argv[next][0] == '-') {
		fprintf(stderr, "usage: nvme [--cdev | --lyon2010] [--irq polled|msix] [--repeat TIMES] DDDD:BB:DD.F\n");
		return 2;
	}
	vfio_open(&nvme.vfio, argv[next], dialect);
	check(vfio_read_config(&nvme.vfio, PCI_CLASS, &class, sizeof(class)), "read the device's class");
	errno = ENODEV;
	check(class >> 8 == PCI_CLASS_NVME, "drive this device: its class is not that of an NVMe controller");
	atexit(disable_at_exit);
	if (times > 1)
		vfio_listen(&nvme.vfio);
	start(interrupts);
	limit = identify_controller();
	block_bytes = identify_namespace();
	create_queues();
	bytes = limit < DATA_PAGES * PAGE_BYTES ? limit : DATA_PAGES * PAGE_BYTES;
	do
		same = there_and_back(bytes, block_bytes);
	while (!vfio_is_wanted_back(&nvme.vfio) && same && ++done < times);
	shut_down();
	if (!same) {
		fprintf(stderr, "nvme: what was read is not what was written\n");
		return EXIT_FAILURE;
	}
	printf("data: %u bytes written, flushed, read back and equal; the old blocks are there again\n", bytes);
	return 0;
}
