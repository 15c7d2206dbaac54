// SPDX-License-Identifier: Apache-2.0
#include "fault_safe.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#define PAGE 4096u

static bool vm_readv_refused;

/*
 * Is this page readable? rt_sigprocmask copies the new set from the address before it looks at `how`: EFAULT when it
 * can't, EINVAL (and no effect) when it can. Eight bytes, so an address within the page's last seven is rounded down.
 */
static bool page_readable(uint64_t address)
{
	return raw4(SYS_rt_sigprocmask, ~0, (long)(address & ~7ull), 0, 8) != -EFAULT;
}

/* Where a sandbox forbids process_vm_readv: ask page by page, then copy. */
static size_t probed_copy(void *to, uint64_t from, size_t length)
{
	size_t copied = 0;

	while (copied < length) {
		size_t piece = PAGE - ((from + copied) & (PAGE - 1));

		if (piece > length - copied)
			piece = length - copied;
		if (!page_readable(from + copied))
			break;
		memcpy((char *)to + copied, (const void *)(from + copied), piece);
		copied += piece;
	}
	return copied;
}

size_t fault_safe_copy(void *to, uint64_t from, size_t length)
{
	/* One remote piece a page: a piece is copied whole or not at all past its first unreadable page. */
	struct iovec local = { to, length }, remote = { (void *)from, length };
	long copied;

	if (!length)
		return 0;
	if (vm_readv_refused)
		return probed_copy(to, from, length);
	copied = raw6(SYS_process_vm_readv, raw_getpid(), (long)&local, 1, (long)&remote, 1, 0);
	if (copied == -EFAULT)
		return 0;
	if (copied < 0) {
		vm_readv_refused = true;
		return probed_copy(to, from, length);
	}
	return (size_t)copied;
}

bool fault_safe_write(uint64_t to, const void *from, size_t length)
{
	struct iovec local = { (void *)from, length }, remote = { (void *)to, length };
	long written;

	if (!length)
		return true;
	written = raw6(SYS_process_vm_writev, raw_getpid(), (long)&local, 1, (long)&remote, 1, 0);
	if (written == -ENOSYS || written == -EPERM) { /* a sandbox forbids it */
		memcpy((void *)to, from, length);
		return true;
	}
	return written == (long)length;
}

size_t fault_safe_string(char *to, uint64_t from, size_t limit)
{
	size_t copied = 0;

	while (copied < limit) {
		size_t piece = PAGE - ((from + copied) & (PAGE - 1)), got;
		const char *end;

		if (piece > limit - copied)
			piece = limit - copied;
		got = fault_safe_copy(to + copied, from + copied, piece);
		end = memchr(to + copied, 0, got);
		if (end)
			return (size_t)(end - to);
		copied += got;
		if (got < piece)
			break;
	}
	return copied;
}
