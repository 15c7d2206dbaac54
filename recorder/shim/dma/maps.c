// SPDX-License-Identifier: Apache-2.0
/* Which memory is mapped for DMA, and the copies that it is compared with. */
#include <linux/userfaultfd.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "../core/fault_safe.h"
#include "../core/watcher.h"
#include "internal.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

#define WAIT_NS 20000u

struct dma_state *dma_state;

void dma_start(void)
{
	struct dma_state *state;

	if (!shim_session.control->dma_compared)
		return;
	state = raw_mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (raw_failed((long)state))
		return;
	if (raw_madvise(state, sizeof(*state), MADV_WIPEONFORK)) {
		raw_munmap(state, sizeof(*state));
		return;
	}
	state->now = state->read[0];
	dma_state = state;
	__atomic_store_n(&shim_session.comparing, 1, __ATOMIC_RELEASE);
}

static __thread bool entered __attribute__((tls_model("initial-exec")));

bool dma_entered(void)
{
	return entered;
}

/*
 * A handler of the driver's could leave by longjmp, with everything held: it waits. The watcher's own signals don't, where
 * it watches: faults are its way of reading memory. What it finds held by its own thread, it leaves, and a signal of theirs
 * that somebody sent waits, too (mmio_deliver).
 */
bool dma_enter(uint64_t *mask)
{
	uint64_t all = ~0ull, faults = 1ull << (SIGSEGV - 1) | 1ull << (SIGBUS - 1) | 1ull << (SIGTRAP - 1);
	uint32_t self = (uint32_t)raw_gettid(), nobody;

	/* A child that shares this memory is no thread of ours. */
	if (unlikely(shim_session.memory_sharers) && (uint32_t)raw_getpid() != shim_process.pid)
		return false;
	if (entered) {
		shim_count_loss(&shim_session.control->dma_skipped, 1);
		return false;
	}
	raw4(SYS_rt_sigprocmask, SIG_BLOCK, (long)&all, (long)mask, 8);
	entered = true;
	if (mmio_watching())
		raw4(SYS_rt_sigprocmask, SIG_UNBLOCK, (long)&faults, 0, 8);
	for (;;) {
		nobody = 0;
		if (__atomic_compare_exchange_n(&dma_state->owner, &nobody, self, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return true;
		raw_nanosleep(WAIT_NS);
	}
}

void dma_leave(uint64_t mask)
{
	uint64_t all = ~0ull;

	__atomic_store_n(&dma_state->owner, 0, __ATOMIC_RELEASE);
	/* No handler may find `entered` otherwise than signals are. */
	raw4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, 0, 8);
	entered = false;
	raw4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&mask, 0, 8);
	mmio_send_pending();
}

void dma_leave_out(enum vfiotape_left_out why, uint64_t bytes)
{
	shim_count_loss(&shim_session.control->dma_left_out[why], 1);
	shim_count_loss(&shim_session.control->dma_left_out_bytes[why], bytes);
}

static uint64_t copy_bytes(uint64_t size)
{
	return size + (size / DMA_PAGE + DMA_PAGE - 1) / DMA_PAGE * DMA_PAGE;
}

void dma_drop(uint32_t index)
{
	struct dma_map *map = &dma_state->maps[index];

	if (map->tracked)
		dma_untrack(map);
	raw_munmap(map->copy, copy_bytes(map->size));
	dma_state->bytes -= map->size;
	memmove(map, map + 1, (dma_state->count - index - 1) * sizeof(*map));
	dma_state->count--;
}

/* The copy takes no locked memory, even where the driver has all of its own locked (mlockall), and no child gets it. */
static uint8_t *make_copy(uint64_t address, uint64_t size, bool *unreadable)
{
	uint8_t *copy = raw_mmap(NULL, copy_bytes(size), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct iovec to = { copy, size }, from = { (void *)address, size };

	*unreadable = false;
	if (raw_failed((long)copy))
		return NULL;
	raw3(SYS_munlock, (long)copy, (long)copy_bytes(size), 0);
	raw_madvise(copy, copy_bytes(size), MADV_DONTFORK);
	raw_madvise(copy, copy_bytes(size), MADV_DONTDUMP);
	/* A device's registers can't be read in this way (get_user_pages has none of VM_PFNMAP), and must not be in any. */
	*unreadable = raw6(SYS_process_vm_readv, raw_getpid(), (long)&to, 1, (long)&from, 1, 0) != (long)size;
	if (!*unreadable)
		return copy;
	raw_munmap(copy, copy_bytes(size));
	return NULL;
}

static void add(struct dma_map map)
{
	bool unreadable = (map.iova | map.address | map.size) & (DMA_PAGE - 1) || !map.size;

	if (!unreadable && map.size > shim_session.control->dma_compared - dma_state->bytes) {
		dma_leave_out(VFIOTAPE_LEFT_OUT_LARGE, map.size);
		return;
	}
	if (!unreadable && dma_state->count == DMA_MAPS_MAX) {
		dma_leave_out(VFIOTAPE_LEFT_OUT_MANY, map.size);
		return;
	}
	map.copy = unreadable ? NULL : make_copy(map.address, map.size, &unreadable);
	if (!map.copy) {
		dma_leave_out(unreadable ? VFIOTAPE_LEFT_OUT_UNREADABLE : VFIOTAPE_LEFT_OUT_NO_MEMORY, map.size);
		return;
	}
	map.pages = map.copy + map.size;
	map.stores = dma_state->stores;
	dma_track(&map);
	shim_count_loss(&shim_session.control->dma_mapped, 1);
	if (map.tracked)
		shim_count_loss(&shim_session.control->dma_tracked, 1);
	dma_state->bytes += map.size;
	dma_state->maps[dma_state->count++] = map;
	dma_record_held(&map);
}

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a_size && b_size && (a - b < b_size || b - a < a_size); /* either may end at 2^64 */
}

/* What is unmapped in part is not compared any more: type 1 cuts what was mapped as one only for the first version's users. */
static void remove_iovas(uint32_t object, uint32_t ioas, bool any_ioas, uint64_t iova, uint64_t size)
{
	for (uint32_t i = dma_state->count; i-- > 0;) {
		const struct dma_map *map = &dma_state->maps[i];

		if (map->object == object && (any_ioas || map->ioas == ioas) &&
		    (size == UINT64_MAX || overlap(map->iova, map->size, iova, size)))
			dma_drop(i);
	}
}

void dma_memory_goes(uint64_t address, uint64_t length)
{
	bool touched = false;
	uint64_t mask;

	if (!dma_state->count || !dma_enter(&mask))
		return;
	for (uint32_t i = 0; i < dma_state->count; i++)
		touched |= overlap(dma_state->maps[i].address, dma_state->maps[i].size, address, length);
	if (touched)
		dma_compare_all(DMA_CALL, NULL);
	for (uint32_t i = dma_state->count; touched && i-- > 0;) {
		if (!overlap(dma_state->maps[i].address, dma_state->maps[i].size, address, length))
			continue;
		dma_leave_out(VFIOTAPE_LEFT_OUT_GONE, dma_state->maps[i].size);
		dma_drop(i);
	}
	dma_leave(mask);
}

void dma_before_userfaultfd(uint64_t argument)
{
	struct uffdio_range range; /* the first of struct uffdio_register */
	uint64_t mask;

	if (fault_safe_copy(&range, argument, sizeof(range)) != sizeof(range) || !dma_state->count || !dma_enter(&mask))
		return;
	for (uint32_t i = 0; i < dma_state->count; i++) {
		struct dma_map *map = &dma_state->maps[i];

		if (map->tracked && overlap(map->address, map->size, range.start, range.len))
			dma_give_up_tracking(map);
	}
	dma_leave(mask);
}

void dma_space_gone(uint32_t object)
{
	uint64_t mask;

	if (!dma_state->count || !dma_enter(&mask))
		return;
	remove_iovas(object, 0, true, 0, UINT64_MAX);
	dma_leave(mask);
}

/* --- ioctls ------------------------------------------------------------------------------------------------------- */

#define IOAS_DESTROY 0x3b80u
#define IOAS_COPY 0x3b83u
#define IOAS_UNMAP 0x3b86u
#define IOAS_MAP_FILE 0x3b8fu
#define DEVICE_RESET 0x3b6fu
#define SET_IRQS 0x3b6eu

#define MAP_DMA_READ 1u /* VFIO_DMA_MAP_FLAG_READ: the device's side */
#define MAP_DMA_WRITE 2u
#define UNMAP_DMA_ALL 2u
#define UNMAP_DMA_VADDR 4u /* VFIO_DMA_UNMAP_FLAG_VADDR: the device goes on, the memory gets another address */
#define IOAS_MAP_WRITEABLE 2u

void dma_before_ioctl(const struct ioctl_call *call)
{
	switch (call->shape->request) {
	case DEVICE_RESET:
		dma_compare(DMA_STORE);
		break;
	case SET_IRQS:
	case IOAS_UNMAP:
	case IOAS_DESTROY:
		dma_compare(DMA_CALL);
		break;
	default:
		if (call->shape->action == ACTION_MAP_DMA || call->shape->action == ACTION_UNMAP_DMA ||
		    call->shape->action == ACTION_IOAS_MAP || call->shape->action == ACTION_HOT_RESET)
			dma_compare(DMA_CALL);
		break;
	}
}

/* The kernel answers with the IOVA that it chose. */
static uint64_t answered_iova(const struct ioctl_call *call)
{
	uint64_t iova = ioctl_in64(call, 32);

	fault_safe_copy(&iova, call->argument + 32, sizeof(iova));
	return iova;
}

static void take_effect(const struct ioctl_call *call)
{
	switch (call->shape->action) {
	case ACTION_MAP_DMA: /* flags@4, vaddr@8, iova@16, size@24 */
		if (ioctl_in32(call, 4) & (MAP_DMA_READ | MAP_DMA_WRITE))
			add((struct dma_map){ .iova = ioctl_in64(call, 16), .size = ioctl_in64(call, 24), .address = ioctl_in64(call, 8),
					      .object = call->object,
					      .device_writes = ioctl_in32(call, 4) & MAP_DMA_WRITE });
		return;
	case ACTION_UNMAP_DMA: /* flags@4, iova@8, size@16 */
		if (ioctl_in32(call, 4) & UNMAP_DMA_VADDR)
			return;
		remove_iovas(call->object, 0, false, ioctl_in64(call, 8), ioctl_in32(call, 4) & UNMAP_DMA_ALL ? UINT64_MAX : ioctl_in64(call, 16));
		return;
	case ACTION_IOAS_MAP: /* flags@4, ioas@8, user_va@16, length@24, iova@32 */
		add((struct dma_map){ .iova = answered_iova(call), .size = ioctl_in64(call, 24), .address = ioctl_in64(call, 16),
				      .object = call->object, .ioas = ioctl_in32(call, 8),
				      .device_writes = ioctl_in32(call, 4) & IOAS_MAP_WRITEABLE });
		return;
	default:
		break;
	}
	switch (call->shape->request) {
	case IOAS_UNMAP: /* ioas@4, iova@8, length@16 */
		remove_iovas(call->object, ioctl_in32(call, 4), false, ioctl_in64(call, 8), ioctl_in64(call, 16));
		break;
	case IOAS_DESTROY: /* id@4: of an IOAS, perhaps */
		remove_iovas(call->object, ioctl_in32(call, 4), false, 0, UINT64_MAX);
		break;
	case IOAS_COPY: /* flags, dst, src, length@16; as IOAS_MAP_FILE has it at 24 */
		dma_leave_out(VFIOTAPE_LEFT_OUT_INDIRECT, ioctl_in64(call, 16));
		break;
	case IOAS_MAP_FILE:
		dma_leave_out(VFIOTAPE_LEFT_OUT_INDIRECT, ioctl_in64(call, 24));
		break;
	default:
		break;
	}
}

void dma_after_ioctl(const struct ioctl_call *call, long result)
{
	uint64_t mask;

	if (result < 0 || !dma_enter(&mask))
		return;
	take_effect(call);
	dma_leave(mask);
}
