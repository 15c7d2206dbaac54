// SPDX-License-Identifier: Apache-2.0
#include "real.h"

#include <dlfcn.h>
#include <errno.h>

struct real_functions real_functions;

static epoll_pwait2_function epoll_pwait2_;
static _Fork_function _Fork_;

epoll_pwait2_function real_epoll_pwait2(void)
{
	return epoll_pwait2_;
}

_Fork_function real__Fork(void)
{
	return _Fork_;
}

COLD void real_resolve(void)
{
	int saved = errno;
	bool missing = false;

#define REAL_LOOK_UP(name)                                                                                             \
	real_functions.name##_ = (__typeof__(real_functions.name##_))dlsym(RTLD_NEXT, #name);                          \
	missing |= !real_functions.name##_;
	REAL_FUNCTIONS(REAL_LOOK_UP)
#undef REAL_LOOK_UP
	epoll_pwait2_ = (epoll_pwait2_function)dlsym(RTLD_NEXT, "epoll_pwait2");
	_Fork_ = (_Fork_function)dlsym(RTLD_NEXT, "_Fork");
	if (missing || !epoll_pwait2_ || !_Fork_)
		dlerror(); /* not for the driver to find */
	errno = saved;
}
