// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

static __attribute__((noinline)) void local_function(void *(*here)(void))
{
	void *site = here();
	printf("site local_function %p %d\n", site, __LINE__ - 1);
}

__attribute__((visibility("default"))) void library_call(void *(*here)(void))
{
	void *site = here();
	printf("site library_call %p %d\n", site, __LINE__ - 1);
	local_function(here);
}
