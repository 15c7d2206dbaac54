// SPDX-License-Identifier: Apache-2.0
/* Streams and directories by their path, on a simulated machine: see paths.c. */
#include <dirent.h>
#include <ftw.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>

#include "calls.h"
#include "../sim/paths.h"

#define SIMULATED_PATH(path) sim_path(path, (char[SIM_PATH_ROOM]){ 0 })

/* --- streams --------------------------------------------------------------------------------------------------------- */

EXPORT FILE *fopen(const char *restrict path, const char *restrict mode)
{
	return REAL(fopen)(simulating() ? SIMULATED_PATH(path) : path, mode);
}

EXPORT FILE *fopen64(const char *restrict path, const char *restrict mode)
{
	return REAL(fopen64)(simulating() ? SIMULATED_PATH(path) : path, mode);
}

EXPORT FILE *freopen(const char *restrict path, const char *restrict mode, FILE *restrict stream)
{
	return REAL(freopen)(simulating() ? SIMULATED_PATH(path) : path, mode, stream);
}

EXPORT FILE *freopen64(const char *restrict path, const char *restrict mode, FILE *restrict stream)
{
	return REAL(freopen64)(simulating() ? SIMULATED_PATH(path) : path, mode, stream);
}

/* --- directories ------------------------------------------------------------------------------------------------------- */

EXPORT DIR *opendir(const char *path)
{
	return REAL(opendir)(simulating() ? SIMULATED_PATH(path) : path);
}

EXPORT int scandir(const char *restrict path, struct dirent ***restrict list, int (*wanted)(const struct dirent *),
		   int (*order)(const struct dirent **, const struct dirent **))
{
	return REAL(scandir)(simulating() ? SIMULATED_PATH(path) : path, list, wanted, order);
}

EXPORT int scandir64(const char *restrict path, struct dirent64 ***restrict list,
		     int (*wanted)(const struct dirent64 *),
		     int (*order)(const struct dirent64 **, const struct dirent64 **))
{
	return REAL(scandir64)(simulating() ? SIMULATED_PATH(path) : path, list, wanted, order);
}

EXPORT int scandirat(int directory, const char *restrict path, struct dirent ***restrict list,
		     int (*wanted)(const struct dirent *), int (*order)(const struct dirent **, const struct dirent **))
{
	char room[SIM_PATH_ROOM];

	if (simulating())
		path = sim_place_of(directory, path, room).path;
	return REAL(scandirat)(directory, path, list, wanted, order);
}

EXPORT int scandirat64(int directory, const char *restrict path, struct dirent64 ***restrict list,
		       int (*wanted)(const struct dirent64 *),
		       int (*order)(const struct dirent64 **, const struct dirent64 **))
{
	char room[SIM_PATH_ROOM];

	if (simulating())
		path = sim_place_of(directory, path, room).path;
	return REAL(scandirat64)(directory, path, list, wanted, order);
}

EXPORT int inotify_add_watch(int fd, const char *path, uint32_t mask)
{
	return REAL(inotify_add_watch)(fd, simulating() ? SIMULATED_PATH(path) : path, mask);
}

/* --- attributes: ls asks for labels and access lists ------------------------------------------------------------------ */

EXPORT ssize_t getxattr(const char *path, const char *name, void *value, size_t size)
{
	return REAL(getxattr)(simulating() ? SIMULATED_PATH(path) : path, name, value, size);
}

EXPORT ssize_t lgetxattr(const char *path, const char *name, void *value, size_t size)
{
	return REAL(lgetxattr)(simulating() ? SIMULATED_PATH(path) : path, name, value, size);
}

EXPORT ssize_t listxattr(const char *path, char *list, size_t size)
{
	return REAL(listxattr)(simulating() ? SIMULATED_PATH(path) : path, list, size);
}

EXPORT ssize_t llistxattr(const char *path, char *list, size_t size)
{
	return REAL(llistxattr)(simulating() ? SIMULATED_PATH(path) : path, list, size);
}

/* --- patterns ----------------------------------------------------------------------------------------------------------- */

/* gl_offs counts only when it was asked for. */
static void strip_all(const glob_t *found, int flags)
{
	size_t first = flags & GLOB_DOOFFS ? found->gl_offs : 0;

	for (size_t i = 0; found->gl_pathv && i < found->gl_pathc; i++)
		sim_strip(found->gl_pathv[first + i]);
}

#define GLOBBED(found, flags, call)                                                                                    \
	do {                                                                                                           \
		int result_ = (call);                                                                                  \
                                                                                                                       \
		if (result_ == 0)                                                                                      \
			strip_all((const glob_t *)(found), flags);                                                     \
		return result_;                                                                                        \
	} while (0)

EXPORT int glob(const char *restrict pattern, int flags, int (*failed)(const char *, int), glob_t *restrict found)
{
	if (simulating())
		GLOBBED(found, flags, REAL(glob)(SIMULATED_PATH(pattern), flags, failed, found));
	return REAL(glob)(pattern, flags, failed, found);
}

EXPORT int glob64(const char *restrict pattern, int flags, int (*failed)(const char *, int), glob64_t *restrict found)
{
	if (simulating())
		GLOBBED(found, flags, REAL(glob64)(SIMULATED_PATH(pattern), flags, failed, found));
	return REAL(glob64)(pattern, flags, failed, found);
}

/* --- walks: the path that a visitor is given lies in the tree; the driver's own begins behind DIR/root -------------------- */

static __thread union {
	__ftw_func_t ftw;
	__ftw64_func_t ftw64;
	__nftw_func_t nftw;
	__nftw64_func_t nftw64;
} visitor __attribute__((tls_model("initial-exec")));

static const char *as_told(const char *path)
{
	return sim_in_tree(path) && path[sim_root_length] ? path + sim_root_length : path;
}

static int visit_ftw(const char *path, const struct stat *status, int type)
{
	struct stat fixed = *status;

	sim_fix_stat(&fixed);
	return visitor.ftw(as_told(path), &fixed, type);
}

static int visit_ftw64(const char *path, const struct stat64 *status, int type)
{
	struct stat64 fixed = *status;

	sim_fix_stat((struct stat *)&fixed);
	return visitor.ftw64(as_told(path), &fixed, type);
}

static int visit_nftw(const char *path, const struct stat *status, int type, struct FTW *where)
{
	struct stat fixed = *status;
	struct FTW told = *where;

	told.base -= (int)(as_told(path) - path);
	sim_fix_stat(&fixed);
	return visitor.nftw(as_told(path), &fixed, type, &told);
}

static int visit_nftw64(const char *path, const struct stat64 *status, int type, struct FTW *where)
{
	struct stat64 fixed = *status;
	struct FTW told = *where;

	told.base -= (int)(as_told(path) - path);
	sim_fix_stat((struct stat *)&fixed);
	return visitor.nftw64(as_told(path), &fixed, type, &told);
}

/* A visitor may walk, too. */
#define WALK(name, function, call)                                                                                     \
	do {                                                                                                           \
		__typeof__(visitor) outer_ = visitor;                                                                  \
		int result_;                                                                                           \
                                                                                                                       \
		visitor.name = function;                                                                               \
		result_ = (call);                                                                                      \
		visitor = outer_;                                                                                      \
		return result_;                                                                                        \
	} while (0)

EXPORT int ftw(const char *path, __ftw_func_t function, int most)
{
	if (simulating())
		WALK(ftw, function, REAL(ftw)(SIMULATED_PATH(path), visit_ftw, most));
	return REAL(ftw)(path, function, most);
}

EXPORT int ftw64(const char *path, __ftw64_func_t function, int most)
{
	if (simulating())
		WALK(ftw64, function, REAL(ftw64)(SIMULATED_PATH(path), visit_ftw64, most));
	return REAL(ftw64)(path, function, most);
}

EXPORT int nftw(const char *path, __nftw_func_t function, int most, int flags)
{
	if (simulating())
		WALK(nftw, function, REAL(nftw)(SIMULATED_PATH(path), visit_nftw, most, flags));
	return REAL(nftw)(path, function, most, flags);
}

EXPORT int nftw64(const char *path, __nftw64_func_t function, int most, int flags)
{
	if (simulating())
		WALK(nftw64, function, REAL(nftw64)(SIMULATED_PATH(path), visit_nftw64, most, flags));
	return REAL(nftw64)(path, function, most, flags);
}
