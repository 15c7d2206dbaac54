/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a call costs the thread that makes it: processor time of 4-byte preads, and of ioctls, on a stand-in device,
 * one thread and two. Run under `record`, bare, under strace and under perf trace, and compared by record.ts.
 *
 * A system call's own price differs from process to process and from second to second by more than the hook costs. So
 * the hooked call and libc's own, past the hook, take turns in blocks of one process, and their difference is printed.
 *
 *	hook-cost RUNS CALLS [WHAT]      WHAT: all (default), pread (one thread: the slow observers)
 *
 * Prints "name value" lines: medians of RUNS, ns; cpu: CLOCK_THREAD_CPUTIME_ID, wall: CLOCK_MONOTONIC; bare: cpu of
 * libc's own pread; hook: what the call that the linker bound costs more.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define RUNS_MAX 101
#define BLOCK 500
#define VFIO_DEVICE_GET_REGION_INFO 0x3b6c

typedef ssize_t pread_function(int fd, void *buffer, size_t count, off_t offset);

static int device, runs;
static long calls;
static pread_function *libc_pread; /* past any preloaded one */

struct measurement {
	pthread_t thread;
	int ioctls;
	double cpu[RUNS_MAX], wall[RUNS_MAX], bare[RUNS_MAX], hook[RUNS_MAX];
};

static double now(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static double pread_block(pread_function *function)
{
	double cpu = now(CLOCK_THREAD_CPUTIME_ID);
	uint32_t value;

	for (long i = 0; i < BLOCK; i++) {
		if (function(device, &value, sizeof(value), (i & 63) * 4) != sizeof(value))
			exit(3);
	}
	return now(CLOCK_THREAD_CPUTIME_ID) - cpu;
}

static void *measure(void *argument)
{
	struct measurement *self = argument;
	struct { uint32_t argsz, flags, index, cap_offset; uint64_t size, offset; } info;

	for (int run = -1; run < runs; run++) { /* the first one warms up, and claims the ring */
		double cpu = now(CLOCK_THREAD_CPUTIME_ID), wall = now(CLOCK_MONOTONIC), bare = 0, hooked = 0;

		if (self->ioctls) {
			for (long i = 0; i < calls; i++) {
				info.argsz = sizeof(info);
				info.index = 0;
				ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info);
			}
		} else {
			for (long i = 0; i < calls; i += BLOCK) {
				bare += pread_block(libc_pread);
				hooked += pread_block(pread);
			}
		}
		if (run >= 0) {
			self->bare[run] = bare / (double)calls;
			self->hook[run] = (hooked - bare) / (double)calls;
			/* Of the preads each block is made twice. */
			double made = (double)(self->ioctls ? calls : 2 * calls);

			self->cpu[run] = (now(CLOCK_THREAD_CPUTIME_ID) - cpu) / made;
			self->wall[run] = (now(CLOCK_MONOTONIC) - wall) / made;
		}
	}
	return NULL;
}

static int order(const void *a, const void *b)
{
	return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

static double median(double *values)
{
	qsort(values, (size_t)runs, sizeof(*values), order);
	return values[runs / 2];
}

static void report(const char *name, int ioctls, int threads)
{
	static struct measurement all[2];
	double cpu = 0, wall = 0, bare = 0, hook = 0;

	for (int n = 0; n < threads; n++) {
		all[n].ioctls = ioctls;
		pthread_create(&all[n].thread, NULL, measure, &all[n]);
	}
	for (int n = 0; n < threads; n++) {
		pthread_join(all[n].thread, NULL);
		cpu += median(all[n].cpu) / threads;
		wall += median(all[n].wall) / threads;
		bare += median(all[n].bare) / threads;
		hook += median(all[n].hook) / threads;
	}
	printf("%s.cpu %.2f\n%s.wall %.2f\n", name, cpu, name, wall);
	if (!ioctls)
		printf("%s.bare %.2f\n%s.hook %.2f\n", name, bare, name, hook);
}

static double rdtsc_cost(void)
{
	double values[RUNS_MAX];

	for (int run = 0; run < runs; run++) {
		double cpu = now(CLOCK_THREAD_CPUTIME_ID);

		for (long i = 0; i < calls; i++)
			__asm__ volatile("rdtsc" : : : "rax", "rdx");
		values[run] = (now(CLOCK_THREAD_CPUTIME_ID) - cpu) / (double)calls;
	}
	return median(values);
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	runs = atoi(argv[1]);
	calls = atol(argv[2]);
	if (runs < 1 || runs > RUNS_MAX || calls < 1)
		return 2;
	libc_pread = (pread_function *)dlsym(dlopen("libc.so.6", RTLD_NOLOAD | RTLD_LAZY), "pread64");
	device = memfd_create("vfiotape-standin-device", MFD_CLOEXEC);
	if (!libc_pread || device < 0 || ftruncate(device, 16 << 20))
		return 3;
	if (argc > 3 && !strcmp(argv[3], "pread")) {
		report("pread1", 0, 1);
		return 0;
	}
	printf("rdtsc %.2f\n", rdtsc_cost());
	report("pread1", 0, 1);
	report("pread2", 0, 2);
	report("ioctl1", 1, 1);
	report("ioctl2", 1, 2);
	return 0;
}
