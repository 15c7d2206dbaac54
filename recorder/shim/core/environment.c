// SPDX-License-Identifier: Apache-2.0
#include "environment.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../../abi/wire/sim.h"
#include "fault_safe.h"

#define SESSION "VFIOTAPE_SESSION="
#define SIMULATOR VFIOTAPE_SIM_VARIABLE "="
#define PRELOAD "LD_PRELOAD="
#define LIBRARY_MAX 512

static char session_variable[sizeof(SESSION) + SHIM_PATH_MAX];
static char simulator_variable[sizeof(SIMULATOR) + VFIOTAPE_SIM_DIRECTORY_MAX];
static char preload_variable[sizeof(PRELOAD) + LIBRARY_MAX]; /* LD_PRELOAD= and only our library */
static const char *library; /* in preload_variable */
static size_t library_length;

static const char *value_of(char *const *environment, const char *variable)
{
	size_t length = strlen(variable);

	for (; environment && *environment; environment++) {
		if (!strncmp(*environment, variable, length))
			return *environment + length;
	}
	return NULL;
}

const char *environment_session(void)
{
	const char *directory = value_of(environ, SESSION);

	return directory && *directory ? directory : NULL;
}

const char *environment_simulator(void)
{
	const char *directory = value_of(environ, SIMULATOR);

	return directory && *directory ? directory : NULL;
}

/* Our own entry of an LD_PRELOAD list, which is separated by spaces or colons. */
static const char *find_library(const char *list, size_t *length)
{
	while (*list) {
		size_t size = strcspn(list, " :");

		if (size && memmem(list, size, "libvfiotape", 11)) {
			*length = size;
			return list;
		}
		list += size + (list[size] != 0);
	}
	return NULL;
}

void environment_remember(const char *directory, const char *simulator)
{
	const char *list = value_of(environ, PRELOAD);
	const char *own = list ? find_library(list, &library_length) : NULL;

	if (directory) {
		memcpy(session_variable, SESSION, sizeof(SESSION));
		strncat(session_variable, directory, SHIM_PATH_MAX - 1);
	}
	if (simulator) {
		memcpy(simulator_variable, SIMULATOR, sizeof(SIMULATOR));
		strncat(simulator_variable, simulator, VFIOTAPE_SIM_DIRECTORY_MAX);
	}
	/* Not preloaded (linked, or by /etc/ld.so.preload): then children are followed without our help, or not at all. */
	if (!own || library_length >= LIBRARY_MAX)
		return;
	memcpy(preload_variable, PRELOAD, sizeof(PRELOAD));
	memcpy(preload_variable + sizeof(PRELOAD) - 1, own, library_length);
	library = preload_variable + sizeof(PRELOAD) - 1;
}

static bool complete(char *const *environment)
{
	const char *list = value_of(environment, PRELOAD);

	return (!*session_variable || value_of(environment, SESSION)) &&
	       (!*simulator_variable || value_of(environment, SIMULATOR)) && list && memmem(list, strlen(list), library, library_length);
}

/* Can all of it be read? What can't is EFAULT, and that is the kernel's to say. */
static bool environment_readable(char *const *environment)
{
	char piece[256], *string;

	if (!environment)
		return true;
	for (;; environment++) {
		uint64_t at;
		size_t length;

		if (fault_safe_copy(&string, (uint64_t)environment, sizeof(string)) != sizeof(string))
			return false;
		if (!string)
			return true;
		at = (uint64_t)string;
		do {
			length = fault_safe_copy(piece, at, sizeof(piece));
			if (!length)
				return false;
			at += length;
		} while (!memchr(piece, 0, length));
	}
}

size_t environment_room(char *const *environment)
{
	const char *list;
	size_t count = 0;

	if (!library || !environment_readable(environment) || complete(environment))
		return 0;
	while (environment && environment[count])
		count++;
	list = value_of(environment, PRELOAD);
	return (count + 4) * sizeof(char *) + sizeof(PRELOAD) + library_length + (list ? strlen(list) + 1 : 0) + 1;
}

char **environment_amended(char *const *environment, void *room)
{
	char **amended = room, **at = amended;
	const char *list = value_of(environment, PRELOAD);
	size_t count = 0;
	char *text;

	while (environment && environment[count])
		count++;
	text = (char *)(amended + count + 4);
	for (size_t i = 0; i < count; i++) {
		if (strncmp(environment[i], SESSION, sizeof(SESSION) - 1) &&
		    strncmp(environment[i], SIMULATOR, sizeof(SIMULATOR) - 1) &&
		    strncmp(environment[i], PRELOAD, sizeof(PRELOAD) - 1))
			*at++ = environment[i];
	}
	if (*session_variable)
		*at++ = session_variable;
	if (*simulator_variable)
		*at++ = simulator_variable;
	*at++ = text;
	*at = NULL;
	text = (char *)memcpy(text, PRELOAD, sizeof(PRELOAD) - 1) + sizeof(PRELOAD) - 1;
	if (!list || !memmem(list, strlen(list), library, library_length)) {
		text = (char *)memcpy(text, library, library_length) + library_length;
		if (list && *list)
			*text++ = ':';
	}
	if (list)
		text = (char *)memcpy(text, list, strlen(list)) + strlen(list);
	*text = 0;
	return amended;
}
