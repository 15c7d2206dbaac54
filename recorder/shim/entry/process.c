// SPDX-License-Identifier: Apache-2.0
/* How processes come and go: fork, vfork, clone, posix_spawn, exec, exit. */
#include <alloca.h>
#include <sched.h>
#include <stdarg.h>
#include <string.h>

#include "../core/environment.h"
#include "../core/fault_safe.h"
#include "../core/process_info.h"
#include "calls.h"

#define STACK_ROOM 32768u /* an environment that needs more is built in a mapping */

/* --- fork --------------------------------------------------------------------------------------------------------- */

void record_fork(uint64_t entered, int op, pid_t child, struct call_origin how)
{
	struct ring_thread *ring = shim_process.announced ? ring_enter() : NULL;

	if (!ring)
		return;
	ring_write(ring, &(struct ring_event){
				 .entered = entered,
				 .left = shim_clock(),
				 .site = how.site,
				 .result = (uint64_t)(int64_t)child,
				 .op = (uint32_t)op,
				 .fd = -1,
				 .error = child < 0 ? errno : 0,
				 .kind = VFIOTAPE_FORK,
				 .flags = how.flags,
			 });
}

/*
 * In the child, which finds its state wiped. It takes a ring when it has something to record; but what it holds open is
 * told at once, lest an idle child's descriptors be taken for ones that were never seen.
 */
static void forked(pid_t child, uint64_t entered, struct call_origin how)
{
	if (simulating()) {
		if (child)
			sim_forked(child);
		else
			sim_in_child();
	}
	if (child != 0)
		record_fork(entered, VFIOTAPE_FORK_FORK, child, how);
	else if (objects_any)
		ring_attach_process();
}

pid_t recorded_fork(struct call_origin how)
{
	uint64_t entered = shim_clock();
	pid_t child;

	if (watcher_watching())
		mmio_before_fork();
	child = REAL(fork)();
	if (watcher_watching())
		mmio_after_fork(child == 0);
	forked(child, entered, how);
	return child;
}

EXPORT pid_t fork(void)
{
	return recorded_fork(ORIGIN);
}

/* May be called in a signal handler: the watcher is not asked to come to rest, its child mends itself. */
EXPORT pid_t _Fork(void)
{
	uint64_t entered = shim_clock();
	pid_t child = REAL_IF_ANY(_Fork) ? REAL_IF_ANY(_Fork)() : REAL(fork)();

	forked(child, entered, ORIGIN);
	return child;
}

EXPORT pid_t __fork(void) __attribute__((alias("fork")));

/*
 * vfork returns twice on one stack: the child's calls overwrite what is below its caller's frame, the return address
 * of a wrapper written in C with it. So it is kept in a register over the system call, which preserves rdi.
 */
static __thread uint64_t vfork_entered __attribute__((tls_model("initial-exec")));

void shim_vfork_begin(void);
long shim_vfork_end(long result, uint64_t site);

/*
 * A child is about to share our memory. If this process has not attached yet, the child's calls would attach it, under
 * the child's pid.
 */
void shared_memory_begins(void)
{
	ring_attach_process();
	__atomic_fetch_add(&shim_session.memory_sharers, 1, __ATOMIC_SEQ_CST);
}

__attribute__((used)) void shim_vfork_begin(void)
{
	shared_memory_begins();
	vfork_entered = shim_clock();
}

__attribute__((used)) long shim_vfork_end(long result, uint64_t site)
{
	/* The child has let go of our memory: it has exited or become another image. */
	__atomic_fetch_sub(&shim_session.memory_sharers, 1, __ATOMIC_SEQ_CST);
	result = LIBC_RESULT(result);
	record_fork(vfork_entered, VFIOTAPE_FORK_VFORK, (pid_t)result, (struct call_origin){ .site = site });
	return result;
}

__asm__(".text\n"
	".globl vfork\n"
	".globl __vfork\n"
	".type vfork, @function\n"
	".type __vfork, @function\n"
	".balign 16\n"
	"vfork:\n"
	"__vfork:\n"
	"	endbr64\n"
	"	subq $8, %rsp\n"
	"	call shim_vfork_begin\n"
	"	addq $8, %rsp\n"
	"	popq %rdi\n"
	"	movl $58, %eax\n" /* SYS_vfork */
	"	syscall\n"
	"	pushq %rdi\n"
	"	testq %rax, %rax\n"
	"	jz 1f\n"
	"	movq %rdi, %rsi\n"
	"	movq %rax, %rdi\n"
	"	subq $8, %rsp\n"
	"	call shim_vfork_end\n"
	"	addq $8, %rsp\n"
	"1:	ret\n"
	".size vfork, . - vfork\n"
	".size __vfork, . - __vfork\n");

EXPORT int clone(int (*function)(void *), void *stack, int flags, void *argument, ...)
{
	bool shares = (flags & CLONE_VM) && !(flags & CLONE_THREAD);
	uint64_t entered = shim_clock();
	pid_t *parent_tid, *child_tid;
	va_list list;
	void *tls;
	int child;

	va_start(list, argument);
	parent_tid = va_arg(list, pid_t *);
	tls = va_arg(list, void *);
	child_tid = va_arg(list, pid_t *);
	va_end(list);
	ring_child_begins((unsigned int)flags);
	if (shares)
		shared_memory_begins();
	child = REAL(clone)(function, stack, flags, argument, parent_tid, tls, child_tid);
	/* A child that doesn't hold us up may share our memory for as long as it lives. */
	if (shares && (child < 0 || flags & CLONE_VFORK))
		__atomic_fetch_sub(&shim_session.memory_sharers, 1, __ATOMIC_SEQ_CST);
	if (!(flags & CLONE_THREAD))
		record_fork(entered, VFIOTAPE_FORK_CLONE, child, ORIGIN);
	return child;
}

EXPORT int __clone(int (*function)(void *), void *stack, int flags, void *argument, ...)
	__attribute__((alias("clone")));

/* --- exec --------------------------------------------------------------------------------------------------------- */

/*
 * The environment that goes on: with our variables, where the driver took them out. On the caller's stack when it fits,
 * since exec must be possible where allocation isn't (a vfork child).
 */
#define AMENDED(environment)                                                                                           \
	({                                                                                                             \
		size_t room_ = shim_session.mode == SHIM_RECORDING || simulating() ? environment_room(environment) : 0;                \
		void *memory_ = NULL;                                                                                  \
		if (room_ && room_ <= STACK_ROOM)                                                                      \
			memory_ = alloca(room_);                                                                       \
		else if (room_)                                                                                        \
			memory_ = raw_mmap(NULL, room_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);   \
		memory_ && !raw_failed((long)memory_) ? environment_amended(environment, memory_) :                    \
							(char **)(environment);                                        \
	})

/* A forked child that has not been heard of leaves its table for the image to come. */
static void prepare_exec(void)
{
	if (objects_any)
		ring_attach_process();
}

static void record_exec(const char *path, uint64_t entered, int error, struct call_origin how)
{
	char copy[1024];
	struct ring_segment segment = { .role = VFIOTAPE_ROLE_PATH, .address = (uint64_t)path, .bytes = copy };
	struct ring_event event = {
		.entered = entered,
		.left = error ? shim_clock() : 0,
		.site = how.site,
		.result = error ? (uint64_t)-1 : 0,
		.fd = -1,
		.error = error,
		.kind = VFIOTAPE_EXEC,
		.flags = how.flags,
	};
	struct ring_thread *ring;

	/* The children of a shell, which never had anything to do with a device, are not made to take a ring. */
	if (!shim_process.announced && !objects_any)
		return;
	ring = ring_enter();
	if (!ring)
		return;
	segment.length = (uint32_t)fault_safe_string(copy, (uint64_t)path, sizeof(copy));
	ring_write_with(ring, &event, &segment, 1);
}

/* `call` is told the environment as `amended`. */
#define EXEC(path, environment, how, call)                                                                             \
	do {                                                                                                           \
		char **amended = AMENDED(environment);                                                                 \
		uint64_t entered_ = shim_clock();                                                                      \
		int outcome_, error_;                                                                                  \
                                                                                                                       \
		prepare_exec();                                                                                        \
		record_exec(path, entered_, 0, how);                                                                   \
		outcome_ = (call);                                                                                     \
		error_ = errno;                                                                                        \
		record_exec(path, entered_, error_, how);                                                              \
		return outcome_;                                                                                       \
	} while (0)

int any_execve(const char *path, char *const argv[], char *const environment[], struct call_origin how)
{
	EXEC(path, environment, how, PERFORM(how, execve, SYS_execve, path, argv, amended));
}

EXPORT int execve(const char *path, char *const argv[], char *const environment[])
{
	return any_execve(path, argv, environment, ORIGIN);
}

EXPORT int execv(const char *path, char *const argv[])
{
	return any_execve(path, argv, environ, ORIGIN);
}

EXPORT int execvpe(const char *file, char *const argv[], char *const environment[])
{
	EXEC(file, environment, ORIGIN, REAL(execvpe)(file, argv, amended));
}

EXPORT int execvp(const char *file, char *const argv[])
{
	EXEC(file, environ, ORIGIN, REAL(execvpe)(file, argv, amended));
}

EXPORT int fexecve(int fd, char *const argv[], char *const environment[])
{
	EXEC("fexecve", environment, ORIGIN, REAL(fexecve)(fd, argv, amended));
}

int any_execveat(int directory, const char *path, char *const argv[], char *const environment[], int flags,
		 struct call_origin how)
{
	EXEC(path, environment, how,
	     (int)LIBC_RESULT(raw6(SYS_execveat, directory, (long)path, (long)argv, (long)amended, flags, 0)));
}

int execveat(int directory, const char *path, char *const argv[], char *const environment[], int flags);

EXPORT int execveat(int directory, const char *path, char *const argv[], char *const environment[], int flags)
{
	return any_execveat(directory, path, argv, environment, flags, ORIGIN);
}

/* The arguments after `first`, as an array; `list` is left behind the terminating NULL. */
#define ARGUMENTS(first, list)                                                                                         \
	({                                                                                                             \
		va_list count_;                                                                                        \
		size_t number_ = 1;                                                                                    \
		char **array_;                                                                                         \
		va_copy(count_, list);                                                                                 \
		while (va_arg(count_, char *))                                                                         \
			number_++;                                                                                     \
		va_end(count_);                                                                                        \
		array_ = alloca((number_ + 1) * sizeof(char *));                                                       \
		array_[0] = (char *)(first);                                                                           \
		for (size_t i_ = 1; i_ <= number_; i_++)                                                               \
			array_[i_] = va_arg(list, char *);                                                             \
		array_;                                                                                                \
	})

EXPORT int execl(const char *path, const char *first, ...)
{
	va_list list;
	char **argv;

	va_start(list, first);
	argv = ARGUMENTS(first, list);
	va_end(list);
	return any_execve(path, argv, environ, ORIGIN);
}

EXPORT int execle(const char *path, const char *first, ...)
{
	char *const *environment;
	va_list list;
	char **argv;

	va_start(list, first);
	argv = ARGUMENTS(first, list);
	environment = va_arg(list, char *const *);
	va_end(list);
	return any_execve(path, argv, environment, ORIGIN);
}

EXPORT int execlp(const char *file, const char *first, ...)
{
	va_list list;
	char **argv;

	va_start(list, first);
	argv = ARGUMENTS(first, list);
	va_end(list);
	EXEC(file, environ, ORIGIN, REAL(execvpe)(file, argv, amended));
}

#define SPAWN(call)                                                                                                    \
	do {                                                                                                           \
		char **amended = AMENDED(environment);                                                                 \
		uint64_t entered_ = shim_clock();                                                                      \
		pid_t child_ = -1;                                                                                     \
		int saved_ = errno, error_;                                                                            \
                                                                                                                       \
		prepare_exec();                                                                                        \
		errno = saved_;                                                                                        \
		error_ = (call);                                                                                       \
		saved_ = errno; /* libc leaves what its child tried there, whatever it returns */                      \
		if (!error_ && pid)                                                                                    \
			*pid = child_;                                                                                 \
		errno = error_; /* where record_fork looks; the function itself returns it */                          \
		record_fork(entered_, VFIOTAPE_FORK_SPAWN, error_ ? -1 : child_, ORIGIN);                              \
		errno = saved_;                                                                                        \
		return error_;                                                                                         \
	} while (0)

EXPORT int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
		       const posix_spawnattr_t *attributes, char *const argv[], char *const environment[])
{
	SPAWN(REAL(posix_spawn)(&child_, path, actions, attributes, argv, amended));
}

EXPORT int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
			const posix_spawnattr_t *attributes, char *const argv[], char *const environment[])
{
	SPAWN(REAL(posix_spawnp)(&child_, file, actions, attributes, argv, amended));
}

/* --- exit --------------------------------------------------------------------------------------------------------- */

void record_exit(int status, struct call_origin how)
{
	static uint32_t told;

	/* exit runs our handler and then _exit; a child that shares our memory says nothing for us. */
	if (shim_session.mode != SHIM_RECORDING || !shim_process.announced || !objects_are_ours() ||
	    __atomic_exchange_n(&told, shim_process.pid, __ATOMIC_RELAXED) == shim_process.pid)
		return;
	dma_at(DMA_CALL);
	process_info_exit(status & 0xff, how.site);
}

EXPORT void _exit(int status)
{
	record_exit(status, ORIGIN);
	REAL(_exit)(status);
	__builtin_unreachable();
}

EXPORT void _Exit(int status) __attribute__((alias("_exit")));

/* exit, and the return of main: registered by the first constructor, so called last, after the driver's own handlers. */
static void at_exit(int status, void *unused)
{
	(void)unused;
	record_exit(status, (struct call_origin){ .site = 0 });
}

static int quick_status;

static void at_quick(void)
{
	record_exit(quick_status, (struct call_origin){ .site = 0 });
}

EXPORT void quick_exit(int status)
{
	quick_status = status;
	REAL(quick_exit)(status);
	__builtin_unreachable();
}

__attribute__((constructor(103))) static void register_exits(void)
{
	if (shim_session.mode != SHIM_RECORDING)
		return;
	on_exit(at_exit, NULL);
	at_quick_exit(at_quick);
}
