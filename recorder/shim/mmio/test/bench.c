// SPDX-License-Identifier: Apache-2.0
/*
 * What one access costs: bench patch|trap|step|bare THREADS. Thread CPU time per access, the median of RUNS; the loop
 * itself is taken off. `step` is what mmiotrace does: the page opened, one instruction stepped, the page closed.
 */
#include <pthread.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "rig.h"

#define RUNS 15
#define THREADS_MAX 8
#define PART 4096u

static uint8_t *bar;
static pthread_barrier_t together;
static long rounds = 40000;
enum { EMPTY, RDTSC, LOAD, STORE, MEMORY_LOAD, MEMORY_STORE, MEASURES };
static const char *const names[MEASURES] = { "empty", "rdtsc", "load", "store", "memory_load", "memory_store" };
static double results[THREADS_MAX][MEASURES];

static double cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* The same two instructions on a BAR and on ordinary memory. */
static __attribute__((noinline)) void loads(const volatile uint8_t *at, long count)
{
	uint32_t value;

	for (long i = 0; i < count; i++)
		__asm__ volatile("movl 16(%1), %0" : "=r"(value) : "r"(at) : "memory");
}

static __attribute__((noinline)) void stores(volatile uint8_t *at, long count)
{
	for (long i = 0; i < count; i++)
		__asm__ volatile("movl %k1, 32(%0)" : : "r"(at), "r"(i) : "memory");
}

static __attribute__((noinline)) void empty(long count)
{
	for (long i = 0; i < count; i++)
		__asm__ volatile("" : : "r"(i) : "memory");
}

static __attribute__((noinline)) void ticks(long count)
{
	for (long i = 0; i < count; i++)
		__asm__ volatile("rdtsc" : : : "rax", "rdx", "memory");
}

static int compare(const void *a, const void *b)
{
	double difference = *(const double *)a - *(const double *)b;

	return difference < 0 ? -1 : difference > 0;
}

static void measure(int what, uint8_t *part, uint8_t *memory, double *result)
{
	double values[RUNS];

	for (int run = -2; run < RUNS; run++) {
		double start;

		rig_forget();
		pthread_barrier_wait(&together);
		start = cpu_ns();
		switch (what) {
		case EMPTY:
			empty(rounds);
			break;
		case RDTSC:
			ticks(rounds);
			break;
		case LOAD:
		case MEMORY_LOAD:
			loads(what == LOAD ? part : memory, rounds);
			break;
		default:
			stores(what == STORE ? part : memory, rounds);
			break;
		}
		if (run >= 0)
			values[run] = (cpu_ns() - start) / (double)rounds;
	}
	qsort(values, RUNS, sizeof(values[0]), compare);
	*result = values[RUNS / 2];
}

static void *work(void *opaque)
{
	long id = (long)opaque;
	uint8_t *memory = mmap(NULL, PART, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (int what = 0; what < MEASURES; what++) {
		measure(what, bar + id * PART, memory, &results[id][what]);
		if (rig_lost()) {
			fprintf(stderr, "bench: records were lost\n");
			exit(1);
		}
	}
	return NULL;
}

/* --- mmiotrace's way -------------------------------------------------------------------------------------------------- */

static __thread uint64_t page;

static void on_fault(int number, siginfo_t *info, void *opaque)
{
	ucontext_t *context = opaque;

	(void)number;
	page = (uint64_t)info->si_addr & ~4095ull;
	mprotect((void *)page, 4096, PROT_READ | PROT_WRITE);
	context->uc_mcontext.gregs[REG_EFL] |= 0x100;
}

static void on_trap(int number, siginfo_t *info, void *opaque)
{
	ucontext_t *context = opaque;

	(void)number;
	(void)info;
	mprotect((void *)page, 4096, PROT_NONE);
	context->uc_mcontext.gregs[REG_EFL] &= ~0x100ll;
}

static void step_start(void)
{
	struct sigaction act = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };

	sigfillset(&act.sa_mask);
	sigaction(SIGSEGV, &act, NULL);
	act.sa_sigaction = on_trap;
	sigaction(SIGTRAP, &act, NULL);
	RIG_CHECK(mprotect(bar, PART * THREADS_MAX, PROT_NONE) == 0);
}

int main(int count, char **arguments)
{
	int threads = count > 2 ? atoi(arguments[2]) : 1;
	const char *how = count > 1 ? arguments[1] : "patch";
	bool engine = !strcmp(how, "patch") || !strcmp(how, "trap");
	pthread_t ids[THREADS_MAX];
	uint8_t *plain;

	if (strcmp(how, "patch") && strcmp(how, "bare"))
		rounds = 2000;
	if (engine) {
		rig_start(strcmp(how, "trap") ? VFIOTAPE_MMIO_PATCH : VFIOTAPE_MMIO_TRAP);
		bar = rig_bar(PART * THREADS_MAX, &plain, NULL);
	} else {
		int fd = (int)syscall(SYS_memfd_create, "bar", 0);

		RIG_CHECK(fd >= 0 && ftruncate(fd, PART * THREADS_MAX) == 0);
		bar = mmap(NULL, PART * THREADS_MAX, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (!strcmp(how, "step"))
			step_start();
	}
	pthread_barrier_init(&together, NULL, (unsigned int)threads);
	for (long i = 0; i < threads; i++)
		RIG_CHECK(pthread_create(&ids[i], NULL, work, (void *)i) == 0);
	for (int i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	for (int what = 0; what < MEASURES; what++) {
		double mean = 0;

		for (int i = 0; i < threads; i++)
			mean += results[i][what] / threads;
		printf("%s %.3f\n", names[what], mean);
	}
	return 0;
}
