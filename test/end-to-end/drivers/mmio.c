// SPDX-License-Identifier: Apache-2.0
/*
 * What a driver may do around its BAR: `mmio SUBJECT`. Each subject checks that everything is as it would be without a
 * recorder, counts its own loads and stores, and prints the count; the test holds it against the recording.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <linux/vfio.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <ucontext.h>

#include "standin-device.h"

#define BAR_BYTES 65536
#define NOINLINE __attribute__((noinline, noclone))

static int device;
static volatile uint8_t *bar;
static const volatile uint8_t *file; /* the device's memory, by a mapping that nobody watches */
static long count;

NOINLINE static uint32_t load32(const volatile void *at)
{
	return *(const volatile uint32_t *)at;
}

NOINLINE static void store32(volatile void *at, uint32_t value)
{
	*(volatile uint32_t *)at = value;
}

NOINLINE static uint64_t load64(const volatile void *at)
{
	return *(const volatile uint64_t *)at;
}

NOINLINE static void store8(volatile void *at, uint8_t value)
{
	*(volatile uint8_t *)at = value;
}

/* Of its own, so that each subject meets a site that nobody has met: written out a few times. */
#define FRESH_STORE(n)                                                                                                 \
	NOINLINE static void fresh_store##n(volatile void *at, uint32_t value)                                         \
	{                                                                                                              \
		((volatile uint32_t *)at)[n] = value;                                                                  \
	}
FRESH_STORE(1)
FRESH_STORE(2)
FRESH_STORE(3)
FRESH_STORE(4)

/* The other mapping is made by the bare system call, which no wrapper sees. */
static void *unseen_map(size_t length, int prot)
{
	long result;

	__asm__ volatile("mov %5, %%r10\n\tmov %6, %%r8\n\txor %%r9d, %%r9d\n\tsyscall"
			 : "=a"(result)
			 : "a"((long)SYS_mmap), "D"(0L), "S"(length), "d"((long)prot), "r"((long)MAP_SHARED), "r"((long)device)
			 : "rcx", "r8", "r9", "r10", "r11", "memory");
	CHECK(result > 0);
	return (void *)result;
}

static void open_device(void)
{
	device = standin_device(16 << 20);
	CHECK(device >= 0);
	file = unseen_map(BAR_BYTES, PROT_READ | PROT_WRITE);
	bar = mmap(NULL, BAR_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, device, 0);
	CHECK(bar != MAP_FAILED);
}

static void touch(int times)
{
	for (int i = 0; i < times; i++) {
		store32(bar + 0x100, (uint32_t)i);
		CHECK(load32(bar + 0x100) == (uint32_t)i);
		CHECK(*(const volatile uint32_t *)(file + 0x100) == (uint32_t)i);
		count += 2;
	}
}

/* --- subjects ------------------------------------------------------------------------------------------------------- */

static void plain(void)
{
	open_device();
	touch(10);
	store8(bar + 3, 0x7f);
	CHECK(load64(bar) == 0x7f000000);
	count += 2;
}

static void blocked(void)
{
	sigset_t all, old;

	sigfillset(&all);
	CHECK(sigprocmask(SIG_BLOCK, &all, NULL) == 0);
	CHECK(pthread_sigmask(SIG_SETMASK, NULL, &old) == 0 && sigismember(&old, SIGSEGV) && sigismember(&old, SIGBUS));
	CHECK(signal(SIGSEGV, SIG_DFL) != SIG_ERR);
	open_device();
	fresh_store1(bar, 5);
	CHECK(signal(SIGSEGV, SIG_IGN) == SIG_DFL && signal(SIGSEGV, SIG_DFL) == SIG_IGN);
	CHECK(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, NULL, 8) == 0);
	fresh_store2(bar, 6);
	count += 2;
	touch(3);
	CHECK(sigprocmask(SIG_SETMASK, &old, &all) == 0 && sigismember(&all, SIGTRAP));
}

static sigjmp_buf back;
static volatile siginfo_t seen;
static volatile uint64_t seen_rip, seen_rax;
static volatile int seen_count;

static void on_fault(int number, siginfo_t *info, void *opaque)
{
	const ucontext_t *context = opaque;

	memcpy((void *)&seen, info, sizeof(seen));
	seen_rip = (uint64_t)context->uc_mcontext.gregs[REG_RIP];
	seen_count++;
	siglongjmp(back, number);
}

static void catch(int number)
{
	struct sigaction act = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO }, old;

	CHECK(sigaction(number, &act, &old) == 0 && old.sa_handler == SIG_DFL);
	CHECK(sigaction(number, NULL, &old) == 0 && old.sa_sigaction == on_fault && (old.sa_flags & SA_SIGINFO));
}

static bool in_function(uint64_t address, void *function)
{
	return address >= (uint64_t)function && address < (uint64_t)function + 32;
}

static void own_handler(void)
{
	catch(SIGSEGV);
	open_device();
	touch(5);
	/* A site that was never patched, one that was, and the same from a store. */
	for (int i = 0; i < 3; i++) {
		if (sigsetjmp(back, 1) == 0) {
			(void)load64((void *)8);
			CHECK(!"reached");
		}
		CHECK(seen.si_addr == (void *)8 && seen.si_signo == SIGSEGV && seen.si_code == SEGV_MAPERR);
		CHECK(in_function(seen_rip, load64));
		if (sigsetjmp(back, 1) == 0) {
			store32((void *)0x1234560, 1);
			CHECK(!"reached");
		}
		CHECK(seen.si_addr == (void *)0x1234560 && in_function(seen_rip, store32));
		CHECK(load64(bar) == 0);
		count++;
		touch(2);
	}
	/* A non-canonical address: a general protection fault, without an address. */
	if (sigsetjmp(back, 1) == 0) {
		(void)load32((void *)0x8000000000000000);
		CHECK(!"reached");
	}
	CHECK(seen.si_code == SI_KERNEL && in_function(seen_rip, load32));
	CHECK(seen_count == 7);
	/* Sent by somebody. */
	if (sigsetjmp(back, 1) == 0) {
		kill(getpid(), SIGSEGV);
		CHECK(!"reached");
	}
	CHECK(seen.si_code == SI_USER && seen.si_pid == getpid());
	signal(SIGSEGV, SIG_IGN);
	kill(getpid(), SIGSEGV);
	touch(2);
}

static void sigbus(void)
{
	catch(SIGBUS);
	open_device();
	touch(5);
	CHECK(ftruncate(device, 8192) == 0);
	for (int i = 0; i < 3; i++) {
		if (sigsetjmp(back, 1) == 0) {
			(void)load32(bar + 0x3010);
			CHECK(!"reached");
		}
		CHECK(seen.si_addr == bar + 0x3010 && seen.si_signo == SIGBUS && in_function(seen_rip, load32));
		if (sigsetjmp(back, 1) == 0) {
			store32(bar + 0x4000, 1);
			CHECK(!"reached");
		}
		CHECK(seen.si_addr == bar + 0x4000 && in_function(seen_rip, store32));
		count += 2; /* the accesses that the device refused are recorded, too */
		touch(1);
	}
	if (sigsetjmp(back, 1) == 0) {
		memset((void *)(bar + 0x2000), 0, 8);
		CHECK(!"reached");
	}
	CHECK(seen.si_addr == bar + 0x2000);
	count++;
}

static void die(void)
{
	open_device();
	touch(5);
	printf("accesses %ld\n", count);
	fflush(stdout);
	store32((void *)16, 1);
}

static void die_bus(void)
{
	open_device();
	touch(5);
	CHECK(ftruncate(device, 4096) == 0);
	printf("accesses %ld\n", count + 1);
	fflush(stdout);
	(void)load32(bar + 0x2000);
}

static void pointers(void)
{
	int ends[2];
	uint32_t word = 0;
	struct iovec pieces[2];

	open_device();
	CHECK(pipe(ends) == 0);
	store32(bar + 16, 0xabcd1234);
	count++;
	CHECK(write(ends[1], (const void *)(bar + 16), 4) == 4);
	CHECK(read(ends[0], &word, 4) == 4 && word == 0xabcd1234);
	word = 0x5555aaaa;
	CHECK(write(ends[1], &word, 4) == 4 && read(ends[0], (void *)(bar + 32), 4) == 4);
	CHECK(load32(bar + 32) == 0x5555aaaa);
	count++;
	pieces[0] = (struct iovec){ (void *)(bar + 16), 4 };
	pieces[1] = (struct iovec){ &word, 4 };
	CHECK(writev(ends[1], pieces, 2) == 8 && readv(ends[0], pieces, 2) == 8);
	CHECK(syscall(SYS_write, ends[1], bar + 16, 4L) == 4 && syscall(SYS_read, ends[0], &word, 4L) == 4);
	CHECK(word == 0xabcd1234);
	CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) == 0);
	CHECK(send(ends[0], (const void *)(bar + 16), 4, 0) == 4 && recv(ends[1], (void *)(bar + 36), 4, 0) == 4);
	CHECK(sendto(ends[0], (const void *)(bar + 36), 4, 0, NULL, 0) == 4 &&
	      syscall(SYS_recvfrom, ends[1], bar + 40, 4L, 0L, NULL, NULL) == 4 && load32(bar + 40) == 0xabcd1234);
	count++;
	CHECK(pread(device, (void *)(bar + 64), 8, 16) == 8 && load32(bar + 64) == 0xabcd1234);
	count++;
	CHECK(pwrite(device, (const void *)(bar + 16), 4, 128) == 4 && load32(bar + 128) == 0xabcd1234);
	count++;
}

static int in_child(void *unused)
{
	(void)unused;
	for (int i = 0; i < 5; i++)
		store32(bar + 0x200, 77);
	return load32(bar + 0x200) == 77 ? 0 : 1;
}

static void reap(pid_t child)
{
	int status;

	CHECK(waitpid(child, &status, __WALL) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static long bare_clone(unsigned long flags)
{
	return syscall(SYS_clone, flags, 0L, 0L, 0L, 0L);
}

static int masked_child(void)
{
	sigset_t now;

	CHECK(sigprocmask(SIG_BLOCK, NULL, &now) == 0);
	CHECK(sigismember(&now, SIGUSR1) && sigismember(&now, SIGBUS) && !sigismember(&now, SIGUSR2));
	return in_child(NULL);
}

static void forks(void)
{
	static char stack[65536] __attribute__((aligned(16)));
	sigset_t some, before;
	pid_t child;

	open_device();
	touch(5);
	sigemptyset(&some);
	sigaddset(&some, SIGUSR1);
	sigaddset(&some, SIGBUS);
	CHECK(sigprocmask(SIG_BLOCK, &some, &before) == 0);
	child = fork();
	if (!child)
		_exit(masked_child());
	CHECK(sigprocmask(SIG_SETMASK, &before, &some) == 0 && sigismember(&some, SIGUSR1) && !sigismember(&some, SIGUSR2));
	touch(5);
	reap(child);
	child = (pid_t)bare_clone(SIGCHLD);
	if (!child)
		_exit(in_child(NULL));
	touch(5);
	reap(child);
	count += 12;
	/* It shares memory and is no thread: its accesses work, and are not this process's to record. */
	child = vfork();
	if (!child) {
		signal(SIGSEGV, SIG_DFL);
		_exit(0);
	}
	reap(child);
	child = clone(in_child, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
	CHECK(child > 0);
	reap(child);
	fresh_store1(bar, 1);
	count++;
	touch(5);
}

static void own_exec(void)
{
	open_device();
	touch(5);
	printf("accesses %ld\n", count);
	fflush(stdout);
	execl("/bin/true", "true", NULL);
}

static void mappings(void)
{
	uint8_t *reserved, *volatile moved;

	catch(SIGSEGV);
	open_device();
	touch(3);
	/* As DPDK: a reservation, and the BAR fixed into it; then parts of it. */
	reserved = mmap(NULL, 0x40000, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(mmap(reserved + 0x10000, 0x4000, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, device, 0x2000) ==
	      reserved + 0x10000);
	store32(reserved + 0x10004, 11);
	CHECK(load32(bar + 0x2004) == 11);
	count += 2;
	CHECK(munmap(reserved + 0x11000, 0x1000) == 0);
	store32(reserved + 0x12008, 12);
	CHECK(load32(bar + 0x4008) == 12 && load32(reserved + 0x10004) == 11);
	count += 3;
	if (sigsetjmp(back, 1) == 0) {
		(void)load32(reserved + 0x11000);
		CHECK(!"reached");
	}
	CHECK(seen.si_addr == reserved + 0x11000 && seen.si_code == SEGV_MAPERR);
	/* Read-only: a store is the driver's fault. */
	CHECK(mprotect(reserved + 0x10000, 0x1000, PROT_READ) == 0);
	CHECK(load32(reserved + 0x10004) == 11);
	if (sigsetjmp(back, 1) == 0) {
		store32(reserved + 0x10004, 13);
		CHECK(!"reached");
	}
	CHECK(seen.si_addr == reserved + 0x10004 && seen.si_code == SEGV_ACCERR && in_function(seen_rip, store32));
	CHECK(mprotect(reserved + 0x10000, 0x1000, PROT_READ | PROT_WRITE) == 0);
	store32(reserved + 0x10004, 14);
	CHECK(load32(bar + 0x2004) == 14);
	count += 4;
	/* Moved, and overlaid. */
	moved = mremap(reserved + 0x10000, 0x1000, 0x1000, MREMAP_MAYMOVE | MREMAP_FIXED, reserved + 0x20000);
	CHECK(moved == reserved + 0x20000);
	CHECK(load32(moved + 4) == 14);
	store32(moved + 8, 15);
	CHECK(load32(bar + 0x2008) == 15);
	count += 3;
	CHECK(mmap(moved, 0x1000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == moved);
	store32(moved + 8, 99);
	CHECK(load32(moved + 8) == 99 && load32(bar + 0x2008) == 15);
	count++;
	/* The same BAR twice, and again after it was unmapped. */
	for (int i = 0; i < 20; i++) {
		uint8_t *again = mmap(NULL, 0x3000, PROT_READ | PROT_WRITE, MAP_SHARED, device, 0x1000);

		CHECK(again != MAP_FAILED);
		store32(again + 0x2ffc, (uint32_t)i);
		CHECK(load32(bar + 0x3ffc) == (uint32_t)i);
		CHECK(munmap(again, 0x3000) == 0);
		count += 2;
	}
	/* An access that lies across the end of the mapping. */
	moved = mmap(NULL, 0x3000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(mmap(moved + 0x1000, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, device, 0x6000) == moved + 0x1000);
	store32(moved + 0x1000, 0x44332211);
	moved[0xffe] = 0xaa;
	moved[0xfff] = 0xbb;
	CHECK(load32(moved + 0xffe) == 0x2211bbaa);
	count += 2;
	/* Into a page that is read-only: the driver's fault, whole, each time. */
	CHECK(mprotect(moved + 0x1000, 0x1000, PROT_READ) == 0);
	if (sigsetjmp(back, 1) == 0) {
		store32(moved + 0xffe, 0x55555555);
		CHECK(!"reached");
	}
	CHECK(seen.si_addr == moved + 0x1000 && seen.si_code == SEGV_ACCERR && in_function(seen_rip, store32));
	CHECK(load32(moved + 0xffe) == 0x2211bbaa);
	count += 2;
	CHECK(munmap((void *)bar, BAR_BYTES) == 0);
}

typedef uint32_t (*probe_function)(volatile void *);

static void libraries(void)
{
	open_device();
	store32(bar + 0x40, 9);
	count++;
	for (int i = 0; i < 6; i++) {
		void *library = dlopen(getenv(i & 1 ? "PROBE_B" : "PROBE_A"), RTLD_NOW);
		probe_function probe;

		CHECK(library);
		*(void **)&probe = dlsym(library, "probe");
		CHECK(probe && probe(bar + 0x40) == 9u + (uint32_t)(i & 1));
		CHECK(probe(bar + 0x40) == 9u + (uint32_t)(i & 1));
		count += 2;
		CHECK(dlclose(library) == 0);
	}
}

static void generated(void)
{
	static const uint8_t first[] = { 0x8b, 0x07, 0xc3 };             /* mov eax, [rdi]; ret */
	static const uint8_t second[] = { 0x8b, 0x47, 0x04, 0xc3 };      /* mov eax, [rdi + 4]; ret */
	static const uint8_t third[] = { 0x31, 0xc0, 0xff, 0xc0, 0xc3 }; /* xor eax, eax; inc eax; ret */
	uint8_t *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	probe_function run;

	*(void **)&run = code;
	open_device();
	store32(bar, 1);
	store32(bar + 4, 2);
	count += 2;
	for (int i = 0; i < 4; i++) {
		memcpy(code, first, sizeof(first));
		CHECK(run(bar) == 1 && run(bar) == 1);
		CHECK(!memcmp(code, first, sizeof(first)));
		memcpy(code, second, sizeof(second));
		CHECK(run(bar) == 2 && run(bar) == 2);
		count += 4;
		memcpy(code, third, sizeof(third));
		CHECK(run(bar) == 1);
	}
}

static void monitor(void)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = 0 };
	int kvm, region = standin_device(16 << 20);
	uint32_t value = 0x12345678;

	CHECK(ioctl(region, VFIO_DEVICE_GET_REGION_INFO, &info) == 0);
	printf("mappable-before %d\n", !!(info.flags & VFIO_REGION_INFO_FLAG_MMAP));
	kvm = memfd_create("vfiotape-standin-kvm", 0);
	CHECK(kvm >= 0 && ioctl(kvm, KVM_CREATE_VM, 0) >= 0);
	CHECK(ioctl(region, VFIO_DEVICE_GET_REGION_INFO, &info) == 0);
	printf("mappable-after %d\n", !!(info.flags & VFIO_REGION_INFO_FLAG_MMAP));
	CHECK(pwrite(region, &value, 4, (off_t)info.offset + 0x10) == 4);
}

#define HAMMER_ROUNDS 20000

NOINLINE static void locked_add(volatile void *at, uint32_t value)
{
	__atomic_fetch_add((volatile uint32_t *)at, value, __ATOMIC_SEQ_CST);
}

NOINLINE static void or_bits(volatile void *at, uint32_t value)
{
	__asm__ volatile("orl %1, (%0)" : : "r"(at), "r"(value) : "memory");
}

static void *hammer(void *opaque)
{
	long id = (long)opaque;
	volatile uint8_t *mine = bar + 0x1000 * (id + 1);

	for (uint32_t i = 0; i < HAMMER_ROUNDS; i++) {
		store32(mine, i);
		locked_add(bar + 0x10, 1);
		or_bits(mine + 8, 1u << (i & 31));
		CHECK(load32(mine) == i);
	}
	CHECK(load32(mine + 8) == 0xffffffff);
	return NULL;
}

static void threads(int number)
{
	pthread_t ids[8];

	open_device();
	for (long i = 0; i < number; i++)
		CHECK(pthread_create(&ids[i], NULL, hammer, (void *)i) == 0);
	for (int i = 0; i < number; i++)
		pthread_join(ids[i], NULL);
	CHECK(*(const volatile uint32_t *)(file + 0x10) == HAMMER_ROUNDS * (uint32_t)number);
	count += number * (HAMMER_ROUNDS * 4l + 1);
}

static void two_threads(void)
{
	threads(2);
}

static void four_threads(void)
{
	threads(4);
}

NOINLINE static uint8_t translate(const volatile void *table, uint8_t at)
{
	__asm__ volatile("xlatb" : "+a"(at) : "b"(table) : "memory");
	return at;
}

NOINLINE static void fill(volatile void *at, uint32_t value, long words)
{
	__asm__ volatile("rep stosl" : "+D"(at), "+c"(words) : "a"(value) : "memory");
}

FRESH_STORE(6)

/* Signals on a stack that is as small as those of Rust's threads, with a guard page below it. */
static void *on_small_stack(void *opaque)
{
	volatile uint8_t *mine = bar + 0x1000 * ((long)opaque + 1);
	size_t size = sysconf(_SC_MINSIGSTKSZ) > 8192 ? (size_t)sysconf(_SC_MINSIGSTKSZ) : 8192;
	uint8_t *pages = mmap(NULL, 4096 + size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	stack_t stack = { .ss_sp = pages + 4096, .ss_size = size };

	CHECK(pages != MAP_FAILED && mprotect(pages + 4096, size, PROT_READ | PROT_WRITE) == 0);
	CHECK(sigaltstack(&stack, NULL) == 0);
	for (uint32_t i = 1; i <= 30; i++) {
		fresh_store6(mine, i);
		fill(mine + 64, i, 4);
		locked_add(mine + 64, 1);
		CHECK(translate(mine + 24, 0) == i && translate(mine + 64, 0) == i + 1);
		CHECK(load32(mine + 76) == i);
	}
	return NULL;
}

static void small_stacks(void)
{
	pthread_t ids[4];

	open_device();
	for (long i = 0; i < 4; i++)
		CHECK(pthread_create(&ids[i], NULL, on_small_stack, (void *)i) == 0);
	for (int i = 0; i < 4; i++)
		pthread_join(ids[i], NULL);
	count += 4 * 30 * 9;
}

/* The driver takes memory that happens to hold the watcher's code, by MAP_FIXED. */
static void taken_code(void)
{
	char line[512];
	int taken = 0;
	FILE *maps;

	open_device();
	for (int round = 0; round < 3; round++) {
		touch(2);
		locked_add(bar + 0x600, 1);
		fill(bar + 0x700, 1, 2);
		CHECK(translate(bar + 0x700, 0) == 1);
		count += 4;
		maps = fopen("/proc/self/maps", "r");
		CHECK(maps);
		while (fgets(line, sizeof(line), maps)) {
			unsigned long from, to, inode;
			char access[5], path[256] = "";

			CHECK(sscanf(line, "%lx-%lx %4s %*s %*s %lu %255s", &from, &to, access, &inode, path) >= 4);
			if (strcmp(access, "r-xp") || inode || *path)
				continue;
			CHECK(mmap((void *)from, to - from, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
				   -1, 0) == (void *)from);
			memset((void *)from, 0xcc, to - from);
			taken++;
		}
		fclose(maps);
	}
	CHECK(taken || !getenv("LD_PRELOAD"));
	touch(2);
	CHECK(*(const volatile uint32_t *)(file + 0x600) == 3);
}

FRESH_STORE(7)

/* Its own text, made writable, read, and rewritten. */
static void rewritten(void)
{
	uint8_t *code = (uint8_t *)fresh_store7, before[16];
	uint8_t *page = (uint8_t *)((uintptr_t)code & ~4095ul);

	open_device();
	memcpy(before, code, sizeof(before));
	for (uint32_t round = 1; round < 4; round++) {
		fresh_store7(bar, round);
		fresh_store7(bar, round);
		CHECK(mprotect(page, 8192, PROT_READ | PROT_WRITE | PROT_EXEC) == 0);
		CHECK(!memcmp(code, before, sizeof(before)));
		code[0] = 0xc3; /* ret */
		fresh_store7(bar, 99);
		CHECK(*(const volatile uint32_t *)(file + 28) == round);
		code[0] = before[0];
		CHECK(mprotect(page, 8192, PROT_READ | PROT_EXEC) == 0);
		count += 2;
	}
}

FRESH_STORE(8)

/* From here on the driver may not do what the watcher needs in order to change code. */
static void confined(void)
{
	struct sock_filter rules[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = 4, .filter = rules };

	open_device();
	touch(2);
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
	for (uint32_t i = 0; i < 10; i++)
		fresh_store8(bar, i);
	count += 10;
	touch(2);
}

struct ioas_map { /* linux/iommufd.h: struct iommu_ioas_map */
	uint32_t size, flags, ioas_id, reserved;
	uint64_t user_va, length, iova;
};

/* A BAR is mapped for another device's DMA, and into a guest. */
static void handed_over(void)
{
	int container = memfd_create("vfiotape-standin-container", 0), iommufd = memfd_create("vfiotape-standin-iommufd", 0);
	int kvm = memfd_create("vfiotape-standin-kvm", 0), vm;
	struct vfio_iommu_type1_dma_map map = { .argsz = sizeof(map), .flags = VFIO_DMA_MAP_FLAG_READ, .size = 4096 };
	struct ioas_map ioas = { .size = sizeof(ioas), .length = 4096 };
	struct kvm_userspace_memory_region slot = { .memory_size = 4096 };
	void *closed = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	open_device();
	touch(2);
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	CHECK(container >= 0 && iommufd >= 0 && vm >= 0);
	map.vaddr = (uint64_t)closed;
	CHECK(ioctl(container, VFIO_IOMMU_MAP_DMA, &map) == -1 && errno == EFAULT);
	map.vaddr = (uint64_t)bar + 0x1000;
	CHECK(ioctl(container, VFIO_IOMMU_MAP_DMA, &map) == 0 && map.vaddr == (uint64_t)bar + 0x1000);
	ioas.user_va = (uint64_t)bar + 0x2000;
	CHECK(ioctl(iommufd, _IO(VFIO_TYPE, 0x85), &ioas) == 0);
	CHECK(ioas.user_va == (uint64_t)bar + 0x2000 && ioas.iova == 0x4000);
	slot.userspace_addr = (uint64_t)closed;
	CHECK(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot) == -1 && errno == EFAULT);
	slot.userspace_addr = (uint64_t)bar + 0x3000;
	CHECK(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot) == 0);
	touch(2);
}

/* A thread that was made by hand, on the parent's thread-local storage. */
static volatile int bare_done;

static int bare_thread(void *unused)
{
	(void)unused;
	for (uint32_t i = 0; i < 2000; i++)
		store32(bar + 0x300, i);
	__atomic_store_n(&bare_done, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_exit, 0);
	return 0;
}

static void bare(void)
{
	static char stack[65536] __attribute__((aligned(16)));

	open_device();
	touch(2);
	CHECK(clone(bare_thread, stack + sizeof(stack), CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD,
		    NULL) > 0);
	while (!__atomic_load_n(&bare_done, __ATOMIC_SEQ_CST)) {
		store32(bar + 0x304, 1);
		count++;
	}
	count += 2000;
	usleep(20000);
}

static volatile long in_handler;

static void on_alarm(int number)
{
	(void)number;
	store32(bar + 0x500, (uint32_t)in_handler);
	(void)load64(bar + 0x500);
	in_handler += 2;
}

static void nested(void)
{
	struct sigaction act = { .sa_handler = on_alarm };
	struct itimerval timer = { { 0, 200 }, { 0, 200 } };

	open_device();
	sigaction(SIGALRM, &act, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
	for (uint32_t i = 0; i < 200000 || in_handler < 100; i++) {
		store32(bar + 0x100, i);
		CHECK(load32(bar + 0x100) == i);
		count += 2;
	}
	memset(&timer, 0, sizeof(timer));
	setitimer(ITIMER_REAL, &timer, NULL);
	count += in_handler;
}

static volatile int traps;

static void on_trap(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)info;
	(void)context;
	traps++;
}

FRESH_STORE(5)

static void on_usr1(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)info;
	(void)context;
	fresh_store5(bar + 0x700 - 20, 0x1234);
}

static void masks(void)
{
	struct sigaction act = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };
	struct timespec soon = { 0, 1000000 };
	sigset_t all, none, now;

	sigfillset(&all);
	sigemptyset(&none);
	open_device();
	CHECK(sigaction(SIGTRAP, &act, NULL) == 0);
	__asm__ volatile("int3");
	CHECK(traps == 1);
	touch(2);
	__asm__ volatile("int3");
	CHECK(traps == 2);
	/* A handler that runs with everything blocked, and meets a new site. */
	act.sa_sigaction = on_usr1;
	act.sa_mask = all;
	CHECK(sigaction(SIGUSR1, &act, NULL) == 0 && sigaction(SIGUSR1, NULL, &act) == 0);
	CHECK(sigismember(&act.sa_mask, SIGSEGV) && sigismember(&act.sa_mask, SIGTERM));
	CHECK(raise(SIGUSR1) == 0 && load64(bar + 0x700) == 0x1234);
	count += 2;
	CHECK(ppoll(NULL, 0, &soon, &all) == 0);
	CHECK(pselect(0, NULL, NULL, NULL, &soon, &all) == 0);
	CHECK(sigprocmask(SIG_SETMASK, &all, &now) == 0 && !sigismember(&now, SIGSEGV));
	CHECK(sigprocmask(SIG_UNBLOCK, &none, &now) == 0 && sigismember(&now, SIGSEGV) && sigismember(&now, SIGTERM));
	fresh_store3(bar, 1);
	/* Pending, as the driver sees it, until it unblocks. */
	kill(getpid(), SIGTRAP);
	CHECK(traps == 2);
	CHECK(sigprocmask(SIG_SETMASK, &none, &now) == 0 && sigismember(&now, SIGSEGV) && traps == 3);
	fresh_store4(bar, 1);
	count += 2;
}

static void filtered(void)
{
	open_device();
	for (uint32_t i = 0; i < 10; i++) {
		store32(bar + 0x1000, i); /* watched: 0x1000-0x1fff */
		store32(bar + 0xffc, i);
		store32(bar + 0x2000, i);
		CHECK(load32(bar + 0x1000) == i && load32(bar + 0xffc) == i && load32(bar + 0x2000) == i);
		count += 2;
	}
}

/* Watched: 0xff8-0xfff and 0x1000-0x1003. */
static void filtered_parts(void)
{
	open_device();
	for (uint32_t i = 0; i < 10; i++) {
		if (i == 3)
			CHECK(munmap((void *)(bar + 0x1000), 0x1000) == 0);
		if (i == 6)
			CHECK(mprotect((void *)bar, 0x1000, PROT_READ | PROT_WRITE) == 0);
		store32(bar + 0xffc, i);
		store32(bar + 0xf00, i);
		count++;
	}
}

static void bytes(void)
{
	static uint8_t pattern[300], got[300];

	open_device();
	for (unsigned int i = 0; i < sizeof(pattern); i++)
		pattern[i] = (uint8_t)(i * 7 + 1);
	/* libc's own sites, and string instructions. */
	memcpy((void *)(bar + 0x40), pattern, 200);
	memcpy(got, (const void *)(bar + 0x40), 200);
	CHECK(!memcmp(got, pattern, 200) && !memcmp((const void *)(file + 0x40), pattern, 200));
	memset((void *)(bar + 0x400), 0x5a, 777);
	for (int i = 0; i < 777; i++)
		CHECK(file[0x400 + i] == 0x5a);
	for (int i = 0; i < 1000; i++)
		memmove(got, pattern, sizeof(got));
	CHECK(!memcmp(got, pattern, sizeof(got)));
	printf("accesses any\n");
	exit(0);
}

static const struct {
	const char *name;
	void (*run)(void);
} subjects[] = {
	{ "plain", plain },           { "blocked", blocked },       { "own-handler", own_handler }, { "sigbus", sigbus },
	{ "die", die },               { "die-bus", die_bus },       { "pointers", pointers },       { "forks", forks },
	{ "exec", own_exec },         { "mappings", mappings },     { "libraries", libraries },     { "generated", generated },
	{ "monitor", monitor },       { "threads-2", two_threads }, { "threads-4", four_threads },  { "bare-thread", bare },
	{ "nested", nested },         { "masks", masks },           { "filtered", filtered },       { "bytes", bytes },
	{ "filtered-parts", filtered_parts }, { "small-stacks", small_stacks }, { "taken-code", taken_code },
	{ "rewritten", rewritten }, { "confined", confined },     { "handed-over", handed_over },
};

int main(int argc, char **argv)
{
	for (unsigned int i = 0; argc > 1 && i < sizeof(subjects) / sizeof(subjects[0]); i++) {
		if (strcmp(subjects[i].name, argv[1]))
			continue;
		subjects[i].run();
		printf("accesses %ld\n", count);
		return 0;
	}
	fprintf(stderr, "usage: mmio SUBJECT\n");
	return 2;
}
