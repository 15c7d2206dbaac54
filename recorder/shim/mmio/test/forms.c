// SPDX-License-Identifier: Apache-2.0
/*
 * Every instruction form at several alignments: first on ordinary memory, then at the same address on a watched BAR
 * (first by its fault, then as it was patched). Registers, flags, vector registers and memory must be the same, and the
 * recording must say what happened. Several threads run the same instruction at the same time, each on its own part of
 * the BAR.    forms MODE [THREADS [nokey|simulated|monotonic|full|stopped|crowded|stepped]]
 */
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../sim/sim.h"
#include "rig.h"

struct form {
	uint64_t code;
	const char *name;
	uint8_t base, index, scale, width, access, aligned, pad[2];
	int64_t displacement;
};
extern const uint64_t form_count;
extern const struct form form_table[];
extern uint8_t source[256], sink[256];

enum { LOAD, STORE, UPDATE, UNKNOWN_UPDATE, STEPPED, NONE, ELEMENTS };

struct state {
	uint64_t general[16]; /* rsp is not loaded */
	uint64_t flags;
	uint64_t pad[7];
	uint8_t vector[16][32];
} __attribute__((aligned(64)));

/* Loads everything, calls, stores everything. */
void run(struct state *state, uint64_t code);
__asm__(".text\n.globl run\nrun:\n"
	"	push %rbx\n	push %rbp\n	push %r12\n	push %r13\n	push %r14\n	push %r15\n"
	"	push %rdi\n	push %rsi\n"
	"	.set i, 0\n"
	"	.irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n	vmovdqa (192+\\n*32)(%rdi), %ymm\\n\n	.endr\n"
	"	push 128(%rdi)\n	popf\n"
	"	mov 0(%rdi), %rax\n	mov 8(%rdi), %rcx\n	mov 16(%rdi), %rdx\n	mov 24(%rdi), %rbx\n"
	"	mov 40(%rdi), %rbp\n	mov 48(%rdi), %rsi\n	mov 64(%rdi), %r8\n	mov 72(%rdi), %r9\n"
	"	mov 80(%rdi), %r10\n	mov 88(%rdi), %r11\n	mov 96(%rdi), %r12\n	mov 104(%rdi), %r13\n"
	"	mov 112(%rdi), %r14\n	mov 120(%rdi), %r15\n	mov 56(%rdi), %rdi\n"
	"	call *(%rsp)\n"
	"	pushf\n	push %rdi\n	mov 24(%rsp), %rdi\n"
	"	mov %rax, 0(%rdi)\n	mov %rcx, 8(%rdi)\n	mov %rdx, 16(%rdi)\n	mov %rbx, 24(%rdi)\n"
	"	mov %rbp, 40(%rdi)\n	mov %rsi, 48(%rdi)\n	mov %r8, 64(%rdi)\n	mov %r9, 72(%rdi)\n"
	"	mov %r10, 80(%rdi)\n	mov %r11, 88(%rdi)\n	mov %r12, 96(%rdi)\n	mov %r13, 104(%rdi)\n"
	"	mov %r14, 112(%rdi)\n	mov %r15, 120(%rdi)\n	pop %rax\n	mov %rax, 56(%rdi)\n"
	"	pop %rax\n	mov %rax, 128(%rdi)\n"
	"	.irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n	vmovdqa %ymm\\n, (192+\\n*32)(%rdi)\n	.endr\n"
	"	vzeroupper\n	pop %rsi\n	pop %rdi\n"
	"	pop %r15\n	pop %r14\n	pop %r13\n	pop %r12\n	pop %rbp\n	pop %rbx\n	ret\n");

#define PART_BYTES 16384u /* of the BAR, for each thread */
#define BAR_BYTES (PART_BYTES * THREADS_MAX)
#define WINDOW 256u /* bytes that are seeded and compared */
#define ROUNDS 3
#define BAR_ADDRESS ((uint8_t *)0x200000000000)

static const unsigned int offsets[] = { 0, 64, 4, 1, 2, 8, 3, 13, 60, 63, 4094 };

#define THREADS_MAX 4

struct worker {
	uint8_t *bar;    /* its part, as the driver has it */
	uint8_t *memory; /* the same bytes, for the test */
	uint64_t region_offset;
	struct outcome *expected;
	pthread_t thread;
};

static struct worker workers[THREADS_MAX];
static int threads = 1;
static unsigned int offset_count;
static bool unrecorded; /* the ring is full, or the recorder has stopped: everything works all the same */
static bool stepped;    /* only those that no trampoline holds */
static bool crowded;    /* the table of sites is full: each access is stepped where it stands, its value unknown */
static pthread_barrier_t together;
static __thread uint64_t seed;
static __thread uint8_t *bar, *memory;
static __thread uint64_t region_offset;
static long failures, accesses, runs;

static uint64_t next(void)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return seed >> 20 ^ seed << 44;
}

static void prepare(struct state *state, const struct form *form, unsigned int offset, int round)
{
	uint64_t target = (uint64_t)bar + 1024 + offset;
	uint8_t *window = memory + 1024 + offset - WINDOW / 2;

	seed = form->code * 31 + offset * 7 + (uint64_t)round;
	for (unsigned int i = 0; i < WINDOW; i++)
		window[i] = (uint8_t)next();
	for (unsigned int i = 0; i < 16; i++)
		state->general[i] = next();
	for (unsigned int i = 0; i < sizeof(state->vector); i++)
		state->vector[i / 32][i % 32] = (uint8_t)next();
	state->flags = 0x202 | (next() & 0x8d5);
	state->general[1] = 5; /* counts, for strings and shifts */
	if (round & 1) /* cmpxchg finds what it expects */
		memcpy(&state->general[0], memory + 1024 + offset, 8);
	if (strstr(form->name, "bt dword"))
		state->general[0] &= 31;
	if (strstr(form->name, "xlatb"))
		state->general[0] &= ~0xffull;
	memset(sink, 0, 256);
	if (form->base == form->index) {
		state->general[form->base] = target / 2;
		return;
	}
	if (form->index < 16)
		state->general[form->index] = 3;
	state->general[form->base] = target - (uint64_t)form->displacement -
				     (form->index < 16 ? state->general[form->index] * form->scale : 0);
}

struct outcome {
	struct state state;
	uint8_t window[WINDOW];
	uint8_t before[64];
	uint8_t sink[64];
};

static void execute(const struct form *form, unsigned int offset, int round, struct outcome *outcome)
{
	prepare(&outcome->state, form, offset, round);
	memcpy(outcome->before, memory + 1024 + offset, 64);
	run(&outcome->state, form->code);
	memcpy(outcome->window, memory + 1024 + offset - WINDOW / 2, WINDOW);
	memcpy(outcome->sink, sink, sizeof(outcome->sink));
	outcome->state.flags &= 0xcd5;
}

static void fail(const struct form *form, unsigned int offset, int round, const char *what)
{
	if (__atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED) < 40)
		printf("%s at +%u, round %d: %s\n", form->name, offset, round, what);
}

static void check_record(const struct form *form, unsigned int offset, int round, const struct outcome *expected,
			 const struct vfiotape_record *record)
{
	const uint8_t *after = expected->window + WINDOW / 2;
	unsigned int narrow = form->width > 8 ? 8 : form->width;
	uint64_t old = 0, new = 0;
	uint32_t length = 0;
	const uint8_t *payload = rig_payload(record, &length);
	bool stores = record->kind != VFIOTAPE_LOAD;

	memcpy(&old, expected->before, narrow);
	memcpy(&new, after, narrow);
	if (record->offset != region_offset + 1024 + offset)
		fail(form, offset, round, "wrong offset");
	if ((record->op & 0xff) != 2 || record->object != 7 || record->fd != -1 || !record->lap || !record->entered)
		fail(form, offset, round, "wrong fixed fields");
	if ((record->op >> 8 & 0xff) != form->width)
		fail(form, offset, round, "wrong width");
	if (record->flags & VFIOTAPE_FLAG_INTENT)
		fail(form, offset, round, "an intent was left");
	if (form->access == LOAD ? record->kind != VFIOTAPE_LOAD :
	    form->access == STORE ? record->kind != VFIOTAPE_STORE :
	    form->access == UPDATE || form->access == UNKNOWN_UPDATE ? record->kind != VFIOTAPE_UPDATE : 0)
		fail(form, offset, round, "wrong kind");
	if (form->access == STEPPED || form->access == UNKNOWN_UPDATE) {
		if (sim_active ? record->flags & VFIOTAPE_FLAG_UNKNOWN : !(record->flags & VFIOTAPE_FLAG_UNKNOWN))
			fail(form, offset, round, "not marked unknown");
		return;
	}
	if (record->value != (stores ? new : old))
		fail(form, offset, round, "wrong value");
	if (record->kind == VFIOTAPE_UPDATE && record->result != old)
		fail(form, offset, round, "wrong old value");
	if (form->width > 8 && (!payload || length != form->width ||
				memcmp(payload, stores ? after : expected->before, form->width)))
		fail(form, offset, round, "wrong payload");
}

static void check_records(const struct form *form, unsigned int offset, int round, const struct outcome *expected,
			  uint64_t from)
{
	unsigned int found = 0, wanted = form->access == NONE ? 0 : form->access == ELEMENTS ? 5 : 1;

	if (strstr(form->name, "mask")) /* where it faults, if at all, is up to its mask */
		return;
	for (uint64_t at = from; at < rig_position(); at++) {
		const struct vfiotape_record *record = rig_record(at);

		if (!rig_is_access(record))
			continue;
		if (form->access != ELEMENTS && !crowded)
			check_record(form, offset, round, expected, record);
		found++;
	}
	__atomic_fetch_add(&accesses, found, __ATOMIC_RELAXED);
	if (found != wanted)
		fail(form, offset, round, "wrong number of records");
}

static void compare(const struct form *form, unsigned int offset, int round, const struct outcome *expected,
		    const struct outcome *got)
{
	if (memcmp(expected->state.general, got->state.general, sizeof(got->state.general)))
		fail(form, offset, round, "registers differ");
	if (expected->state.flags != got->state.flags)
		fail(form, offset, round, "flags differ");
	if (memcmp(expected->state.vector, got->state.vector, sizeof(got->state.vector)))
		fail(form, offset, round, "vector registers differ");
	if (memcmp(expected->window, got->window, WINDOW) || memcmp(expected->sink, got->sink, sizeof(got->sink)))
		fail(form, offset, round, "memory differs");
}

static bool applies(const struct form *form, unsigned int offset)
{
	if (threads > 1 && strstr(form->name, "sink")) /* which all threads would write to */
		return false;
	if (stepped && form->access != STEPPED)
		return false;
	return !form->aligned || offset % form->width == 0;
}

static void work(struct worker *worker, bool watched)
{
	struct outcome got, *expected = worker->expected;

	bar = worker->bar;
	memory = worker->memory;
	region_offset = worker->region_offset;
	for (uint64_t i = 0; i < form_count; i++) {
		const struct form *form = &form_table[i];

		if (watched && threads > 1)
			pthread_barrier_wait(&together);
		for (unsigned int j = 0; j < offset_count * ROUNDS; j++, expected++) {
			unsigned int offset = offsets[j / ROUNDS];
			int round = (int)(j % ROUNDS);
			uint64_t from;

			if (!applies(form, offset))
				continue;
			if (!watched) {
				execute(form, offset, round, expected);
				continue;
			}
			if (rig_position() > 30000)
				rig_forget();
			from = rig_position();
			execute(form, offset, round, &got);
			compare(form, offset, round, expected, &got);
			if (!unrecorded)
				check_records(form, offset, round, expected, from);
			__atomic_fetch_add(&runs, 1, __ATOMIC_RELAXED);
		}
	}
	if (watched && !rig_lost() == (rig_records_log2 < 16)) {
		printf("lost %lu\n", rig_lost());
		failures++;
	}
}

static void *watched_work(void *worker)
{
	work(worker, true);
	return NULL;
}

static void report(void)
{
	uint64_t reasons[16] = { 0 }, tiers[8] = { 0 };
	struct mmio_site *site;

	for (uint32_t cursor = 0; (site = mmio_site_next(&cursor));) {
		reasons[site->reason & 15]++;
		tiers[site->tier & 7]++;
	}
	printf("forms %lu threads %d runs %ld accesses %ld failures %ld\n", form_count, threads, runs, accesses, failures);
	printf("sites: patched %lu trapped %lu emulated %lu stepped %lu\n", tiers[1], tiers[2], tiers[3], tiers[4]);
	printf("jumps: direct %lu punned %lu padding %lu repunned %lu evicted %lu\n", mmio_counters.patched_direct,
	       mmio_counters.patched_pun, mmio_counters.patched_padding, mmio_counters.repuns, mmio_counters.evicted);
	printf("reasons: mode %lu short %lu room %lu form %lu anonymous %lu\n", reasons[MMIO_REASON_MODE],
	       reasons[MMIO_REASON_TOO_SHORT], reasons[MMIO_REASON_NO_ROOM], reasons[MMIO_REASON_FORM],
	       reasons[MMIO_REASON_ANONYMOUS]);
	printf("steps: copy %lu key %lu held %lu; faults %lu races %lu\n", mmio_counters.stepped, mmio_counters.stepped_key,
	       mmio_counters.stepped_held, mmio_counters.faults, mmio_counters.races);
}

int main(int count, char **arguments)
{
	uint8_t *all, *plain;

	RIG_CHECK(count > 1);
	threads = count > 2 ? atoi(arguments[2]) : 1;
	stepped = count > 3 && !strcmp(arguments[3], "stepped");
	crowded = count > 3 && !strcmp(arguments[3], "crowded");
	offset_count = threads > 1 || crowded ? 3 : sizeof(offsets) / sizeof(offsets[0]);
	if (count > 3 && !strcmp(arguments[3], "nokey")) /* none is left: the last way of stepping */
		while (syscall(SYS_pkey_alloc, 0, 0) > 0)
			;
	if (count > 3 && !strcmp(arguments[3], "monotonic"))
		shim_session.clock_monotonic = 1;
	if (count > 3 && !strcmp(arguments[3], "full"))
		rig_records_log2 = 7;
	if (count > 3 && !strcmp(arguments[3], "stopped"))
		rig_control.state = VFIOTAPE_STOPPED;
	if (count > 3 && !strcmp(arguments[3], "simulated"))
		rig_simulate();
	unrecorded = rig_records_log2 < 16 || rig_control.state;
	all = mmap(BAR_ADDRESS, BAR_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	RIG_CHECK(all == BAR_ADDRESS);
	for (int i = 0; i < threads; i++) {
		struct worker *worker = &workers[i];

		worker->region_offset = (uint64_t)i * PART_BYTES;
		worker->bar = worker->memory = all + worker->region_offset;
		worker->expected = mmap(NULL, form_count * offset_count * ROUNDS * sizeof(struct outcome),
					PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		RIG_CHECK(worker->expected != MAP_FAILED);
		work(worker, false);
	}
	rig_start((uint32_t)atoi(arguments[1]));
	RIG_CHECK(rig_bar(BAR_BYTES, &plain, all) == all);
	for (uint64_t at = 1; crowded && mmio_site_add(at); at++)
		;
	pthread_barrier_init(&together, NULL, (unsigned int)threads);
	for (int i = 0; i < threads; i++) {
		workers[i].memory = plain + workers[i].region_offset;
		RIG_CHECK(pthread_create(&workers[i].thread, NULL, watched_work, &workers[i]) == 0);
	}
	for (int i = 0; i < threads; i++)
		pthread_join(workers[i].thread, NULL);
	report();
	return failures != 0;
}
