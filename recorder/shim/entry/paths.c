// SPDX-License-Identifier: Apache-2.0
/*
 * Functions that take a path, or tell one: on a simulated machine the paths of its devices lead into the simulator's tree.
 * Without a simulator they are libc's, after one test.
 */
#include <string.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

#include "calls.h"
#include "../sim/paths.h"

#define SIMULATED_PATH(path) sim_path(path, (char[SIM_PATH_ROOM]){ 0 })

/* --- stat ----------------------------------------------------------------------------------------------------------- */

#define STAT(directory, path, status, flags, call)                                                                     \
	do {                                                                                                           \
		if (simulating())                                                                                      \
			return (int)LIBC_RESULT(sim_statat(directory, path, (struct stat *)(status), flags));          \
		return call;                                                                                           \
	} while (0)

EXPORT int stat(const char *path, struct stat *status)
{
	STAT(AT_FDCWD, path, status, 0, REAL(stat)(path, status));
}

EXPORT int stat64(const char *path, struct stat64 *status)
{
	STAT(AT_FDCWD, path, status, 0, REAL(stat64)(path, status));
}

EXPORT int lstat(const char *path, struct stat *status)
{
	STAT(AT_FDCWD, path, status, AT_SYMLINK_NOFOLLOW, REAL(lstat)(path, status));
}

EXPORT int lstat64(const char *path, struct stat64 *status)
{
	STAT(AT_FDCWD, path, status, AT_SYMLINK_NOFOLLOW, REAL(lstat64)(path, status));
}

int simulated_fstatat(int directory, const char *path, struct stat *status, int flags)
{
	if (flags & AT_EMPTY_PATH && (!path || !*path) && directory >= 0)
		return (int)LIBC_RESULT(sim_fstat_of(directory, status));
	return (int)LIBC_RESULT(sim_statat(directory, path, status, flags));
}

EXPORT int fstatat(int directory, const char *path, struct stat *status, int flags)
{
	return simulating() ? simulated_fstatat(directory, path, status, flags) :
			      REAL(fstatat)(directory, path, status, flags);
}

EXPORT int fstatat64(int directory, const char *path, struct stat64 *status, int flags)
{
	return simulating() ? simulated_fstatat(directory, path, (struct stat *)status, flags) :
			      REAL(fstatat64)(directory, path, status, flags);
}

EXPORT int fstat(int fd, struct stat *status)
{
	return simulating() ? (int)LIBC_RESULT(sim_fstat_of(fd, status)) : REAL(fstat)(fd, status);
}

EXPORT int fstat64(int fd, struct stat64 *status)
{
	return simulating() ? (int)LIBC_RESULT(sim_fstat_of(fd, (struct stat *)status)) : REAL(fstat64)(fd, status);
}

/* What programs call that were built before glibc 2.33; the version is that of the structure. */
EXPORT int __xstat(int version, const char *path, struct stat *status)
{
	STAT(AT_FDCWD, path, status, 0, REAL(__xstat)(version, path, status));
}

EXPORT int __lxstat(int version, const char *path, struct stat *status)
{
	STAT(AT_FDCWD, path, status, AT_SYMLINK_NOFOLLOW, REAL(__lxstat)(version, path, status));
}

EXPORT int __fxstat(int version, int fd, struct stat *status)
{
	return simulating() ? (int)LIBC_RESULT(sim_fstat_of(fd, status)) : REAL(__fxstat)(version, fd, status);
}

EXPORT int __fxstatat(int version, int directory, const char *path, struct stat *status, int flags)
{
	return simulating() ? simulated_fstatat(directory, path, status, flags) :
			      REAL(__fxstatat)(version, directory, path, status, flags);
}

EXPORT int __xstat64(int version, const char *path, struct stat64 *status)
{
	STAT(AT_FDCWD, path, status, 0, REAL(__xstat64)(version, path, status));
}

EXPORT int __lxstat64(int version, const char *path, struct stat64 *status)
{
	STAT(AT_FDCWD, path, status, AT_SYMLINK_NOFOLLOW, REAL(__lxstat64)(version, path, status));
}

EXPORT int __fxstat64(int version, int fd, struct stat64 *status)
{
	return simulating() ? (int)LIBC_RESULT(sim_fstat_of(fd, (struct stat *)status)) :
			      REAL(__fxstat64)(version, fd, status);
}

EXPORT int __fxstatat64(int version, int directory, const char *path, struct stat64 *status, int flags)
{
	return simulating() ? simulated_fstatat(directory, path, (struct stat *)status, flags) :
			      REAL(__fxstatat64)(version, directory, path, status, flags);
}

int simulated_statx(int directory, const char *path, int flags, unsigned int mask, struct statx *status)
{
	char room[SIM_PATH_ROOM];
	const char *where = path ? sim_place_of(directory, path, room).path : NULL;
	int result = (int)LIBC_RESULT(raw6(SYS_statx, directory, (long)where, flags, mask, (long)status, 0));

	if (result)
		return result;
	if (flags & AT_EMPTY_PATH && (!path || !*path) && object_of(directory).fd.flags & OBJECT_SIMULATED) {
		struct stat found;

		if (sim_fstat_of(directory, &found) == 0) {
			status->stx_mode = (uint16_t)found.st_mode;
			status->stx_rdev_major = major(found.st_rdev);
			status->stx_rdev_minor = minor(found.st_rdev);
		}
	}
	sim_fix_statx(status);
	return 0;
}

EXPORT int statx(int directory, const char *restrict path, int flags, unsigned int mask, struct statx *restrict status)
{
	return simulating() ? simulated_statx(directory, path, flags, mask, status) :
			      REAL(statx)(directory, path, flags, mask, status);
}

EXPORT int statfs(const char *path, struct statfs *status)
{
	return REAL(statfs)(simulating() ? SIMULATED_PATH(path) : path, status);
}

EXPORT int statfs64(const char *path, struct statfs64 *status)
{
	return REAL(statfs64)(simulating() ? SIMULATED_PATH(path) : path, status);
}

EXPORT int statvfs(const char *path, struct statvfs *status)
{
	return REAL(statvfs)(simulating() ? SIMULATED_PATH(path) : path, status);
}

EXPORT int statvfs64(const char *path, struct statvfs64 *status)
{
	return REAL(statvfs64)(simulating() ? SIMULATED_PATH(path) : path, status);
}

/* --- access -------------------------------------------------------------------------------------------------------- */

EXPORT int access(const char *path, int mode)
{
	return REAL(access)(simulating() ? SIMULATED_PATH(path) : path, mode);
}

EXPORT int eaccess(const char *path, int mode)
{
	return REAL(eaccess)(simulating() ? SIMULATED_PATH(path) : path, mode);
}

EXPORT int euidaccess(const char *path, int mode)
{
	return REAL(euidaccess)(simulating() ? SIMULATED_PATH(path) : path, mode);
}

EXPORT int faccessat(int directory, const char *path, int mode, int flags)
{
	if (simulating()) {
		char room[SIM_PATH_ROOM];

		return REAL(faccessat)(directory, sim_place_of(directory, path, room).path, mode, flags);
	}
	return REAL(faccessat)(directory, path, mode, flags);
}

/* --- links -------------------------------------------------------------------------------------------------------------- */

/* /proc/self/fd/N of a simulated file is a socket; what lies in the tree is told without the tree's path. */
static bool told_otherwise(const char *path, char link[SIM_PATH_ROOM])
{
	const char *number = strrchr(path, '/');
	int fd = 0;

	if (strncmp(link, "socket:[", 8))
		return sim_strip(link);
	if (!number || !number[1])
		return false;
	for (number++; *number >= '0' && *number <= '9'; number++)
		fd = fd * 10 + (*number - '0');
	return !*number && object_of(fd).fd.flags & OBJECT_SIMULATED && object_link(fd, link, SIM_PATH_ROOM) > 0;
}

long simulated_readlinkat(int directory, const char *path, char *link, size_t size)
{
	char room[SIM_PATH_ROOM], whole[SIM_PATH_ROOM];
	const char *where = sim_place_of(directory, path, room).path;
	long length = raw4(SYS_readlinkat, directory, (long)where, (long)whole, sizeof(whole) - 1);

	if (length <= 0 || !size || (whole[length] = 0, !told_otherwise(path, whole)))
		return LIBC_RESULT(raw4(SYS_readlinkat, directory, (long)where, (long)link, (long)size));
	length = (long)strlen(whole);
	if ((size_t)length > size)
		length = (long)size;
	memcpy(link, whole, (size_t)length);
	return length;
}

EXPORT ssize_t readlink(const char *restrict path, char *restrict link, size_t size)
{
	return simulating() ? simulated_readlinkat(AT_FDCWD, path, link, size) : REAL(readlink)(path, link, size);
}

EXPORT ssize_t readlinkat(int directory, const char *restrict path, char *restrict link, size_t size)
{
	return simulating() ? simulated_readlinkat(directory, path, link, size) :
			      REAL(readlinkat)(directory, path, link, size);
}

EXPORT ssize_t __readlink_chk(const char *path, char *link, size_t size, size_t room)
{
	return simulating() && size <= room ? simulated_readlinkat(AT_FDCWD, path, link, size) :
					      REAL(__readlink_chk)(path, link, size, room);
}

EXPORT ssize_t __readlinkat_chk(int directory, const char *path, char *link, size_t size, size_t room)
{
	return simulating() && size <= room ? simulated_readlinkat(directory, path, link, size) :
					      REAL(__readlinkat_chk)(directory, path, link, size, room);
}

#define RESOLVED(path, call)                                                                                           \
	do {                                                                                                           \
		char room_[SIM_PATH_ROOM];                                                                             \
		const char *where = sim_path(path, room_);                                                              \
		char *found_ = (call);                                                                                 \
                                                                                                                       \
		if (found_)                                                                                            \
			sim_strip(found_);                                                                             \
		return found_;                                                                                         \
	} while (0)

EXPORT char *realpath(const char *restrict path, char *restrict resolved)
{
	if (simulating())
		RESOLVED(path, REAL(realpath)(where, resolved));
	return REAL(realpath)(path, resolved);
}

EXPORT char *__realpath_chk(const char *path, char *resolved, size_t size)
{
	if (simulating())
		RESOLVED(path, REAL(__realpath_chk)(where, resolved, size));
	return REAL(__realpath_chk)(path, resolved, size);
}

EXPORT char *canonicalize_file_name(const char *path)
{
	if (simulating())
		RESOLVED(path, REAL(canonicalize_file_name)(where));
	return REAL(canonicalize_file_name)(path);
}

/* --- the working directory ------------------------------------------------------------------------------------------- */

EXPORT int chdir(const char *path)
{
	return REAL(chdir)(simulating() ? SIMULATED_PATH(path) : path);
}

#define STRIPPED(call)                                                                                                 \
	do {                                                                                                           \
		char *path_ = (call);                                                                                  \
                                                                                                                       \
		if (simulating() && path_)                                                                             \
			sim_strip(path_);                                                                              \
		return path_;                                                                                          \
	} while (0)

/* A buffer that has room for the path as it is told, but not for the real one. */
static char *short_getcwd(char *buffer, size_t size)
{
	char whole[SIM_PATH_ROOM];
	size_t length;

	if (!REAL(getcwd)(whole, sizeof(whole)))
		return NULL;
	sim_strip(whole);
	length = strlen(whole) + 1;
	if (length > size) {
		errno = size ? ERANGE : EINVAL;
		return NULL;
	}
	return memcpy(buffer, whole, length);
}

EXPORT char *getcwd(char *buffer, size_t size)
{
	if (simulating() && buffer)
		return short_getcwd(buffer, size);
	STRIPPED(REAL(getcwd)(buffer, size));
}

EXPORT char *__getcwd_chk(char *buffer, size_t size, size_t room)
{
	if (simulating() && buffer && size <= room)
		return short_getcwd(buffer, size);
	STRIPPED(REAL(__getcwd_chk)(buffer, size, room));
}

EXPORT char *get_current_dir_name(void)
{
	STRIPPED(REAL(get_current_dir_name)());
}
