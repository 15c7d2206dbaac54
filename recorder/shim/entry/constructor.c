// SPDX-License-Identifier: Apache-2.0
/* Before main: attach, look what is already open, tell that we are here. */
#include <signal.h>
#include <sys/resource.h>

#include <string.h>

#include "calls.h"

/* Node raised the soft limit for itself, and has no way to start a program with the one that it found. */
static void restore_open_files(void)
{
	struct rlimit limit;

	if (!shim_session.control->open_files || shim_process.process != 1 ||
	    raw4(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, (long)&limit) || limit.rlim_cur <= shim_session.control->open_files)
		return;
	limit.rlim_cur = shim_session.control->open_files;
	raw4(SYS_prlimit64, 0, RLIMIT_NOFILE, (long)&limit, 0);
}

/* Registers of a simulated device are there only through the watcher, recorded or not. */
static void start_simulated_mmio(void)
{
	const char *trouble = mmio_start(shim_session.control ? shim_session.control->mmio_mode : VFIOTAPE_MMIO_OFF);
	struct iovec pieces[] = { { "vfiotape: BARs of simulated devices can't be mapped: ", 53 },
				  { (void *)trouble, trouble ? strlen(trouble) : 0 },
				  { "\n", 1 } };

	if (trouble)
		raw3(SYS_writev, 2, (long)pieces, 3);
}

__attribute__((constructor(102))) static void attach(void)
{
	uint64_t all = ~0ull, before;

	real_resolve();
	raw4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&before, 8);
	if (shim_session.mode == SHIM_UNTRIED)
		shim_attach_session();
	if (shim_session.mode == SHIM_RECORDING && !shim_process.pid)
		shim_attach_process();
	raw4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before, 0, 8);
	if (simulating()) {
		start_simulated_mmio();
		shim_session.watching = 1; /* in any case: no call on a simulated file takes a short cut past its backend */
	}
	if (shim_session.mode != SHIM_RECORDING) {
		if (simulating())
			objects_find_unseen();
		return;
	}
	/* Before anything is mapped. When the watcher can't work, mappings are the driver's own, and `record` has said so. */
	if (shim_session.control->mmio_mode != VFIOTAPE_MMIO_OFF && !simulating())
		shim_session.watching = mmio_start(shim_session.control->mmio_mode) == NULL;
	if (!simulating())
		dma_start();
	restore_open_files();
	objects_find_unseen();
	/*
	 * The recorded program itself is in the trace whatever it does. Others of its session (the shell's children, say)
	 * take a ring only when they have something to record.
	 */
	if (shim_process.parent == shim_session.control->collector_pid)
		ring_enter();
}
