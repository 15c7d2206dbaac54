// SPDX-License-Identifier: Apache-2.0
// What a replay can't leave to JavaScript: one load or store of the right width and no more (a typed array's access is what
// the engine makes of it, and Atomics.store is a locked exchange, which also reads), SIGBUS as an answer, and times that hold.
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <time.h>

#define EXPORT __attribute__((visibility("default")))

static __thread volatile sig_atomic_t accessing;
static __thread sigjmp_buf refused;
static struct sigaction others;

/* vfio_pci_core.c vfio_pci_mmap_fault: what the device does not decode now, or is gone, is SIGBUS. */
static void bus_error(int number, siginfo_t *info, void *context)
{
	if (accessing) {
		accessing = 0;
		siglongjmp(refused, 1);
	}
	if (others.sa_flags & SA_SIGINFO) {
		others.sa_sigaction(number, info, context);
	} else if (others.sa_handler != SIG_DFL && others.sa_handler != SIG_IGN) {
		others.sa_handler(number);
	} else {
		/* The access is made again, and ends the process. */
		signal(number, SIG_DFL);
	}
}

/* Once, before the first access. 0, or a negative errno. */
EXPORT int vfiotape_start(void)
{
	/* SA_NODEFER: the handler is left by a jump. SA_ONSTACK: V8's threads have alternate stacks. */
	struct sigaction action = { .sa_sigaction = bus_error, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK };

	sigemptyset(&action.sa_mask);
	return sigaction(SIGBUS, &action, &others) == 0 ? 0 : -errno;
}

/* 0; -EFAULT: the device does not answer there; -EINVAL: not 1, 2, 4 or 8 bytes. */
EXPORT int vfiotape_load(uintptr_t address, unsigned int width, uint64_t *value)
{
	int result = 0;

	if (sigsetjmp(refused, 0) != 0)
		return -EFAULT;
	accessing = 1;
	switch (width) {
	case 1:
		*value = *(const volatile uint8_t *)address;
		break;
	case 2:
		*value = *(const volatile uint16_t *)address;
		break;
	case 4:
		*value = *(const volatile uint32_t *)address;
		break;
	case 8:
		*value = *(const volatile uint64_t *)address;
		break;
	default:
		result = -EINVAL;
	}
	accessing = 0;
	return result;
}

/* As vfiotape_load; of the value the lowest `width` bytes count. */
EXPORT int vfiotape_store(uintptr_t address, unsigned int width, uint64_t value)
{
	int result = 0;

	if (sigsetjmp(refused, 0) != 0)
		return -EFAULT;
	accessing = 1;
	switch (width) {
	case 1:
		*(volatile uint8_t *)address = (uint8_t)value;
		break;
	case 2:
		*(volatile uint16_t *)address = (uint16_t)value;
		break;
	case 4:
		*(volatile uint32_t *)address = (uint32_t)value;
		break;
	case 8:
		*(volatile uint64_t *)address = value;
		break;
	default:
		result = -EINVAL;
	}
	accessing = 0;
	return result;
}

static int64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* A sleep ends when the scheduler likes: the last of it is spent looking at the clock. */
#define SPIN_NS 150000

/*
 * Returns at `due` (CLOCK_MONOTONIC, ns), or before it when a signal came. How late it is, ns: negative when it is too early.
 */
EXPORT int64_t vfiotape_wait_until(int64_t due)
{
	int64_t late = now() - due;

	if (late < -SPIN_NS) {
		int64_t until = due - SPIN_NS;
		struct timespec time = { .tv_sec = until / 1000000000, .tv_nsec = until % 1000000000 };

		if (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) != 0)
			return now() - due;
		late = now() - due;
	}
	while (late < 0) {
		__builtin_ia32_pause();
		late = now() - due;
	}
	return late;
}
