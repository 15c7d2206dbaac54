// SPDX-License-Identifier: Apache-2.0
/*
 * The shim's internals by themselves, under the address and undefined-behaviour sanitizers: `unit DIRECTORY` takes the
 * part of the collector in a session of its own there. Their sources are included, so that their statics can be reached.
 */
#include "../core/environment.c"
#include "../core/epoll_map.c"
#undef ENTRIES
#include "../core/fault_safe.c"
#undef PAGE
#include "../core/ioctl_arguments.c"
#include "../core/ioctl_table.c"
#include "../core/objects.c"
#include "../core/process_info.c"
#include "../core/ranges.c"
#include "../core/regions.c"
#include "../core/ring.c"
#undef PAGE
#include "../core/stack_range.c"
#include "../core/state.c"
#include "../sim/channel.c"
#include "../sim/connection.c"
#include "../sim/files.c"
#include "../sim/netlink.c"
#include "../sim/paths.c"
#include "../sim/requests.c"
#include "../sim/service.c"

#include <stdio.h>

#define check(what)                                                                                                    \
	do {                                                                                                           \
		if (!(what)) {                                                                                         \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);                                     \
			exit(1);                                                                                       \
		}                                                                                                      \
	} while (0)

#define RECORDS_LOG2 8
#define SIDE_LOG2 14

static struct vfiotape_control *control;

static uint64_t random_state = 88172645463325252ull;

static uint64_t random_number(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static void beat(uint64_t when)
{
	control->heartbeat = when;
	control->heartbeat_check = ~when;
}

static void make_session(const char *directory)
{
	static struct vfiotape_control content = {
		.magic = VFIOTAPE_CONTROL_MAGIC,
		.version = VFIOTAPE_WIRE_VERSION,
		.records_log2 = RECORDS_LOG2,
		.side_log2 = SIDE_LOG2,
		.ring_limit = 4,
		.next_object = 1,
		.next_process = 1,
	};
	char path[512];
	FILE *file;

	content.collector_pid = (uint32_t)getpid();
	snprintf(path, sizeof(path), "%s/control", directory);
	file = fopen(path, "w");
	check(file && fwrite(&content, sizeof(content), 1, file) == 1 && fclose(file) == 0);
	setenv("VFIOTAPE_SESSION", directory, 1);
	setenv("LD_PRELOAD", "/some/where/libother.so:/else/where/libvfiotape.so", 1);
	shim_attach_session();
	check(shim_session.mode == SHIM_RECORDING);
	control = shim_session.control;
	beat(monotonic_ns());
}

/* --- the collector's part ----------------------------------------------------------------------------------------- */

static void give_back(struct ring_thread *ring, uint64_t tail, uint64_t side_tail)
{
	ring->header->tail = tail;
	ring->header->tail_check = ~tail;
	ring->header->side_tail = side_tail;
	ring->header->side_tail_check = ~side_tail;
}

static const struct vfiotape_record *record_at(struct ring_thread *ring, uint64_t position)
{
	const struct vfiotape_record *record = &ring->records[position & ring->record_mask];

	check(record->lap == (uint16_t)((position >> RECORDS_LOG2) + 1));
	return record;
}

static void test_rings(void)
{
	struct ring_thread *ring = ring_enter();
	static unsigned char bytes[4000];
	uint64_t tail = 0, side_tail = 0, side_head;

	check(ring && ring_enter() == ring);
	check(record_at(ring, 0)->kind == VFIOTAPE_THREAD && record_at(ring, 1)->kind == VFIOTAPE_CLOCK);
	check(record_at(ring, 2)->kind == VFIOTAPE_PROCESS);
	tail = ring->header->head;
	side_tail = ring->header->side_head;
	give_back(ring, tail, side_tail);
	/* Many laps of both rings; every chain is found whole, in one piece, where its record says. */
	for (int round = 0; round < 20000; round++) {
		uint32_t lengths[3] = { (uint32_t)(random_number() % 900), (uint32_t)(random_number() % 9), 0 };
		unsigned int count = 1 + (unsigned int)(random_number() % 3);
		struct ring_segment segments[3];
		struct ring_event event = { .entered = shim_clock(), .value = (uint64_t)round, .kind = VFIOTAPE_IOCTL };
		const struct vfiotape_record *record;
		uint64_t position;

		memset(bytes, round & 0xff, sizeof(bytes));
		for (unsigned int i = 0; i < count; i++)
			segments[i] = (struct ring_segment){ .role = (uint8_t)(i + 1), .length = lengths[i],
							     .bytes = bytes, .index = (uint16_t)round };
		ring_write_with(ring, &event, segments, count);
		record = record_at(ring, ring->header->head - 1);
		check(record->kind == VFIOTAPE_IOCTL && record->value == (uint64_t)round);
		check(record->flags & VFIOTAPE_FLAG_PAYLOAD);
		side_head = ring->header->side_head;
		position = (side_head & ~0x7ffffffffull) | (uint64_t)record->payload * 8;
		check(position >= side_tail && position < side_head);
		for (unsigned int i = 0; i < count; i++) {
			const unsigned char *at = ring->side + (position & ring->side_mask);
			const struct vfiotape_segment *segment = (const struct vfiotape_segment *)at;

			check((position & 7) == 0 && (position & ring->side_mask) + 16 + lengths[i] <= 1u << SIDE_LOG2);
			check(segment->length == lengths[i] && segment->role == i + 1);
			check(!!(segment->flags & VFIOTAPE_SEGMENT_MORE) == (i + 1 < count));
			check(!memcmp(at + sizeof(*segment), bytes, lengths[i]));
			position += sizeof(*segment) + ((lengths[i] + 7) & ~7u);
		}
		check(position == side_head);
		tail = ring->header->head;
		side_tail = side_head;
		give_back(ring, tail, side_tail);
	}
	check(ring->header->lost == 0 && ring->header->waits == 0);
}

static uint64_t count_kind(struct ring_thread *ring, uint64_t from, uint8_t kind)
{
	uint64_t found = 0;

	for (uint64_t position = from; position < ring->header->head; position++)
		found += record_at(ring, position)->kind == kind;
	return found;
}

static void flood(struct ring_thread *ring, int times)
{
	for (int i = 0; i < times; i++)
		ring_write(ring, &(struct ring_event){ .entered = 1, .kind = VFIOTAPE_READ });
}

static void test_full(void)
{
	struct ring_thread *ring = ring_enter();
	uint64_t start = ring->header->head;
	const struct vfiotape_record *lost = NULL;

	/* Drop: what doesn't fit is counted, and told once there is room. */
	control->when_full = VFIOTAPE_FULL_DROP;
	flood(ring, 1000);
	check(ring->header->head - start == (1u << RECORDS_LOG2) - RING_MARGIN);
	check(ring->header->lost == 1000 - (ring->header->head - start));
	start = ring->header->head;
	give_back(ring, start, ring->header->side_head);
	flood(ring, 1);
	lost = record_at(ring, start);
	check(lost->kind == VFIOTAPE_LOST && lost->op == VFIOTAPE_LOSS_FULL && lost->value == ring->header->lost);
	check(record_at(ring, start + 1)->kind == VFIOTAPE_READ);

	/* Block, and the collector is dead: no waiting for it; it comes back, and all goes on. */
	control->when_full = VFIOTAPE_FULL_BLOCK;
	beat(monotonic_ns() - 4000000000u);
	flood(ring, 1000);
	check(ring->lost_cause == VFIOTAPE_LOSS_NO_COLLECTOR);
	beat(monotonic_ns());
	start = ring->header->head;
	give_back(ring, start, ring->header->side_head);
	flood(ring, 10);
	check(record_at(ring, start)->op == VFIOTAPE_LOSS_NO_COLLECTOR);
	check(count_kind(ring, start, VFIOTAPE_READ) == 10);

	/* A tail whose halves don't fit is not believed. */
	beat(monotonic_ns() - 4000000000u);
	ring->header->tail = ring->header->head + 12345;
	flood(ring, 1000);
	check(ring->header->head - start <= (1u << RECORDS_LOG2));
	beat(monotonic_ns());
	give_back(ring, ring->header->head, ring->header->side_head);

	/* A payload that can't have room is dropped by itself; its record stays. */
	{
		static unsigned char large[1u << SIDE_LOG2];
		struct ring_segment segment = { .role = 1, .length = sizeof(large), .bytes = large };

		start = ring->header->head;
		ring_write_with(ring, &(struct ring_event){ .entered = 1, .kind = VFIOTAPE_IOCTL }, &segment, 1);
		check(record_at(ring, ring->header->head - 1)->kind == VFIOTAPE_IOCTL);
		check(!(record_at(ring, ring->header->head - 1)->flags & VFIOTAPE_FLAG_PAYLOAD));
		check(ring->header->lost_payload > sizeof(large));
	}

	/* Stopped: nothing more. */
	control->state = VFIOTAPE_STOPPED;
	check(!ring_enter());
	control->state = VFIOTAPE_RECORDING;
	check(ring_enter() == ring);
}

static struct ring_thread *collected;
static uint32_t collecting;

/* A collector that reads beside the writer, and finds every record in order. */
static void *collect(void *unused)
{
	struct ring_thread *ring = collected;
	uint64_t next = ring->header->tail, expected = 0;

	(void)unused;
	while (__atomic_load_n(&collecting, __ATOMIC_ACQUIRE) || next < ring->header->head) {
		beat(monotonic_ns());
		while (next < __atomic_load_n(&ring->header->head, __ATOMIC_ACQUIRE)) {
			struct vfiotape_record *record = &ring->records[next & ring->record_mask];
			union ring_commit_word word;

			word.word = __atomic_load_n((uint64_t *)&record->kind, __ATOMIC_ACQUIRE);
			if (word.lap != (uint16_t)((next >> RECORDS_LOG2) + 1))
				continue;
			if (word.kind == VFIOTAPE_WRITE)
				check(record->value == expected++);
			next++;
		}
		give_back(ring, next, ring->header->side_tail);
		raw_nanosleep(200000);
	}
	check(expected == 100000);
	return NULL;
}

static void test_blocking(void)
{
	pthread_t thread;

	collected = ring_enter();
	collecting = 1;
	check(pthread_create(&thread, NULL, collect, NULL) == 0);
	for (uint64_t i = 0; i < 100000; i++)
		ring_write(collected, &(struct ring_event){ .entered = 1, .value = i, .kind = VFIOTAPE_WRITE });
	__atomic_store_n(&collecting, 0, __ATOMIC_RELEASE);
	check(pthread_join(thread, NULL) == 0);
	check(collected->header->waits > 0 && collected->header->waited > 0);
	give_back(collected, collected->header->head, collected->header->side_head);
}

__attribute__((noinline)) static void nested(struct ring_thread *ring)
{
	struct ring_event inner = { .op = 2, .kind = VFIOTAPE_READ };
	struct ring_inflight saved;

	ring_inflight_begin(ring, &saved, &inner);
	check(ring->header->inflight.kind == VFIOTAPE_READ && ring->header->inflight.op == 2);
	ring_inflight_end(ring, &saved);
}

static void test_inflight(void)
{
	struct ring_thread *ring = ring_enter();
	struct ring_event outer = { .op = 1, .kind = VFIOTAPE_IOCTL };
	struct ring_inflight first, second;

	ring_inflight_begin(ring, &first, &outer);
	check(ring->header->inflight.kind == VFIOTAPE_IOCTL && ring->header->inflight.op == 1);
	nested(ring);
	check(ring->header->inflight.kind == VFIOTAPE_IOCTL && ring->header->inflight.op == 1);
	/* One that was jumped out of doesn't come back after the next. */
	ring_inflight_begin(ring, &second, &outer);
	ring_inflight_end(ring, &second);
	check(ring->header->inflight.kind == VFIOTAPE_NONE);
}

/* --- the rest ----------------------------------------------------------------------------------------------------- */

static void test_ranges(void)
{
	struct {
		uint64_t address, length;
	} added[200];

	check(!ranges_touch(0x1000, 4096));
	for (int i = 0; i < 200; i++) {
		added[i].address = (random_number() % (1ull << 46)) & ~0xfffull;
		added[i].length = 1 + random_number() % (1ull << (random_number() % 38));
		ranges_add(added[i].address, added[i].length);
		for (int j = 0; j <= i; j++) {
			uint64_t within = random_number() % added[j].length;

			check(ranges_touch(added[j].address + within, 1));
			check(ranges_touch(added[j].address, added[j].length));
			check(ranges_touch(added[j].address + added[j].length - 1, 1 << 20));
		}
	}
	check(!ranges_touch(0x1000, 0));
	ranges_add(UINT64_MAX - 100, 4096); /* past the end of all addresses */
	check(ranges_touch(UINT64_MAX - 50, 4096));
}

static void test_epoll_map(void)
{
	for (int fd = 0; fd < 1024; fd++)
		check(epoll_map_set(5, fd, (uint64_t)fd * 3));
	check(!epoll_map_set(5, 2000, 1) && epoll_map_set(5, 7, 77777));
	check(epoll_map_find(5, 77777) == 7 && epoll_map_find(5, 21) == -1 && epoll_map_find(6, 77777) == -1);
	epoll_map_remove(5, 7);
	check(epoll_map_find(5, 77777) == -1 && epoll_map_set(9, 5, 111) && epoll_map_find(9, 111) == 5);
	epoll_map_forget(5); /* the eventfd, and not the epoll of the same number */
	check(epoll_map_find(5, 24) == 8 && epoll_map_find(9, 111) == -1);
	epoll_map_forget_epoll(5);
	check(epoll_map_find(5, 24) == -1);
}

static void test_kinds(void)
{
	static const struct {
		const char *path;
		enum vfiotape_object_kind kind;
	} paths[] = {
		{ "/dev/vfio/vfio", VFIOTAPE_OBJECT_CONTAINER },     { "/dev/vfio/0", VFIOTAPE_OBJECT_GROUP },
		{ "/dev/vfio/noiommu-12", VFIOTAPE_OBJECT_NOIOMMU_GROUP },
		{ "/dev/vfio/devices/vfio3", VFIOTAPE_OBJECT_CDEV }, { "/dev/vfio12", VFIOTAPE_OBJECT_LYON_DEVICE },
		{ "/dev/uiommu", VFIOTAPE_OBJECT_UIOMMU },	     { "/dev/iommu", VFIOTAPE_OBJECT_IOMMUFD },
		{ "/dev/kvm", VFIOTAPE_OBJECT_KVM },		     { "/proc/self/pagemap", VFIOTAPE_OBJECT_PAGEMAP },
		{ "/sys/bus/pci/devices/0000:00:04.0/config", VFIOTAPE_OBJECT_SYSFS },
		{ "/sys/kernel/iommu_groups/3/type", VFIOTAPE_OBJECT_SYSFS },
		{ "/dev/vfio", VFIOTAPE_OBJECT_NONE },		     { "/dev/vfio/", VFIOTAPE_OBJECT_NONE },
		{ "/dev/vfio/x", VFIOTAPE_OBJECT_NONE },	     { "/dev/vfiox", VFIOTAPE_OBJECT_NONE },
		{ "/dev/null", VFIOTAPE_OBJECT_NONE },		     { "/sys/power/state", VFIOTAPE_OBJECT_NONE },
		{ "", VFIOTAPE_OBJECT_NONE },			     { "/", VFIOTAPE_OBJECT_NONE },
	};

	for (unsigned int i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		check(object_kind_of_path(paths[i].path) == paths[i].kind);
	check(object_kind_of_link(open("/dev/null", O_RDWR)) == VFIOTAPE_OBJECT_NONE);
}

static void test_table(void)
{
	union object_entry low = object_add(5, VFIOTAPE_OBJECT_DEVICE), high = object_add(70000, VFIOTAPE_OBJECT_GROUP);

	check(object_of(5).word == low.word && object_of(70000).word == high.word);
	check(object_of(70001).word == 0 && object_of(-1).word == 0 && object_of(1 << 30).word == 0);
	object_set(1 << 30, low); /* beyond the table: counted, not written */
	check(control->lost_other > 0);
	object_set(70000, (union object_entry){ .word = 0 });
	check(object_of(70000).word == 0 && low.fd.object != high.fd.object);
}

static void test_simulated_paths(void)
{
	static const char *const inside[][2] = {
		{ "/dev/vfio/vfio", "/dev/vfio/vfio" },
		{ "//dev/./vfio", "/dev/vfio" },
		{ "/dev/vfio0", "/dev/vfio0" },
		{ "/sys/class/../bus/pci/devices/a/../b", "/sys/bus/pci/devices/a/../b" },
		{ "/../sys/devices/pci0000:00/", "/sys/devices/pci0000:00/" },
		{ "/sys/dev/char/511:3", "/sys/dev/char/511:3" },
	};
	static const char *const outside[] = { "/dev/null", "/dev/iommufd", "/sys/bus/pcix", "/sys/devices/system/cpu", "/sys", "",
					       "/tmp/simulated-machines", (const char *)8, NULL };
	char room[SIM_PATH_ROOM], name[SIM_PATH_ROOM + 100], told[64] = "/tmp/simulated/root/sys";
	struct stat node = { .st_mode = S_IFREG | 01666, .st_size = 10 << 20 | 196 };

	setenv("VFIOTAPE_SIM", "/tmp/simulated", 1);
	sim_attach();
	check(sim_active && !strcmp(sim_root, "/tmp/simulated/root"));
	for (unsigned int i = 0; i < sizeof(inside) / sizeof(inside[0]); i++) {
		const char *path = sim_path(inside[i][0], room);

		check(sim_in_tree(path) && !strcmp(path + sim_root_length, inside[i][1]));
	}
	for (unsigned int i = 0; i < sizeof(outside) / sizeof(outside[0]); i++)
		check(sim_path(outside[i], room) == outside[i]);
	memset(name, 'x', sizeof(name));
	memcpy(name, "/dev/vfio/", 10);
	name[sizeof(name) - 1] = 0;
	check(sim_path(name, room) == name); /* ENAMETOOLONG is the kernel's to say */
	name[SIM_PATH_ROOM - 10] = 0;
	check(sim_path(name, room) == name);
	check(sim_strip(told) && !strcmp(told, "/sys") && !sim_strip(told));
	sim_fix_stat(&node);
	check(S_ISCHR(node.st_mode) && node.st_rdev == makedev(10, 196) && !node.st_size);
	unsetenv("VFIOTAPE_SIM");
	sim_active = 0;
}

static void test_environment(void)
{
	char *cleared[] = { (char *)"A=b", NULL }, *other[] = { (char *)"LD_PRELOAD=/x.so", (char *)"B=c", NULL };
	char **amended;
	void *room;

	environment_remember(shim_session.directory, NULL);
	check(environment_room(environ) == 0);
	room = malloc(environment_room(cleared));
	amended = environment_amended(cleared, room);
	check(!strcmp(amended[0], "A=b") && !strncmp(amended[1], "VFIOTAPE_SESSION=/", 18));
	check(!strcmp(amended[2], "LD_PRELOAD=/else/where/libvfiotape.so") && !amended[3]);
	free(room);
	room = malloc(environment_room(other));
	amended = environment_amended(other, room);
	check(!strcmp(amended[0], "B=c") && !strcmp(amended[2], "LD_PRELOAD=/else/where/libvfiotape.so:/x.so"));
	free(room);
	room = malloc(environment_room(NULL));
	amended = environment_amended(NULL, room);
	check(amended[1] && !amended[2]);
	free(room);
}

/* Arguments that end where memory ends, with lengths that go on: for every kind and request that we know, and some. */
static void test_arguments(void)
{
	unsigned char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct ring_thread *ring = ring_enter();

	check(mprotect(pages + 4096, 4096, PROT_NONE) == 0);
	for (int round = 0; round < 30000; round++) {
		const struct ioctl_shape *shape = &shapes[random_number() % SHAPES];
		uint32_t request = random_number() % 8 ? shape->request : (uint32_t)random_number();
		uint32_t room = (uint32_t)(random_number() % 200);
		unsigned char *argument = pages + 4096 - room;
		enum vfiotape_object_kind kind = (enum vfiotape_object_kind)(random_number() % VFIOTAPE_OBJECT_KIND_END);
		struct ioctl_call call;
		static const long results[] = { 0, 0, 0, -ENOSPC, -EMSGSIZE, -EINVAL, 3 };
		long result = results[random_number() % 7];

		for (uint32_t i = 0; i < room; i++)
			argument[i] = random_number() % 3 ? (unsigned char)(random_number() % 40) :
							    (unsigned char)random_number();
		if (random_number() % 2)
			memset(pages + 4000, 0, 96);
		ioctl_capture_before(&call, ring, kind, 1, request, (uint64_t)argument);
		ioctl_capture_after(&call, result);
		/* The descriptors that it would tie are numbers out of thin air; they are looked up and not found. */
		ioctl_take_effect(&call, result);
		check(call.count <= IOCTL_SEGMENTS_MAX && call.in_length <= VFIOTAPE_PAYLOAD_MAX);
		if (call.count)
			ring_write_with(ring, &(struct ring_event){ .entered = 1, .kind = VFIOTAPE_IOCTL },
					call.segments, call.count);
		ioctl_release(&call);
		give_back(ring, ring->header->head, ring->header->side_head);
		beat(monotonic_ns());
	}
}

static void test_fault_safe(void)
{
	unsigned char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char to[300];

	check(mprotect(pages + 4096, 4096, PROT_NONE) == 0);
	memset(pages, 'x', 4096);
	for (int refused = 0; refused < 2; refused++) {
		vm_readv_refused = refused;
		check(fault_safe_copy(to, (uint64_t)pages + 4096 - 100, 300) == 100 && to[99] == 'x');
		check(fault_safe_copy(to, 8, 300) == 0 && fault_safe_copy(to, (uint64_t)pages + 4096, 1) == 0);
		check(fault_safe_copy(to, (uint64_t)pages + 1, 300) == 300);
		check(fault_safe_string((char *)to, (uint64_t)pages + 4096 - 50, 300) == 50);
		pages[4090] = 0;
		check(fault_safe_string((char *)to, (uint64_t)pages + 4000, 300) == 90);
		pages[4090] = 'x';
	}
	vm_readv_refused = false;
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	make_session(argv[1]);
	test_rings();
	test_full();
	test_blocking();
	test_inflight();
	test_ranges();
	test_epoll_map();
	test_kinds();
	test_table();
	test_environment();
	test_simulated_paths();
	test_fault_safe();
	test_arguments();
	return 0;
}
