// SPDX-License-Identifier: Apache-2.0
/*
 * All other threads made to wait, while one makes an access on an open page. Each is sent SIGBUS, and waits in its handler.
 * The signal carries an address of ours: one that comes late, or while the thread is about something else, is never taken
 * for a fault nor for a signal of the driver's.
 *
 * SIGBUS, because it can be blocked where a thread must not be held: in the fault handler, whose stack may be the driver's
 * and small, and under the watcher's lock. Of the three it is the one that our own code hardly raises; and where the
 * kernel merges a fault with a signal that is pending already, the instruction is executed again, and faults again.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>

#include "internal.h"

#define OTHERS_MAX 4096u
#define PATIENCE 20000u /* looks, 50 µs apart at least */
#define LOOKS_PER_CHECK 64u

enum { SENT, HELD, GONE };

static struct { uint32_t tid, state; } others[OTHERS_MAX]; /* under mmio_wiped.stepping */
static uint32_t other_count;
static uint32_t holding, holder_pid; /* the number of the hold that is under way, or 0 */

struct directory_entry {
	uint64_t inode;
	int64_t offset;
	uint16_t length;
	uint8_t type;
	char name[];
};

static uint32_t number(const char *text)
{
	uint32_t value = 0;

	for (; *text >= '0' && *text <= '9'; text++)
		value = value * 10 + (uint32_t)(*text - '0');
	return value;
}

static uint32_t *state_of(uint32_t tid)
{
	uint32_t count = __atomic_load_n(&other_count, __ATOMIC_ACQUIRE);

	for (uint32_t i = 0; i < count; i++)
		if (others[i].tid == tid)
			return &others[i].state;
	return NULL;
}

/* This thread has answered already, and the signal is still to come. */
static __thread bool owed __attribute__((tls_model("initial-exec")));

static bool wait_if_held(void)
{
	uint32_t request = __atomic_load_n(&holding, __ATOMIC_ACQUIRE);
	uint32_t *state = request && holder_pid == (uint32_t)raw_getpid() ? state_of((uint32_t)raw_gettid()) : NULL;

	if (!state || *state != SENT)
		return false;
	__atomic_store_n(state, HELD, __ATOMIC_RELEASE);
	while (__atomic_load_n(&holding, __ATOMIC_ACQUIRE) == request)
		raw6(SYS_futex, (long)&holding, FUTEX_WAIT_PRIVATE, request, 0, 0, 0);
	return true;
}

bool mmio_hold_here(void)
{
	bool waited = wait_if_held();

	owed |= waited;
	return waited;
}

/*
 * A signal that somebody sent. True when it was one of these: the driver doesn't hear of it. One of the driver's that was
 * pending already leaves no room for ours: its thread waits all the same.
 */
bool mmio_held(const siginfo_t *info)
{
	bool ours = info->si_code == SI_QUEUE && info->si_ptr == others;
	/* Over RLIMIT_SIGPENDING, the kernel sends the signal without what it carries. */
	bool bare = info->si_signo == SIGBUS && info->si_code == SI_USER && !info->si_pid;
	bool expected = info->si_signo == SIGBUS && wait_if_held();

	if (ours || bare) {
		expected |= owed;
		owed = false;
	}
	return ours || (bare && expected);
}

static bool send(uint32_t tid)
{
	siginfo_t info;

	zero_bytes(&info, sizeof(info));
	info.si_signo = SIGBUS;
	info.si_code = SI_QUEUE;
	info.si_pid = raw_getpid();
	info.si_ptr = others;
	return !raw_failed(raw4(SYS_rt_tgsigqueueinfo, raw_getpid(), (long)tid, SIGBUS, (long)&info));
}

enum look { ALL_KNOWN, MORE, CANT };

/* Sends to every thread that was not sent to yet. */
static enum look signal_others(void)
{
	static char entries[4096] __attribute__((aligned(8))); /* not on the driver's signal stack */
	uint32_t self = (uint32_t)raw_gettid();
	int tasks = raw_openat(AT_FDCWD, "/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	enum look result = tasks < 0 ? CANT : ALL_KNOWN;
	long got;

	if (tasks < 0)
		return result;
	while ((got = raw3(SYS_getdents64, tasks, (long)entries, sizeof(entries))) > 0) {
		for (long at = 0; at < got;) {
			const struct directory_entry *entry = (const void *)(entries + at);
			uint32_t tid = number(entry->name);

			at += entry->length;
			if (!tid || tid == self || state_of(tid))
				continue;
			if (other_count == OTHERS_MAX) {
				result = CANT;
				break;
			}
			others[other_count].tid = tid;
			others[other_count].state = SENT;
			__atomic_store_n(&other_count, other_count + 1, __ATOMIC_RELEASE);
			if (!send(tid))
				others[other_count - 1].state = GONE;
			else if (result == ALL_KNOWN)
				result = MORE;
		}
	}
	raw_close(tasks);
	return result;
}

static bool awaited(void)
{
	for (uint32_t i = 0; i < other_count; i++)
		if (__atomic_load_n(&others[i].state, __ATOMIC_ACQUIRE) == SENT)
			return true;
	return false;
}

/* Ended, or a first thread that ended before the others: a zombie as long as they run. */
static bool has_ended(uint32_t tid)
{
	char path[] = "/proc/self/task/0000000000/stat", text[128];
	uint32_t at = sizeof("/proc/self/task/0000000000") - 1;
	long got;
	int file;

	for (uint32_t left = tid, i = 0; i < 10; i++, left /= 10)
		path[--at] = (char)('0' + left % 10);
	while (path[at] == '0') /* the kernel takes no leading zeros */
		copy_bytes(path + at, path + at + 1, sizeof(path) - at - 1);
	file = raw_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (file < 0)
		return file == -ENOENT;
	got = raw_read(file, text, sizeof(text));
	raw_close(file);
	if (got <= 0)
		return got == -ESRCH;
	while (got > 0 && text[got - 1] != ')')
		got--;
	return got > 0 && got + 1 < (long)sizeof(text) && (text[got + 1] == 'Z' || text[got + 1] == 'X');
}

static void cross_off_ended(void)
{
	for (uint32_t i = 0; i < other_count; i++)
		if (__atomic_load_n(&others[i].state, __ATOMIC_ACQUIRE) == SENT && has_ended(others[i].tid))
			others[i].state = GONE;
}

/*
 * Always comes back. A thread that didn't answer in a second is in the kernel, where it touches no page and from where
 * it comes back by way of the signal; or it blocks SIGBUS behind the shim's back. Then, and where there are no more
 * descriptors to find the threads with, an access of another thread may go unseen in that moment: it is counted as lost.
 */
void mmio_hold_others(void)
{
	static uint32_t request;
	enum look look;

	other_count = 0;
	holder_pid = (uint32_t)raw_getpid();
	request = request + 1 ? request + 1 : 1;
	__atomic_store_n(&holding, request, __ATOMIC_RELEASE);
	/* Until a look finds nobody new: a thread that is not held yet may be making others. */
	for (unsigned int looks = 0; looks < PATIENCE; looks++) {
		if (awaited()) {
			if (looks % LOOKS_PER_CHECK == LOOKS_PER_CHECK - 1)
				cross_off_ended();
			raw_nanosleep(50000);
			continue;
		}
		look = signal_others();
		if (look == ALL_KNOWN)
			return;
		if (look == CANT)
			break;
	}
	mmio_counters.unheld++;
	shim_count_loss(&shim_session.control->lost_other, 1);
}

void mmio_let_others_go(void)
{
	__atomic_store_n(&holding, 0, __ATOMIC_RELEASE);
	raw6(SYS_futex, (long)&holding, FUTEX_WAKE_PRIVATE, INT32_MAX, 0, 0, 0);
}
