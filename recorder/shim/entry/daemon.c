// SPDX-License-Identifier: Apache-2.0
/*
 * daemon, done here as glibc does it (misc/daemon.c): libc's own forks and ends the parent inside, so that the trace had
 * neither the parent's end nor where its child came from.
 */
#include <paths.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "calls.h"

static bool is_null_device(int fd)
{
	struct stat status;
	long result = raw3(SYS_fstat, fd, (long)&status, 0);

	if (raw_failed(result)) {
		errno = (int)-result;
		return false;
	}
	errno = ENODEV;
	return S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3);
}

static int redirect(struct call_origin how)
{
	int fd = (int)LIBC_RESULT(raw_openat(AT_FDCWD, _PATH_DEVNULL, O_RDWR, 0)), saved = errno;

	if (fd < 0)
		return -1;
	if (!is_null_device(fd)) {
		raw_close(fd);
		return -1;
	}
	errno = saved;
	for (int standard = STDIN_FILENO; standard <= STDERR_FILENO; standard++)
		recorded_dup3(fd, standard, 0, VFIOTAPE_DUP_DUP2, how);
	if (fd > STDERR_FILENO)
		raw_close(fd);
	return 0;
}

EXPORT int daemon(int keep_directory, int keep_descriptors)
{
	pid_t child = recorded_fork(ORIGIN);

	if (child < 0)
		return -1;
	if (child > 0) {
		record_exit(0, ORIGIN);
		REAL(_exit)(0);
	}
	if (setsid() < 0)
		return -1;
	if (!keep_directory)
		raw3(SYS_chdir, (long)"/", 0, 0); /* glibc goes on whatever becomes of it, too */
	return keep_descriptors ? 0 : redirect(ORIGIN);
}
