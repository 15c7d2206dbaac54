// SPDX-License-Identifier: Apache-2.0
/*
 * A device that refuses accesses: with memory decode off, and in D3hot, vfio-pci answers a load from a BAR with SIGBUS
 * (vfio_pci_core.c: vfio_pci_mmap_fault, __vfio_pci_memory_enabled). The handler is told the true address, whoever records.
 *   refused BDF
 */
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "../../../examples/nvme/vfio.h"

#define COMMAND 0x04
#define COMMAND_MEMORY 0x02
#define CAPABILITIES 0x34
#define PM_ID 0x01
#define PM_CONTROL 4

static struct vfio vfio;
static sigjmp_buf back;
static volatile uint64_t refused_at;

static void on_sigbus(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	refused_at = (uint64_t)info->si_addr;
	siglongjmp(back, 1);
}

__attribute__((noinline)) static void load(const char *when)
{
	if (sigsetjmp(back, 1))
		printf("%s: SIGBUS at BAR0+0x%lx\n", when, (unsigned long)(refused_at - (uint64_t)vfio.bar));
	else
		printf("%s: VS = 0x%x\n", when, *(volatile uint32_t *)(vfio.bar + 8));
}

static void write_config(unsigned int offset, uint16_t value)
{
	check(pwrite(vfio.device, &value, 2, (off_t)(vfio.config_offset + offset)) == 2, "write configuration space");
}

int main(int count, char **arguments)
{
	struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };
	uint16_t command, control, head;
	uint8_t at;

	check(count == 2, "one argument, the device");
	sigaction(SIGBUS, &action, NULL);
	vfio_open(&vfio, arguments[1], VFIO_GROUP);
	vfio_map_bar(&vfio, PAGE_BYTES);
	vfio_read_config(&vfio, COMMAND, &command, 2);
	load("at first");
	load("again");
	write_config(COMMAND, command & ~COMMAND_MEMORY);
	load("memory decode off");
	load("memory decode still off");
	write_config(COMMAND, command | COMMAND_MEMORY);
	load("memory decode on");
	vfio_read_config(&vfio, CAPABILITIES, &at, 1);
	for (; at && vfio_read_config(&vfio, at, &head, 2) && (head & 0xff) != PM_ID; at = (uint8_t)(head >> 8))
		;
	check(at, "no power management capability");
	vfio_read_config(&vfio, at + PM_CONTROL, &control, 2);
	write_config(at + PM_CONTROL, control | 3);
	load("D3hot");
	write_config(at + PM_CONTROL, control & ~3);
	load("D0");
	vfio_close(&vfio);
	return 0;
}
