// SPDX-License-Identifier: Apache-2.0
/*
 * SIGSEGV, SIGBUS and SIGTRAP are the watcher's; what the driver does with them is kept here and played to it. Where it
 * blocks them, they stay unblocked for the kernel: a fault of the watcher's would kill it otherwise (force_sig_info
 * kills a thread that blocks a synchronous signal).
 */
#include <errno.h>

#include "../dma/dma.h"
#include "internal.h"

#ifndef SA_RESTORER
#define SA_RESTORER 0x04000000
#endif

static struct mmio_kernel_sigaction actions[3]; /* the driver's */
static uint32_t actions_version;                /* odd while one is being changed */
static __thread uint64_t blocked __attribute__((tls_model("initial-exec"))); /* of the owned ones, as the driver sees it */
static __thread uint64_t pending __attribute__((tls_model("initial-exec")));

__asm__(".pushsection .text\n"
	".globl mmio_restorer\n"
	".hidden mmio_restorer\n"
	"mmio_restorer:\n"
	"	movl $15, %eax\n" /* rt_sigreturn */
	"	syscall\n"
	".popsection\n");
extern const uint8_t mmio_restorer[];

static unsigned int index_of(int signal)
{
	return signal == SIGSEGV ? 0 : signal == SIGBUS ? 1 : 2;
}

bool mmio_owns_signal(int signal)
{
	return mmio_watching() && (signal == SIGSEGV || signal == SIGBUS || signal == SIGTRAP);
}

static long kernel_action(int signal, const struct mmio_kernel_sigaction *act, struct mmio_kernel_sigaction *old)
{
	return raw4(SYS_rt_sigaction, signal, (long)act, (long)old, 8);
}

/* A system call that the driver's handler would not restart isn't; nor is there one that a hold (hold.c) ends for good. */
static uint64_t restarts(const struct mmio_kernel_sigaction *action)
{
	return action->handler > (uint64_t)SIG_IGN ? action->flags & SA_RESTART : SA_RESTART;
}

static long take(int signal)
{
	struct mmio_kernel_sigaction ours = {
		.handler = (uint64_t)mmio_on_signal,
		.flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTORER | restarts(&actions[index_of(signal)]),
		.restorer = (uint64_t)mmio_restorer,
		.mask = SIGNALS_THAT_WAIT,
	};

	return kernel_action(signal, &ours, NULL);
}

bool mmio_signals_start(void)
{
	static const int owned[] = { SIGSEGV, SIGBUS, SIGTRAP };
	uint64_t unblock = OWNED_SIGNALS, old = 0;

	for (unsigned int i = 0; i < 3; i++)
		if (raw_failed(kernel_action(owned[i], NULL, &actions[index_of(owned[i])])) ||
		    raw_failed(take(owned[i])))
			return false;
	raw4(SYS_rt_sigprocmask, SIG_UNBLOCK, (long)&unblock, (long)&old, 8);
	blocked = old & OWNED_SIGNALS;
	return true;
}

/*
 * A child by vfork shares this table, but not the kernel's: what it sets is for itself alone, usually before it execs.
 */
static bool is_memory_sharer(void)
{
	return shim_session.memory_sharers && shim_process.pid && (uint32_t)raw_getpid() != shim_process.pid;
}

static struct mmio_kernel_sigaction driver_action(int signal)
{
	struct mmio_kernel_sigaction action;
	uint32_t version;

	do {
		version = __atomic_load_n(&actions_version, __ATOMIC_ACQUIRE);
		action = actions[index_of(signal)];
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
	} while (version & 1 || version != __atomic_load_n(&actions_version, __ATOMIC_ACQUIRE));
	return action;
}

static void set_driver_action(int signal, const struct mmio_kernel_sigaction *action)
{
	bool changed;

	mmio_lock();
	__atomic_fetch_add(&actions_version, 1, __ATOMIC_ACQ_REL);
	changed = restarts(&actions[index_of(signal)]) != restarts(action);
	actions[index_of(signal)] = *action;
	__atomic_fetch_add(&actions_version, 1, __ATOMIC_ACQ_REL);
	if (changed)
		take(signal);
	mmio_unlock();
}

long mmio_sigaction(int signal, const struct mmio_kernel_sigaction *act, struct mmio_kernel_sigaction *old)
{
	struct mmio_kernel_sigaction before = driver_action(signal);

	if (act && is_memory_sharer()) {
		long result = kernel_action(signal, act, NULL);

		if (raw_failed(result))
			return result;
	} else if (act) {
		struct mmio_kernel_sigaction wanted = *act;

		wanted.mask &= ~(SIGNAL_BIT(SIGKILL) | SIGNAL_BIT(SIGSTOP));
		set_driver_action(signal, &wanted);
	}
	if (old)
		*old = before;
	return 0;
}

uint64_t mmio_mask(uint64_t set)
{
	return mmio_watching() ? set & ~OWNED_SIGNALS : set;
}

void mmio_send_pending(void)
{
	uint64_t now = pending & ~blocked;

	pending &= blocked;
	for (int signal = 1; now; signal++, now >>= 1)
		if (now & 1)
			raw3(SYS_tgkill, raw_getpid(), raw_gettid(), signal);
}

long mmio_sigprocmask(int how, const uint64_t *set, uint64_t *old)
{
	uint64_t kernel_old = 0, before = blocked, asked = set ? *set : 0, kernel_set = mmio_mask(asked);
	long result = raw4(SYS_rt_sigprocmask, how, (long)(set ? &kernel_set : NULL), (long)&kernel_old, 8);

	if (raw_failed(result))
		return result;
	if (set && mmio_watching()) {
		if (how == SIG_BLOCK)
			blocked |= asked & OWNED_SIGNALS;
		else if (how == SIG_UNBLOCK)
			blocked &= ~asked;
		else
			blocked = asked & OWNED_SIGNALS;
		mmio_send_pending();
	}
	if (old)
		*old = kernel_old | before;
	return 0;
}

/* --- delivery ----------------------------------------------------------------------------------------------------------- */

static void record_death(int signal, const siginfo_t *info, const ucontext_t *context)
{
	struct ring_thread *ring = ring_enter();
	struct ring_event event = {
		.entered = shim_clock(),
		.site = (uint64_t)context->uc_mcontext.gregs[REG_RIP],
		.offset = info->si_code > 0 ? (uint64_t)info->si_addr : 0,
		.value = (uint64_t)(int64_t)info->si_code,
		.op = (uint32_t)signal,
		.fd = -1,
		.kind = VFIOTAPE_SIGNAL,
	};

	if (ring)
		ring_write(ring, &event);
}

/*
 * As it would have died: by this signal, with this siginfo, at this instruction. The signal is queued and comes when the
 * handler returns to the driver's context, before its next instruction.
 */
static void die(int signal, siginfo_t *info, ucontext_t *context)
{
	struct mmio_kernel_sigaction fallback = { .flags = SA_RESTORER, .restorer = (uint64_t)mmio_restorer };

	record_death(signal, info, context);
	kernel_action(signal, &fallback, NULL);
	sigdelset(&context->uc_sigmask, signal);
	if (raw_failed(raw4(SYS_rt_tgsigqueueinfo, raw_getpid(), raw_gettid(), signal, (long)info)))
		raw3(SYS_tgkill, raw_getpid(), raw_gettid(), signal);
}

static uint64_t *mask_of(ucontext_t *context)
{
	return (uint64_t *)&context->uc_sigmask; /* the kernel's 64 bits; libc's type is longer */
}

static void call(const struct mmio_kernel_sigaction *action, int signal, siginfo_t *info, ucontext_t *context)
{
	uint64_t during = (*mask_of(context) | action->mask) & ~OWNED_SIGNALS;

	/*
	 * The signal itself is not put into `blocked` while its handler runs: a handler that leaves by siglongjmp has its
	 * mask restored inside libc, which doesn't come past us.
	 */
	*mask_of(context) |= blocked;
	raw4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&during, 0, 8);
	((void (*)(int, siginfo_t *, void *))action->handler)(signal, info, context);
	blocked = *mask_of(context) & OWNED_SIGNALS;
	*mask_of(context) &= ~OWNED_SIGNALS;
}

void mmio_deliver(int signal, siginfo_t *info, ucontext_t *context)
{
	struct mmio_kernel_sigaction action = driver_action(signal);
	bool sent = info->si_code <= 0;

	mmio_counters.delivered++;
	/* A handler of the driver's may touch a BAR: not while this thread is in the middle of a change, or of a step. */
	if (sent && (blocked & SIGNAL_BIT(signal) || mmio_lock_is_mine() || mmio_step_under_way() ||
		     mmio_simulated_under_way() || dma_entered())) {
		pending |= SIGNAL_BIT(signal);
		return;
	}
	if (sent && action.handler == (uint64_t)SIG_IGN)
		return;
	/* The kernel kills a thread that ignores or blocks its own fault. */
	if (action.handler <= (uint64_t)SIG_IGN || blocked & SIGNAL_BIT(signal)) {
		die(signal, info, context);
		return;
	}
	if (action.flags & SA_RESETHAND) {
		struct mmio_kernel_sigaction fallback = { 0 };

		set_driver_action(signal, &fallback);
	}
	call(&action, signal, info, context);
}
