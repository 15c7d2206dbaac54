// SPDX-License-Identifier: Apache-2.0
#include "real.h"

#include <dlfcn.h>
#include <errno.h>

struct real_functions real_functions;

COLD void real_resolve(void)
{
	int saved = errno;
	bool missing = false;

#define REAL_LOOK_UP(name)                                                                                             \
	real_functions.name##_ = (__typeof__(real_functions.name##_))dlsym(RTLD_NEXT, #name);                          \
	missing |= !real_functions.name##_;
	REAL_FUNCTIONS(REAL_LOOK_UP)
#undef REAL_LOOK_UP
	if (missing)
		dlerror(); /* not for the driver to find */
	errno = saved;
}
