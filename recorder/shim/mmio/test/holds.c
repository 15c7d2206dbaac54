// SPDX-License-Identifier: Apache-2.0
/*
 * Threads are held while they compute, copy behind a guard, wait in the kernel, send one another signals, come and go;
 * the first of them has ended long ago. While they are held nothing of theirs moves; and none of them notices.
 *   holds ROUNDS
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "rig.h"

static volatile bool over;
static uint64_t counted, copied, begun, handled;
static int pipe_ends[2];
static pthread_t receiver;

static void *count(void *unused)
{
	while (!over)
		__atomic_fetch_add(&counted, 1, __ATOMIC_RELAXED);
	return unused;
}

/* A signal that comes in the middle is not a fault of the copy. */
static void *copy(void *unused)
{
	static uint8_t from[4096], to[4096];

	while (!over) {
		RIG_CHECK(mmio_guarded_copy(to, (uint64_t)from, sizeof(from)) == sizeof(from));
		__atomic_fetch_add(&copied, 1, __ATOMIC_RELAXED);
	}
	return unused;
}

static void *wait_for_byte(void *unused)
{
	char byte;

	RIG_CHECK(read(pipe_ends[0], &byte, 1) == 1); /* not EINTR: the driver has no handler that would say so */
	return unused;
}

static void *nothing(void *unused)
{
	__atomic_fetch_add(&begun, 1, __ATOMIC_RELAXED);
	return unused;
}

static void *come_and_go(void *unused)
{
	while (!over) {
		pthread_t thread;

		RIG_CHECK(pthread_create(&thread, NULL, nothing, NULL) == 0);
		RIG_CHECK(pthread_join(thread, NULL) == 0);
	}
	return unused;
}

static void handler(int signal, siginfo_t *info, void *context)
{
	(void)context;
	RIG_CHECK(signal == SIGBUS && info->si_code == SI_TKILL && info->si_pid == getpid());
	__atomic_fetch_add(&handled, 1, __ATOMIC_RELAXED);
}

static void *send(void *unused)
{
	while (!over) {
		RIG_CHECK(pthread_kill(receiver, SIGBUS) == 0);
		usleep(200);
	}
	return unused;
}

static uint64_t all(void)
{
	return counted + copied + begun + handled;
}

static void *hold(void *rounds)
{
	void *(*const bodies[])(void *) = { count, copy, wait_for_byte, come_and_go, send };
	pthread_t threads[sizeof(bodies) / sizeof(bodies[0])];
	struct mmio_kernel_sigaction action = { .handler = (uint64_t)handler, .flags = SA_SIGINFO | SA_RESTART };

	RIG_CHECK(!raw_failed(mmio_sigaction(SIGBUS, &action, NULL)) && pipe(pipe_ends) == 0);
	for (unsigned int i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		RIG_CHECK(pthread_create(&threads[i], NULL, bodies[i], NULL) == 0);
		receiver = threads[0];
	}
	for (long i = 0; i < (long)rounds; i++) {
		uint64_t before;

		mmio_hold_others();
		before = all();
		usleep(i % 16 ? 0 : 2000);
		RIG_CHECK(all() == before);
		mmio_let_others_go();
		usleep(i % 7 * 50);
	}
	over = true;
	RIG_CHECK(write(pipe_ends[1], "", 1) == 1);
	for (unsigned int i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
		RIG_CHECK(pthread_join(threads[i], NULL) == 0);
	printf("counted %lu copied %lu begun %lu handled %lu unheld %lu\n", counted, copied, begun, handled,
	       mmio_counters.unheld);
	exit(0);
}

int main(int count, char **arguments)
{
	pthread_t thread;

	RIG_CHECK(count == 2);
	rig_start(VFIOTAPE_MMIO_PATCH);
	RIG_CHECK(pthread_create(&thread, NULL, hold, (void *)atol(arguments[1])) == 0);
	pthread_exit(NULL); /* a zombie from now on: it answers no signal */
}
