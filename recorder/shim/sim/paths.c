// SPDX-License-Identifier: Apache-2.0
/* Which paths are looked up in the server's tree, and how what comes from there is told to the driver. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "internal.h"
#include "paths.h"

static const char *const prefixes[] = VFIOTAPE_SIM_PREFIXES;

bool sim_in_tree(const char *path)
{
	return !strncmp(path, sim_root, sim_root_length) &&
	       (path[sim_root_length] == '/' || !path[sim_root_length]);
}

/* A whole path, as far as it goes: is it the top of something that is in the tree? */
static bool is_top(const char *path, size_t length)
{
	for (unsigned int i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		size_t size = strlen(prefixes[i]);
		bool open = prefixes[i][size - 1] == '*';

		size -= open;
		if (length >= size && !memcmp(path, prefixes[i], size) &&
		    (length == size || (open && !memchr(path + size, '/', length - size))))
			return true;
	}
	return false;
}

/*
 * Component by component: what leads to the tree is taken as it is written ("..", "." and doubled slashes resolved by the
 * letter), what is in it is left to the kernel, since its links are real ones.
 */
static bool enter_tree(const char *absolute, char *room)
{
	char *top = room + sim_root_length;
	size_t length = 0;

	memcpy(room, sim_root, sim_root_length);
	for (const char *at = absolute; *at;) {
		size_t size;

		while (*at == '/')
			at++;
		size = strcspn(at, "/");
		if (size == 2 && at[0] == '.' && at[1] == '.') {
			while (length && top[--length] != '/')
				;
		} else if (size && !(size == 1 && at[0] == '.')) {
			if (sim_root_length + length + size + 2 > SIM_PATH_ROOM)
				return false;
			top[length++] = '/';
			memcpy(top + length, at, size);
			length += size;
			if (is_top(top, length)) {
				size_t rest = strlen(at + size);

				if (sim_root_length + length + rest + 1 > SIM_PATH_ROOM)
					return false;
				memcpy(top + length, at + size, rest + 1);
				return true;
			}
		}
		at += size;
	}
	return false;
}

static bool may_lead_there(const char *absolute)
{
	while (*absolute == '/')
		absolute++;
	return *absolute == 'd' || *absolute == 's' || *absolute == 'p' || *absolute == '.';
}

/* Where a relative path starts: with a slash at its end, unresolved. */
static size_t start_of(int directory, char *room, size_t size)
{
	char link[32] = "/proc/self/cwd";
	long length;

	if (directory != AT_FDCWD) {
		unsigned int number = (unsigned int)directory, count = 0, at = 14;
		char digits[12];

		if (directory < 0)
			return 0;
		memcpy(link, "/proc/self/fd/", 14);
		do {
			digits[count++] = (char)('0' + number % 10);
		} while ((number /= 10));
		while (count)
			link[at++] = digits[--count];
		link[at] = 0;
	}
	length = raw3(SYS_readlink, (long)link, (long)room, (long)size - 2);
	if (length <= 0 || room[0] != '/')
		return 0;
	if (length > 1)
		room[length++] = '/';
	room[length] = 0;
	return (size_t)length;
}

struct sim_place sim_place_of(int directory, const char *path, char room[SIM_PATH_ROOM])
{
	char absolute[SIM_PATH_ROOM];
	size_t length = fault_safe_string(absolute, (uint64_t)path, sizeof(absolute) - 1), start;

	absolute[length] = 0;
	if (!length || length == sizeof(absolute) - 1)
		return (struct sim_place){ path, false };
	if (absolute[0] != '/') {
		start = start_of(directory, absolute, sizeof(absolute) / 2);
		if (!start)
			return (struct sim_place){ path, false };
		if (sim_in_tree(absolute))
			return (struct sim_place){ path, true };
		if (start + length + 1 > sizeof(absolute))
			return (struct sim_place){ path, false };
		absolute[start + fault_safe_string(absolute + start, (uint64_t)path, length)] = 0;
	}
	if (sim_in_tree(absolute))
		return (struct sim_place){ path, true };
	if (may_lead_there(absolute) && enter_tree(absolute, room))
		return (struct sim_place){ room, true };
	return (struct sim_place){ path, false };
}

const char *sim_path(const char *path, char room[SIM_PATH_ROOM])
{
	return sim_place_of(AT_FDCWD, path, room).path;
}

size_t sim_strip(char *path)
{
	size_t length;

	if (!sim_in_tree(path))
		return 0;
	length = strlen(path + sim_root_length);
	memmove(path, path + sim_root_length, length + 1);
	if (!length)
		memcpy(path, "/", 2);
	return sim_root_length;
}

/* --- device nodes --------------------------------------------------------------------------------------------------------- */

static bool is_node(uint32_t mode)
{
	return S_ISREG(mode) && mode & VFIOTAPE_SIM_NODE_MODE;
}

void sim_fix_stat(struct stat *status)
{
	if (!is_node(status->st_mode))
		return;
	status->st_rdev = makedev((unsigned int)(status->st_size >> 20), (unsigned int)(status->st_size & 0xfffff));
	status->st_mode = S_IFCHR | (status->st_mode & 0777);
	status->st_size = 0;
	status->st_blocks = 0;
}

void sim_fix_statx(struct statx *status)
{
	if (!is_node(status->stx_mode))
		return;
	status->stx_rdev_major = (uint32_t)(status->stx_size >> 20);
	status->stx_rdev_minor = (uint32_t)(status->stx_size & 0xfffff);
	status->stx_mode = (uint16_t)(S_IFCHR | (status->stx_mode & 0777));
	status->stx_size = 0;
	status->stx_blocks = 0;
}

/* The node's path in the tree, when the place is one. */
static bool find_node(int directory, const char *path, int flags, char node[SIM_PATH_ROOM])
{
	struct stat status;
	bool found = false;
	size_t length;
	int fd = raw_openat(directory, path, O_PATH | O_CLOEXEC | (flags & O_NOFOLLOW), 0);

	if (fd < 0)
		return false;
	if (raw3(SYS_fstat, fd, (long)&status, 0) == 0 && is_node(status.st_mode)) {
		length = start_of(fd, node, SIM_PATH_ROOM);
		if (length > 1)
			node[length - 1] = 0;
		found = length && sim_strip(node);
	}
	raw_close(fd);
	return found;
}

long sim_openat(int directory, const char *path, int flags, uint32_t mode)
{
	char room[SIM_PATH_ROOM], node[SIM_PATH_ROOM];
	struct sim_place place = sim_place_of(directory, path, room);

	if (!place.inside || flags & O_PATH || !find_node(directory, place.path, flags, node))
		return raw_openat(directory, place.path, flags, (int)mode);
	if (flags & O_DIRECTORY)
		return -ENOTDIR;
	if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
		return -EEXIST;
	return sim_open(node, flags, mode);
}

long sim_statat(int directory, const char *path, struct stat *status, int flags)
{
	char room[SIM_PATH_ROOM];
	struct sim_place place = sim_place_of(directory, path, room);
	struct stat found;
	long result;

	/* Into our own, lest an address that is no good faults here where it would be EFAULT there. */
	result = raw4(SYS_newfstatat, directory, (long)place.path, (long)&found, flags);
	if (result)
		return result;
	sim_fix_stat(&found);
	memcpy(status, &found, sizeof(found));
	return 0;
}

long sim_fstat_of(int fd, struct stat *status)
{
	union object_entry entry = object_of(fd);
	struct stat found;
	long result = sim_is_hidden(entry) ? -EBADF : raw3(SYS_fstat, fd, (long)&found, 0);

	if (result)
		return result;
	if (entry.fd.flags & OBJECT_SIMULATED) {
		uint32_t mode;
		uint64_t device;

		sim_fstat(fd, &mode, &device);
		found.st_mode = mode;
		found.st_rdev = device;
	}
	sim_fix_stat(&found);
	memcpy(status, &found, sizeof(found));
	return 0;
}
