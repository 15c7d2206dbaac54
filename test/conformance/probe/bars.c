// SPDX-License-Identifier: Apache-2.0
/* BARs by mmap and by pread, with memory decode off, asleep, and the ROM. */
#include "probe.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *try_map(const struct probe *probe, uint64_t offset, size_t length, int protection, int flags)
{
	void *mapping = mmap(NULL, length, protection, flags, probe->device, (off_t)offset);

	if (mapping == MAP_FAILED)
		return answer(-1);
	munmap(mapping, length);
	return "ok";
}

static void probe_mmap(const struct probe *probe)
{
	const struct region *bar = &probe->regions[probe->bar];
	const int access = PROT_READ | PROT_WRITE;

	report("mmap BAR shared rw", "%s", try_map(probe, bar->offset, PAGE, access, MAP_SHARED));
	report("mmap BAR MAP_PRIVATE", "%s", try_map(probe, bar->offset, PAGE, access, MAP_PRIVATE));
	report("mmap one page past the end of BAR", "%s (BAR size 0x%llx)",
	       try_map(probe, bar->offset, bar->size + PAGE, access, MAP_SHARED), (unsigned long long)bar->size);
	report("mmap BAR PROT_EXEC", "%s", try_map(probe, bar->offset, PAGE, access | PROT_EXEC, MAP_SHARED));
	report("mmap config region", "%s",
	       try_map(probe, probe->regions[VFIO_PCI_CONFIG_REGION_INDEX].offset, PAGE, access, MAP_SHARED));
	for (int index = 0; index < 6; index++) {
		const struct region *io = &probe->regions[index];

		if (io->size == 0 || io->flags & VFIO_REGION_INFO_FLAG_MMAP)
			continue;
		report("mmap an I/O-port BAR", "%s (BAR%d)", try_map(probe, io->offset, PAGE, access, MAP_SHARED), index);
		report("pread 4 from I/O BAR", "%s", answer(pread_count(probe, io->offset, 4)));
		break;
	}
}

static void report_load(const char *action, const volatile void *mapping)
{
	uint32_t value;

	if (load32(mapping, &value))
		report(action, "0x%08x", value);
	else
		report(action, "SIGBUS");
}

static void probe_power(const struct probe *probe, const volatile void *mapping)
{
	const unsigned int pm = find_capability(probe, 0x01);
	uint32_t state;

	if (pm == 0)
		return;
	state = config_read(probe, pm + 4, 2);
	config_write(probe, pm + 4, 2, state | 3);
	report("PM: write D3hot", "PMCSR 0x%04x -> 0x%04x", state, config_read(probe, pm + 4, 2));
	report_load("MMIO load in D3hot", mapping);
	report("pread BAR in D3hot", "%s", answer(pread_count(probe, probe->regions[probe->bar].offset, 4)));
	config_write(probe, pm + 4, 2, state & ~3u);
	report("PM: back to D0", "PMCSR 0x%04x COMMAND 0x%04x", config_read(probe, pm + 4, 2), config_read(probe, 4, 2));
}

void probe_bars(const struct probe *probe)
{
	const struct region *bar = &probe->regions[probe->bar], *rom = &probe->regions[VFIO_PCI_ROM_REGION_INDEX];
	volatile uint8_t *mapping;
	uint32_t command;
	uint16_t signature = 0;
	long got;

	probe_mmap(probe);
	report("pread 4 BAR", "%s", answer(pread_count(probe, bar->offset, 4)));
	report("pread 8 BAR", "%s", answer(pread_count(probe, bar->offset, 8)));
	report("pread 3 BAR @1", "%s", answer(pread_count(probe, bar->offset + 1, 3)));
	report("pread 4 at BAR end", "%s", answer(pread_count(probe, bar->offset + bar->size, 4)));
	report("pread 8 crossing BAR end", "%s", answer(pread_count(probe, bar->offset + bar->size - 4, 8)));
	report("pread 256 BAR", "%s", answer(pread_count(probe, bar->offset, 256)));

	mapping = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, probe->device, (off_t)bar->offset);
	if (mapping == MAP_FAILED)
		return;
	report_load("MMIO load BAR+0 with MEM enabled", mapping);
	command = config_read(probe, 4, 2);
	config_write(probe, 4, 2, command & ~2u);
	report_load("MMIO load with COMMAND.MEM cleared", mapping);
	report("pread BAR with COMMAND.MEM cleared", "%s", answer(pread_count(probe, bar->offset, 4)));
	config_write(probe, 4, 2, command);
	report_load("MMIO load, MEM set again (same mapping)", mapping);
	probe_power(probe, mapping);
	munmap((void *)mapping, PAGE);
	if (rom->size == 0)
		return;
	got = pread(probe->device, &signature, sizeof(signature), (off_t)rom->offset);
	report("pread ROM", "%s  val %x", answer(got), signature);
	signature = 0;
	report("pwrite ROM", "%s", answer(pwrite(probe->device, &signature, sizeof(signature), (off_t)rom->offset)));
}
