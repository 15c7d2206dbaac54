/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls every entry point that the shim wraps, with good and with bad arguments, and prints what each gave. Run with
 * and without the shim, the two outputs must be the same to the byte: the driver sees no difference in results, in
 * errno, nor in errno being left alone by a call that succeeds.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "standin-device.h"

#define UNTOUCHED 4242
/* Volatile, lest the compiler foresees the fault; so are the counts that no vector can have. */
static void *volatile bad_pointer = (void *)8;
static volatile int minus_one = -1, too_many = 5000;
static volatile nfds_t far_too_many = 1u << 30;
#define BAD ((void *)bad_pointer)

/* The fortified twins, which no header declares. */
int __open_2(const char *, int);
int __open64_2(const char *, int);
int __openat_2(int, const char *, int);
int __openat64_2(int, const char *, int);
ssize_t __read_chk(int, void *, size_t, size_t);
ssize_t __pread_chk(int, void *, size_t, off_t, size_t);
ssize_t __pread64_chk(int, void *, size_t, off_t, size_t);
int __poll_chk(struct pollfd *, nfds_t, int, size_t);
int __ppoll_chk(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *, size_t);

static void told(const char *what, long result)
{
	int error = errno;

	printf("%s = %ld", what, result);
	if (error != UNTOUCHED)
		printf(" errno %d", error);
	printf("\n");
}

/* An address differs from run to run: only whether there is one is compared. */
#define ADDRESS(expression) (errno = UNTOUCHED, told(#expression, (expression) == MAP_FAILED ? -1 : 1))
#define POINTER(expression) (errno = UNTOUCHED, told(#expression, (expression) == NULL ? 0 : 1))
#define CALL(expression) (errno = UNTOUCHED, told(#expression, (long)(expression)))

/* What ends the process, or makes another one, is seen in the child's status. */
#define IN_CHILD(statement)                                             \
	do {                                                            \
		int status_ = 0;                                        \
		fflush(stdout);                                         \
		errno = UNTOUCHED;                                      \
		pid_t child_ = fork();                                  \
		if (child_ == 0) {                                      \
			statement;                                      \
			_exit(120);                                     \
		}                                                       \
		waitpid(child_, &status_, 0);                           \
		printf("in a child: %s: status %d\n", #statement, status_); \
	} while (0)

static void opening(const char *file)
{
	char longer[5000];
	int fd;

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = 0;
	CALL(open("/nonexistent/file", O_RDONLY));
	CALL(open64("/nonexistent/file", O_RDONLY));
	CALL(open(BAD, O_RDONLY));
	CALL(open("", O_RDONLY));
	CALL(open(longer, O_RDONLY));
	CALL(open("/", O_WRONLY));
	CALL(open("/dev/null", O_RDONLY | O_DIRECTORY));
	CALL(open("/dev/vfio/nothing", O_RDWR));
	CALL(open("/dev/vfio1x", O_RDWR));
	CALL(openat(AT_FDCWD, "/nonexistent", O_RDONLY));
	CALL(openat(-1, "relative", O_RDONLY));
	CALL(openat64(9999, "relative", O_RDONLY));
	CALL(creat("/nonexistent/file", 0600));
	CALL(creat64("/nonexistent/file", 0600));
	CALL(__open_2("/nonexistent/file", O_RDONLY));
	CALL(__open64_2("/nonexistent/file", O_RDONLY));
	CALL(__openat_2(AT_FDCWD, "/nonexistent/file", O_RDONLY));
	CALL(__openat64_2(AT_FDCWD, "/nonexistent/file", O_RDONLY));
	IN_CHILD(__open_2("/tmp/x", O_CREAT));
	POINTER(fopen("/nonexistent/file", "r"));
	POINTER(fopen64("/nonexistent/file", "r"));
	POINTER(fopen("/dev/null", "zz"));

	/* The lowest free number is given, as ever: a shim that kept one for itself would show. */
	CALL(fd = open(file, O_RDWR));
	CALL(close(fd));
	CALL(fd = open64(file, O_RDWR | O_CLOEXEC));
	CALL(fcntl(fd, F_GETFD));
	CALL(close(fd));
	CALL(fd = openat(AT_FDCWD, file, O_RDWR | O_CREAT, 0600));
	CALL(close(fd));
	CALL(fd = creat(file, 0640));
	CALL(close(fd));
	CALL(close(fd));
	CALL(close(-1));
	CALL(close(9999));
	CALL(fd = open("/sys/bus/pci/devices/nothing/config", O_RDONLY));
	CALL(fd = open("/tmp", O_TMPFILE | O_RDWR, 0604));
	if (fd >= 0) {
		struct stat status;

		CALL(fstat(fd, &status));
		told("mode of the O_TMPFILE", status.st_mode);
		CALL(close(fd));
	}
}

static void duplicating(int fd)
{
	int other;

	CALL(dup(-1));
	CALL(dup2(-1, 5));
	CALL(dup2(fd, -1));
	CALL(dup2(fd, 1 << 30));
	CALL(dup3(fd, fd, 0));
	CALL(dup3(fd, 40, O_RDONLY | 1));
	CALL(other = dup(fd));
	CALL(close(other));
	CALL(dup2(fd, fd));
	CALL(dup2(fd, 50));
	CALL(dup3(fd, 51, O_CLOEXEC));
	CALL(fcntl(51, F_GETFD));
	CALL(fcntl(fd, F_DUPFD, 60));
	CALL(fcntl64(fd, F_DUPFD_CLOEXEC, 60));
	CALL(fcntl(-1, F_DUPFD, 0));
	CALL(fcntl(fd, F_DUPFD, -1));
	CALL(fcntl(fd, 12345));
	CALL(fcntl(fd, F_GETFL));
	CALL(fcntl(fd, F_SETFL, O_NONBLOCK));
	CALL(fcntl(fd, F_SETLK, BAD));
	CALL(fcntl(fd, F_SETFD, FD_CLOEXEC));
	CALL(fcntl(fd, F_SETFD, 0));
	CALL(close_range(50, 70, 0));
	CALL(close_range(70, 50, 0));
	CALL(close_range(50, 70, 1u << 20));
	CALL(fcntl(60, F_GETFD));
	CALL(dup2(fd, 80));
	CALL(close_range(80, 90, CLOSE_RANGE_CLOEXEC));
	CALL(fcntl(80, F_GETFD));
	closefrom(75);
	CALL(fcntl(80, F_GETFD));
}

static void transferring(int fd)
{
	char buffer[64] = "0123456789abcdef";
	struct iovec good[2] = { { buffer, 4 }, { buffer + 8, 8 } };
	struct iovec bad[2] = { { buffer, 4 }, { BAD, 8 } };
	struct iovec huge[1] = { { buffer, (size_t)-1 } };

	CALL(lseek(fd, 0, SEEK_SET));
	CALL(lseek64(fd, 16, SEEK_SET));
	CALL(lseek(fd, -1, SEEK_SET));
	CALL(lseek(fd, 0, 99));
	CALL(lseek(-1, 0, SEEK_SET));
	CALL(write(fd, buffer, 16));
	CALL(write(fd, BAD, 16));
	CALL(write(fd, buffer, 0));
	CALL(write(-1, buffer, 1));
	CALL(lseek(fd, 16, SEEK_SET));
	memset(buffer, 0, sizeof(buffer));
	CALL(read(fd, buffer, 16));
	printf("read: %.16s\n", buffer);
	CALL(read(fd, BAD, 16));
	CALL(read(-1, buffer, 4));
	CALL(read(9999, buffer, 4));
	CALL(read(fd, buffer, 0));
	CALL(pread(fd, buffer, 4, 0));
	CALL(pread64(fd, buffer, 4, 16));
	CALL(pread(fd, buffer, 4, -1));
	CALL(pread(fd, BAD, 4, 0));
	CALL(pread(fd, buffer, 4, 1ll << 40));
	CALL(pwrite(fd, buffer, 4, 32));
	CALL(pwrite64(fd, BAD, 4, 32));
	CALL(pwrite(fd, buffer, 4, -5));
	CALL(__read_chk(fd, buffer, 4, sizeof(buffer)));
	CALL(__pread_chk(fd, buffer, 4, 0, sizeof(buffer)));
	CALL(__pread64_chk(fd, buffer, 4, 0, sizeof(buffer)));
	IN_CHILD(__read_chk(fd, buffer, 100, sizeof(buffer)));
	IN_CHILD(__pread64_chk(fd, buffer, 100, 0, sizeof(buffer)));
	CALL(readv(fd, good, 2));
	CALL(readv(fd, bad, 2));
	CALL(readv(fd, huge, 1));
	CALL(readv(fd, good, minus_one));
	CALL(readv(fd, good, too_many));
	CALL(readv(fd, BAD, 2));
	CALL(readv(fd, good, 0));
	CALL(writev(fd, good, 2));
	CALL(writev(fd, bad, 2));
	CALL(writev(-1, good, 2));
	CALL(preadv(fd, good, 2, 0));
	CALL(preadv64(fd, bad, 2, 0));
	CALL(preadv(fd, good, 2, -1));
	CALL(pwritev(fd, good, 2, 64));
	CALL(pwritev64(fd, good, minus_one, 64));
	CALL(preadv2(fd, good, 2, 0, 0));
	CALL(preadv2(fd, good, 2, -1, 0));
	CALL(preadv64v2(fd, good, 2, 0, 1 << 30));
	CALL(pwritev2(fd, good, 2, 0, 0));
	CALL(pwritev64v2(fd, good, 2, 0, 1 << 30));
	CALL(ioctl(fd, 0x12345678, BAD));
	CALL(ioctl(-1, 0x3b64, 0));
	CALL(ioctl(9999, 0x3b64, BAD));
	CALL(ioctl(fd, 0));
}

static void mapping(int fd)
{
	char *memory;

	ADDRESS(mmap(NULL, 0, PROT_READ, MAP_PRIVATE, fd, 0));
	ADDRESS(mmap(NULL, 4096, PROT_READ, MAP_SHARED, -1, 0));
	ADDRESS(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 1));
	ADDRESS(mmap64(NULL, 4096, PROT_READ, 0, fd, 0));
	ADDRESS(memory = mmap64(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	CALL(mprotect(memory, 4096, PROT_READ));
	CALL(mprotect(memory + 1, 4096, PROT_READ));
	CALL(mprotect(memory, 4096, 0x7fff0000));
	CALL(pkey_mprotect(memory, 4096, PROT_READ | PROT_WRITE, -1));
	CALL(pkey_mprotect(memory, 4096, PROT_READ, 77));
	CALL(madvise(memory, 4096, MADV_WILLNEED));
	CALL(madvise(memory, 4096, 9999));
	CALL(madvise(memory + 1, 4096, MADV_WILLNEED));
	CALL(posix_madvise(memory, 4096, POSIX_MADV_NORMAL));
	ADDRESS(memory = mremap(memory, 8192, 4096, 0));
	ADDRESS(mremap(memory + 1, 4096, 8192, 0));
	ADDRESS(mremap(memory, 4096, 8192, 99));
	ADDRESS(memory = mremap(memory, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED,
				mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
	CALL(munmap(memory + 1, 4096));
	CALL(munmap(memory, 0));
	CALL(munmap(memory, 4096));
}

static void waiting(void)
{
	uint64_t count = 3;
	eventfd_t value = 0;
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = 0x1122334455667788 };
	struct epoll_event events[4];
	struct timespec none = { 0, 0 }, wrong = { 0, -1 };
	struct timeval zero = { 0, 0 };
	struct pollfd polled[2];
	fd_set set;
	sigset_t mask;
	int fd, set_fd;

	sigemptyset(&mask);
	CALL(eventfd(0, 1 << 30));
	CALL(fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
	CALL(read(fd, &count, 8));
	CALL(read(fd, &count, 4));
	CALL(write(fd, &count, 4));
	CALL(eventfd_read(fd, &value));
	CALL(eventfd_read(-1, &value));
	CALL(eventfd_write(-1, 1));

	CALL(epoll_create(0));
	CALL(epoll_create1(99));
	CALL(set_fd = epoll_create1(EPOLL_CLOEXEC));
	CALL(epoll_ctl(set_fd, EPOLL_CTL_ADD, fd, &event));
	CALL(epoll_ctl(set_fd, EPOLL_CTL_ADD, fd, &event));
	CALL(epoll_ctl(set_fd, EPOLL_CTL_ADD, set_fd, &event));
	CALL(epoll_ctl(set_fd, EPOLL_CTL_MOD, fd, BAD));
	CALL(epoll_ctl(set_fd, 77, fd, &event));
	CALL(epoll_ctl(-1, EPOLL_CTL_ADD, fd, &event));
	CALL(epoll_wait(set_fd, events, 4, 0));
	CALL(epoll_wait(set_fd, events, 0, 0));
	CALL(epoll_wait(set_fd, BAD, 4, 0));
	CALL(epoll_wait(-1, events, 4, 0));

	polled[0] = (struct pollfd){ .fd = fd, .events = POLLIN };
	polled[1] = (struct pollfd){ .fd = 9999, .events = POLLIN };
	CALL(poll(polled, 1, 0));
	CALL(poll(polled, 2, 0));
	CALL(poll(BAD, 1, 0));
	CALL(poll(polled, far_too_many, 0));

	CALL(eventfd_write(fd, 5));
	memset(events, 0, sizeof(events));
	CALL(epoll_wait(set_fd, events, 4, 100));
	printf("epoll: %x %llx\n", events[0].events, (unsigned long long)events[0].data.u64);
	CALL(epoll_pwait(set_fd, events, 4, 0, &mask));
	CALL(epoll_pwait(set_fd, events, 4, 0, BAD));
	CALL(epoll_pwait2(set_fd, events, 4, &none, NULL));
	CALL(epoll_pwait2(set_fd, events, 4, &wrong, NULL));
	CALL(poll(polled, 1, 100));
	printf("poll: %x\n", polled[0].revents);
	CALL(__poll_chk(polled, 2, 0, sizeof(polled)));
	IN_CHILD(__poll_chk(polled, 3, 0, sizeof(polled)));
	CALL(ppoll(polled, 1, &none, &mask));
	CALL(ppoll(polled, 1, &wrong, NULL));
	CALL(__ppoll_chk(polled, 1, &none, NULL, sizeof(polled)));
	FD_ZERO(&set);
	FD_SET(fd, &set);
	CALL(select(fd + 1, &set, NULL, NULL, &zero));
	printf("select: %d\n", FD_ISSET(fd, &set) != 0);
	CALL(select(-1, &set, NULL, NULL, &zero));
	CALL(select(fd + 1, BAD, NULL, NULL, &zero));
	CALL(pselect(fd + 1, &set, NULL, NULL, &none, &mask));
	CALL(pselect(fd + 1, &set, NULL, NULL, &wrong, NULL));
	CALL(eventfd_read(fd, &value));
	printf("eventfd: %llu\n", (unsigned long long)value);
	CALL(epoll_ctl(set_fd, EPOLL_CTL_DEL, fd, NULL));
	CALL(close(set_fd));
	CALL(close(fd));
}

static void passing(int fd)
{
	int pair[2];
	char byte = 'x', control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { &byte, 1 };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	struct mmsghdr several[2];

	CALL(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair));
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(int));
	CALL(sendmsg(pair[0], &message, 0));
	CALL(sendmsg(pair[0], BAD, 0));
	CALL(sendmsg(-1, &message, 0));
	CALL(recvmsg(pair[1], &message, 0));
	if (message.msg_controllen >= CMSG_LEN(sizeof(int))) {
		int got;

		memcpy(&got, CMSG_DATA(header), sizeof(int));
		told("number of the passed descriptor", got);
		CALL(close(got));
	}
	CALL(recvmsg(pair[1], &message, 0));
	CALL(recvmsg(pair[1], BAD, 0));
	CALL(recvmsg(-1, &message, MSG_DONTWAIT));
	message.msg_control = NULL;
	message.msg_controllen = 0;
	memset(several, 0, sizeof(several));
	several[0].msg_hdr = several[1].msg_hdr = message;
	CALL(sendmmsg(pair[0], several, 2, 0));
	CALL(sendmmsg(-1, several, 2, 0));
	CALL(recvmmsg(pair[1], several, 2, MSG_DONTWAIT, NULL));
	CALL(recvmmsg(pair[1], several, 2, MSG_DONTWAIT, NULL));
	CALL(recvmmsg(-1, several, 2, 0, NULL));
	CALL(close(pair[0]));
	CALL(close(pair[1]));
}

static void raw(int fd)
{
	char buffer[16];

	CALL(syscall(SYS_pread64, fd, buffer, 4, 0));
	CALL(syscall(SYS_pread64, fd, BAD, 4, 0));
	CALL(syscall(SYS_openat, AT_FDCWD, "/nonexistent", O_RDONLY, 0));
	CALL(syscall(SYS_ioctl, -1, 0x3b64, 0));
	CALL(syscall(SYS_eventfd2, 0, 1 << 30));
	CALL(syscall(SYS_close, 9999));
	CALL(syscall(SYS_dup3, fd, fd, 0));
	CALL(syscall(100000));
	CALL(syscall(SYS_getppid) > 0);
	CALL(syscall(SYS_mmap, NULL, 0L, PROT_READ, MAP_PRIVATE, fd, 0L));
	CALL(syscall(SYS_munmap, 1L, 4096L));
	CALL(syscall(SYS_futex, BAD, 0, 0, 0, 0, 0));
}

static int in_thread(void *argument)
{
	(void)argument;
	return 33;
}

static void ending(char **environment)
{
	char *const none[] = { "none", NULL };
	static char stack[65536] __attribute__((aligned(64)));
	pid_t pid = 0;
	int status = 0;

	CALL(execve("/nonexistent", none, environment));
	CALL(execv("/", none));
	CALL(execvp("vfiotape-no-such-program", none));
	CALL(execvpe("vfiotape-no-such-program", none, environment));
	CALL(execl("/nonexistent", "none", (char *)NULL));
	CALL(execlp("vfiotape-no-such-program", "none", (char *)NULL));
	CALL(execle("/nonexistent", "none", (char *)NULL, environment));
	CALL(execve("/dev/null", none, environment));
	CALL(fexecve(-1, none, environment));
	CALL(execveat(-1, "none", none, environment, 0));
	CALL(posix_spawn(&pid, "/nonexistent", NULL, NULL, none, environment));
	CALL(posix_spawnp(&pid, "vfiotape-no-such-program", NULL, NULL, none, environment));
	CALL(system("exit 7"));
	CALL(system(NULL));
	IN_CHILD(_exit(3));
	IN_CHILD(_Exit(4));
	IN_CHILD(exit(5));
	IN_CHILD(quick_exit(6));
	IN_CHILD(abort());
	IN_CHILD(raise(SIGTERM));
	IN_CHILD(raise(SIGKILL));
	IN_CHILD(syscall(SYS_exit_group, 21));
	IN_CHILD(execl("/bin/sh", "sh", "-c", "exit 9", (char *)NULL));
	IN_CHILD(execlp("sh", "sh", "-c", "exit 10", (char *)NULL));
	IN_CHILD(signal(SIGSEGV, SIG_IGN); *(volatile int *)8 = 1);
	CALL((pid = vfork()) == 0 ? (_exit(11), 0) : 1);
	CALL(waitpid(pid, &status, 0) == pid);
	told("status of the vfork child", status);
	CALL((pid = clone(in_thread, stack + sizeof(stack), SIGCHLD, NULL)) > 0);
	CALL(waitpid(pid, &status, 0) == pid);
	told("status of the cloned child", status);
	CALL(clone(NULL, NULL, 0, NULL));
	CALL((pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)) == 0 ? (_exit(12), 0) : 1);
	CALL(waitpid(pid, &status, 0) == pid);
	told("status of the child of a raw clone", status);
	CALL(posix_spawnp(&pid, "sh", NULL, NULL, (char *const[]){ "sh", "-c", "exit 13", NULL }, environment));
	CALL(waitpid(pid, &status, 0) == pid);
	told("status of the spawned child", status);
	{
		FILE *stream = popen("echo from a pipe; exit 14", "r");
		char line[64] = "";

		if (stream != NULL && fgets(line, sizeof(line), stream) != NULL)
			printf("popen: %s", line);
		CALL(pclose(stream));
	}
}

int main(int argc, char **argv, char **environment)
{
	int plain = memfd_create("plain", 0);
	int device = standin_device(1 << 16);

	if (argc < 2 || plain < 0 || device < 0 || ftruncate(plain, 1 << 16) != 0)
		return 1;
	opening(argv[1]);
	for (int i = 0; i < 2; i++) {
		int fd = i == 0 ? plain : device;

		printf("--- %s\n", i == 0 ? "an ordinary file" : "the stand-in device");
		duplicating(fd);
		transferring(fd);
		mapping(fd);
		passing(fd);
		raw(fd);
	}
	waiting();
	ending(environment);
	fflush(stdout);
	return 0;
}
