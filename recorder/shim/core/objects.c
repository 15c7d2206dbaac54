// SPDX-License-Identifier: Apache-2.0
#include "objects.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../sim/paths.h"
#include "standin.h"

#define BLOCK_BYTES (OBJECTS_LOW * sizeof(uint64_t))
#define FDS_OFFSET 4096u
#define LINK_MAX 512

uint64_t objects_low[OBJECTS_LOW];
uint64_t *objects_high[VFIOTAPE_FDS_MAX / OBJECTS_LOW];
uint32_t objects_any;
uint32_t objects_interrupts;

static uint64_t *block_for(unsigned int fd)
{
	uint64_t **slot = &objects_high[fd / OBJECTS_LOW], *block, *none = NULL;

	if (fd < OBJECTS_LOW)
		return objects_low;
	block = __atomic_load_n(slot, __ATOMIC_ACQUIRE);
	if (block)
		return block;
	block = raw_mmap(NULL, BLOCK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (raw_failed((long)block))
		return NULL;
	if (!__atomic_compare_exchange_n(slot, &none, block, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
		raw_munmap(block, BLOCK_BYTES);
		block = none;
	}
	return block;
}

static void save_entry(int fd, union object_entry entry)
{
	uint64_t place = FDS_OFFSET + (uint64_t)fd * sizeof(entry.fd);
	char path[SHIM_PATH_MAX + 32];
	int file;

	/* A forked child that is not attached yet has no file; it writes all entries when it gets one. */
	if (!shim_process.pid || !shim_session.control || sim_is_hidden(entry))
		return;
	shim_file_path(path, "/process.", shim_process.pid, 1);
	file = raw_openat(AT_FDCWD, path, O_WRONLY | O_CLOEXEC, 0);
	if (file < 0 || !shim_may_write(place + sizeof(entry.fd)) ||
	    raw_pwrite(file, &entry.fd, sizeof(entry.fd), place) < 0)
		shim_count_loss(&shim_session.control->lost_other, 1);
	if (file >= 0)
		raw_close(file);
}

void object_set(int fd, union object_entry entry)
{
	uint64_t *block;

	if (!objects_are_ours())
		return;
	if ((unsigned int)fd >= VFIOTAPE_FDS_MAX || !(block = block_for((unsigned int)fd))) {
		shim_count_other_loss();
		return;
	}
	__atomic_store_n(&block[(unsigned int)fd % OBJECTS_LOW], entry.word, __ATOMIC_RELAXED);
	objects_any = 1;
	save_entry(fd, entry);
}

uint32_t object_new_id(void)
{
	if (!shim_session.control)
		return 0; /* nothing is recorded of it */
	return __atomic_fetch_add(&shim_session.control->next_object, 1, __ATOMIC_RELAXED);
}

static uint8_t flags_of_kind(enum vfiotape_object_kind kind)
{
	switch (kind) {
	case VFIOTAPE_OBJECT_DEVICE:
	case VFIOTAPE_OBJECT_CDEV:
	case VFIOTAPE_OBJECT_EVENTFD:
	case VFIOTAPE_OBJECT_MIGRATION:
	case VFIOTAPE_OBJECT_FAULT_QUEUE:
	case VFIOTAPE_OBJECT_VEVENTQ:
	case VFIOTAPE_OBJECT_LYON_DEVICE:
		return OBJECT_IO;
	default:
		return 0;
	}
}

static bool is_vfio(enum vfiotape_object_kind kind)
{
	switch (kind) {
	case VFIOTAPE_OBJECT_CONTAINER:
	case VFIOTAPE_OBJECT_GROUP:
	case VFIOTAPE_OBJECT_NOIOMMU_GROUP:
	case VFIOTAPE_OBJECT_DEVICE:
	case VFIOTAPE_OBJECT_CDEV:
	case VFIOTAPE_OBJECT_IOMMUFD:
	case VFIOTAPE_OBJECT_FAULT_QUEUE:
	case VFIOTAPE_OBJECT_VEVENTQ:
	case VFIOTAPE_OBJECT_LYON_DEVICE:
	case VFIOTAPE_OBJECT_UIOMMU:
	case VFIOTAPE_OBJECT_LYON_NETLINK:
		return true;
	default:
		return false;
	}
}

union object_entry object_add(int fd, enum vfiotape_object_kind kind)
{
	union object_entry entry = {
		.fd = { .object = object_new_id(), .kind = (uint8_t)kind, .flags = flags_of_kind(kind) },
	};

	/* Reads of a container, say, are recorded too then: they can't be left to a socket. */
	if (simulating() && is_vfio(kind))
		entry.fd.flags |= OBJECT_SIMULATED | OBJECT_IO;

	object_set(fd, entry);
	return entry;
}

static bool is_number(const char *text)
{
	if (!*text)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
	}
	return true;
}

/* What follows `prefix` in `text`, or NULL. */
static const char *after(const char *text, const char *prefix)
{
	while (*prefix) {
		if (*text++ != *prefix++)
			return NULL;
	}
	return text;
}

static enum vfiotape_object_kind kind_of_device_node(const char *name)
{
	const char *rest;

	if ((rest = after(name, "vfio/"))) {
		const char *tail;

		if ((tail = after(rest, "vfio")) && !*tail)
			return VFIOTAPE_OBJECT_CONTAINER;
		if (is_number(rest))
			return VFIOTAPE_OBJECT_GROUP;
		if ((tail = after(rest, "noiommu-")) && is_number(tail))
			return VFIOTAPE_OBJECT_NOIOMMU_GROUP;
		if ((tail = after(rest, "devices/vfio")) && is_number(tail))
			return VFIOTAPE_OBJECT_CDEV;
		return VFIOTAPE_OBJECT_NONE;
	}
	if ((rest = after(name, "vfio")) && is_number(rest))
		return VFIOTAPE_OBJECT_LYON_DEVICE;
	if ((rest = after(name, "iommu")) && !*rest)
		return VFIOTAPE_OBJECT_IOMMUFD;
	if ((rest = after(name, "uiommu")) && !*rest)
		return VFIOTAPE_OBJECT_UIOMMU;
	if ((rest = after(name, "kvm")) && !*rest)
		return VFIOTAPE_OBJECT_KVM;
	return VFIOTAPE_OBJECT_NONE;
}

static const char *const sysfs_prefixes[] = {
	"bus/pci/", "kernel/iommu_groups/", "class/vfio", "class/iommu/", "module/vfio", "devices/pci",
};

enum vfiotape_object_kind object_kind_of_path(const char *path)
{
	const char *rest;

	if ((rest = after(path, "/dev/")))
		return kind_of_device_node(rest);
	if ((rest = after(path, "/sys/"))) {
		for (unsigned int i = 0; i < sizeof(sysfs_prefixes) / sizeof(sysfs_prefixes[0]); i++) {
			if (after(rest, sysfs_prefixes[i]))
				return VFIOTAPE_OBJECT_SYSFS;
		}
		return VFIOTAPE_OBJECT_NONE;
	}
	if ((rest = after(path, "/proc/self/pagemap")) && !*rest)
		return VFIOTAPE_OBJECT_PAGEMAP;
	if (simulating() && (rest = after(path, VFIOTAPE_SIM_NETLINK)) && !*rest)
		return VFIOTAPE_OBJECT_LYON_NETLINK;
	return VFIOTAPE_OBJECT_NONE;
}

static const struct {
	const char *link;
	enum vfiotape_object_kind kind;
} anonymous[] = {
	{ "[vfio-device]", VFIOTAPE_OBJECT_DEVICE },
	{ "[eventfd]", VFIOTAPE_OBJECT_EVENTFD },
	{ "[iommufd-pgfault]", VFIOTAPE_OBJECT_FAULT_QUEUE },
	{ "[iommufd-viommu-event]", VFIOTAPE_OBJECT_VEVENTQ },
	{ "kvm-vm", VFIOTAPE_OBJECT_KVM_VM },
	{ "[eventpoll]", VFIOTAPE_OBJECT_EPOLL },
};

/* What it would be called on the machine that is simulated. */
static long simulated_link(int fd, char *link, long length, size_t room)
{
	if (sim_strip(link))
		return (long)strlen(link);
	if (after(link, "socket:[")) {
		char name[LINK_MAX];

		if (sim_kind_of(fd, name, sizeof(name)) && strlen(name) < room) {
			memcpy(link, name, strlen(name) + 1);
			return (long)strlen(link);
		}
	}
	return length;
}

long object_link(int fd, char *link, size_t room)
{
	char path[32] = "/proc/self/fd/";
	char digits[12];
	unsigned int count = 0, at = 14, number = (unsigned int)fd;
	long length;

	do {
		digits[count++] = (char)('0' + number % 10);
	} while ((number /= 10));
	while (count)
		path[at++] = digits[--count];
	path[at] = 0;
	length = raw3(SYS_readlink, (long)path, (long)link, (long)room - 1);
	link[length > 0 ? length : 0] = 0;
	return length > 0 && simulating() ? simulated_link(fd, link, length, room) : length;
}

size_t object_directory(int directory, char *path, size_t room)
{
	long length = directory == AT_FDCWD ? raw3(SYS_readlink, (long)"/proc/self/cwd", (long)path, (long)room - 1) :
		      directory < 0	    ? 0 :
						object_link(directory, path, room);

	if (length <= 0 || path[0] != '/')
		return 0;
	path[length] = '/';
	return (size_t)length + 1;
}

bool object_is_vfio_path(const char *path)
{
	return after(path, "/dev/vfio/") != NULL;
}

enum vfiotape_object_kind object_kind_of_link(int fd)
{
	char link[LINK_MAX];
	const char *name;

	if (fd < 0 || object_link(fd, link, LINK_MAX) <= 0)
		return VFIOTAPE_OBJECT_NONE;
	if ((name = after(link, "anon_inode:"))) {
		for (unsigned int i = 0; i < sizeof(anonymous) / sizeof(anonymous[0]); i++) {
			const char *rest = after(name, anonymous[i].link);

			if (rest && !*rest)
				return anonymous[i].kind;
		}
		return VFIOTAPE_OBJECT_NONE;
	}
	if (standin_kind_of_link(link))
		return standin_kind_of_link(link);
	return object_kind_of_path(link);
}

enum vfiotape_object_kind object_kind_of_open(int fd, const char *path)
{
	struct stat status;

	if (path[0] != '/' || (raw3(SYS_fstat, fd, (long)&status, 0) == 0 &&
			       (S_ISCHR(status.st_mode) || S_ISSOCK(status.st_mode))))
		return object_kind_of_link(fd);
	return object_kind_of_path(path);
}

static union object_entry adopt_as(int fd, enum vfiotape_object_kind kind)
{
	struct ring_thread *ring = ring_enter();
	union object_entry entry = { .word = 0 };
	struct ring_segment segments[2];
	struct ring_event event = { .entered = shim_clock(), .fd = fd, .kind = VFIOTAPE_UNSEEN };
	uint32_t numbers[2] = { kind, 0 };
	char link[LINK_MAX];
	long length = object_link(fd, link, LINK_MAX);

	if (!ring && !simulating())
		return entry;
	entry = object_add(fd, kind);
	if (!ring)
		return entry;
	event.object = entry.fd.object;
	segments[0] = (struct ring_segment){ .role = VFIOTAPE_ROLE_PATH,
					     .length = length > 0 ? (uint32_t)length : 0,
					     .bytes = link };
	segments[1] = (struct ring_segment){ .role = VFIOTAPE_ROLE_KIND, .length = sizeof(numbers), .bytes = numbers };
	ring_write_with(ring, &event, segments, 2);
	__atomic_fetch_add(&shim_process.unseen, 1, __ATOMIC_RELAXED);
	shim_write_unseen();
	return entry;
}

COLD union object_entry object_adopt(int fd)
{
	enum vfiotape_object_kind kind = object_kind_of_link(fd);

	if (!is_vfio(kind))
		return (union object_entry){ .word = 0 };
	return adopt_as(fd, kind);
}

static void mark_one(int fd, union object_entry entry, void *context)
{
	uint32_t object = *(const uint32_t *)context;

	if (entry.fd.object == object && !(entry.fd.flags & OBJECT_INTERRUPT)) {
		entry.fd.flags |= OBJECT_INTERRUPT;
		object_set(fd, entry);
	}
}

void object_mark_interrupt(int fd)
{
	union object_entry entry = object_of(fd);

	if (fd < 0)
		return;
	if (!entry.fd.kind && object_kind_of_link(fd) == VFIOTAPE_OBJECT_EVENTFD)
		entry = adopt_as(fd, VFIOTAPE_OBJECT_EVENTFD);
	if (entry.fd.kind != VFIOTAPE_OBJECT_EVENTFD)
		return;
	__atomic_store_n(&objects_interrupts, 1, __ATOMIC_RELAXED);
	if (!(entry.fd.flags & OBJECT_INTERRUPT))
		objects_each_entry(0, VFIOTAPE_FDS_MAX - 1, mark_one, &entry.fd.object);
}

/* --- all of them -------------------------------------------------------------------------------------------------- */

void objects_each_entry(uint32_t first, uint32_t last, void (*visit)(int fd, union object_entry entry, void *context),
			void *context)
{
	if (last >= VFIOTAPE_FDS_MAX)
		last = VFIOTAPE_FDS_MAX - 1;
	for (uint32_t fd = first; fd <= last; fd++) {
		union object_entry entry;

		if (fd >= OBJECTS_LOW && !objects_high[fd / OBJECTS_LOW]) {
			fd |= OBJECTS_LOW - 1; /* the whole block is empty */
			continue;
		}
		entry = object_of((int)fd);
		if (entry.word)
			visit((int)fd, entry, context);
	}
}

struct kernel_dirent { /* struct linux_dirent64 of getdents64(2) */
	uint64_t inode;
	int64_t offset;
	uint16_t length;
	uint8_t type;
	char name[];
};

void objects_each_open(void (*visit)(int fd, void *context), void *context)
{
	char buffer[2048] __attribute__((aligned(8)));
	int directory = raw_openat(AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	long got;

	if (directory < 0)
		return;
	while ((got = raw3(SYS_getdents64, directory, (long)buffer, sizeof(buffer))) > 0) {
		for (long at = 0; at < got;) {
			const struct kernel_dirent *entry = (const struct kernel_dirent *)(buffer + at);
			int fd = 0;

			at += entry->length;
			if (!is_number(entry->name))
				continue;
			for (const char *digit = entry->name; *digit; digit++)
				fd = fd * 10 + (*digit - '0');
			if (fd != directory)
				visit(fd, context);
		}
	}
	raw_close(directory);
}

static void look_unseen(int fd, void *unused)
{
	(void)unused;
	if (!object_of(fd).word)
		object_adopt(fd);
}

void objects_find_unseen(void)
{
	objects_each_open(look_unseen, NULL);
}

/* Could an fd that calls itself `link` be what the entry says? */
static bool consistent(enum vfiotape_object_kind entry, enum vfiotape_object_kind link)
{
	switch (entry) {
	case VFIOTAPE_OBJECT_MIGRATION:
	case VFIOTAPE_OBJECT_DMABUF:
		return link == VFIOTAPE_OBJECT_NONE; /* named by the driver that made them */
	case VFIOTAPE_OBJECT_PAGEMAP:
		return link == VFIOTAPE_OBJECT_NONE || link == entry; /* /proc/1234/pagemap */
	default:
		return link == entry;
	}
}

static void inherit_one(int fd, void *context)
{
	int file = *(const int *)context;
	union object_entry entry = { .word = 0 };
	uint64_t *block;

	if ((unsigned int)fd >= VFIOTAPE_FDS_MAX ||
	    raw_pread(file, &entry.fd, sizeof(entry.fd), FDS_OFFSET + (uint64_t)fd * sizeof(entry.fd)) !=
		    sizeof(entry.fd) ||
	    !entry.word || !consistent(entry.fd.kind, object_kind_of_link(fd)))
		return;
	block = block_for((unsigned int)fd);
	if (!block)
		return;
	block[(unsigned int)fd % OBJECTS_LOW] = entry.word;
	objects_any = 1;
	if (entry.fd.flags & OBJECT_INTERRUPT)
		objects_interrupts = 1;
}

bool objects_inherit(uint32_t pid, uint32_t parent)
{
	char path[SHIM_PATH_MAX + 32];
	bool former;
	int file;

	shim_file_path(path, "/process.", pid, 1);
	file = raw_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	former = file >= 0;
	if (!former) {
		shim_file_path(path, "/process.", parent, 1);
		file = raw_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	}
	if (file < 0)
		return false;
	objects_each_open(inherit_one, &file);
	raw_close(file);
	return former;
}

static void save_one(int fd, union object_entry entry, void *context)
{
	uint64_t place = FDS_OFFSET + (uint64_t)fd * sizeof(entry.fd);

	if (!sim_is_hidden(entry) && shim_may_write(place + sizeof(entry.fd)))
		raw_pwrite(*(const int *)context, &entry.fd, sizeof(entry.fd), place);
}

void objects_save(int file)
{
	objects_each_entry(0, VFIOTAPE_FDS_MAX - 1, save_one, &file);
}

/* --- descriptors from elsewhere ----------------------------------------------------------------------------------- */

#define KCMP_FILE 0

struct same_file {
	uint32_t pid; /* the process whose table is searched */
	int fd;       /* ours */
	enum vfiotape_object_kind kind;
	union object_entry found;
};

static bool same_open_file(uint32_t pid, int theirs, int ours)
{
	/* kcmp orders: 0 is equal. Where it is refused, or not built in, nothing matches. */
	return raw6(SYS_kcmp, (long)pid, raw_getpid(), KCMP_FILE, theirs, ours, 0) == 0;
}

static void compare_own(int fd, union object_entry entry, void *context)
{
	struct same_file *same = context;

	if (!same->found.word && fd != same->fd && entry.fd.kind == (uint8_t)same->kind &&
	    same_open_file(same->pid, fd, same->fd))
		same->found = entry;
}

/* The table of another process of the session, from its file: holes are skipped as lseek(2) tells them. */
static void compare_process(struct same_file *same)
{
	union object_entry entries[64];
	char path[SHIM_PATH_MAX + 32];
	long at = FDS_OFFSET, got;
	int file;

	shim_file_path(path, "/process.", same->pid, 1);
	file = raw_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (file < 0)
		return;
	while (!same->found.word && (at = raw3(SYS_lseek, file, at, SEEK_DATA)) >= 0) {
		got = raw_pread(file, entries, sizeof(entries), (uint64_t)at);
		if (got <= 0)
			break;
		for (long i = 0; i < got / (long)sizeof(entries[0]) && !same->found.word; i++) {
			int theirs = (int)((at - (long)FDS_OFFSET) / (long)sizeof(entries[0]) + i);

			if (entries[i].fd.kind == (uint8_t)same->kind && same_open_file(same->pid, theirs, same->fd))
				same->found = entries[i];
		}
		at += got;
	}
	raw_close(file);
}

static void compare_others(struct same_file *same)
{
	char buffer[2048] __attribute__((aligned(8)));
	int directory = raw_openat(AT_FDCWD, shim_session.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	long got;

	if (directory < 0)
		return;
	while (!same->found.word && (got = raw3(SYS_getdents64, directory, (long)buffer, sizeof(buffer))) > 0) {
		for (long at = 0; at < got && !same->found.word;) {
			const struct kernel_dirent *entry = (const struct kernel_dirent *)(buffer + at);
			const char *number = after(entry->name, "process.");

			at += entry->length;
			if (!number || !is_number(number))
				continue;
			same->pid = 0;
			for (; *number; number++)
				same->pid = same->pid * 10 + (uint32_t)(*number - '0');
			if (same->pid != shim_process.pid)
				compare_process(same);
		}
	}
	raw_close(directory);
}

union object_entry object_received(int fd)
{
	struct same_file same = { .pid = (uint32_t)raw_getpid(), .fd = fd, .kind = object_kind_of_link(fd) };

	if (!is_vfio(same.kind) && same.kind != VFIOTAPE_OBJECT_EVENTFD && same.kind != VFIOTAPE_OBJECT_KVM_VM)
		return (union object_entry){ .word = 0 };
	if (shim_session.mode != SHIM_RECORDING)
		return is_vfio(same.kind) ? object_add(fd, same.kind) : (union object_entry){ .word = 0 };
	objects_each_entry(0, VFIOTAPE_FDS_MAX - 1, compare_own, &same);
	if (!same.found.word)
		compare_others(&same);
	if (!same.found.word)
		return object_add(fd, same.kind);
	object_set(fd, same.found);
	if (same.found.fd.flags & OBJECT_INTERRUPT)
		__atomic_store_n(&objects_interrupts, 1, __ATOMIC_RELAXED);
	return same.found;
}
