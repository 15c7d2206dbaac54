// SPDX-License-Identifier: Apache-2.0
/*
 * The thread that stands for the kernel's side of eventfds. It is made by the clone system call and shares this thread's
 * thread-local storage, so it touches none: no errno, nothing of libc, only system calls. All its signals are blocked.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "internal.h"

#define STACK_BYTES 65536u
#define TOKENS_MAX 8192u
#define WATCHED_MAX 64u
#define RWF_NOWAIT_ 8

/*
 * Duplicates of eventfds, by their number: a forked child has them at the same numbers, and this table by copy. Only the
 * service thread changes it.
 */
struct token {
	uint64_t token;
	int32_t number; /* plus one; 0: free */
	uint32_t watched;
};

static struct token tokens[TOKENS_MAX];
static uint32_t tokens_used; /* no entry at or above it was ever used */
static int32_t connection;   /* plus one */
static uint32_t starting;

static struct token *find(uint64_t token)
{
	for (uint32_t i = 0; i < tokens_used; i++) {
		if (tokens[i].number && tokens[i].token == token)
			return &tokens[i];
	}
	return NULL;
}

static void answer(uint32_t type, uint64_t token, int64_t result, uint64_t value)
{
	struct vfiotape_sim_service message = { .type = type, .fd = -1, .token = token, .result = result, .value = value };
	struct iovec piece = { &message, sizeof(message) };

	sim_send(__atomic_load_n(&connection, __ATOMIC_ACQUIRE) - 1, &piece, 1);
}

static long take(uint64_t token, int fd)
{
	uint32_t slot = 0;
	long number;

	while (slot < tokens_used && tokens[slot].number)
		slot++;
	if (slot == TOKENS_MAX)
		return -ENOSPC;
	number = sim_hide(fd);
	if (number < 0)
		return number;
	tokens[slot] = (struct token){ token, (int32_t)number + 1, 0 };
	if (slot == tokens_used)
		__atomic_store_n(&tokens_used, slot + 1, __ATOMIC_RELEASE);
	return 0;
}

/* eventfd_signal never waits: a counter that is full stays full. */
static void signal_token(uint64_t number)
{
	struct token *token = find(number);
	uint64_t one = 1;
	struct pollfd ready = { .events = POLLOUT };
	struct timespec now = { 0, 0 };

	if (!token)
		return;
	ready.fd = token->number - 1;
	if (raw6(SYS_ppoll, (long)&ready, 1, (long)&now, 0, 8, 0) == 1)
		raw3(SYS_write, ready.fd, (long)&one, sizeof(one));
}

static void set_watched(uint64_t number, uint32_t watched)
{
	struct token *token = find(number);

	if (token)
		token->watched = watched;
}

static void release(uint64_t number)
{
	struct token *token = find(number);

	if (!token)
		return;
	sim_unhide(token->number - 1);
	token->number = 0;
}

static void obey(const struct vfiotape_sim_service *message)
{
	switch ((enum vfiotape_sim_service_type)message->type) {
	case VFIOTAPE_SIM_TAKE:
		answer(VFIOTAPE_SIM_TAKEN, message->token, take(message->token, message->fd), 0);
		break;
	case VFIOTAPE_SIM_SIGNAL:
		signal_token(message->token);
		answer(VFIOTAPE_SIM_HEARD, message->token, 0, 0);
		break;
	case VFIOTAPE_SIM_SIGNAL_NOW:
		signal_token(message->token);
		answer(VFIOTAPE_SIM_SIGNALLED, message->token, 0, 0);
		break;
	case VFIOTAPE_SIM_WATCH:
		set_watched(message->token, 1);
		break;
	case VFIOTAPE_SIM_UNWATCH:
		set_watched(message->token, 0);
		break;
	case VFIOTAPE_SIM_RELEASE:
		release(message->token);
		break;
	default:
		break;
	}
}

/* The driver, or another of its threads, may have read it since: the read doesn't wait. */
static void fire(struct token *token)
{
	uint64_t value = 0;
	struct iovec piece = { &value, sizeof(value) };
	long got = raw6(SYS_preadv2, token->number - 1, (long)&piece, 1, -1, -1, RWF_NOWAIT_);

	if (got == -EOPNOTSUPP) /* before Linux 5.11 */
		got = raw_read(token->number - 1, &value, sizeof(value));
	if (got == sizeof(value))
		answer(VFIOTAPE_SIM_FIRED, token->token, 0, value);
}

static void serve(void)
{
	struct pollfd fds[1 + WATCHED_MAX];
	struct token *watched[WATCHED_MAX];

	for (;;) {
		int fd = __atomic_load_n(&connection, __ATOMIC_ACQUIRE) - 1;
		struct vfiotape_sim_service message;
		uint32_t count = 0;
		long ready;

		fds[0] = (struct pollfd){ .fd = fd, .events = POLLIN };
		for (uint32_t i = 0; i < tokens_used && count < WATCHED_MAX; i++) {
			if (!tokens[i].number || !tokens[i].watched)
				continue;
			watched[count] = &tokens[i];
			fds[++count] = (struct pollfd){ .fd = tokens[i].number - 1, .events = POLLIN };
		}
		ready = raw6(SYS_ppoll, (long)fds, 1 + count, 0, 0, 8, 0);
		if (ready < 0 && ready != -EINTR)
			return;
		for (uint32_t i = 0; i < count; i++) {
			if (ready > 0 && fds[1 + i].revents & POLLIN)
				fire(watched[i]);
		}
		if (ready <= 0 || !fds[0].revents)
			continue;
		if (sim_receive(__atomic_load_n(&connection, __ATOMIC_ACQUIRE) - 1, &message, sizeof(message)))
			return;
		obey(&message);
	}
}

__attribute__((used, noreturn)) void sim_service_main(void);
void sim_service_main(void)
{
	raw3(SYS_prctl, 15 /* PR_SET_NAME */, (long)"vfiotape", 0);
	serve();
	/* Who waits for an interrupt finds out that the device is gone. */
	for (uint32_t i = 0; i < tokens_used; i++) {
		if (tokens[i].number)
			signal_token(tokens[i].token);
	}
	sim_lost();
	for (;;)
		raw3(SYS_exit, 0, 0, 0);
}

/* rdi: flags, rsi: the top of the stack. A child of this system call returns to no frame of its parent's. */
long sim_service_clone(uint64_t flags, void *stack);
__asm__(".pushsection .text\n"
	".globl sim_service_clone\n"
	".hidden sim_service_clone\n"
	".type sim_service_clone, @function\n"
	"sim_service_clone:\n"
	"	movl $56, %eax\n" /* SYS_clone */
	"	xorl %edx, %edx\n"
	"	xorl %r10d, %r10d\n"
	"	xorl %r8d, %r8d\n"
	"	syscall\n"
	"	testq %rax, %rax\n"
	"	jz 1f\n"
	"	ret\n"
	"1:	xorl %ebp, %ebp\n"
	"	call sim_service_main\n"
	"	hlt\n"
	".size sim_service_clone, . - sim_service_clone\n"
	".popsection\n");

/* CLONE_FS is left out: unshare(CLONE_NEWNS) and its like work for the driver as without it. */
static bool start_thread(void)
{
	char *stack = raw_mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);

	if (raw_failed((long)stack))
		return false;
	if (!raw_failed(sim_service_clone(CLONE_VM | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM,
					  stack + STACK_BYTES)))
		return true;
	raw_munmap(stack, STACK_BYTES);
	return false;
}

static long start(void)
{
	struct vfiotape_sim_request hello = { .type = VFIOTAPE_SIM_SERVICE, .a = (uint64_t)raw_getppid() };
	struct vfiotape_sim_reply reply;
	long low = sim_connect(SOCK_CLOEXEC), fd;

	if (low < 0)
		return low;
	fd = sim_introduce((int)low, &hello, NULL, &reply) ? -EIO : sim_hide((int)low);
	raw_close((int)low);
	if (fd < 0)
		return fd;
	__atomic_store_n(&connection, (int32_t)fd + 1, __ATOMIC_RELEASE);
	if (start_thread())
		return 0;
	__atomic_store_n(&connection, 0, __ATOMIC_RELEASE);
	sim_unhide((int)fd);
	return -EAGAIN;
}

long sim_service_start(void)
{
	uint64_t mask;
	long result = 0;

	/* A child that shares our memory can't have a thread in it. */
	if (__atomic_load_n(&connection, __ATOMIC_ACQUIRE) || !objects_are_ours())
		return 0;
	mask = sim_block_signals();
	while (__atomic_exchange_n(&starting, 1, __ATOMIC_ACQUIRE))
		raw_nanosleep(50000);
	if (!connection)
		result = start();
	__atomic_store_n(&starting, 0, __ATOMIC_RELEASE);
	sim_restore_signals(mask);
	return result;
}

void sim_service_drop(void)
{
	if (connection)
		sim_unhide(connection - 1);
	connection = 0;
	starting = 0;
}

bool sim_service_has_tokens(void)
{
	for (uint32_t i = 0; i < tokens_used; i++) {
		if (tokens[i].number)
			return true;
	}
	return false;
}

void sim_service_move_away(int fd)
{
	long moved;

	if (connection == fd + 1) {
		moved = sim_hide(fd);
		__atomic_store_n(&connection, moved < 0 ? 0 : (int32_t)moved + 1, __ATOMIC_RELEASE);
		return;
	}
	for (uint32_t i = 0; i < tokens_used; i++) {
		if (tokens[i].number != fd + 1)
			continue;
		moved = sim_hide(fd);
		tokens[i].number = moved < 0 ? 0 : (int32_t)moved + 1;
		return;
	}
}
