// SPDX-License-Identifier: Apache-2.0
/*
 * Signal dispositions and masks, as far as the MMIO watcher shares signals with the driver: the driver keeps its own
 * view of SIGSEGV, SIGBUS and SIGTRAP, while they stay deliverable. Nothing of it is recorded, and while nothing is watched
 * every call is libc's. A signal that ends the process needs nothing from here: the collector learns it as the parent.
 */
#include <signal.h>
#include <string.h>

#include "../core/fault_safe.h"
#include "calls.h"

#define SHARED(number) unlikely(watcher_watching() && mmio_owns_signal(number))

static int shared_sigaction(int number, const struct sigaction *act, struct sigaction *old)
{
	struct mmio_kernel_sigaction wanted = { 0 }, former = { 0 };
	long result;

	if (act) {
		wanted.handler = (uint64_t)act->sa_handler;
		wanted.flags = (uint64_t)(unsigned int)act->sa_flags;
		memcpy(&wanted.mask, &act->sa_mask, sizeof(wanted.mask));
	}
	result = mmio_sigaction(number, act ? &wanted : NULL, &former);
	if (result == 0 && old) {
		memset(old, 0, sizeof(*old));
		old->sa_handler = (__sighandler_t)former.handler;
		old->sa_flags = (int)former.flags;
		memcpy(&old->sa_mask, &former.mask, sizeof(former.mask));
	}
	return (int)LIBC_RESULT(result);
}

/*
 * The handler of another signal may touch a BAR: the watcher's signals stay deliverable while it runs. What was left out
 * of its mask is told to who asks for it.
 */
static uint64_t left_out[_NSIG];

static int amended_sigaction(int number, const struct sigaction *act, struct sigaction *old)
{
	uint64_t before = number > 0 && number < _NSIG ? left_out[number] : 0, mask = 0;
	struct sigaction amended;
	int result;

	if (act) {
		amended = *act;
		memcpy(&mask, &amended.sa_mask, sizeof(mask));
		*(uint64_t *)&amended.sa_mask = mmio_mask(mask);
	}
	result = REAL(sigaction)(number, act ? &amended : NULL, old);
	if (result == 0 && old)
		*(uint64_t *)&old->sa_mask |= before;
	if (result == 0 && act)
		left_out[number] = mask & ~mmio_mask(mask);
	return result;
}

EXPORT int sigaction(int number, const struct sigaction *act, struct sigaction *old)
{
	if (SHARED(number))
		return shared_sigaction(number, act, old);
	if (watcher_watching())
		return amended_sigaction(number, act, old);
	return REAL(sigaction)(number, act, old);
}

EXPORT int __sigaction(int number, const struct sigaction *act, struct sigaction *old)
	__attribute__((alias("sigaction")));

static __sighandler_t shared_signal(int number, __sighandler_t handler, int flags)
{
	struct sigaction act = { .sa_flags = flags }, old;

	act.sa_handler = handler;
	if (!(flags & SA_NODEFER))
		sigaddset(&act.sa_mask, number);
	return shared_sigaction(number, &act, &old) < 0 ? SIG_ERR : old.sa_handler;
}

EXPORT __sighandler_t signal(int number, __sighandler_t handler)
{
	if (SHARED(number))
		return shared_signal(number, handler, SA_RESTART);
	return REAL(signal)(number, handler);
}

EXPORT __sighandler_t bsd_signal(int number, __sighandler_t handler) __attribute__((alias("signal")));
EXPORT __sighandler_t ssignal(int number, __sighandler_t handler) __attribute__((alias("signal")));

EXPORT __sighandler_t __sysv_signal(int number, __sighandler_t handler)
{
	if (SHARED(number))
		return shared_signal(number, handler, (int)(SA_RESETHAND | SA_NODEFER | SA_INTERRUPT));
	return REAL(__sysv_signal)(number, handler);
}

EXPORT __sighandler_t sysv_signal(int number, __sighandler_t handler) __attribute__((alias("__sysv_signal")));

/* --- masks: the kernel's are one word --- */

static long shared_mask(int how, const sigset_t *set, sigset_t *old)
{
	uint64_t wanted = 0, former = 0;
	long result;

	if (set)
		memcpy(&wanted, set, sizeof(wanted));
	/* The two signals that glibc needs for itself (cancellation, setuid) can't be blocked through its functions. */
	wanted &= ~(3ull << 31);
	result = mmio_sigprocmask(how, set ? &wanted : NULL, &former);
	if (result == 0 && old) {
		memset(old, 0, sizeof(*old));
		memcpy(old, &former, sizeof(former));
	}
	return result;
}

EXPORT int sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
	if (watcher_watching())
		return (int)LIBC_RESULT(shared_mask(how, set, old));
	return REAL(sigprocmask)(how, set, old);
}

EXPORT int pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	if (watcher_watching())
		return (int)-shared_mask(how, set, old);
	return REAL(pthread_sigmask)(how, set, old);
}

EXPORT int sigsuspend(const sigset_t *mask)
{
	sigset_t room;

	return REAL(sigsuspend)(unshared_mask(mask, &room));
}

/* --- by syscall(2): pointers may be anything, so the kernel is asked with them first --- */

static long raw_sigaction(int number, uint64_t act, uint64_t old)
{
	struct mmio_kernel_sigaction wanted, former;
	long result;

	if (act && fault_safe_copy(&wanted, act, sizeof(wanted)) != sizeof(wanted))
		return -EFAULT;
	result = raw4(SYS_rt_sigaction, number, 0, (long)old, 8);
	if (raw_failed(result))
		return result;
	result = mmio_sigaction(number, act ? &wanted : NULL, &former);
	if (result == 0 && old)
		memcpy((void *)old, &former, sizeof(former));
	return result;
}

static long raw_sigprocmask(int how, uint64_t set, uint64_t old)
{
	uint64_t wanted = 0, former = 0;
	long result;

	if (set && fault_safe_copy(&wanted, set, sizeof(wanted)) != sizeof(wanted))
		return -EFAULT;
	result = raw4(SYS_rt_sigprocmask, SIG_BLOCK, 0, (long)old, 8);
	if (raw_failed(result))
		return result;
	result = mmio_sigprocmask(how, set ? &wanted : NULL, &former);
	if (result == 0 && old)
		memcpy((void *)old, &former, sizeof(former));
	return result;
}

long shared_signal_call(long number, long a, long b, long c, long d)
{
	uint64_t mask;

	struct mmio_kernel_sigaction act;

	if (!watcher_watching() || (number == SYS_rt_sigsuspend ? b : d) != 8)
		return LIBC_RESULT(raw4(number, a, b, c, d));
	if (number == SYS_rt_sigaction && !mmio_owns_signal((int)a)) {
		if (b && fault_safe_copy(&act, (uint64_t)b, sizeof(act)) == sizeof(act)) {
			act.mask = mmio_mask(act.mask);
			b = (long)&act;
		}
		return LIBC_RESULT(raw4(number, a, b, c, d));
	}
	if (number == SYS_rt_sigaction)
		return LIBC_RESULT(raw_sigaction((int)a, (uint64_t)b, (uint64_t)c));
	if (number == SYS_rt_sigprocmask)
		return LIBC_RESULT(raw_sigprocmask((int)a, (uint64_t)b, (uint64_t)c));
	if (fault_safe_copy(&mask, (uint64_t)a, sizeof(mask)) != sizeof(mask))
		return LIBC_RESULT(raw4(number, a, b, c, d));
	mask = mmio_mask(mask);
	return LIBC_RESULT(raw4(number, (long)&mask, 8, 0, 0));
}
