// SPDX-License-Identifier: Apache-2.0
/*
 * Small drivers on the stand-in device, one for each subject: `driver NAME`. Each checks that the calls still do what
 * they do, and exits 0; what was recorded is checked by the test that ran it.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#undef assert
#define assert(what)                                                                                                   \
	do {                                                                                                           \
		if (!(what)) {                                                                                         \
			fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #what, errno);                   \
			exit(99);                                                                                      \
		}                                                                                                      \
	} while (0)

ssize_t __pread64_chk(int fd, void *buffer, size_t count, off64_t offset, size_t size);
ssize_t __pread_chk(int fd, void *buffer, size_t count, off_t offset, size_t size);
ssize_t __read_chk(int fd, void *buffer, size_t count, size_t size);
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int directory, const char *path, int flags);
int __openat64_2(int directory, const char *path, int flags);
int __poll_chk(struct pollfd *fds, nfds_t count, int timeout, size_t size);
int __ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask, size_t size);

static char *self;
static void *volatile nowhere = (void *)8; /* volatile, lest the compiler warn of what is meant */

static int device(void)
{
	int fd = memfd_create("vfiotape-standin-device", MFD_CLOEXEC);

	assert(fd >= 0 && ftruncate(fd, 16 << 20) == 0);
	return fd;
}

static void files(void)
{
	int fd = device(), null, relative;

	assert(open("/dev/vfio/99", O_RDWR) == -1 && errno == ENOENT);
	assert(open64("/dev/vfio/vfio99", O_RDWR) == -1 && errno == ENOENT);
	assert(open64("/dev/vfio/noiommu-7", O_RDWR) == -1);
	assert(openat(AT_FDCWD, "/dev/vfio/devices/vfio7", O_RDWR) == -1);
	assert(openat64(AT_FDCWD, "/dev/vfio3", O_RDWR) == -1);
	assert(__open_2("/dev/iommu", O_RDWR) == -1);
	assert(__open64_2("/dev/uiommu", O_RDWR) == -1);
	assert(__openat_2(AT_FDCWD, "/dev/vfio/1", O_RDWR) == -1);
	assert(__openat64_2(AT_FDCWD, "/dev/vfio/2", O_RDWR) == -1);
	assert(syscall(SYS_openat, AT_FDCWD, "/dev/vfio/3", O_RDWR) == -1 && errno == ENOENT);
	assert(open((const char *)8, O_RDWR) == -1 && errno == EFAULT);
	/* The kernel looks at the flags first, and the path may be anything. */
	assert(open(nowhere, O_TMPFILE | O_RDONLY, 0600) == -1 && errno == EINVAL);
	assert(syscall(SYS_openat2, AT_FDCWD, NULL, NULL, 0L) == -1 && errno == EINVAL);
	relative = open("/sys/bus/pci", O_PATH | O_DIRECTORY);
	assert(relative >= 0 && openat(relative, "devices/none", O_RDONLY) == -1 && errno == ENOENT);
	null = openat(relative, "drivers_autoprobe", O_RDONLY);
	assert(null >= 0 && close(null) == 0 && close(relative) == 0);
	assert(chdir("/dev") == 0 && open("vfio/98", O_RDWR) == -1);
	null = open("/dev/null", O_RDWR);
	assert(null >= 0 && close(null) == 0);
	null = open("/proc/self/pagemap", O_RDONLY);
	assert(null >= 0 && close(null) == 0);

	assert(dup(fd) == fd + 1);
	assert(dup2(fd, 40) == 40);
	assert(dup3(fd, 41, O_CLOEXEC) == 41);
	assert(fcntl(fd, F_DUPFD, 50) == 50);
	assert(fcntl64(fd, F_DUPFD_CLOEXEC, 51) == 51);
	assert(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	/* Something that doesn't matter takes the place of what does, and of what is beyond the first table. */
	null = open("/dev/null", O_RDWR);
	assert(dup2(null, 40) == 40 && close(40) == 0);
	if (fcntl(fd, F_DUPFD, 1500) == 1500) {
		uint32_t value;

		assert(pread(1500, &value, 4, 0) == 4 && close(1500) == 0);
	}
	assert(close_range(50, 51, 0) == 0);
	assert(close(41) == 0 && close(fd + 1) == 0 && close(fd) == 0);
	assert(close(fd) == -1 && errno == EBADF);
	closefrom(30);
}

static void io(void)
{
	uint32_t word = 0x11223344;
	uint64_t wide = 0;
	unsigned char bytes[4096];
	struct iovec pieces[2] = { { bytes, 3 }, { bytes + 8, 9 } };
	int fd = device();

	memset(bytes, 0x5a, sizeof(bytes));
	assert(pwrite(fd, &word, 4, 0x700000) == 4);
	assert(pwrite64(fd, &word, 2, 0x700004) == 2);
	word = 0;
	assert(pread(fd, &word, 4, 0x700000) == 4 && word == 0x11223344);
	assert(pread64(fd, &wide, 8, 0x700000) == 8 && wide == 0x334411223344);
	assert(__pread64_chk(fd, &word, 1, 0x700000, 4) == 1);
	assert(__pread_chk(fd, &word, 2, 0x700000, 4) == 2);
	assert(pwrite(fd, bytes, 64, 0x1000) == 64);
	assert(pread(fd, bytes, 4096, 0x1000) == 4096);
	assert(preadv(fd, pieces, 2, 0x1000) == 12);
	assert(preadv2(fd, pieces, 2, 0x1000, 0) == 12);
	assert(pwritev(fd, pieces, 2, 0x2000) == 12);
	assert(pwritev2(fd, pieces, 1, 0x2000, 0) == 3);
	assert(lseek(fd, 0x3000, SEEK_SET) == 0x3000);
	assert(write(fd, &word, 4) == 4);
	assert(read(fd, &word, 4) == 4);
	assert(lseek64(fd, -4, SEEK_CUR) == 0x3004);
	assert(__read_chk(fd, &word, 4, 4) == 4);
	assert(readv(fd, pieces, 2) == 12 && writev(fd, pieces, 2) == 12);
	assert(syscall(SYS_pread64, fd, &word, 4L, 0x700000L) == 4 && word == 0x11223344);
	assert(syscall(SYS_pwrite64, fd, &word, 4L, 0x700010L) == 4);
	errno = 0;
	assert(pread(fd, nowhere, 4, 0) == -1 && errno == EFAULT);
	assert(pread(fd, &word, 4, -1) == -1 && errno == EINVAL);
	assert(readv(fd, nowhere, 2) == -1 && errno == EFAULT);
	/* -1 is no place to preadv; to preadv2 it is where the file stands. */
	assert(syscall(SYS_preadv, fd, pieces, 2L, -1L, 0L) == -1 && errno == EINVAL);
	assert(preadv(fd, pieces, 2, -1) == -1 && errno == EINVAL);
	assert(preadv2(fd, pieces, 2, -1, 0) == 12 && preadv2(fd, pieces, 2, -1, RWF_HIPRI) == 12);
	assert(syscall(SYS_preadv2, fd, pieces, 2L, -1L, 0L, 0L) == 12);
	errno = 77;
	assert(pread(fd, &word, 4, 0) == 4 && errno == 77);
}

struct irqs {
	struct vfio_irq_set set;
	int32_t fds[300];
};

static void tie(int fd, int event)
{
	struct irqs irqs = { { .argsz = sizeof(irqs.set) + 4,
			       .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
			       .index = VFIO_PCI_MSIX_IRQ_INDEX,
			       .count = 1 },
			     { event } };

	assert(ioctl(fd, VFIO_DEVICE_SET_IRQS, &irqs) == 0);
}

static void ioctls(void)
{
	int container = memfd_create("vfiotape-standin-container", 0), group = memfd_create("vfiotape-standin-group", 0);
	struct vfio_group_status status = { .argsz = sizeof(status) };
	struct {
		struct vfio_device_feature feature;
		unsigned char data[32];
	} feature = { { .argsz = 24, .flags = 0 | VFIO_DEVICE_FEATURE_SET }, "0123456789abcdef" };
	struct vfio_region_info region = { .argsz = sizeof(region), .index = 7 };
	struct vfio_iommu_type1_dma_map map = { .argsz = sizeof(map), .flags = 3, .iova = 0x100000, .size = 8192 };
	struct irqs many = { { .argsz = sizeof(many), .flags = VFIO_IRQ_SET_DATA_EVENTFD, .count = 300 }, { 0 } };
	unsigned char *heap = malloc(64);
	int fd;

	memset(many.fds, 0xff, sizeof(many.fds));
	assert(ioctl(container, VFIO_GET_API_VERSION) == 0);
	assert(ioctl(container, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) == 1);
	assert(ioctl(group, VFIO_GROUP_GET_STATUS, &status) == 0 && status.flags == 3);
	assert(ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) == 0);
	fd = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, "0000:06:0d.0 vf_token=2ab74924-c335-45f4-9b16-8569e5b08258 x");
	assert(fd >= 0);
	assert(ioctl(fd, VFIO_DEVICE_GET_REGION_INFO, &region) == 0 && region.offset == 7 << 20);
	/* argsz that reaches beyond what is mapped: the kernel doesn't mind, and the shim must not fault. */
	region.argsz = 0x7fffffff;
	assert(ioctl(fd, VFIO_DEVICE_GET_REGION_INFO, &region) == 0);
	/* On the heap, not on the stack. */
	memcpy(heap, &(struct vfio_region_info){ .argsz = 32, .index = 1 }, 32);
	assert(ioctl(fd, VFIO_DEVICE_GET_REGION_INFO, heap) == 0);
	assert(ioctl(fd, VFIO_DEVICE_FEATURE, &feature) == 0);
	feature.feature.flags = 2 | VFIO_DEVICE_FEATURE_SET;
	feature.feature.argsz = 16;
	assert(ioctl(fd, VFIO_DEVICE_FEATURE, &feature) == 0);
	assert(ioctl(fd, VFIO_DEVICE_SET_IRQS, &many) == 0);
	map.vaddr = (uint64_t)mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert(ioctl(container, VFIO_IOMMU_MAP_DMA, &map) == 0);
	assert(mprotect((void *)map.vaddr, 4096, PROT_READ) == 0);
	assert(madvise((void *)map.vaddr, 4096, MADV_DONTNEED) == 0);
	assert(posix_madvise((void *)map.vaddr, 4096, POSIX_MADV_WILLNEED) == 0);
	assert(mremap((void *)map.vaddr, 8192, 4096, 0) == (void *)map.vaddr);
	assert(munmap((void *)map.vaddr, 4096) == 0);
	assert(ioctl(fd, 0x3bff, &map) == -1 && errno == ENOTTY);
	assert(ioctl(fd, 0x3bff, 5) == -1 && errno == ENOTTY);
	assert(syscall(SYS_ioctl, fd, VFIO_DEVICE_RESET, 0L) == 0);
	/* What has nothing to do with VFIO. */
	assert(ioctl(-1, VFIO_DEVICE_RESET) == -1 && errno == EBADF);
}

static void mappings(void)
{
	int fd = device();
	unsigned char *bar = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0x1000);
	unsigned char *other = mmap64(NULL, 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert(bar != MAP_FAILED && other != MAP_FAILED);
	assert(mprotect(bar, 4096, PROT_READ) == 0);
	assert(mmap(other, 4096, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0x5000) == other);
	assert(mmap(other, 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == other);
	assert(munmap(bar, 8192) == 0);
	assert(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0x123) == MAP_FAILED && errno == EINVAL);
	assert((void *)syscall(SYS_mmap, 0L, 4096L, (long)PROT_READ, (long)MAP_SHARED, (long)fd, 0L) != MAP_FAILED);
}

static void waits(void)
{
	int fd = device(), event = eventfd(0, EFD_NONBLOCK), epoll = epoll_create1(EPOLL_CLOEXEC), other, copy;
	long made;
	struct epoll_event wanted = { .events = EPOLLIN, .data.ptr = &fd }, ready;
	struct pollfd polled[2] = { { event, POLLIN, 0 }, { 0, 0, 0 } };
	struct timespec second = { 1, 0 };
	struct timeval moment = { 1, 0 };
	eventfd_t count;
	fd_set set;

	assert(eventfd_read(event, &count) == -1 && errno == EAGAIN);
	assert(epoll_ctl(epoll, EPOLL_CTL_ADD, event, &wanted) == 0);
	assert(eventfd_write(event, 2) == 0);
	assert(poll(polled, 1, 1000) == 1); /* not an interrupt yet: not recorded */
	tie(fd, event);
	other = dup(event);
	assert(poll(polled, 1, 1000) == 1 && __poll_chk(polled, 1, 1000, sizeof(polled)) == 1);
	assert(ppoll(polled, 1, &second, NULL) == 1 && __ppoll_chk(polled, 1, &second, NULL, sizeof(polled)) == 1);
	FD_ZERO(&set);
	FD_SET(event, &set);
	assert(select(event + 1, &set, NULL, NULL, &moment) == 1);
	assert(pselect(event + 1, &set, NULL, NULL, &second, NULL) == 1);
	assert(epoll_wait(epoll, &ready, 1, 1000) == 1 && epoll_pwait(epoll, &ready, 1, 1000, NULL) == 1);
	assert(epoll_pwait2(epoll, &ready, 1, &second, NULL) == 1);
	assert(syscall(SYS_poll, polled, 1L, 1000L) == 1);
	polled[0].fd = other;
	assert(poll(polled, 1, 1000) == 1);
	/* A duplicate of the epoll, once more when it is all that is left of it; and one that was made past us. */
	copy = dup(epoll);
	assert(epoll_wait(copy, &ready, 1, 1000) == 1 && close(epoll) == 0 && epoll_wait(copy, &ready, 1, 1000) == 1);
	epoll = copy;
	__asm__ volatile("syscall" : "=a"(made) : "a"(SYS_epoll_create1), "D"(0) : "rcx", "r11", "memory");
	assert(epoll_ctl((int)made, EPOLL_CTL_ADD, event, &wanted) == 0 && epoll_wait((int)made, &ready, 1, 0) == 1);
	assert(read(other, &count, 8) == 8 && count == 2);
	assert(poll(polled, 1, 0) == 0);
	assert(epoll_ctl(epoll, EPOLL_CTL_DEL, event, NULL) == 0);
	assert(close(other) == 0 && close(epoll) == 0);
}

static void touch(int fd, int times)
{
	uint32_t word;

	for (int i = 0; i < times; i++)
		assert(pread(fd, &word, 4, 0x700000) == 4);
}

static int child_of_clone(void *fd)
{
	touch(*(int *)fd, 2);
	return 0;
}

static void expect(pid_t child, int status)
{
	int got;

	assert(child > 0 && waitpid(child, &got, 0) == child && WIFEXITED(got) && WEXITSTATUS(got) == status);
}

static char *no_environment[] = { (char *)"NOTHING=1", NULL };

static void processes(void)
{
	char number[12], *argv[] = { self, (char *)"image", number, NULL };
	char *broken[] = { (char *)"NOTHING=1", NULL, NULL };
	static char stack[65536];
	int fd = memfd_create("vfiotape-standin-device", 0);
	pid_t child;

	assert(ftruncate(fd, 16 << 20) == 0);
	snprintf(number, sizeof(number), "%d", fd);
	touch(fd, 1);
	child = fork();
	if (!child) {
		touch(fd, 2);
		close(fd);
		_exit(11);
	}
	expect(child, 11);
	child = vfork();
	if (!child) {
		close(fd); /* the child's own descriptor: the parent's entry stays */
		_exit(12);
	}
	expect(child, 12);
	touch(fd, 1);
	child = (pid_t)syscall(SYS_clone, (long)SIGCHLD, 0L, 0L, 0L, 0L);
	if (!child) {
		touch(fd, 2);
		syscall(SYS_exit_group, 13L);
	}
	expect(child, 13);
	expect(clone(child_of_clone, stack + sizeof(stack), SIGCHLD, &fd), 0);
	/* A child in the same memory that is no thread: nothing of it is taken for ours. */
	expect(clone(child_of_clone, stack + sizeof(stack), CLONE_VM | SIGCHLD, &fd), 0);
	touch(fd, 1);
	assert(posix_spawn(&child, self, NULL, NULL, argv, no_environment) == 0);
	expect(child, 14);
	assert(posix_spawnp(&child, self, NULL, NULL, argv, environ) == 0);
	expect(child, 14);
	assert(posix_spawn(&child, "/nonexistent", NULL, NULL, argv, environ) == ENOENT);
	child = vfork();
	if (!child) {
		execve(self, argv, no_environment);
		_exit(98);
	}
	expect(child, 14);
	child = fork();
	if (!child) {
		execl(self, self, "image", number, NULL);
		_exit(98);
	}
	expect(child, 14);
	child = fork();
	if (!child) {
		execle(self, self, "image", number, NULL, no_environment);
		_exit(98);
	}
	expect(child, 14);
	/* A child that has recorded nothing yet has a child of its own, in the same memory. */
	child = fork();
	if (!child) {
		child = vfork();
		if (!child) {
			close(fd);
			_exit(16);
		}
		expect(child, 16);
		touch(fd, 2);
		_exit(17);
	}
	expect(child, 17);
	child = _Fork();
	if (!child) {
		touch(fd, 1);
		_exit(18);
	}
	expect(child, 18);
	/* The kernel says what it can't read. */
	assert(execve(self, argv, nowhere) == -1 && errno == EFAULT);
	broken[1] = nowhere;
	assert(execve(self, argv, broken) == -1 && errno == EFAULT);
	assert(execv("/nonexistent", argv) == -1 && errno == ENOENT);
	execvp(self, argv);
	exit(98);
}

/* The parent waits for the end of the daemon's pipe: it is no child of its any more. */
static void daemonize(void)
{
	int fd = device(), pipes[2];
	struct stat status;
	char byte;
	pid_t child;

	touch(fd, 1);
	assert(pipe(pipes) == 0);
	child = fork();
	if (!child) {
		touch(fd, 1);
		assert(daemon(0, 0) == 0);
		touch(fd, 2);
		assert(fstat(1, &status) == 0 && S_ISCHR(status.st_mode) && getsid(0) == getpid());
		assert(getcwd(&byte, 1) == NULL && errno == ERANGE);
		_exit(19);
	}
	expect(child, 0);
	close(pipes[1]);
	assert(read(pipes[0], &byte, 1) == 0);
}

/* A forked child that does nothing holds on to what it inherited. */
static void idle(void)
{
	int fd = device();
	pid_t child;

	touch(fd, 1);
	child = fork();
	if (!child) {
		usleep(700000);
		_exit(0);
	}
	expect(child, 0);
}

/* The session is taken out of the environment, and other libraries are preloaded beside ours. */
static void preloads(const char *another)
{
	char list[1024], *argv[] = { (char *)"sh", (char *)"-c", (char *)"echo $LD_PRELOAD", NULL };

	snprintf(list, sizeof(list), "%s:%s", another, getenv("LD_PRELOAD"));
	assert(unsetenv("VFIOTAPE_SESSION") == 0 && setenv("LD_PRELOAD", list, 1) == 0);
	execv("/bin/sh", argv);
	exit(98);
}

/* What was exec'ed: the descriptor came along. */
static void image(int fd)
{
	touch(fd, 3);
	exit(14);
}

static pthread_key_t at_thread_end;

static void last_words(void *fd)
{
	touch(*(int *)fd, 1);
}

static void *reader(void *fd)
{
	if (at_thread_end)
		assert(pthread_setspecific(at_thread_end, fd) == 0);
	touch(*(int *)fd, 100);
	return NULL;
}

static void threads(void)
{
	int fd = device();
	pthread_t thread[4];

	assert(pthread_key_create(&at_thread_end, last_words) == 0 && at_thread_end);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 4; i++)
			assert(pthread_create(&thread[i], NULL, reader, &fd) == 0);
		for (int i = 0; i < 4; i++)
			assert(pthread_join(thread[i], NULL) == 0);
	}
}

/* Two that share one TLS, as clone(2) without CLONE_SETTLS makes them: each reads offsets of its own. */
enum { SHARED_READS = 20000 };

static struct {
	int fd;
	volatile int begun, ended;
} sharing;

static void read_every_second(int first)
{
	uint32_t word;

	/* What needs a TLS of its own, errno for one, is kept away from. */
	for (int i = 0; i < SHARED_READS; i++)
		pread(sharing.fd, &word, 4, (2 * i + first) * 4);
}

static int sharer(void *unused)
{
	(void)unused;
	sharing.begun = 1;
	read_every_second(1);
	sharing.ended = 1;
	return 0;
}

/* Where the child of syscall(SYS_clone) returns to. */
static void sharer_returned_to(void)
{
	sharer(NULL);
	__asm__ volatile("syscall" : : "a"(SYS_exit), "D"(0));
	__builtin_unreachable();
}

static void shared_tls(int through_syscall)
{
	static unsigned char stack[65536] __attribute__((aligned(16)));
	void (**top)(void) = (void (**)(void))(stack + sizeof(stack) - 16);
	int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;

	sharing.fd = device();
	touch(sharing.fd, 1);
	*top = sharer_returned_to;
	if (through_syscall)
		assert(syscall(SYS_clone, (long)flags, top, 0L, 0L, 0L) > 0);
	else
		assert(clone(sharer, top, flags, NULL) > 0);
	while (!sharing.begun)
		;
	read_every_second(0);
	while (!sharing.ended)
		;
}

static void expect_thread(int fd)
{
	pthread_t thread;

	assert(pthread_create(&thread, NULL, reader, &fd) == 0 && pthread_join(thread, NULL) == 0);
}

static int signalled;
static volatile sig_atomic_t handled;

static void on_signal(int number)
{
	struct vfio_irq_info info = { .argsz = sizeof(info), .index = 2 };
	int saved = errno;
	unsigned char bytes[40];

	(void)number;
	assert(pread(signalled, bytes, sizeof(bytes), 0x40) == sizeof(bytes));
	assert(ioctl(signalled, VFIO_DEVICE_GET_IRQ_INFO, &info) == 0);
	handled++;
	errno = saved;
}

/* A handler that records, over a thread that records: nothing is torn, nothing is missing. */
static void signals(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	struct timespec period = { 0, 20000 };
	struct itimerspec interval = { period, period };
	struct sigevent how = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	unsigned char bytes[24];
	timer_t timer;

	signalled = device();
	assert(sigaction(SIGUSR1, &action, NULL) == 0);
	assert(timer_create(CLOCK_MONOTONIC, &how, &timer) == 0 && timer_settime(timer, 0, &interval, NULL) == 0);
	for (int i = 0; i < 20000; i++)
		assert(pread(signalled, bytes, sizeof(bytes), 0x80) == sizeof(bytes));
	assert(timer_delete(timer) == 0);
	printf("%d\n", (int)handled);
}

static void pass_fd(int through, int fd)
{
	char room[CMSG_SPACE(sizeof(int))] = { 0 }, byte = 'x';
	struct iovec piece = { &byte, 1 };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = room,
				  .msg_controllen = sizeof(room) };
	struct cmsghdr *part = CMSG_FIRSTHDR(&message);

	part->cmsg_level = SOL_SOCKET;
	part->cmsg_type = SCM_RIGHTS;
	part->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(part), &fd, sizeof(fd));
	assert(sendmsg(through, &message, 0) == 1);
}

static int take_fd(int from)
{
	char room[CMSG_SPACE(sizeof(int))], byte;
	struct iovec piece = { &byte, 1 };
	struct mmsghdr message = { .msg_hdr = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = room,
						.msg_controllen = sizeof(room) } };
	int fd;

	assert(recvmmsg(from, &message, 1, 0, NULL) == 1);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message.msg_hdr)), sizeof(fd));
	return fd;
}

static void sockets(void)
{
	int fd = device(), pair[2], second;
	pid_t child;

	assert(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	pass_fd(pair[0], fd);
	second = take_fd(pair[1]);
	touch(second, 1);
	child = fork();
	if (!child) {
		close(fd);
		close(second);
		touch(take_fd(pair[1]), 1);
		_exit(15);
	}
	pass_fd(pair[0], fd);
	expect(child, 15);
}

/* More than the ring holds. */
static void flood(int times)
{
	int fd = device();

	touch(fd, times);
}

/* Killed in the middle of a call: a read that blocks for ever. */
static void stuck(void)
{
	int event = eventfd(0, 0);
	uint64_t count;

	touch(device(), 3);
	assert(read(event, &count, 8) == 8);
}

/* Limits of the driver's own must not turn the shim's files into its death. */
static void limits(void)
{
	struct rlimit none = { 0, 0 }, few = { 4, 4 }; /* the device is the fourth */
	int fd = device();

	assert(setrlimit(RLIMIT_FSIZE, &none) == 0 && setrlimit(RLIMIT_NOFILE, &few) == 0);
	touch(fd, 1);
	assert(eventfd(0, 0) == -1 && errno == EMFILE);
	expect_thread(fd);
	assert(close(fd) == 0);
}

static void unseen(int fd)
{
	/* Opened by a system call of its own, past every entry point. */
	long made;

	if (fd < 0) {
		__asm__ volatile("syscall"
				 : "=a"(made)
				 : "a"(SYS_memfd_create), "D"("vfiotape-standin-device"), "S"(0)
				 : "rcx", "r11", "memory");
		fd = (int)made;
		assert(fd >= 0);
	}
	assert(ioctl(fd, VFIO_DEVICE_RESET) == 0);
}

int main(int argc, char **argv)
{
	const char *subject = argc > 1 ? argv[1] : "";
	int number = argc > 2 ? atoi(argv[2]) : 0;

	self = argv[0];
	if (!strcmp(subject, "files"))
		files();
	else if (!strcmp(subject, "io"))
		io();
	else if (!strcmp(subject, "ioctls"))
		ioctls();
	else if (!strcmp(subject, "mappings"))
		mappings();
	else if (!strcmp(subject, "waits"))
		waits();
	else if (!strcmp(subject, "processes"))
		processes();
	else if (!strcmp(subject, "daemon"))
		daemonize();
	else if (!strcmp(subject, "idle"))
		idle();
	else if (!strcmp(subject, "preloads"))
		preloads(argv[2]);
	else if (!strcmp(subject, "image"))
		image(number);
	else if (!strcmp(subject, "threads"))
		threads();
	else if (!strcmp(subject, "shared-tls"))
		shared_tls(number);
	else if (!strcmp(subject, "signals"))
		signals();
	else if (!strcmp(subject, "sockets"))
		sockets();
	else if (!strcmp(subject, "flood"))
		flood(number);
	else if (!strcmp(subject, "stuck"))
		stuck();
	else if (!strcmp(subject, "limits"))
		limits();
	else if (!strcmp(subject, "unseen"))
		unseen(-1);
	else if (!strcmp(subject, "range"))
		assert(close_range(200, 300, 0) == 0);
	else if (!strcmp(subject, "quick"))
		touch(device(), 1), quick_exit(number);
	else if (!strcmp(subject, "return"))
		return touch(device(), 1), number;
	else
		return 97;
	return 0;
}
