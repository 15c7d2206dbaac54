/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver and its device around DMA-mapped memory: `dma-compare SUBJECT`. The device is a child process that reaches the
 * same memory by a mapping of its own, so that what it writes doesn't go by the driver's page table, as a real one's does
 * not. Register 0 of the BAR is the doorbell: which step the device is to make; register 4 is how many it has made.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <linux/vfio.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "standin-device.h"

#define PAGE 4096
#define PAGES 8
#define HUGE (2ul << 20)
#define IOVA 0x100000

static volatile uint8_t *memory, *device_memory; /* the driver's, and the device's way to it */
static volatile uint32_t *bar, *device_bar;
static int container, device, interrupt;

static volatile uint64_t *word(volatile uint8_t *base, unsigned int page, unsigned int number)
{
	return (volatile uint64_t *)(base + page * PAGE) + number;
}

/* --- the device ----------------------------------------------------------------------------------------------------- */

enum { COMMAND = 0, COMPLETION = 1, DATA = 2, SHARED = 3, HELD = 4 };

static long unseen_write(int fd, const void *bytes, long count)
{
	long result;

	__asm__ volatile("syscall" : "=a"(result) : "a"(1L), "D"((long)fd), "S"(bytes), "d"(count) : "rcx", "r11", "memory");
	return result;
}

static void device_step(uint32_t step)
{
	uint64_t one = 1;

	usleep(20000); /* the driver is asleep, or spins */
	switch (step & 0xff) {
	case 1: /* data, then the completion */
		memset((void *)(device_memory + DATA * PAGE + 512), 0x5a, 1024);
		*word(device_memory, COMPLETION, 2) = 0x1111;
		*word(device_memory, COMPLETION, 3) = 0x8000000000000001;
		break;
	case 2: /* into the page that the driver writes, too */
		*word(device_memory, SHARED, 100) = 0xdddd;
		*word(device_memory, COMPLETION, 4) = 0x2222;
		break;
	case 3: /* the same words again */
		*word(device_memory, COMPLETION, 4) = 0x3333;
		break;
	default:
		break;
	}
	if (step & 0x100)
		CHECK(unseen_write(interrupt, &one, sizeof(one)) == sizeof(one));
	device_bar[1] = step;
}

/* By an instruction of its own; the last argument is 0. */
static long unseen_call(long number, long first, long second, long third, long fourth, long fifth)
{
	register long r10 __asm__("r10") = fourth;
	register long r8 __asm__("r8") = fifth;
	register long r9 __asm__("r9") = 0;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(first), "S"(second), "d"(third), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

/* The recorder is not to see the device. */
static void *unseen_mmap(int fd, size_t length)
{
	long result = unseen_call(9, 0, (long)length, PROT_READ | PROT_WRITE, MAP_SHARED, fd);

	CHECK(result > 0);
	return (void *)result;
}

static void run_device(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (uint32_t done = 0;;) {
		uint32_t step = device_bar[0];

		if (step == 0xffffffff)
			_exit(0);
		if (step != done) {
			done = step;
			device_step(step);
		}
		usleep(100);
	}
}

/* --- the driver ----------------------------------------------------------------------------------------------------- */

static void map_memory(volatile void *at, uint64_t iova, uint64_t size, uint32_t flags)
{
	struct vfio_iommu_type1_dma_map map = { .argsz = sizeof(map), .flags = flags, .vaddr = (uint64_t)at, .iova = iova,
						.size = size };

	CHECK(ioctl(container, VFIO_IOMMU_MAP_DMA, &map) == 0);
}

static void unmap_memory(uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_unmap unmap = { .argsz = sizeof(unmap), .iova = iova, .size = size };

	CHECK(ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap) == 0);
}

static volatile uint8_t *map_more(size_t size)
{
	volatile uint8_t *more = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(more != MAP_FAILED);
	memset((void *)more, 0, size);
	map_memory(more, IOVA + 0x10000000, size, 3);
	return more;
}

static void route_interrupt(void)
{
	char room[sizeof(struct vfio_irq_set) + sizeof(int)];
	struct vfio_irq_set *set = (struct vfio_irq_set *)room;

	*set = (struct vfio_irq_set){ .argsz = sizeof(room), .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
				      .index = VFIO_PCI_MSIX_IRQ_INDEX, .count = 1 };
	memcpy(set->data, &interrupt, sizeof(int));
	CHECK(ioctl(device, VFIO_DEVICE_SET_IRQS, set) == 0);
}

__attribute__((noinline)) static void ring(uint32_t step)
{
	bar[0] = step;
}

static void sleep_in_read(void)
{
	uint64_t count;

	CHECK(read(interrupt, &count, sizeof(count)) == sizeof(count));
}

static void sleep_in_poll(void)
{
	struct pollfd fd = { .fd = interrupt, .events = POLLIN };
	uint64_t count;

	CHECK(poll(&fd, 1, 20000) == 1);
	CHECK(read(interrupt, &count, sizeof(count)) == sizeof(count));
}

static void sleep_in_epoll(void)
{
	static int epoll = -1;
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = 7 };
	uint64_t count;

	if (epoll < 0) {
		epoll = epoll_create1(0);
		CHECK(epoll >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, interrupt, &event) == 0);
	}
	CHECK(epoll_wait(epoll, &event, 1, 20000) == 1);
	CHECK(read(interrupt, &count, sizeof(count)) == sizeof(count));
}

static void sleep_in_select(void)
{
	fd_set set;
	uint64_t count;

	FD_ZERO(&set);
	FD_SET(interrupt, &set);
	CHECK(select(interrupt + 1, &set, NULL, NULL, NULL) == 1);
	CHECK(read(interrupt, &count, sizeof(count)) == sizeof(count));
}

/* Sleeps that no device ends. */
static void sleep_for_others(void)
{
	volatile uintptr_t nowhere = 8;
	struct timeval short_time = { 0, 1000 };
	struct epoll_event event;
	int ends[2], epoll = epoll_create1(0);
	struct pollfd fd = { .events = POLLIN };
	fd_set set;

	CHECK(pipe(ends) == 0 && epoll >= 0);
	fd.fd = ends[0];
	FD_ZERO(&set);
	FD_SET(ends[0], &set);
	for (int i = 0; i < 50; i++) {
		CHECK(poll(&fd, 1, 1) == 0 && poll(NULL, 0, 1) == 0 && epoll_wait(epoll, &event, 1, 1) == 0);
		FD_SET(ends[0], &set);
		short_time.tv_usec = 1000;
		CHECK(select(ends[0] + 1, &set, NULL, NULL, &short_time) == 0);
	}
	CHECK(poll((struct pollfd *)nowhere, 1, 1) == -1 && errno == EFAULT);
	CHECK(select(64, (fd_set *)nowhere, NULL, NULL, &short_time) == -1 && errno == EFAULT);
}

static void command(unsigned int number)
{
	*word(memory, COMMAND, number * 8) = 0xc0 + number;
	*word(memory, COMMAND, number * 8 + 3) = IOVA + DATA * PAGE;
}

static void wait_for_step(uint32_t step)
{
	while (bar[1] != step)
		usleep(1000);
}

/* A device that is waited for asleep: what changes meanwhile is its own. */
static void asleep(void (*sleep)(void))
{
	command(0);
	ring(0x101);
	sleep();
	CHECK(*word(memory, COMPLETION, 2) == 0x1111);
	*word(memory, SHARED, 0) = 0xcccc;
	command(1);
	ring(0x102);
	sleep();
	CHECK(*word(memory, SHARED, 100) == 0xdddd);
	ring(0x103);
	sleep();
}

/* A driver that finds its completion by itself. */
static void polled(void)
{
	command(0);
	ring(0x1);
	while (*word(memory, COMPLETION, 3) == 0)
		;
	*word(memory, SHARED, 0) = 0xcccc;
	command(1);
	ring(0x2);
	while (*word(memory, COMPLETION, 4) != 0x2222)
		;
	*word(memory, SHARED, 1) = 0xcccc;
	ring(0x3);
	while (*word(memory, COMPLETION, 4) != 0x3333)
		;
}

/* For some time there is no descriptor to be had. */
static void without_descriptors(void)
{
	struct rlimit usual, none;

	CHECK(getrlimit(RLIMIT_NOFILE, &usual) == 0);
	none = usual;
	none.rlim_cur = 3;
	CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
	bar[2] = 1;
	CHECK(setrlimit(RLIMIT_NOFILE, &usual) == 0);
	polled();
}

/* The driver's own userfaultfd, for memory that is mapped for DMA. */
static void registered(void)
{
	volatile uint8_t *more = map_more(4 * PAGE);
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP };
	struct uffdio_register range = { .range = { (uint64_t)more, 4 * PAGE }, .mode = UFFDIO_REGISTER_MODE_WP };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);

	CHECK(fd >= 0 && ioctl(fd, UFFDIO_API, &api) == 0 && ioctl(fd, UFFDIO_REGISTER, &range) == 0);
	polled();
}

/* Memory that takes the place of what was mapped, unseen: the kernel does not tell of it any more. */
static void replaced(void)
{
	volatile uint8_t *more = map_more(4 * PAGE);

	bar[2] = 1;
	CHECK(unseen_call(9, (long)more, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1) == (long)more);
	*word(more, 0, 0) = 1;
	bar[2] = 2;
	polled();
}

static volatile int stop;

static void *busy(void *unused)
{
	while (!stop)
		(*word(memory, HELD, 8))++;
	return unused;
}

static void beside_a_thread(void)
{
	pthread_t thread;

	CHECK(pthread_create(&thread, NULL, busy, NULL) == 0);
	asleep(sleep_in_read);
	stop = 1;
	pthread_join(thread, NULL);
}

/* A thread that is there, and sleeps all the time. */
static volatile long idle_tid;

static void *idle(void *unused)
{
	idle_tid = syscall(SYS_gettid);
	while (!stop)
		pause();
	return unused;
}

static bool is_asleep(long tid)
{
	char path[64], text[256] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%ld/stat", tid);
	fd = open(path, O_RDONLY);
	CHECK(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	return strstr(text, ") S ") != NULL;
}

static void woken(int signal)
{
	(void)signal;
}

static void beside_a_sleeper(void)
{
	pthread_t thread;

	signal(SIGUSR1, woken);
	CHECK(pthread_create(&thread, NULL, idle, NULL) == 0);
	while (!idle_tid || !is_asleep(idle_tid))
		usleep(1000);
	asleep(sleep_in_read);
	stop = 1;
	pthread_kill(thread, SIGUSR1);
	pthread_join(thread, NULL);
}

/* Memory that the driver takes away while the device may still write to it. */
static void gone(void)
{
	volatile uint8_t *more = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(more != MAP_FAILED);
	map_memory(more, IOVA + 0x100000, 4 * PAGE, 3);
	more[0] = 1;
	CHECK(munmap((void *)more, 4 * PAGE) == 0);
	asleep(sleep_in_read);
	/* As libraries do that have their own system calls: nobody sees it. */
	more = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	map_memory(more, IOVA + 0x200000, 4 * PAGE, 3);
	more[0] = 1;
	{
		long result = 11; /* munmap */

		/* All but the first page, which has changed. */
		__asm__ volatile("syscall" : "+a"(result) : "D"(more + PAGE), "S"(3L * PAGE) : "rcx", "r11", "memory");
		CHECK(result == 0);
	}
	ring(0x4);
	wait_for_step(0x4);
}

static void large(void)
{
	const size_t size = 64 << 20;
	volatile uint8_t *more = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(more != MAP_FAILED);
	map_memory(more, IOVA + 0x10000000, size, 3);
	asleep(sleep_in_read);
}

/* A child has the descriptors and a copy of memory, and none of the mappings. */
static void with_a_child(void)
{
	pid_t child;
	int status;

	command(0);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		*word(memory, HELD, 16) = 0xc41d;
		bar[2] = 1;
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	asleep(sleep_in_read);
}

/* A handler that comes while memory is compared rings as well. */
static void ring_on_signal(int signal)
{
	(void)signal;
	bar[3] = bar[3] + 1;
}

static void under_signals(void)
{
	struct itimerval_like {
		struct timeval interval, value;
	} every = { { 0, 500 }, { 0, 500 } };
	struct itimerval_like never = { { 0, 0 }, { 0, 0 } };

	signal(SIGALRM, ring_on_signal);
	CHECK(syscall(38 /* setitimer */, 0, &every, NULL) == 0);
	for (uint32_t i = 0; i < 200; i++) {
		*word(memory, HELD, 20) = i;
		bar[2] = i;
	}
	CHECK(syscall(38, 0, &never, NULL) == 0);
}

/* Another thread that writes now and then, before, in and after sleeps of this one, which take less than comparing does. */
static void *write_now_and_then(void *unused)
{
	for (uint64_t i = 1; !stop; i++) {
		*word(memory, HELD, 8) = 0xabc0000 + i;
		usleep(4000);
	}
	return unused;
}

static void beside_a_writer(void)
{
	struct pollfd fd = { .fd = interrupt, .events = POLLIN };
	pthread_t thread;

	map_more(6 << 20);
	bar[2] = 1;
	CHECK(pthread_create(&thread, NULL, write_now_and_then, NULL) == 0);
	for (int i = 0; i < 100; i++)
		CHECK(poll(&fd, 1, 1) == 0);
	stop = 1;
	pthread_join(thread, NULL);
}

static void many(void)
{
	volatile uint8_t *more = mmap(NULL, 520 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(more != MAP_FAILED);
	for (unsigned int i = 0; i < 520; i++)
		map_memory(more + i * PAGE, IOVA + 0x10000000 + i * PAGE, PAGE, 3);
	*word(more, 3, 0) = 3;
	asleep(sleep_in_read);
}

static void to_the_end(void)
{
	struct vfio_iommu_type1_dma_unmap keep = { .argsz = sizeof(keep), .flags = 4 /* VFIO_DMA_UNMAP_FLAG_VADDR */,
						   .iova = IOVA + 0x10000000, .size = 4 * PAGE };
	volatile uint8_t *more = map_more(4 * PAGE);

	ring(0);
	CHECK(ioctl(container, VFIO_IOMMU_UNMAP_DMA, &keep) == 0);
	*word(more, 0, 0) = 1;
	bar[2] = 1;
	unmap_memory(IOVA + 0x10000000, 0 - (uint64_t)(IOVA + 0x10000000));
	*word(more, 1, 0) = 1;
	bar[2] = 2;
}

/* A handler of a signal that somebody sends, which leaves for good what it came into. */
static sigjmp_buf jump;
static volatile sig_atomic_t armed, jumps;
static volatile long rings;
static pthread_t jumper;

static void leave_by_jump(int signal)
{
	(void)signal;
	if (!pthread_equal(pthread_self(), jumper) || !armed)
		return;
	armed = 0;
	jumps = jumps + 1;
	siglongjmp(jump, 1);
}

static void *ring_beside(void *unused)
{
	for (; !stop; rings = rings + 1) {
		bar[3] = 1;
		usleep(500);
	}
	return unused;
}

static void *send_signals(void *unused)
{
	for (unsigned int i = 0; !stop; i++) {
		static const int sent[] = { SIGSEGV, SIGBUS, SIGTRAP };

		usleep(1500);
		pthread_kill(jumper, sent[i % 3]);
	}
	return unused;
}

static void under_jumps(void)
{
	struct sigaction action = { .sa_handler = leave_by_jump };
	pthread_t sender, beside;

	map_more(6 << 20);
	jumper = pthread_self();
	CHECK(!sigaction(SIGSEGV, &action, NULL) && !sigaction(SIGBUS, &action, NULL) && !sigaction(SIGTRAP, &action, NULL));
	CHECK(pthread_create(&beside, NULL, ring_beside, NULL) == 0 && pthread_create(&sender, NULL, send_signals, NULL) == 0);
	for (uint32_t i = 0; jumps < 60; i++)
		if (!sigsetjmp(jump, 1)) {
			armed = 1;
			if (i % 2)
				bar[2] = i;
			else
				CHECK(pwrite(device, &i, sizeof(i), 8) == sizeof(i));
			armed = 0;
		}
	for (long seen = rings, i = 0; rings < seen + 3; i++) {
		CHECK(i < 30000); /* the other thread is held for ever */
		usleep(1000);
	}
	stop = 1;
	pthread_join(beside, NULL);
	pthread_join(sender, NULL);
}

/* Only read by the device, and mapped by writes through the descriptor. */
static void read_only(void)
{
	uint32_t step = 0x101;

	unmap_memory(IOVA, PAGES * PAGE);
	map_memory(memory, IOVA, PAGES * PAGE, VFIO_DMA_MAP_FLAG_READ);
	ring(0);
	command(0);
	CHECK(pwrite(device, &step, sizeof(step), 0) == sizeof(step));
	sleep_in_read();
	command(1);
	ring(0x104);
	sleep_in_read();
}

static const struct {
	const char *name;
	void (*run)(void);
} subjects[] = {
	{ "polled", polled },   { "huge", polled }, { "thread", beside_a_thread }, { "sleeper", beside_a_sleeper }, { "gone", gone },
	{ "large", large },     { "child", with_a_child },     { "signals", under_signals },    { "read-only", read_only },
	{ "jumps", under_jumps },     { "writer", beside_a_writer }, { "many", many }, { "to-the-end", to_the_end },
	{ "descriptors", without_descriptors }, { "replaced", replaced }, { "registered", registered },
	{ "others", sleep_for_others },
};

int main(int argc, char **argv)
{
	const char *subject = argc > 1 ? argv[1] : "";
	bool probe = !strcmp(subject, "probe-huge"), huge = probe || !strcmp(subject, "huge");
	int shared = memfd_create("memory", huge ? MFD_HUGETLB : 0);
	pid_t child;

	CHECK(shared >= 0 && ftruncate(shared, huge ? HUGE : PAGES * PAGE) == 0);
	if (huge && mmap(NULL, HUGE, PROT_READ, MAP_SHARED, shared, 0) == MAP_FAILED)
		return 77; /* there are none */
	if (probe)
		return 0;
	interrupt = eventfd(0, 0);
	device = standin_device(1 << 20);
	CHECK(interrupt >= 0 && device >= 0);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		device_bar = unseen_mmap(device, PAGE);
		device_memory = unseen_mmap(shared, huge ? HUGE : PAGES * PAGE);
		run_device();
	}
	container = memfd_create("vfiotape-standin-container", 0);
	memory = mmap(NULL, huge ? HUGE : PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, shared, 0);
	bar = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, device, 0);
	CHECK(container >= 0 && memory != MAP_FAILED && bar != MAP_FAILED);
	route_interrupt();
	*word(memory, HELD, 5) = 0x4e1d;
	map_memory(memory, IOVA, huge ? HUGE : PAGES * PAGE, 3);
	if (!strcmp(subject, "read"))
		asleep(sleep_in_read);
	else if (!strcmp(subject, "poll"))
		asleep(sleep_in_poll);
	else if (!strcmp(subject, "epoll"))
		asleep(sleep_in_epoll);
	else if (!strcmp(subject, "select"))
		asleep(sleep_in_select);
	else
		for (unsigned int i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++)
			if (!strcmp(subject, subjects[i].name))
				subjects[i].run();
	unmap_memory(IOVA, huge ? HUGE : PAGES * PAGE);
	bar[0] = 0xffffffff;
	waitpid(child, NULL, 0);
	puts("done");
	return 0;
}
