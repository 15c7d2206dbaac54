// SPDX-License-Identifier: Apache-2.0
// Prints addresses that calls return to, with the lines of those calls, and where its files are mapped.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>

static __attribute__((noinline)) void *here(void)
{
	return __builtin_return_address(0);
}

static inline __attribute__((always_inline)) void *inlined(void)
{
	return here(); // line 14
}

__attribute__((noinline)) void direct_caller(void)
{
	void *site = here();
	printf("site direct_caller %p %d\n", site, __LINE__ - 1);
}

__attribute__((noinline)) void outer_caller(void)
{
	void *site = inlined();
	printf("site outer_caller %p %d\n", site, __LINE__ - 1);
}

int main(int count, char **words)
{
	char line[4096];
	FILE *maps = fopen("/proc/self/maps", "r");

	direct_caller();
	outer_caller();
	if (count > 1) {
		void *library = dlopen(words[1], RTLD_NOW);
		void (*call)(void *(*)(void)) = library ? (void (*)(void *(*)(void)))dlsym(library, "library_call") : NULL;

		if (!call)
			return 1;
		call(here);
		rewind(maps);
	}
	while (maps && fgets(line, sizeof(line), maps))
		fputs(line, stdout);
	return 0;
}
