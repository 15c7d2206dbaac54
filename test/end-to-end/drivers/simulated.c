// SPDX-License-Identifier: Apache-2.0
/*
 * Drivers of edu that share it among threads and processes, run out of descriptors, or end in the middle of something.
 * With examples/nvme/vfio.c:
 *
 *	simulated threads BDF            threads that read and compute at the same time
 *	simulated forks BDF              parent and child use one device, in turn
 *	simulated orphan BDF             a child goes on when its parent has ended, and gets the interrupts
 *	simulated full BDF               no descriptor is left
 *	simulated hidden BDF             lets nobody look into its memory
 *	simulated wait BDF               waits for an interrupt that never comes, then looks at the device
 *	simulated killer SEED TIMES LONGEST CHECK VICTIM...
 *	                                 starts VICTIM, kills it within LONGEST microseconds, runs CHECK; again and again
 *	                                 (both are command lines for sh)
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../../examples/nvme/vfio.h"

#define EDU_ID 0x00
#define EDU_LIVENESS 0x04
#define EDU_FACTORIAL 0x08
#define EDU_STATUS 0x20
#define EDU_INTERRUPT_STATUS 0x24
#define EDU_RAISE_INTERRUPT 0x60
#define EDU_ACKNOWLEDGE 0x64
#define IDENTITY 0x010000edu

#define THREADS 4
#define ROUNDS 200

static struct vfio edu;

static uint32_t load(unsigned int offset)
{
	return *(volatile uint32_t *)(edu.bar + offset);
}

static void store(unsigned int offset, uint32_t value)
{
	*(volatile uint32_t *)(edu.bar + offset) = value;
}

static void expect(bool good, const char *what)
{
	errno = 0;
	check(good, what);
}

static bool ask_for_msi(int interrupt)
{
	char room[sizeof(struct vfio_irq_set) + sizeof(int)] __attribute__((aligned(8))) = { 0 };
	struct vfio_irq_set *irqs = (struct vfio_irq_set *)room;

	*irqs = (struct vfio_irq_set){ .argsz = sizeof(room),
				       .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
				       .index = VFIO_PCI_MSI_IRQ_INDEX,
				       .count = 1 };
	memcpy(irqs->data, &interrupt, sizeof(interrupt));
	return ioctl(edu.device, VFIO_DEVICE_SET_IRQS, irqs) == 0;
}

static int set_msi(void)
{
	int interrupt = eventfd(0, EFD_CLOEXEC);

	check(interrupt >= 0 && ask_for_msi(interrupt), "set the interrupt");
	check(vfio_set_bus_master(&edu, true), "make it a bus master");
	return interrupt;
}

/* Long enough for any machine; nothing is measured. */
static bool wait_for(int interrupt)
{
	struct pollfd ready = { .fd = interrupt, .events = POLLIN };
	uint64_t count;

	return poll(&ready, 1, 60000) == 1 && read(interrupt, &count, sizeof(count)) == sizeof(count);
}

static uint32_t factorial(uint32_t of)
{
	store(EDU_FACTORIAL, of);
	while (load(EDU_STATUS) & 1)
		;
	return load(EDU_FACTORIAL);
}

/* --- threads ----------------------------------------------------------------------------------------------------------- */

static void *one_thread(void *argument)
{
	static pthread_mutex_t computing = PTHREAD_MUTEX_INITIALIZER;
	const uint32_t of = 3 + (uint32_t)(uintptr_t)argument;
	uint32_t wanted = 1, ids;

	for (uint32_t i = 2; i <= of; i++)
		wanted *= i;
	for (int round = 0; round < ROUNDS; round++) {
		struct vfio_region_info info = { .argsz = sizeof(info), .index = VFIO_PCI_BAR0_REGION_INDEX };

		expect(load(EDU_ID) == IDENTITY, "read the identity");
		check(vfio_read_config(&edu, 0, &ids, 4), "read config space");
		expect(ids == 0x11e81234, "find the ids in it");
		check(ioctl(edu.device, VFIO_DEVICE_GET_REGION_INFO, &info) == 0 && info.size == 1 << 20,
		      "ask for the region");
		if (round % 8)
			continue;
		pthread_mutex_lock(&computing);
		expect(factorial(of) == wanted, "compute");
		pthread_mutex_unlock(&computing);
	}
	return NULL;
}

static void threads(void)
{
	pthread_t all[THREADS];

	for (uintptr_t i = 0; i < THREADS; i++)
		expect(pthread_create(&all[i], NULL, one_thread, (void *)i) == 0, "start a thread");
	for (int i = 0; i < THREADS; i++)
		pthread_join(all[i], NULL);
}

/* --- processes --------------------------------------------------------------------------------------------------------- */

static void expect_ended_well(pid_t child)
{
	int status;

	expect(waitpid(child, &status, 0) == child && WIFEXITED(status) && !WEXITSTATUS(status), "see the child do well");
}

static void forks(void)
{
	int interrupt = set_msi();

	for (uint32_t times = 0; times < 10; times++) {
		pid_t child = fork();

		if (!child) {
			expect(factorial(5) == 120, "compute in the child");
			store(EDU_LIVENESS, times);
			store(EDU_RAISE_INTERRUPT, 0x10);
			_exit(0);
		}
		expect_ended_well(child);
		expect(load(EDU_LIVENESS) == ~times, "see what the child stored");
		expect(wait_for(interrupt), "get the interrupt that the child asked for");
		store(EDU_ACKNOWLEDGE, load(EDU_INTERRUPT_STATUS));
		if (times % 2)
			continue;
		/* A child that closes all that it inherited takes nothing from its parent. */
		child = fork();
		if (!child) {
			for (int fd = 3; fd < 64; fd++)
				close(fd);
			_exit(0);
		}
		expect_ended_well(child);
		expect(factorial(4) == 24, "compute after it");
	}
}

static void orphan(void)
{
	int interrupt = set_msi(), ready[2];
	char byte = 0;

	check(pipe(ready) == 0, "make a pipe");
	if (fork()) {
		/* Gone once the child is up: its mappings and the eventfd's duplicate are the child's alone. */
		expect(read(ready[0], &byte, 1) == 1, "hear of the child");
		_exit(0);
	}
	expect(factorial(6) == 720, "compute before the parent ends");
	expect(write(ready[1], &byte, 1) == 1, "let the parent end");
	while (getppid() != 1 && byte < 100) {
		byte++;
		usleep(10000);
	}
	for (uint32_t times = 0; times < 10; times++) {
		store(EDU_RAISE_INTERRUPT, 1 + times);
		expect(wait_for(interrupt), "get an interrupt after the parent has ended");
		expect(load(EDU_INTERRUPT_STATUS) == 1 + times, "read why");
		store(EDU_ACKNOWLEDGE, 1 + times);
	}
	puts("orphan: done");
}

/* --- descriptors --------------------------------------------------------------------------------------------------------- */

static void full(const char *bdf)
{
	struct rlimit limit = { 64, 64 };
	struct vfio_device_info info = { .argsz = sizeof(info) };
	int interrupt = eventfd(0, EFD_CLOEXEC), last = -1, fd;

	check(setrlimit(RLIMIT_NOFILE, &limit) == 0, "limit descriptors");
	while ((fd = open("/dev/null", O_RDONLY)) >= 0)
		last = fd;
	check(errno == EMFILE && last > 0, "use up all descriptors");
	check(ioctl(edu.device, VFIO_DEVICE_GET_INFO, &info) == 0 && info.num_regions == 9, "make a call with none left");
	expect(load(EDU_ID) == IDENTITY, "read a register");
	expect(factorial(5) == 120, "compute");
	expect(open("/dev/vfio/vfio", O_RDWR) < 0, "be refused another container");
	check(open("/dev/vfio/vfio", O_RDWR) < 0 && errno == EMFILE, "be told EMFILE");
	check(ioctl(edu.group, VFIO_GROUP_GET_DEVICE_FD, bdf) < 0 && errno == EMFILE, "be told EMFILE by an ioctl");
	threads();
	check(!ask_for_msi(interrupt) && errno == EMFILE, "be told EMFILE for an interrupt that could not be signalled");
	close(last);
	check((fd = open("/dev/vfio/vfio", O_RDWR)) == last, "open one when one is free again");
}

/* --- the device is gone ------------------------------------------------------------------------------------------------------ */

static void wait_for_nothing(void)
{
	int interrupt = set_msi();
	struct vfio_device_info info = { .argsz = sizeof(info) };

	puts("waiting");
	fflush(stdout);
	expect(wait_for(interrupt), "be woken");
	expect(load(EDU_ID) == ~0u, "find all ones");
	store(EDU_LIVENESS, 1);
	expect(ioctl(edu.device, VFIO_DEVICE_GET_INFO, &info) < 0, "fail");
	check(ioctl(edu.device, VFIO_DEVICE_GET_INFO, &info) < 0 && errno == EIO, "be told EIO");
	check(open("/dev/vfio/vfio", O_RDWR) < 0 && errno == EIO, "be told EIO by open");
	puts("gone");
}

/* --- killed ------------------------------------------------------------------------------------------------------------------ */

static uint32_t random_number(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

static pid_t shell(const char *line)
{
	pid_t child = fork();

	if (!child) {
		execl("/bin/sh", "sh", "-c", line, (char *)NULL);
		_exit(127);
	}
	check(child > 0, "start a shell");
	return child;
}

static void killer(uint32_t state, int times, uint32_t longest, const char *next, char **victims, uint32_t count)
{
	int killed = 0;

	for (int i = 0; i < times; i++) {
		const char *victim = victims[(uint32_t)i % count];
		pid_t child = shell(victim);
		int status;

		usleep(random_number(&state) % longest);
		kill(child, SIGKILL);
		expect(waitpid(child, &status, 0) == child, "see the victim end");
		killed += WIFSIGNALED(status);
		child = shell(next);
		expect(waitpid(child, &status, 0) == child, "see the next driver end");
		if (status) {
			fprintf(stderr, "after round %d, '%s': status 0x%x\n", i, victim, (unsigned int)status);
			exit(1);
		}
	}
	printf("killed %d of %d\n", killed, times);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 2 ? argv[1] : "";

	if (!strcmp(mode, "killer") && argc > 6) {
		killer((uint32_t)atoi(argv[2]), atoi(argv[3]), (uint32_t)atoi(argv[4]), argv[5], argv + 6,
		       (uint32_t)argc - 6);
		return 0;
	}
	if (argc != 3)
		return 2;
	if (!strcmp(mode, "hidden"))
		check(prctl(PR_SET_DUMPABLE, 0) == 0, "hide its memory");
	vfio_open(&edu, argv[2], VFIO_GROUP);
	vfio_map_bar(&edu, PAGE_BYTES);
	if (!strcmp(mode, "threads"))
		threads();
	else if (!strcmp(mode, "forks"))
		forks();
	else if (!strcmp(mode, "orphan"))
		orphan();
	else if (!strcmp(mode, "full"))
		full(argv[2]);
	else if (!strcmp(mode, "hidden"))
		expect(factorial(3) == 6, "compute");
	else if (!strcmp(mode, "wait"))
		wait_for_nothing();
	else
		return 2;
	return 0;
}
