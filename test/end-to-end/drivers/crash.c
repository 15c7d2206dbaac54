/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver of two busy threads that ends in the middle of its work, in the way that its first argument names.
 *
 *   crash END COUNTS
 *
 * Each thread writes 0, 1, 2, … to the stand-in device, eight bytes at a time, and counts in the file COUNTS what has
 * completed: the trace must hold at least that much of the sequence, without a gap. COUNTS has a slot of 64 bytes
 * for each thread: 0 and 1 of the parent, 2 of a child, 3 of the image after exec. END `until` waits for slot 4.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "standin-device.h"

#define CHILD_WRITES 2000
#define BUSY_WRITES 30000

struct slot {
	_Atomic uint64_t completed;
	char pad[56];
};

static struct slot *slots;
static int device;

static void write_one(int slot, uint64_t i)
{
	if (pwrite(device, &i, sizeof(i), slot * 8) != sizeof(i))
		_exit(99);
	slots[slot].completed = i + 1;
}

static void *busy(void *argument)
{
	for (uint64_t i = 0;; i++)
		write_one((int)(intptr_t)argument, i);
	return NULL;
}

static void child_work(int slot)
{
	for (uint64_t i = 0; i < CHILD_WRITES; i++)
		write_one(slot, i);
}

/* fork(2) without libc: nothing in the library is told of the child. */
static long bare_clone(void)
{
	long result;
	register long r10 __asm__("r10") = 0;
	register long r8 __asm__("r8") = 0;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(SYS_clone), "D"((long)SIGCHLD), "S"(0L), "d"(0L), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	return result;
}

static void with_child(long pid)
{
	int status;

	if (pid == 0) {
		child_work(2);
		_exit(0);
	}
	if (pid < 0 || waitpid((pid_t)pid, &status, 0) != pid || status != 0)
		_exit(98);
	_exit(0);
}

int main(int argc, char **argv)
{
	const char *end = argc > 2 ? argv[1] : "";
	int counts = argc > 2 ? open(argv[2], O_RDWR) : -1;
	pthread_t thread;

	slots = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, counts, 0);
	device = standin_device(4096);
	if (slots == MAP_FAILED || device < 0)
		return 97;
	if (strcmp(end, "after-exec") == 0) {
		child_work(3);
		return 5;
	}
	for (intptr_t i = 0; i < 2; i++)
		if (pthread_create(&thread, NULL, busy, (void *)i) != 0)
			return 96;
	while (slots[0].completed < BUSY_WRITES || slots[1].completed < BUSY_WRITES)
		sched_yield();

	if (strcmp(end, "SIGKILL") == 0)
		kill(getpid(), SIGKILL);
	else if (strcmp(end, "SIGSEGV") == 0)
		*(volatile int *)8 = 1;
	else if (strcmp(end, "SIGTERM") == 0)
		raise(SIGTERM);
	else if (strcmp(end, "abort") == 0)
		abort();
	else if (strcmp(end, "_exit") == 0)
		_exit(7);
	else if (strcmp(end, "exit") == 0)
		exit(8);
	else if (strcmp(end, "return") == 0)
		return 9;
	else if (strcmp(end, "execve") == 0)
		execl("/proc/self/exe", argv[0], "after-exec", argv[2], (char *)NULL);
	else if (strcmp(end, "fork") == 0)
		with_child(fork());
	else if (strcmp(end, "clone") == 0)
		with_child(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
	else if (strcmp(end, "bare-clone") == 0)
		with_child(bare_clone());
	else if (strcmp(end, "wait") == 0)
		pause();
	else if (strcmp(end, "until") == 0) {
		while (slots[4].completed == 0)
			usleep(1000);
		return 9;
	}
	return 95;
}
