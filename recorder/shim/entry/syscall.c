// SPDX-License-Identifier: Apache-2.0
/*
 * syscall(2): the numbers that we know take the same way as their entry points, marked RAW (libblkio makes an eventfd so).
 * All others reach libc's function untouched, by a jump: it may be one that returns on another stack.
 */
#include <sched.h>

#include "../core/fault_safe.h"
#include "../sim/paths.h"
#include "calls.h"

enum { PASS = 0, KNOWN = 1, CLONE = 2 };

__attribute__((used)) const uint8_t shim_syscall_known[512] = {
	[SYS_read] = KNOWN,	    [SYS_write] = KNOWN,	 [SYS_open] = KNOWN,	      [SYS_openat] = KNOWN,
	[SYS_openat2] = KNOWN,	    [SYS_creat] = KNOWN,	 [SYS_close] = KNOWN,	      [SYS_close_range] = KNOWN,
	[SYS_dup] = KNOWN,	    [SYS_dup2] = KNOWN,	 [SYS_dup3] = KNOWN,	      [SYS_fcntl] = KNOWN,
	[SYS_ioctl] = KNOWN,	    [SYS_pread64] = KNOWN,	 [SYS_pwrite64] = KNOWN,      [SYS_readv] = KNOWN,
	[SYS_writev] = KNOWN,	    [SYS_preadv] = KNOWN,	 [SYS_pwritev] = KNOWN,	      [SYS_preadv2] = KNOWN,
	[SYS_pwritev2] = KNOWN,	    [SYS_lseek] = KNOWN,	 [SYS_mmap] = KNOWN,	      [SYS_munmap] = KNOWN,
	[SYS_mremap] = KNOWN,	    [SYS_mprotect] = KNOWN,	 [SYS_madvise] = KNOWN,	      [SYS_poll] = KNOWN,
	[SYS_ppoll] = KNOWN,	    [SYS_select] = KNOWN,	 [SYS_pselect6] = KNOWN,      [SYS_epoll_create] = KNOWN,
	[SYS_epoll_create1] = KNOWN, [SYS_epoll_ctl] = KNOWN,	 [SYS_epoll_wait] = KNOWN,    [SYS_epoll_pwait] = KNOWN,
	[SYS_epoll_pwait2] = KNOWN, [SYS_eventfd] = KNOWN,	 [SYS_eventfd2] = KNOWN,      [SYS_sendmsg] = KNOWN,
	[SYS_socket] = KNOWN,	    [SYS_bind] = KNOWN,	 [SYS_connect] = KNOWN,	      [SYS_getsockname] = KNOWN,
	[SYS_getpeername] = KNOWN,  [SYS_getsockopt] = KNOWN,	 [SYS_setsockopt] = KNOWN,    [SYS_sendto] = KNOWN,
	[SYS_recvfrom] = KNOWN,
	[SYS_recvmsg] = KNOWN,	    [SYS_sendmmsg] = KNOWN,	 [SYS_recvmmsg] = KNOWN,      [SYS_pidfd_getfd] = KNOWN,
	[SYS_execve] = KNOWN,	    [SYS_execveat] = KNOWN,	 [SYS_exit_group] = KNOWN,    [SYS_fork] = KNOWN,
	[SYS_rt_sigaction] = KNOWN, [SYS_rt_sigprocmask] = KNOWN, [SYS_rt_sigsuspend] = KNOWN,
	[SYS_stat] = KNOWN,	    [SYS_lstat] = KNOWN,	 [SYS_fstat] = KNOWN,	      [SYS_newfstatat] = KNOWN,
	[SYS_statx] = KNOWN,	    [SYS_readlink] = KNOWN,	 [SYS_readlinkat] = KNOWN,    [SYS_access] = KNOWN,
	[SYS_faccessat] = KNOWN,    [439 /* SYS_faccessat2 */] = KNOWN, [SYS_chdir] = KNOWN,
	[SYS_clone] = CLONE,	    [SYS_clone3] = CLONE,	 [SYS_vfork] = CLONE,
};

/* What the assembly below calls and jumps to. */
long shim_syscall_clone(long number, uint64_t first, uint64_t second);
long shim_syscall_bare(long number, long a, long b, long c, long d, long e, long f);
long shim_syscall_recorded(long number, long a, long b, long c, long d, long e, long f);
extern long (*shim_real_syscall)(long, ...);

/*
 * A child on a copy of this memory may come back through C code; one that shares it may come back on another stack, and
 * is only noted. Returns whether the call may go through syscall_recorded.
 */
__attribute__((used)) long shim_syscall_clone(long number, uint64_t first, uint64_t second)
{
	uint64_t arguments[6]; /* of clone3: flags, …, stack */
	uint64_t flags = first, stack = second;

	if (number == SYS_vfork)
		flags = CLONE_VM | CLONE_VFORK;
	if (number == SYS_clone3) {
		if (fault_safe_copy(arguments, first, sizeof(arguments)) != sizeof(arguments))
			return 0;
		flags = arguments[0];
		stack = arguments[5];
	}
	ring_child_begins(flags);
	if (!(flags & CLONE_VM))
		return !stack;
	if (!(flags & CLONE_THREAD))
		shared_memory_begins();
	return 0;
}

__asm__(".text\n"
	".globl syscall\n"
	".type syscall, @function\n"
	".balign 16\n"
	"syscall:\n"
	"	endbr64\n"
	"	cmpq $512, %rdi\n"
	"	jae 1f\n"
	"	leaq shim_syscall_known(%rip), %rax\n"
	"	movzbl (%rax,%rdi), %eax\n"
	"	cmpl $1, %eax\n"
	"	je shim_syscall_recorded\n" /* the seventh argument is where a C function expects it */
	"	ja 2f\n"
	"1:	movq shim_real_syscall(%rip), %rax\n"
	"	testq %rax, %rax\n"
	"	jz shim_syscall_bare\n"
	"	jmp *%rax\n"
	"2:	pushq %rdi\n"
	"	pushq %rsi\n"
	"	pushq %rdx\n"
	"	pushq %rcx\n"
	"	pushq %r8\n"
	"	pushq %r9\n"
	"	subq $8, %rsp\n"
	"	call shim_syscall_clone\n"
	"	addq $8, %rsp\n"
	"	popq %r9\n"
	"	popq %r8\n"
	"	popq %rcx\n"
	"	popq %rdx\n"
	"	popq %rsi\n"
	"	popq %rdi\n"
	"	testq %rax, %rax\n"
	"	jnz shim_syscall_recorded\n"
	"	jmp 1b\n"
	".size syscall, . - syscall\n");

long (*shim_real_syscall)(long, ...);

__attribute__((constructor(101))) static void find_real(void)
{
	shim_real_syscall = REAL(syscall);
}

/* Before our constructor: libc's function is only the system call and errno. */
__attribute__((used)) long shim_syscall_bare(long number, long a, long b, long c, long d, long e, long f)
{
	return LIBC_RESULT(raw6(number, a, b, c, d, e, f));
}

static long recorded_openat2(long directory, const char *path, const void *open_how, long size, struct call_origin how)
{
	uint64_t settings[2] = { 0, 0 }; /* struct open_how: flags, mode, resolve */
	uint64_t entered = shim_clock();
	int fd, error;
	uint64_t left;

	if (simulating() && fault_safe_copy(settings, (uint64_t)open_how, sizeof(settings)) == sizeof(settings))
		return simulated_openat((int)directory, path, (int)settings[0], (mode_t)settings[1], how);
	fd = (int)LIBC_RESULT(raw4(SYS_openat2, directory, (long)path, (long)open_how, size));
	left = shim_clock();
	error = errno;

	fault_safe_copy(settings, (uint64_t)open_how, sizeof(settings));
	record_opened(fd, (int)directory, path, (int)settings[0], (mode_t)settings[1], entered, left, error, how);
	return fd;
}

static long recorded_wait(long number, long a, long b, long c, long d, long e, long f, struct call_origin how)
{
	struct wait_origin wait = { .how = how, .entered = shim_clock() };
	long result = LIBC_RESULT(raw6(number, a, b, c, d, e, f));

	if (result <= 0 || !__atomic_load_n(&objects_interrupts, __ATOMIC_RELAXED))
		return result;
	switch (number) {
	case SYS_poll:
	case SYS_ppoll:
		wait.op = number == SYS_poll ? VFIOTAPE_WAIT_POLL : VFIOTAPE_WAIT_PPOLL;
		record_ready_poll((const struct pollfd *)a, (nfds_t)b, (int)result, wait);
		break;
	case SYS_select:
	case SYS_pselect6:
		wait.op = number == SYS_select ? VFIOTAPE_WAIT_SELECT : VFIOTAPE_WAIT_PSELECT;
		record_ready_select((int)a, (const fd_set *)b, (int)result, wait);
		break;
	default:
		wait.op = number == SYS_epoll_wait  ? VFIOTAPE_WAIT_EPOLL :
			  number == SYS_epoll_pwait ? VFIOTAPE_WAIT_EPOLL_PWAIT :
						      VFIOTAPE_WAIT_EPOLL_PWAIT2;
		record_ready_epoll((int)a, (const struct epoll_event *)b, (int)result, wait);
	}
	return result;
}

static long recorded_clone(long number, long a, long b, long c, long d, long e, struct call_origin how)
{
	uint64_t entered = shim_clock();
	long child = LIBC_RESULT(raw6(number, a, b, c, d, e, 0));

	if (simulating()) {
		if (child)
			sim_forked((int)child);
		else
			sim_in_child();
	}
	if (child != 0)
		record_fork(entered, VFIOTAPE_FORK_CLONE, (pid_t)child, how);
	return child;
}

/* Those that matter on a simulated machine alone. */
static long path_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	char room[SIM_PATH_ROOM];

	if (!simulating())
		return LIBC_RESULT(raw6(number, a, b, c, d, e, f));
	switch (number) {
	case SYS_stat:
		return LIBC_RESULT(sim_statat(AT_FDCWD, (const char *)a, (struct stat *)b, 0));
	case SYS_lstat:
		return LIBC_RESULT(sim_statat(AT_FDCWD, (const char *)a, (struct stat *)b, AT_SYMLINK_NOFOLLOW));
	case SYS_fstat:
		return LIBC_RESULT(sim_fstat_of((int)a, (struct stat *)b));
	case SYS_newfstatat:
		return simulated_fstatat((int)a, (const char *)b, (struct stat *)c, (int)d);
	case SYS_statx:
		return simulated_statx((int)a, (const char *)b, (int)c, (unsigned int)d, (struct statx *)e);
	case SYS_readlink:
		return simulated_readlinkat(AT_FDCWD, (const char *)a, (char *)b, (size_t)c);
	case SYS_readlinkat:
		return simulated_readlinkat((int)a, (const char *)b, (char *)c, (size_t)d);
	case SYS_access:
	case SYS_chdir:
		return LIBC_RESULT(raw3(number, (long)sim_path((const char *)a, room), b, c));
	default: /* faccessat, faccessat2 */
		return LIBC_RESULT(raw4(number, a, (long)sim_place_of((int)a, (const char *)b, room).path, c, d));
	}
}

#define IO(recorded, ...)                                                                                              \
	(object_of((int)a).fd.flags & OBJECT_IO ? (long)recorded(object_of((int)a), (int)a, __VA_ARGS__, how) :        \
						  reaching_syscall(number, a, b, c, d, e, f))

__attribute__((used)) long shim_syscall_recorded(long number, long a, long b, long c, long d, long e, long f)
{
	struct call_origin how = { .site = CALL_SITE, .flags = VFIOTAPE_FLAG_RAW };

	switch (number) {
	case SYS_read:
		return IO(recorded_read, (void *)b, (size_t)c);
	case SYS_write:
		return IO(recorded_write, (const void *)b, (size_t)c);
	case SYS_pread64:
		return IO(recorded_pread, (void *)b, (size_t)c, d);
	case SYS_pwrite64:
		return IO(recorded_pwrite, (const void *)b, (size_t)c, d);
	case SYS_readv:
		return IO(recorded_readv, (const struct iovec *)b, (int)c, AT_POSITION, 0);
	case SYS_writev:
		return IO(recorded_writev, (const struct iovec *)b, (int)c, AT_POSITION, 0);
	case SYS_preadv:
		return IO(recorded_readv, (const struct iovec *)b, (int)c, d == AT_POSITION ? -1 : d, 0);
	case SYS_pwritev:
		return IO(recorded_writev, (const struct iovec *)b, (int)c, d == AT_POSITION ? -1 : d, 0);
	case SYS_preadv2:
		return IO(recorded_readv, (const struct iovec *)b, (int)c, d == -1 ? AT_POSITION : d, (int)f);
	case SYS_pwritev2:
		return IO(recorded_writev, (const struct iovec *)b, (int)c, d == -1 ? AT_POSITION : d, (int)f);
	case SYS_lseek:
		return object_of((int)a).fd.kind == VFIOTAPE_OBJECT_EVENTFD ? LIBC_RESULT(raw3(number, a, b, c)) :
									      IO(recorded_lseek, b, (int)c);
	case SYS_open:
		return recorded_openat(AT_FDCWD, (const char *)a, (int)b, (mode_t)c, how);
	case SYS_creat:
		return recorded_openat(AT_FDCWD, (const char *)a, O_CREAT | O_WRONLY | O_TRUNC, (mode_t)b, how);
	case SYS_openat:
		return recorded_openat((int)a, (const char *)b, (int)c, (mode_t)d, how);
	case SYS_openat2:
		return recorded_openat2(a, (const char *)b, (const void *)c, d, how);
	case SYS_close:
		return recorded_close((int)a, how);
	case SYS_close_range:
		return recorded_close_range((unsigned int)a, (unsigned int)b, (int)c, how);
	case SYS_dup:
		return recorded_dup((int)a, how);
	case SYS_dup2:
		return recorded_dup3((int)a, (int)b, 0, VFIOTAPE_DUP_DUP2, how);
	case SYS_dup3:
		return recorded_dup3((int)a, (int)b, (int)c, VFIOTAPE_DUP_DUP3, how);
	case SYS_fcntl:
		if (b == F_DUPFD || b == F_DUPFD_CLOEXEC)
			return recorded_fcntl_dup((int)a, (int)b, (int)c, how);
		return LIBC_RESULT(raw3(number, a, b, c));
	case SYS_ioctl:
		return any_ioctl((int)a, (unsigned long)b, (unsigned long)c, how);
	case SYS_mmap:
		return (long)any_mmap((void *)a, (size_t)b, (int)c, (int)d, (int)e, f, how);
	case SYS_munmap:
		return any_munmap((void *)a, (size_t)b, how);
	case SYS_mremap:
		return (long)any_mremap((void *)a, (size_t)b, (size_t)c, (int)d, (void *)e, how);
	case SYS_mprotect:
		return any_mprotect((void *)a, (size_t)b, (int)c, how);
	case SYS_madvise:
		return any_madvise((void *)a, (size_t)b, (int)c, how);
	case SYS_poll:
	case SYS_ppoll:
	case SYS_select:
	case SYS_pselect6:
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
	case SYS_epoll_pwait2:
		return recorded_wait(number, a, b, c, d, e, f, how);
	case SYS_epoll_create:
		return a <= 0 ? LIBC_RESULT(raw3(number, a, 0, 0)) : recorded_epoll_create(0, how);
	case SYS_epoll_create1:
		return recorded_epoll_create((int)a, how);
	case SYS_epoll_ctl:
		return any_epoll_ctl((int)a, (int)b, (int)c, (struct epoll_event *)d, how);
	case SYS_eventfd:
		return recorded_eventfd((unsigned int)a, 0, how);
	case SYS_eventfd2:
		return recorded_eventfd((unsigned int)a, (int)b, how);
	case SYS_socket:
		return any_socket((int)a, (int)b, (int)c, how);
	case SYS_bind:
		return any_bind((int)a, (const struct sockaddr *)b, (socklen_t)c, how);
	case SYS_connect:
		return any_connect((int)a, (const struct sockaddr *)b, (socklen_t)c, how);
	case SYS_getsockname:
		return any_getsockname((int)a, (struct sockaddr *)b, (socklen_t *)c, how);
	case SYS_getpeername:
		return any_getpeername((int)a, (struct sockaddr *)b, (socklen_t *)c, how);
	case SYS_getsockopt:
		return any_getsockopt((int)a, (int)b, (int)c, (void *)d, (socklen_t *)e, how);
	case SYS_setsockopt:
		return any_setsockopt((int)a, (int)b, (int)c, (const void *)d, (socklen_t)e, how);
	case SYS_sendto:
		return any_sendto((int)a, (const void *)b, (size_t)c, (int)d, (const struct sockaddr *)e, (socklen_t)f,
				  how);
	case SYS_recvfrom:
		return any_recvfrom((int)a, (void *)b, (size_t)c, (int)d, (struct sockaddr *)e, (socklen_t *)f, how);
	case SYS_sendmsg:
		return any_sendmsg((int)a, (const struct msghdr *)b, (int)c, how);
	case SYS_recvmsg:
		return any_recvmsg((int)a, (struct msghdr *)b, (int)c, how);
	case SYS_sendmmsg:
		return any_sendmmsg((int)a, (struct mmsghdr *)b, (unsigned int)c, (int)d, how);
	case SYS_recvmmsg:
		return any_recvmmsg((int)a, (struct mmsghdr *)b, (unsigned int)c, (int)d, (struct timespec *)e, how);
	case SYS_pidfd_getfd:
		return recorded_pidfd_getfd((int)a, (int)b, (unsigned int)c, how);
	case SYS_execve:
		return any_execve((const char *)a, (char *const *)b, (char *const *)c, how);
	case SYS_execveat:
		return any_execveat((int)a, (const char *)b, (char *const *)c, (char *const *)d, (int)e, how);
	case SYS_exit_group:
		record_exit((int)a, how);
		return LIBC_RESULT(raw3(number, a, 0, 0));
	case SYS_rt_sigaction:
	case SYS_rt_sigprocmask:
	case SYS_rt_sigsuspend:
		return shared_signal_call(number, a, b, c, d);
	case SYS_fork:
	case SYS_clone:
	case SYS_clone3:
		return recorded_clone(number, a, b, c, d, e, how);
	default:
		return path_syscall(number, a, b, c, d, e, f);
	}
}
