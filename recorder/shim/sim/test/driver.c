// SPDX-License-Identifier: Apache-2.0
/* A driver for the test server's device: each scenario checks itself, and says what is wrong. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <linux/vfio.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPEN_FILES 0x3ba0ul
#define MAPPED_BYTES 0x3ba1ul
#define FIRED 0x3ba2ul
#define END_OF_SERVER 0x3baful

#define CHECK(what)                                                                                                    \
	do {                                                                                                           \
		if (!(what)) {                                                                                         \
			fprintf(stderr, "driver.c:%d: %s (errno %d: %s)\n", __LINE__, #what, errno, strerror(errno)); \
			exit(1);                                                                                       \
		}                                                                                                      \
	} while (0)
#define FAILS(call, error) (errno = 0, (call) == -1 && errno == (error))

static int container, group, device;

static void set_up(void)
{
	container = open("/dev/vfio/vfio", O_RDWR);
	CHECK(container == 3);
	group = open("/dev/vfio/7", O_RDWR | O_CLOEXEC);
	CHECK(group == 4);
	device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:04.0");
	CHECK(device == 5);
}

static volatile uint8_t *map(unsigned int region, size_t length)
{
	void *bar = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, device, (off_t)((uint64_t)region << 40));

	CHECK(bar != MAP_FAILED);
	return bar;
}

static void files(void)
{
	struct stat status;
	char link[64] = { 0 }, name[32];
	struct epoll_event event = { .events = EPOLLIN };
	int other, epoll;

	CHECK(FAILS(open("/dev/vfio/8", O_RDWR), ENOENT));
	set_up();
	CHECK(FAILS(ioctl(group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:05.0"), ENOENT));
	CHECK(ioctl(container, OPEN_FILES) == 3);
	CHECK(!fstat(container, &status) && S_ISCHR(status.st_mode) && status.st_rdev == makedev(10, 196));
	CHECK(!stat("/dev/vfio/7", &status) && S_ISCHR(status.st_mode) && status.st_rdev == makedev(511, 7));
	CHECK(!fstat(device, &status) && !(status.st_mode & S_IFMT));
	snprintf(name, sizeof(name), "/proc/self/fd/%d", container);
	CHECK(readlink(name, link, sizeof(link) - 1) == 14 && !strcmp(link, "/dev/vfio/vfio"));
	CHECK(fcntl(container, F_GETFD) == 0 && fcntl(group, F_GETFD) == FD_CLOEXEC);
	CHECK(FAILS(lseek(device, 0, SEEK_SET), ESPIPE));
	epoll = epoll_create1(0);
	CHECK(epoll == 6 && FAILS(epoll_ctl(epoll, EPOLL_CTL_ADD, device, &event), EPERM) && !close(epoll));
	CHECK(ioctl(container, VFIO_CHECK_EXTENSION, 41) == 41);
	CHECK(FAILS(ioctl(container, 0x5401, link), ENOTTY));
	/* The last descriptor's close is known when close returns. */
	other = dup(group);
	CHECK(other == 6 && !close(group) && ioctl(container, OPEN_FILES) == 3);
	CHECK(!close(other) && ioctl(container, OPEN_FILES) == 2);
	CHECK(dup2(container, device) == device && ioctl(container, OPEN_FILES) == 1);
	CHECK(ioctl(device, VFIO_CHECK_EXTENSION, 7) == 7);
	for (int i = 0; i < 50; i++) {
		group = open("/dev/vfio/7", O_RDWR);
		CHECK(group == 4 && ioctl(container, OPEN_FILES) == 2 && !close(group));
	}
}

static void data(void)
{
	unsigned char bytes[5000], back[5000];
	struct iovec pieces[2] = { { back, 3 }, { back + 3, 5 } };
	struct { struct vfio_region_info info; } *region;
	char *end;

	set_up();
	for (unsigned int i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i * 7);
	CHECK(pwrite(device, bytes, sizeof(bytes), 0) == sizeof(bytes));
	CHECK(pread(device, back, sizeof(back), 0) == sizeof(back) && !memcmp(bytes, back, sizeof(back)));
	memset(back, 0, sizeof(back));
	CHECK(preadv(device, pieces, 2, 16) == 8 && !memcmp(bytes + 16, back, 8));
	CHECK(FAILS(pread(device, back, 4, (off_t)9 << 40), EINVAL));
	CHECK(FAILS(pread(device, back, 4, -1), EINVAL));
	/* Addresses that are no good are EFAULT, and the connections are none the worse. */
	end = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(!mprotect(end + 4096, 4096, PROT_NONE));
	for (int i = 0; i < 3; i++) {
		CHECK(FAILS(pread(device, end + 4090, 64, 0), EFAULT));
		CHECK(FAILS(pwrite(device, end + 4090, 64, 0), EFAULT));
		CHECK(FAILS(pread(device, NULL, 64, 0), EFAULT));
		CHECK(pread(device, back, 64, 0) == 64 && !memcmp(back, bytes, 64));
	}
	region = (void *)(end + 4096 - sizeof(*region));
	region->info = (struct vfio_region_info){ .argsz = 32, .index = 2 };
	CHECK(!ioctl(device, VFIO_DEVICE_GET_REGION_INFO, region));
	CHECK(region->info.offset == 2ull << 40 && region->info.size == 16384);
	CHECK(!mprotect(end, 4096, PROT_READ));
	CHECK(FAILS(ioctl(device, VFIO_DEVICE_GET_REGION_INFO, region), EFAULT));
}

static sigjmp_buf out;
static volatile uintptr_t fault_address;
static volatile int fault_signal;

static void on_fault(int signal, siginfo_t *info, void *context)
{
	(void)context;
	fault_signal = signal;
	fault_address = (uintptr_t)info->si_addr;
	siglongjmp(out, 1);
}

static void registers(void)
{
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
	volatile uint8_t *bar;
	unsigned char back[16];
	int pipes[2];

	set_up();
	CHECK(FAILS((long)mmap(NULL, 65536, PROT_READ, MAP_SHARED, device, 0), EINVAL));
	bar = map(0, 16384);
	*(volatile uint32_t *)(bar + 4) = 0x12345678;
	CHECK(*(volatile uint32_t *)(bar + 4) == 0x12345678);
	CHECK(*(volatile uint16_t *)(bar + 6) == 0x1234 && bar[4] == 0x78);
	CHECK(pread(device, back, 4, 4) == 4 && !memcmp(back, "\x78\x56\x34\x12", 4));
	*(volatile uint32_t *)(bar + 4) += 1;
	CHECK(__atomic_fetch_or((uint64_t *)(bar + 8), 5, __ATOMIC_SEQ_CST) == 0 && *(volatile uint64_t *)(bar + 8) == 5);
	memcpy((void *)(bar + 64), "a string that is longer than any register", 42);
	CHECK(!memcmp((const void *)(bar + 64), "a string that is longer than any register", 42));
	CHECK(pread(device, back, 16, 64) == 16 && !memcmp(back, "a string that is", 16));
	/* System calls that are given a pointer into it. */
	CHECK(!pipe(pipes) && write(pipes[1], (const void *)(bar + 64), 8) == 8 && read(pipes[0], back, 8) == 8);
	CHECK(!memcmp(back, "a string", 8));
	CHECK(write(pipes[1], "12345678", 8) == 8 && syscall(SYS_read, pipes[0], bar + 128, 8ul) == 8);
	CHECK(!memcmp((const void *)(bar + 128), "12345678", 8));
	/* What the device refuses is the driver's SIGBUS, what the mapping doesn't allow its SIGSEGV. */
	CHECK(!sigaction(SIGBUS, &action, NULL) && !sigaction(SIGSEGV, &action, NULL));
	if (!sigsetjmp(out, 1)) {
		(void)*(volatile uint32_t *)(bar + 12292);
		CHECK(!"SIGBUS");
	}
	CHECK(fault_signal == SIGBUS && fault_address == (uintptr_t)bar + 12292);
	CHECK(!mprotect((void *)bar, 4096, PROT_READ));
	if (!sigsetjmp(out, 1)) {
		*(volatile uint32_t *)(bar + 4) = 1;
		CHECK(!"SIGSEGV");
	}
	CHECK(fault_signal == SIGSEGV && fault_address == (uintptr_t)bar + 4);
	CHECK(*(volatile uint32_t *)(bar + 4) == 0x12345679);
	*(volatile uint32_t *)(bar + 4096) = 9;
}

static void mappings(void)
{
	volatile uint8_t *bar, *moved;
	void *hole;

	set_up();
	bar = map(1, 12288);
	CHECK(ioctl(container, MAPPED_BYTES) == 12288);
	*(volatile uint32_t *)(bar + 8192) = 77;
	CHECK(!munmap((void *)(bar + 4096), 4096) && ioctl(container, MAPPED_BYTES) == 8192);
	hole = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	moved = mremap((void *)(bar + 8192), 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, hole);
	CHECK(moved == hole && *(volatile uint32_t *)moved == 77 && ioctl(container, MAPPED_BYTES) == 8192);
	*(volatile uint32_t *)moved = 78;
	CHECK(FAILS((long)mremap((void *)moved, 4096, 8192, MREMAP_MAYMOVE), EFAULT));
	/* Over what is mapped. */
	CHECK(mmap((void *)bar, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, device, (off_t)1 << 40) == (void *)bar);
	CHECK(ioctl(container, MAPPED_BYTES) == 8192);
	CHECK(mmap((void *)bar, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == (void *)bar);
	CHECK(ioctl(container, MAPPED_BYTES) == 4096);
	bar[0] = 1;
	CHECK(!munmap((void *)moved, 4096) && ioctl(container, MAPPED_BYTES) == 0);
}

static void interrupts(void)
{
	struct { struct vfio_irq_set set; int32_t fd; } irqs = { { .argsz = 24, .flags = 36, .count = 1 }, 0 };
	uint64_t value = 0;
	int fd, closed;

	set_up();
	fd = eventfd(0, EFD_NONBLOCK);
	irqs.fd = fd;
	CHECK(!ioctl(device, VFIO_DEVICE_SET_IRQS, &irqs));
	CHECK(read(fd, &value, 8) == 8 && value == 1); /* it was there when the call returned */
	irqs.set.index = 1; /* the server watches this one */
	CHECK(!ioctl(device, VFIO_DEVICE_SET_IRQS, &irqs));
	for (int i = 0; i < 1000 && !ioctl(container, FIRED); i++)
		usleep(2000);
	value = 5;
	CHECK(write(fd, &value, 8) == 8);
	for (int i = 0; i < 1000 && ioctl(container, FIRED) < 6; i++)
		usleep(2000);
	CHECK(ioctl(container, FIRED) == 6);
	closed = dup(fd);
	close(closed);
	irqs.fd = closed;
	CHECK(FAILS(ioctl(device, VFIO_DEVICE_SET_IRQS, &irqs), EBADF));
}

static void hidden(void)
{
	int before, null = open("/dev/null", O_RDWR);

	CHECK(null == 3 && !close(null));
	set_up();
	before = ioctl(container, OPEN_FILES);
	/* As daemons do. Ours are not there for them, and not gone afterwards. */
	for (int fd = 6; fd < 4096; fd++)
		close(fd);
	for (int fd = 6; fd < 4096; fd++)
		CHECK(FAILS(close(fd), EBADF));
	CHECK(ioctl(container, OPEN_FILES) == before);
	CHECK(!close_range(6, ~0u, 0) && ioctl(container, OPEN_FILES) == before);
	closefrom(6);
	CHECK(ioctl(container, OPEN_FILES) == before);
	for (int fd = 6; fd < 4000; fd++)
		if (dup2(2, fd) < 0)
			break;
	CHECK(ioctl(container, OPEN_FILES) == before);
	CHECK(!close_range(4, ~0u, 0));
	CHECK(ioctl(container, OPEN_FILES) == 1);
}

static void child_works(volatile uint8_t *bar)
{
	CHECK(ioctl(container, VFIO_CHECK_EXTENSION, 9) == 9);
	CHECK(ioctl(container, MAPPED_BYTES) == 4096);
	CHECK(*(volatile uint32_t *)bar == 5);
	*(volatile uint32_t *)(bar + 4) = 6;
	_exit(0);
}

static void reap(pid_t child)
{
	int status;

	CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && !WEXITSTATUS(status));
}

static void forks(void)
{
	volatile uint8_t *bar;
	pid_t child;

	set_up();
	bar = map(0, 4096);
	*(volatile uint32_t *)bar = 5;
	child = fork();
	if (!child)
		child_works(bar);
	reap(child);
	CHECK(*(volatile uint32_t *)(bar + 4) == 6 && ioctl(container, OPEN_FILES) == 3);
	child = (pid_t)syscall(SYS_fork);
	if (!child)
		child_works(bar);
	reap(child);
	/* The file is open as long as the child has it. */
	child = fork();
	if (!child) {
		usleep(100000);
		_exit(0);
	}
	CHECK(!close(group) && ioctl(container, OPEN_FILES) == 3);
	reap(child);
	usleep(20000);
	CHECK(ioctl(container, OPEN_FILES) == 2);
	child = vfork();
	if (!child) {
		int three = ioctl(container, VFIO_CHECK_EXTENSION, 3);

		for (int fd = 3; fd < 4096; fd++)
			close(fd);
		_exit(three == 3 ? 0 : 1);
	}
	reap(child);
	CHECK(ioctl(container, VFIO_CHECK_EXTENSION, 4) == 4 && *(volatile uint32_t *)bar == 5);
	CHECK(ioctl(container, MAPPED_BYTES) == 4096);
}

static void *hammer(void *bar)
{
	for (int i = 0; i < 200; i++) {
		CHECK(ioctl(container, VFIO_CHECK_EXTENSION, i) == i);
		*(volatile uint32_t *)bar = (uint32_t)i;
		CHECK(*(volatile uint32_t *)bar == (uint32_t)i);
	}
	return NULL;
}

static void threads(void)
{
	pthread_t ids[8];
	volatile uint8_t *bar;

	set_up();
	bar = map(0, 4096);
	for (unsigned int i = 0; i < 8; i++)
		CHECK(!pthread_create(&ids[i], NULL, hammer, (void *)(bar + 64 * i)));
	for (unsigned int i = 0; i < 8; i++)
		CHECK(!pthread_join(ids[i], NULL));
}

static void after_exec(void)
{
	/* Inherited at the same numbers, and known: 3 the container, 5 not (it was closed by exec). */
	container = 3;
	CHECK(ioctl(container, VFIO_CHECK_EXTENSION, 12) == 12);
	CHECK(ioctl(container, MAPPED_BYTES) == 0 && ioctl(container, OPEN_FILES) == 1);
}

static void execs(char *self)
{
	set_up();
	map(0, 4096);
	clearenv();
	execl(self, self, "after-exec", (char *)NULL);
	CHECK(!"exec");
}

static void passes(void)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 }, byte = 0;
	struct iovec piece = { &byte, 1 };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	int pair[2], received;
	pid_t child;

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	child = fork();
	if (!child) {
		CHECK(recvmsg(pair[1], &message, 0) == 1);
		memcpy(&received, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(received));
		CHECK(ioctl(received, VFIO_CHECK_EXTENSION, 77) == 77);
		CHECK(pread(received, control, 1, 0) == 1 || errno);
		_exit(0);
	}
	container = open("/dev/vfio/vfio", O_RDWR);
	*header = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int)) };
	memcpy(CMSG_DATA(header), &container, sizeof(container));
	CHECK(sendmsg(pair[0], &message, 0) == 1);
	reap(child);
	CHECK(ioctl(container, OPEN_FILES) == 1);
}

static int walked;

static int visit(const char *path, const struct stat *status, int type, struct FTW *where)
{
	(void)status, (void)type;
	CHECK(!strncmp(path, "/sys/bus/pci", 12) && path[where->base - 1] == '/');
	walked++;
	return 0;
}

static void paths(void)
{
	static const char real[] = "/sys/devices/pci0000:00/0000:00:04.0";
	char text[16] = { 0 }, found[4096], cwd[4096];
	struct statx extended;
	struct dirent **list;
	struct stat status;
	glob_t matches;
	DIR *directory;
	int fd, top;
	FILE *file;

	CHECK(realpath("/sys/bus/pci/devices/0000:00:04.0", found) && !strcmp(found, real));
	CHECK(realpath("/sys//class/../bus/./pci/devices/0000:00:04.0/driver/..", found) == NULL);
	CHECK((file = fopen("/sys/bus/pci/devices/0000:00:04.0/vendor", "r")) && fgets(text, sizeof(text), file) &&
	      !strcmp(text, "0x1234\n"));
	CHECK((directory = opendir("/sys/bus/pci/devices")) != NULL && !closedir(directory));
	CHECK(scandir("/sys/bus/pci/devices", &list, NULL, alphasort) == 3 && !strcmp(list[2]->d_name, "0000:00:04.0"));
	CHECK(!glob("/sys/bus/pci/devices/*", 0, NULL, &matches) && matches.gl_pathc == 1 &&
	      !strcmp(matches.gl_pathv[0], "/sys/bus/pci/devices/0000:00:04.0"));
	CHECK(!access("/sys/bus/pci/devices/0000:00:04.0/vendor", R_OK));
	CHECK(FAILS(access("/sys/bus/pci/devices/0000:00:00.0", F_OK), ENOENT)); /* the machine's own */
	CHECK(!lstat("/sys/bus/pci/devices/0000:00:04.0", &status) && S_ISLNK(status.st_mode));
	CHECK(!statx(AT_FDCWD, "/dev/vfio/vfio", 0, STATX_ALL, &extended) && S_ISCHR(extended.stx_mode) &&
	      extended.stx_rdev_major == 10 && extended.stx_size == 0);
	CHECK(syscall(SYS_access, "/sys/bus/pci/devices/0000:00:04.0", F_OK) == 0);
	CHECK(!nftw("/sys/bus/pci", visit, 4, FTW_PHYS) && walked == 3);
	/* From directories in the tree, and on the way there. */
	CHECK((top = open("/sys/bus/pci/devices", O_RDONLY | O_DIRECTORY)) >= 0);
	CHECK((fd = openat(top, "0000:00:04.0/vendor", O_RDONLY)) >= 0);
	snprintf(text, sizeof(text), "/proc/self/fd/%d", fd);
	CHECK(readlink(text, found, sizeof(found)) == (long)strlen(real) + 7 && !memcmp(found, real, strlen(real)));
	CHECK(!chdir("/sys/bus/pci") && getcwd(cwd, sizeof(cwd)) && !strcmp(cwd, "/sys/bus/pci"));
	CHECK(!access("devices/0000:00:04.0/vendor", R_OK));
	CHECK(!chdir("/sys") && !access("bus/pci/devices/0000:00:04.0", F_OK));
	CHECK(!chdir("/dev") && (fd = open("vfio/vfio", O_RDWR)) >= 0 && ioctl(fd, VFIO_CHECK_EXTENSION, 2) == 2);
	CHECK(!stat("/proc/self", &status) && !access("/dev/null", R_OK));
}

static void dead(void)
{
	volatile uint8_t *bar;
	char byte;

	set_up();
	bar = map(0, 4096);
	CHECK(FAILS(ioctl(container, END_OF_SERVER), EIO));
	CHECK(FAILS(ioctl(container, VFIO_CHECK_EXTENSION, 1), EIO));
	CHECK(FAILS(pread(device, &byte, 1, 0), EIO));
	CHECK(*(volatile uint32_t *)bar == 0xffffffff);
	*(volatile uint32_t *)bar = 1;
	CHECK(FAILS(open("/dev/vfio/vfio", O_RDWR), EIO) || errno == ENOENT);
	CHECK(!close(container) && !munmap((void *)bar, 4096));
}

int main(int argc, char **argv)
{
	static const struct { const char *name; void (*run)(void); } scenarios[] = {
		{ "files", files }, { "data", data }, { "registers", registers }, { "mappings", mappings },
		{ "interrupts", interrupts }, { "hidden", hidden }, { "forks", forks }, { "threads", threads },
		{ "passes", passes }, { "paths", paths }, { "dead", dead }, { "after-exec", after_exec },
	};

	alarm(60);
	for (unsigned int i = 0; argc == 2 && i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
		if (!strcmp(argv[1], scenarios[i].name)) {
			scenarios[i].run();
			return 0;
		}
	}
	if (argc == 2 && !strcmp(argv[1], "execs"))
		execs(argv[0]);
	fprintf(stderr, "usage: driver SCENARIO\n");
	return 2;
}
