// SPDX-License-Identifier: Apache-2.0
#include "probe.h"

#include <stdio.h>

int main(int argc, char **argv)
{
	struct probe probe = { .container = -1, .group = -1, .device = -1, .bar = -1 };

	if (argc < 2) {
		fprintf(stderr, "usage: probe DDDD:BB:DD.F [QUESTIONS]...\n");
		return 2;
	}
	if (argc > 2) {
		for (int i = 2; i < argc; i++)
			ask_script(argv[i], argv[1]);
		return 0;
	}
	probe.bdf = argv[1];
	probe_open(&probe);
	probe_config(&probe);
	probe_bars(&probe);
	probe_interrupts(&probe);
	probe_miscellaneous(&probe);
	if (!probe.noiommu)
		probe_dma(&probe);
	if (physical_read(&probe, 0, 4) == 0x11e81234)
		probe_edu(&probe);
	return 0;
}
