// SPDX-License-Identifier: Apache-2.0
/* SET_IRQS: what may be combined, what is refused, what a software trigger does. */
#include "probe.h"

#include <stdio.h>
#include <stdlib.h>

#define EVENTFDS (VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER)
#define TRIGGER (VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER)
#define MASK (VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_MASK)
#define UNMASK (VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK)

static const char *set(const struct probe *probe, uint32_t index, uint32_t flags, uint32_t count, const void *data)
{
	return answer(set_irqs(probe, index, flags, 0, count, data, 0));
}

static void probe_intx(const struct probe *probe, int fd)
{
	const uint32_t intx = VFIO_PCI_INTX_IRQ_INDEX;
	const uint32_t message = probe->irq_counts[VFIO_PCI_MSI_IRQ_INDEX] > 0 ? VFIO_PCI_MSI_IRQ_INDEX :
										  VFIO_PCI_MSIX_IRQ_INDEX;
	const int unmask = new_eventfd(), bad = 999;

	report("SET_IRQS data NONE|TRIGGER count 0 on INTx while unconfigured", "%s", set(probe, intx, TRIGGER, 0, NULL));
	report("INTx: SET_IRQS eventfd", "%s", set(probe, intx, EVENTFDS, 1, &fd));
	report("INTx: SET_IRQS eventfd again (replace)", "%s", set(probe, intx, EVENTFDS, 1, &fd));
	report("INTx: MSI enable while INTx active", "%s", set(probe, message, EVENTFDS, 1, &fd));
	report("INTx: software trigger (NONE|TRIGGER count1)", "%s", set(probe, intx, TRIGGER, 1, NULL));
	report("INTx: software trigger (NONE|TRIGGER count1): eventfd value", "%llu", eventfd_count(fd, 0));
	report("INTx: MASK NONE", "%s", set(probe, intx, MASK, 1, NULL));
	report("INTx: UNMASK NONE", "%s", set(probe, intx, UNMASK, 1, NULL));
	report("INTx: UNMASK eventfd (virqfd)", "%s",
	       set(probe, intx, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_UNMASK, 1, &unmask));
	report("INTx: MASK eventfd", "%s",
	       set(probe, intx, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_MASK, 1, &unmask));
	report("INTx: eventfd = bad fd", "%s", set(probe, intx, EVENTFDS, 1, &bad));
	report("INTx: eventfd = device fd (not an eventfd)", "%s", set(probe, intx, EVENTFDS, 1, &probe->device));
	report("INTx: disable (NONE|TRIGGER count 0)", "%s", set(probe, intx, TRIGGER, 0, NULL));
	report("INTx: MASK when disabled", "%s", set(probe, intx, MASK, 1, NULL));
}

static void say(const char *kind, const char *what, const char *text)
{
	char action[128];

	snprintf(action, sizeof(action), "%s: %s", kind, what);
	report(action, "%s", text);
}

static void say_count(const char *kind, const char *what, int fd)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", eventfd_count(fd, 0));
	say(kind, what, text);
}

static void probe_messages(const struct probe *probe, const char *kind, uint32_t index, unsigned int capability)
{
	const uint32_t count = probe->irq_counts[index];
	const int fd = new_eventfd(), none = -1;
	const uint8_t yes = 1;
	int *many = malloc((count + 1) * sizeof(*many));
	char flags[16];

	if (many == NULL)
		abort();
	for (uint32_t i = 0; i <= count; i++)
		many[i] = fd;
	say(kind, "start beyond count", answer(set_irqs(probe, index, EVENTFDS, count, 1, &fd, 0)));
	say(kind, "count = info.count+1", set(probe, index, EVENTFDS, count + 1, many));
	say(kind, "argsz too small for data", answer(set_irqs(probe, index, EVENTFDS, 0, 1, &fd, 20)));
	say(kind, "MASK action", set(probe, index, MASK, 1, NULL));
	say(kind, "enable 1 vector", set(probe, index, EVENTFDS, 1, &fd));
	snprintf(flags, sizeof(flags), "0x%04x", config_read(probe, find_capability(probe, capability) + 2, 2));
	say(kind, "cap flags after enable", flags);
	say(kind, "software trigger vector 0", set(probe, index, TRIGGER, 1, NULL));
	say_count(kind, "software trigger vector 0: eventfd value", fd);
	say(kind, "software trigger DATA_BOOL",
	    set(probe, index, VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_ACTION_TRIGGER, 1, &yes));
	say_count(kind, "software trigger DATA_BOOL: eventfd value", fd);
	if (index == VFIO_PCI_MSIX_IRQ_INDEX && count > 1) {
		const int second = new_eventfd();

		say(kind, "add vector 1 dynamically while enabled",
		    answer(set_irqs(probe, index, EVENTFDS, 1, 1, &second, 0)));
	}
	say(kind, "detach vector 0 (fd -1)", set(probe, index, EVENTFDS, 1, &none));
	say(kind, "INTx enable while MSI active", set(probe, VFIO_PCI_INTX_IRQ_INDEX, EVENTFDS, 1, &fd));
	say(kind, "disable", set(probe, index, TRIGGER, 0, NULL));
	say(kind, "disable again", set(probe, index, TRIGGER, 0, NULL));
	free(many);
}

void probe_interrupts(const struct probe *probe)
{
	const int fd = new_eventfd();

	report("SET_IRQS index 9", "%s", set(probe, 9, TRIGGER, 0, NULL));
	probe_intx(probe, fd);
	if (probe->irq_counts[VFIO_PCI_MSI_IRQ_INDEX] > 0)
		probe_messages(probe, "MSI", VFIO_PCI_MSI_IRQ_INDEX, 0x05);
	if (probe->irq_counts[VFIO_PCI_MSIX_IRQ_INDEX] > 0)
		probe_messages(probe, "MSI-X", VFIO_PCI_MSIX_IRQ_INDEX, 0x11);
	report("ERR irq eventfd", "%s", set(probe, VFIO_PCI_ERR_IRQ_INDEX, EVENTFDS, 1, &fd));
	report("REQ irq eventfd", "%s", set(probe, VFIO_PCI_REQ_IRQ_INDEX, EVENTFDS, 1, &fd));
	report("REQ irq software trigger", "%s", set(probe, VFIO_PCI_REQ_IRQ_INDEX, TRIGGER, 1, NULL));
	report("REQ irq software trigger: eventfd", "%llu", eventfd_count(fd, 0));
}
