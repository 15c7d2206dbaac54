// SPDX-License-Identifier: Apache-2.0
/* The watcher's start, its mode, and what follows from a virtual machine monitor. */
#include <linux/vfio.h>

#include "../sim/sim.h"
#include "internal.h"

struct mmio_counters mmio_counters;
uint32_t mmio_mode;
static bool started, kvm_seen;

/* What `record` looks for in the library, to know that this part is built in. */
__attribute__((used)) static const char mark[] = "vfiotape: mmio watcher";

const char *mmio_start(uint32_t mode)
{
	const char *trouble = NULL;

	mmio_mode = mode;
	if (mode != VFIOTAPE_MMIO_PATCH && mode != VFIOTAPE_MMIO_TRAP && !simulating())
		return NULL;
	trouble = mmio_decode_start();
	if (trouble)
		return trouble;
	mmio_lock_reset();
	mmio_code_start();
	mmio_trampoline_start();
	mmio_step_start();
	if (!mmio_signals_start())
		return "the kernel refused a signal handler";
	started = true;
	return NULL;
}

bool mmio_watching(void)
{
	return started;
}

void mmio_saw_kvm(void)
{
	kvm_seen = true;
}

/*
 * A page that is closed can't be given to a guest (kvm's vma_is_valid wants VM_READ), and what a guest does to an open
 * one is not seen: a monitor is told that the region can't be mapped, and goes through pread and pwrite.
 */
bool mmio_region_info_hidden(void)
{
	return mmio_mode == VFIOTAPE_MMIO_SYSCALLS || (started && kvm_seen);
}

bool mmio_hide_mapping(struct vfio_region_info *info)
{
	if (!mmio_region_info_hidden() || !(info->flags & VFIO_REGION_INFO_FLAG_MMAP))
		return false;
	info->flags &= ~(uint32_t)VFIO_REGION_INFO_FLAG_MMAP;
	return true;
}

static uint64_t forking_mask; /* under the lock, whose own page the child finds zeroed */

void mmio_before_fork(void)
{
	if (!started)
		return;
	mmio_lock();
	forking_mask = mmio_wiped.mask;
}

void mmio_after_fork(bool child)
{
	if (!started)
		return;
	if (child)
		mmio_wiped.mask = forking_mask;
	mmio_unlock();
}
