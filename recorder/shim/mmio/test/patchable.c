// SPDX-License-Identifier: Apache-2.0
/*
 * How many of a driver's MMIO sites can be patched: patchable LIBRARY SITES library|pie|low. The library's text is mapped
 * where a shared library, a position-independent or a plain executable would have it, and its sites (link addresses, one
 * a line) are met in random order.
 */
#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rig.h"

#define SITES_WANTED 16000

static uint64_t sites[SITES_WANTED];

static uint8_t *map_text(const char *file, const char *place, uint64_t *bias)
{
	int fd = open(file, O_RDONLY);
	struct stat status;
	const Elf64_Ehdr *elf;
	const Elf64_Phdr *segment;
	uint64_t wanted = 0;
	uint8_t *text;

	RIG_CHECK(fd >= 0 && fstat(fd, &status) == 0);
	elf = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	RIG_CHECK(elf != MAP_FAILED);
	segment = (const Elf64_Phdr *)((const uint8_t *)elf + elf->e_phoff);
	while (segment->p_type != PT_LOAD || !(segment->p_flags & PF_X))
		segment++;
	if (!strcmp(place, "pie"))
		wanted = ((uint64_t)&map_text & ~0xfffffull) + (256 << 20);
	else if (!strcmp(place, "low"))
		wanted = 0x401000;
	text = mmap((void *)wanted, segment->p_filesz + PAGE, PROT_READ | PROT_EXEC,
		    MAP_PRIVATE | (wanted ? MAP_FIXED_NOREPLACE : 0), fd, (off_t)page_down(segment->p_offset));
	RIG_CHECK(text != MAP_FAILED);
	*bias = (uint64_t)text + (segment->p_offset & (PAGE - 1)) - segment->p_vaddr;
	return text;
}

int main(int count, char **arguments)
{
	uint64_t bias, address;
	uint32_t number = 0, patched = 0, brief = 0, brief_patched = 0, forms = 0;
	FILE *list;

	RIG_CHECK(count == 4);
	map_text(arguments[1], arguments[3], &bias);
	list = fopen(arguments[2], "r");
	RIG_CHECK(list);
	while (number < SITES_WANTED && fscanf(list, "%lx", &address) == 1)
		sites[number++] = address + bias;
	rig_start(VFIOTAPE_MMIO_PATCH);
	srand(7);
	for (uint32_t i = number; i > 1; i--) {
		uint32_t other = (uint32_t)rand() % i;

		address = sites[i - 1];
		sites[i - 1] = sites[other];
		sites[other] = address;
	}
	for (uint32_t i = 0; i < number; i++) {
		RIG_CHECK(mmio_site_at(sites[i]));
		rig_forget();
	}
	for (uint32_t i = 0; i < number; i++) {
		const struct mmio_site *site = mmio_site_find(sites[i]);
		bool done = site->state == SITE_PATCHED;

		patched += done;
		forms += site->state == SITE_HANDLER;
		if (site->insn.length < 5) {
			brief++;
			brief_patched += done;
		}
	}
	printf("sites %u patched %u short %u short_patched %u no_form %u\n", number, patched, brief, brief_patched, forms);
	printf("direct %lu punned %lu padding %lu repunned %lu\n", mmio_counters.patched_direct, mmio_counters.patched_pun,
	       mmio_counters.patched_padding, mmio_counters.repuns);
	return 0;
}
