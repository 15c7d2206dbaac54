// SPDX-License-Identifier: Apache-2.0
/* The cold half of ring.h: claiming and giving back, waiting for room, clock pairs, payload. */
#include "ring.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "fault_safe.h"
#include "process_info.h"
#include "stack_range.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define HEARTBEAT_DEAD_NS 3000000000u /* a collector that was silent this long is gone, or as good as gone */
#define HEARTBEAT_LATE_NS 300000000u  /* after this, look whether its process still exists */
#define WAIT_FIRST_NS 20000u
#define WAIT_LONGEST_NS 1000000u
#define CLAIM_RETRY_NS 100000000u
#define PAGE 4096u

__thread struct ring_thread *ring_tls __attribute__((tls_model("initial-exec"), visibility("hidden")));

uint32_t ring_shared __attribute__((visibility("hidden")));

static pthread_key_t leave_key;
static bool leave_key_made;

/* The collector writes a word and its complement; its write need not be one store. */
static bool read_checked(const uint64_t *word, uint64_t *value)
{
	for (int tries = 0; tries < 64; tries++) {
		uint64_t first = __atomic_load_n(&word[0], __ATOMIC_ACQUIRE);
		uint64_t check = __atomic_load_n(&word[1], __ATOMIC_ACQUIRE);

		/* A ring that no collector has touched yet has zero in both. */
		if (first == ~check || (first == 0 && check == 0)) {
			*value = first;
			return true;
		}
		__builtin_ia32_pause();
	}
	return false;
}

static bool collector_gone(void)
{
	const struct vfiotape_control *control = shim_session.control;
	uint64_t beat, now = monotonic_ns();

	if (control->state != VFIOTAPE_RECORDING)
		return true;
	if (!read_checked(&control->heartbeat, &beat) || now < beat)
		return false;
	if (now - beat > HEARTBEAT_DEAD_NS)
		return true;
	/* Only when it is late: a driver in another pid namespace would be told that a living collector doesn't exist. */
	return now - beat > HEARTBEAT_LATE_NS && raw3(SYS_kill, (long)control->collector_pid, 0, 0) == -ESRCH;
}

static void write_lost(struct ring_thread *ring)
{
	uint64_t position = ring_take_position(ring);
	struct ring_slot slot = { &ring->records[position & ring->record_mask],
				  (uint16_t)((position >> ring->records_log2) + 1) };

	*slot.record = (struct vfiotape_record){
		.entered = shim_clock(),
		.offset = ring->lost_cause,
		.value = ring->lost,
		.result = ring->lost_bytes,
		.op = ring->lost_cause,
		.fd = -1,
	};
	ring->lost = 0;
	ring->lost_bytes = 0;
	ring_commit(&slot, VFIOTAPE_LOST, 0, 0);
}

static bool room(struct ring_thread *ring)
{
	uint64_t tail, head = __atomic_load_n(&ring->header->head, __ATOMIC_RELAXED);

	if (!read_checked(&ring->header->tail, &tail) || head + RING_MARGIN >= tail + ring->record_mask + 1)
		return false;
	ring->limit = tail + ring->record_mask + 1 - RING_MARGIN;
	return true;
}

/*
 * Waits until `ready` or until waiting is pointless. Sleeping, not spinning: the collector may be waiting for this
 * very processor. Returns the loss's cause when it gave up.
 */
static bool wait_for(struct ring_thread *ring, bool (*ready)(struct ring_thread *, uint64_t), uint64_t argument,
		     enum vfiotape_loss *cause)
{
	uint64_t sleep = WAIT_FIRST_NS, began;

	if (ready(ring, argument))
		return true;
	*cause = VFIOTAPE_LOSS_FULL;
	if (shim_session.control->when_full != VFIOTAPE_FULL_BLOCK)
		return false;
	began = shim_clock();
	ring->header->waits++;
	while (!ready(ring, argument)) {
		if (collector_gone()) {
			*cause = VFIOTAPE_LOSS_NO_COLLECTOR;
			ring->header->waited += shim_clock() - began;
			return false;
		}
		raw_nanosleep(sleep);
		if (sleep < WAIT_LONGEST_NS)
			sleep *= 2;
	}
	ring->header->waited += shim_clock() - began;
	return true;
}

static bool records_ready(struct ring_thread *ring, uint64_t unused)
{
	(void)unused;
	return room(ring);
}

bool ring_make_room(struct ring_thread *ring)
{
	enum vfiotape_loss cause;

	if (!wait_for(ring, records_ready, 0, &cause)) {
		if (!ring->lost)
			ring->lost_cause = cause;
		ring->lost++;
		ring->header->lost++;
		ring->limit = 0; /* come here again next time, to say what was lost */
		return false;
	}
	if (unlikely(ring->lost || ring->lost_bytes))
		write_lost(ring);
	return true;
}

void ring_write_clock(struct ring_thread *ring)
{
	struct timespec real;
	struct ring_slot slot;
	uint64_t before, after, monotonic;

	if (!ring_reserve(ring, &slot)) {
		/* Nothing of the driver's: the event that comes after it is counted by itself. */
		ring->lost--;
		ring->header->lost--;
		return;
	}
	before = shim_clock();
	monotonic = monotonic_ns();
	after = shim_clock();
	clock_gettime(CLOCK_REALTIME, &real);
	*slot.record = (struct vfiotape_record){
		.entered = before + (after - before) / 2,
		.offset = monotonic,
		.value = (uint64_t)real.tv_sec * 1000000000u + (uint64_t)real.tv_nsec,
		.fd = -1,
	};
	ring->next_clock = after + shim_session.clock_interval;
	ring_commit(&slot, VFIOTAPE_CLOCK, 0, 0);
}

static bool side_ready(struct ring_thread *ring, uint64_t needed)
{
	uint64_t tail, size = ring->side_mask + 1;
	uint64_t head = __atomic_load_n(&ring->header->side_head, __ATOMIC_RELAXED);

	if (!read_checked(&ring->header->side_tail, &tail))
		return false;
	ring->side_limit = tail + size - RING_SIDE_MARGIN(size);
	return head + needed <= ring->side_limit;
}

/* A position from which `length` bytes lie in one piece. */
static bool reserve_side(struct ring_thread *ring, uint64_t length, uint64_t *position)
{
	uint64_t size = ring->side_mask + 1;
	enum vfiotape_loss cause;

	if (length > size / 4)
		return false;
	for (;;) {
		uint64_t head = __atomic_load_n(&ring->header->side_head, __ATOMIC_RELAXED);
		uint64_t skip = (head & ring->side_mask) + length > size ? size - (head & ring->side_mask) : 0;

		if (head + skip + length > ring->side_limit && !wait_for(ring, side_ready, skip + length, &cause))
			return false;
		/* A handler that came in between has moved head: look again. */
		if (__atomic_compare_exchange_n(&ring->header->side_head, &head, head + skip + length, false,
						__ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
			*position = head + skip;
			return true;
		}
	}
}

static uint32_t padded(uint32_t length)
{
	return (length + 7u) & ~7u;
}

bool ring_write_chain(struct ring_thread *ring, struct ring_segment *segments, unsigned int count, uint32_t *payload)
{
	uint64_t total = 0, position;
	unsigned char *at;

	for (unsigned int i = 0; i < count; i++) {
		if (segments[i].length > VFIOTAPE_PAYLOAD_MAX) {
			segments[i].length = VFIOTAPE_PAYLOAD_MAX;
			segments[i].flags |= VFIOTAPE_SEGMENT_CUT;
		}
		total += sizeof(struct vfiotape_segment) + padded(segments[i].length);
	}
	if (!reserve_side(ring, total, &position)) {
		if (!ring->lost && !ring->lost_bytes)
			ring->lost_cause = VFIOTAPE_LOSS_SIDE_FULL;
		ring->lost_bytes += total;
		ring->header->lost_payload += total;
		ring->limit = 0;
		return false;
	}
	at = ring->side + (position & ring->side_mask);
	for (unsigned int i = 0; i < count; i++) {
		struct vfiotape_segment *segment = (struct vfiotape_segment *)at;
		unsigned char *bytes = at + sizeof(*segment);
		uint32_t length = segments[i].length;
		uint8_t flags = segments[i].flags & (uint8_t)~RING_FOREIGN;

		if (segments[i].flags & RING_FOREIGN) {
			size_t copied = fault_safe_copy(bytes, (uint64_t)segments[i].bytes, length);

			if (copied < length) {
				length = (uint32_t)copied;
				flags |= VFIOTAPE_SEGMENT_FAULT;
			}
		} else {
			memcpy(bytes, segments[i].bytes, length);
		}
		memset(bytes + length, 0, padded(length) - length);
		*segment = (struct vfiotape_segment){
			.length = length,
			.role = segments[i].role,
			.flags = flags | (i + 1 < count ? VFIOTAPE_SEGMENT_MORE : 0),
			.index = segments[i].index,
			.address = segments[i].address,
		};
		at = bytes + padded(length);
	}
	*payload = (uint32_t)(position / 8);
	return true;
}

void ring_write_with(struct ring_thread *ring, const struct ring_event *event, struct ring_segment *segments,
		     unsigned int count)
{
	struct ring_slot slot;
	uint32_t payload = 0;
	uint8_t flags;

	if (!ring_write_slot(ring, event, &slot, &flags))
		return;
	if (count && ring_write_chain(ring, segments, count, &payload))
		flags |= VFIOTAPE_FLAG_PAYLOAD;
	ring_commit(&slot, event->kind, flags, payload);
}

/* --- claiming ----------------------------------------------------------------------------------------------------- */

static uint64_t ring_file_bytes(const struct vfiotape_control *control)
{
	return VFIOTAPE_RING_HEADER_BYTES + ((uint64_t)sizeof(struct vfiotape_record) << control->records_log2) +
	       (1ull << control->side_log2);
}

/* Every page exists before it is written: on a full tmpfs a store would be SIGBUS, and a first touch costs a fault. */
static bool populate(int fd, unsigned char *base, uint64_t bytes)
{
	long result;

	if (!shim_may_write(bytes) || raw_failed(raw4(SYS_fallocate, fd, 0, 0, (long)bytes)))
		return false;
	result = raw_madvise(base, bytes, MADV_POPULATE_WRITE);
	if (result == -EINVAL) { /* before Linux 5.14 */
		for (uint64_t at = 0; at < bytes; at += PAGE)
			__atomic_fetch_add((uint64_t *)(base + at), 0, __ATOMIC_RELAXED);
		return true;
	}
	return result == 0;
}

static bool map_ring(struct ring_thread *ring, uint32_t index)
{
	const struct vfiotape_control *control = shim_session.control;
	uint64_t bytes = ring_file_bytes(control);
	char path[SHIM_PATH_MAX + 32];
	unsigned char *base;
	int fd;

	shim_file_path(path, "/ring.", index, 3);
	fd = raw_openat(AT_FDCWD, path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	base = raw_mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (raw_failed((long)base)) {
		raw_close(fd);
		return false;
	}
	if (!populate(fd, base, bytes)) {
		raw_munmap(base, bytes);
		raw_close(fd);
		return false;
	}
	raw_close(fd);
	/* Not the driver's to inherit, nor to have in its core dumps, nor (after mlockall) on its memlock account. */
	raw_madvise(base, bytes, MADV_DONTFORK);
	raw_madvise(base, bytes, MADV_DONTDUMP);
	raw3(SYS_munlock, (long)base, (long)bytes, 0);

	ring->records = (struct vfiotape_record *)(base + VFIOTAPE_RING_HEADER_BYTES);
	ring->record_mask = (1ull << control->records_log2) - 1;
	ring->records_log2 = control->records_log2;
	ring->side = (unsigned char *)(ring->records + ring->record_mask + 1);
	ring->side_mask = (1ull << control->side_log2) - 1;
	ring->index = index;
	ring->header = (struct vfiotape_ring_header *)base;
	return true;
}

static void announce(struct ring_thread *ring, int tid)
{
	char name[16] = { 0 };
	struct ring_segment segment = { .role = VFIOTAPE_ROLE_NAME, .bytes = name };
	struct ring_event thread = {
		.entered = shim_clock(),
		.offset = shim_process.pid,
		.value = (uint64_t)tid,
		.result = shim_process.parent,
		.fd = -1,
		.kind = VFIOTAPE_THREAD,
	};

	raw3(SYS_prctl, PR_GET_NAME, (long)name, 0);
	segment.length = (uint32_t)strnlen(name, sizeof(name));
	ring->next_clock = UINT64_MAX; /* THREAD comes first: the collector learns from it whose ring this is now */
	ring_write_with(ring, &thread, &segment, 1);
	ring->next_clock = 0;
	ring_write_clock(ring);
	if (!shim_process.announced) {
		shim_process.announced = 1;
		process_info_announce(ring);
	}
}

static struct ring_thread *claim_free(int tid)
{
	struct vfiotape_control *control = shim_session.control;
	uint32_t limit = control->ring_limit < VFIOTAPE_RINGS_MAX ? control->ring_limit : VFIOTAPE_RINGS_MAX;

	for (uint32_t index = 0; index < limit; index++) {
		struct ring_thread *ring = &shim_process.threads[index];
		uint32_t free = VFIOTAPE_RING_FREE;

		if (__atomic_load_n(&control->ring_state[index], __ATOMIC_RELAXED) != VFIOTAPE_RING_FREE ||
		    !__atomic_compare_exchange_n(&control->ring_state[index], &free, VFIOTAPE_RING_OWNED, false,
						 __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			continue;
		if (!ring->header && !map_ring(ring, index)) {
			__atomic_store_n(&control->ring_state[index], VFIOTAPE_RING_FREE, __ATOMIC_RELEASE);
			return NULL;
		}
		ring->header->index = index;
		ring->header->records_log2 = control->records_log2;
		ring->header->side_log2 = control->side_log2;
		ring->header->inflight.kind = VFIOTAPE_NONE;
		ring->header->process = shim_process.process;
		ring->header->pid = shim_process.pid;
		/*
		 * Last: with a thread's number the collector looks whether the owner lives, and would take the former owner's
		 * image beside it for one that an exec has replaced, and give the ring to others.
		 */
		__atomic_store_n(&ring->header->tid, (uint32_t)tid, __ATOMIC_RELEASE);
		__atomic_store_n(&ring->header->magic, VFIOTAPE_RING_MAGIC, __ATOMIC_RELEASE);
		ring->limit = 0;
		ring->side_limit = 0;
		ring->lost = 0;
		ring->lost_bytes = 0;
		ring->owned = 1;
		stack_range(ring, tid == (int)shim_process.pid);
		return ring;
	}
	return NULL;
}

/* The image that exec replaced left its threads' rings behind, owned by a pid that is alive: ours. */
void ring_release_former_image(uint32_t pid)
{
	struct vfiotape_control *control = shim_session.control;
	struct vfiotape_ring_header header;

	for (uint32_t index = 0; index < control->ring_limit && index < VFIOTAPE_RINGS_MAX; index++) {
		uint32_t owned = VFIOTAPE_RING_OWNED;
		char path[SHIM_PATH_MAX + 32];
		int file;

		if (__atomic_load_n(&control->ring_state[index], __ATOMIC_ACQUIRE) != VFIOTAPE_RING_OWNED)
			continue;
		shim_file_path(path, "/ring.", index, 3);
		file = raw_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
		if (file < 0)
			continue;
		if (raw_pread(file, &header, sizeof(header), 0) == sizeof(header) &&
		    header.magic == VFIOTAPE_RING_MAGIC && header.pid == pid)
			__atomic_compare_exchange_n(&control->ring_state[index], &owned, VFIOTAPE_RING_LEFT, false,
						    __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
		raw_close(file);
	}
}

static struct ring_thread *claim_blocked(void)
{
	struct ring_thread *ring = ring_tls;
	uint64_t now;
	int tid;

	if (shim_session.mode == SHIM_UNTRIED)
		shim_attach_session();
	if (shim_session.mode != SHIM_RECORDING || shim_session.control->state != VFIOTAPE_RECORDING)
		return NULL;
	if (shim_process.pid == 0)
		shim_attach_process();
	/* A child that shares our memory without being a thread: its closes and execs are not ours to record. */
	if (shim_session.memory_sharers && (uint32_t)raw_getpid() != shim_process.pid)
		return NULL;
	if (ring && ring->header) /* memory_sharers alone brought us here; or a signal came before we blocked them */
		return ring;
	now = shim_clock();
	if (now < shim_process.claim_not_before) {
		shim_count_loss(&shim_session.control->lost_no_ring, 1);
		return NULL;
	}
	tid = raw_gettid();
	ring = claim_free(tid);
	if (!ring) {
		shim_process.claim_not_before = now + shim_session.clock_interval;
		shim_count_loss(&shim_session.control->lost_no_ring, 1);
		return NULL;
	}
	ring_tls = ring;
	announce(ring, tid);
	if (leave_key_made)
		pthread_setspecific(leave_key, ring);
	return ring;
}

COLD struct ring_thread *ring_claim(void)
{
	uint64_t all = ~0ull, before;
	struct ring_thread *ring;

	if (shim_session.mode >= SHIM_PASSIVE)
		return NULL;
	/* A recording that is over must not cost the driver two system calls for each of its own. */
	if (shim_session.mode == SHIM_RECORDING && shim_session.control->state != VFIOTAPE_RECORDING)
		return NULL;
	ring = ring_tls;
	if (ring && ring->header && shim_session.memory_sharers)
		return (uint32_t)raw_getpid() == shim_process.pid &&
				       shim_session.control->state == VFIOTAPE_RECORDING ?
			       ring :
			       NULL;
	/* A handler that recorded while its thread claims would claim a second ring; it waits these microseconds. */
	raw4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&before, 8);
	ring = claim_blocked();
	raw4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before, 0, 8);
	return ring;
}

void ring_attach_process(void)
{
	uint64_t all = ~0ull, before;

	if (shim_session.mode != SHIM_RECORDING || shim_process.pid)
		return;
	raw4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&before, 8);
	if (!shim_process.pid)
		shim_attach_process();
	raw4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before, 0, 8);
}

/* Its thread ends. The mapping is kept for this process's next claim of the same ring. */
void ring_leave(struct ring_thread *ring)
{
	uint64_t all = ~0ull, before;

	raw4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&before, 8);
	if (ring == ring_tls && ring->header) {
		ring_tls = NULL;
		ring->owned = 0;
		ring->header->inflight.kind = VFIOTAPE_NONE; /* a call that the thread was cancelled in */
		__atomic_store_n(&shim_session.control->ring_state[ring->index], VFIOTAPE_RING_LEFT, __ATOMIC_RELEASE);
	}
	raw4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before, 0, 8);
}

static __thread unsigned int leave_rounds __attribute__((tls_model("initial-exec")));

/* The driver's own keys have destructors, too, and may record in them, with keys made after ours: the last round is ours. */
static void leave(void *ring)
{
	if (++leave_rounds < PTHREAD_DESTRUCTOR_ITERATIONS && !pthread_setspecific(leave_key, ring))
		return;
	ring_leave(ring);
}

/*
 * The first 32 keys have their values in the thread itself; a later one would make pthread_setspecific allocate, on the
 * recorded path. Then the collector finds the ring of a thread that is gone.
 */
__attribute__((constructor(101))) static void make_leave_key(void)
{
	if (pthread_key_create(&leave_key, leave))
		return;
	leave_key_made = leave_key < 32;
	if (!leave_key_made)
		pthread_key_delete(leave_key);
}
