/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The test build's devices, where a machine has no VFIO: memfds by name. Compiled with VFIOTAPE_STANDIN only; the
 * shipped library has none of it (a test looks for the symbol).
 */
#ifndef VFIOTAPE_STANDIN_H
#define VFIOTAPE_STANDIN_H

#include "../../../abi/wire/record.h"
#include "compiler.h"

#ifdef VFIOTAPE_STANDIN
enum vfiotape_object_kind standin_kind_of_link(const char *link);
/* Answers a VFIO request on a stand-in as a friendly kernel would; -ENOTTY for one that it doesn't know. */
long standin_ioctl(int fd, enum vfiotape_object_kind kind, unsigned long request, unsigned long argument);
#else
ALWAYS_INLINE enum vfiotape_object_kind standin_kind_of_link(const char *link)
{
	(void)link;
	return VFIOTAPE_OBJECT_NONE;
}
#endif

#endif
