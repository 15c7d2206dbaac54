// SPDX-License-Identifier: Apache-2.0
/* Asks what a file of questions says; questions/README.md describes the file. script.ts reads the same files. */
#define _GNU_SOURCE
#include "probe.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORDS 64
#define VARIABLES 128
#define ARGUMENT_BYTES 8192
#define WAIT_MS 100
#define SETTLE_US 500000 /* an emulated machine is slow */

static struct variable {
	char name[32];
	uint64_t value;
} variables[VARIABLES];
static const char *bdf;
static const char *where;
static unsigned int line_number;

static void __attribute__((noreturn)) bad(const char *what, const char *word)
{
	fprintf(stderr, "probe: %s:%u: %s '%s'\n", where, line_number, what, word);
	exit(2);
}

static struct variable *variable(const char *name)
{
	int i = 0;

	while (i < VARIABLES && variables[i].name[0] != '\0' && strcmp(variables[i].name, name) != 0)
		i++;
	if (i == VARIABLES || strlen(name) >= sizeof(variables[i].name))
		bad("too many variables at", name);
	strcpy(variables[i].name, name);
	return &variables[i];
}

static void assign(const char *name, uint64_t value)
{
	variable(name)->value = value;
}

/* A number, NAME, or NAME+number. */
static uint64_t value_of(const char *word)
{
	const char *plus = strchr(word, '+');
	char name[32];

	if (word[0] == '-' || (word[0] >= '0' && word[0] <= '9'))
		return strtoull(word, NULL, 0);
	snprintf(name, sizeof(name), "%.*s", plus == NULL ? (int)strlen(word) : (int)(plus - word), word);
	return variable(name)->value + (plus == NULL ? 0 : strtoull(plus + 1, NULL, 0));
}

static int fd_of(const char *word)
{
	return (int)value_of(word);
}

/* The only entry of a directory of the device's in sysfs, or where its link points to; its last part. */
static void sysfs_name(const char *entry, char *name, size_t size)
{
	char path[PATH_MAX], target[PATH_MAX];
	const struct dirent *found;
	DIR *directory;
	ssize_t length;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", bdf, entry);
	length = readlink(path, target, sizeof(target) - 1);
	if (length > 0) {
		target[length] = '\0';
		snprintf(name, size, "%s", strrchr(target, '/') + 1);
		return;
	}
	directory = opendir(path);
	if (directory == NULL)
		bad("the device has no", entry);
	while ((found = readdir(directory)) != NULL && found->d_name[0] == '.')
		;
	snprintf(name, size, "%.63s", found == NULL ? "" : found->d_name);
	closedir(directory);
}

/* open VARIABLE PATH: group, noiommu and node stand for the device's own. */
static const char *ask_open(char **words)
{
	char path[PATH_MAX], name[64];
	int fd;

	if (strcmp(words[2], "group") == 0) {
		sysfs_name("iommu_group", name, sizeof(name));
		snprintf(path, sizeof(path), "/dev/vfio/%s", name);
	} else if (strcmp(words[2], "noiommu") == 0) {
		sysfs_name("iommu_group", name, sizeof(name));
		snprintf(path, sizeof(path), "/dev/vfio/noiommu-%s", name);
	} else if (strcmp(words[2], "node") == 0) {
		sysfs_name("vfio-dev", name, sizeof(name));
		snprintf(path, sizeof(path), "/dev/vfio/devices/%s", name);
	} else {
		snprintf(path, sizeof(path), "%s", words[2]);
	}
	fd = open(path, O_RDWR);
	assign(words[1], (uint64_t)fd);
	return fd < 0 ? answer(-1) : "ok";
}

/* FIELD: WIDTH:VALUE, or zeros:COUNT, or name: (the device's address, with its NUL). Answers how many bytes. */
static size_t put_field(uint8_t *at, const char *word, const char *end)
{
	const char *colon = strchr(word, ':');
	uint64_t value;
	size_t width;

	if (colon == NULL)
		bad("no field:", word);
	if (strncmp(word, "name:", 5) == 0)
		return (size_t)snprintf((char *)at, 32, "%s", bdf) + 1;
	width = strncmp(word, "zeros:", 6) == 0 ? strtoul(colon + 1, NULL, 0) : strtoul(word, NULL, 0);
	if (width > (size_t)(end - (const char *)at))
		bad("too long:", word);
	if (word[0] == 'z') {
		memset(at, 0, width);
		return width;
	}
	value = value_of(colon + 1);
	memcpy(at, &value, width);
	return width;
}

/* SHOWN: WIDTH@OFFSET, printed; VARIABLE=WIDTH@OFFSET, kept. */
static void take_field(const uint8_t *bytes, const char *word, char *text, size_t size)
{
	const char *equals = strchr(word, '='), *place = equals == NULL ? word : equals + 1;
	const unsigned long width = strtoul(place, NULL, 0);
	const char *at = strchr(place, '@');
	uint64_t value = 0;
	char name[32];

	if (at == NULL || width > sizeof(value) || strtoul(at + 1, NULL, 0) + width > ARGUMENT_BYTES)
		bad("no place:", word);
	memcpy(&value, bytes + strtoul(at + 1, NULL, 0), width);
	if (equals == NULL) {
		snprintf(text + strlen(text), size - strlen(text), " 0x%" PRIx64, value);
		return;
	}
	snprintf(name, sizeof(name), "%.*s", (int)(equals - word), word);
	assign(name, value);
}

/* ioctl FD REQUEST FIELD… [-> SHOWN…]; getfd VARIABLE FD REQUEST FIELD… */
static const char *ask_ioctl(char **words, int count, const char *keep)
{
	static union {
		uint8_t bytes[ARGUMENT_BYTES];
		uint64_t aligned;
	} argument;
	static char text[512];
	size_t size = 0;
	long result;
	int n = 2;

	memset(&argument, 0, sizeof(argument));
	for (; n < count && strcmp(words[n], "->") != 0; n++)
		size += put_field(argument.bytes + size, words[n], (const char *)argument.bytes + ARGUMENT_BYTES);
	result = ioctl(fd_of(words[0]), (unsigned long)value_of(words[1]), argument.bytes);
	snprintf(text, sizeof(text), "%s", keep != NULL && result >= 0 ? "ok" : answer(result));
	if (keep != NULL && result >= 0)
		assign(keep, (uint64_t)result);
	for (n++; n < count; n++)
		take_field(argument.bytes, words[n], text, sizeof(text));
	return text;
}

/* region VARIABLE FD INDEX: the variable becomes its offset, VARIABLE.size its size; `bar` is the first that can be mapped. */
static const char *ask_region(char **words)
{
	struct vfio_region_info info;
	const bool search = strcmp(words[3], "bar") == 0;
	char name[32];
	uint32_t index = search ? 0 : (uint32_t)value_of(words[3]);

	for (;; index++) {
		info = (struct vfio_region_info){ .argsz = sizeof(info), .index = index };
		if (ioctl(fd_of(words[2]), VFIO_DEVICE_GET_REGION_INFO, &info) != 0)
			return answer(-1);
		if (!search || info.flags & VFIO_REGION_INFO_FLAG_MMAP)
			break;
	}
	snprintf(name, sizeof(name), "%.20s.size", words[1]);
	assign(words[1], info.offset);
	assign(name, info.size);
	return "ok";
}

/* map VARIABLE FD OFFSET LENGTH shared|private */
static const char *ask_map(char **words)
{
	void *mapping = mmap(NULL, value_of(words[4]), PROT_READ | PROT_WRITE,
			     strcmp(words[5], "shared") == 0 ? MAP_SHARED : MAP_PRIVATE, fd_of(words[2]),
			     (off_t)value_of(words[3]));
	char name[32];

	if (mapping == MAP_FAILED)
		return answer(-1);
	snprintf(name, sizeof(name), "%.20s.size", words[1]);
	assign(words[1], (uintptr_t)mapping);
	assign(name, value_of(words[4]));
	return "ok";
}

/* memory VARIABLE BYTES [read-only] */
static const char *ask_memory(char **words, int count)
{
	const size_t bytes = value_of(words[2]);
	void *memory = new_memory(bytes);

	if (count > 3)
		mprotect(memory, bytes, PROT_READ);
	assign(words[1], (uintptr_t)memory);
	return "ok";
}

static pid_t unbinding;

/*
 * By another program: the write comes back when the device is closed, or never, and what this one has open or mapped is not to
 * be held there.
 */
static const char *ask_unbind(void)
{
	char command[PATH_MAX];

	snprintf(command, sizeof(command), "echo %s >/sys/bus/pci/devices/%s/driver/unbind", bdf, bdf);
	fflush(stdout);
	unbinding = fork();
	if (unbinding == 0) {
		for (int fd = 3; fd < 1024; fd++)
			close(fd);
		execl("/bin/sh", "sh", "-c", command, NULL);
		_exit(127);
	}
	usleep(SETTLE_US);
	return unbinding > 0 ? "ok" : answer(-1);
}

static const char *ask_unbound(void)
{
	int status;

	usleep(SETTLE_US);
	switch (waitpid(unbinding, &status, WNOHANG)) {
	case 0:
		return "no";
	case -1:
		return answer(-1);
	default:
		return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? "yes" : "failed";
	}
}

static const char *ask(char **words, int count)
{
	static char text[64];
	uint8_t bytes[4096];
	uint64_t value;
	uint32_t loaded;
	char name[32];

	if (strcmp(words[0], "open") == 0)
		return ask_open(words);
	if (strcmp(words[0], "close") == 0)
		return answer(close(fd_of(words[1])));
	if (strcmp(words[0], "eventfd") == 0) {
		assign(words[1], (uint64_t)new_eventfd());
		return "ok";
	}
	if (strcmp(words[0], "count") == 0) {
		snprintf(text, sizeof(text), "%llu", eventfd_count(fd_of(words[1]), WAIT_MS));
		return text;
	}
	if (strcmp(words[0], "memory") == 0)
		return ask_memory(words, count);
	if (strcmp(words[0], "ioctl") == 0)
		return ask_ioctl(words + 1, count - 1, NULL);
	if (strcmp(words[0], "getfd") == 0)
		return ask_ioctl(words + 2, count - 2, words[1]);
	if (strcmp(words[0], "value") == 0)
		return answer(ioctl(fd_of(words[1]), (unsigned long)value_of(words[2]), count > 3 ? value_of(words[3]) : 0));
	if (strcmp(words[0], "region") == 0)
		return ask_region(words);
	if (strcmp(words[0], "pread") == 0)
		return answer(pread(fd_of(words[1]), bytes, value_of(words[3]) % sizeof(bytes), (off_t)value_of(words[2])));
	if (strcmp(words[0], "read") == 0)
		return answer(read(fd_of(words[1]), bytes, value_of(words[2]) % sizeof(bytes)));
	if (strcmp(words[0], "pwrite") == 0) {
		value = value_of(words[4]);
		return answer(pwrite(fd_of(words[1]), &value, value_of(words[3]), (off_t)value_of(words[2])));
	}
	if (strcmp(words[0], "map") == 0)
		return ask_map(words);
	if (strcmp(words[0], "unmap") == 0) {
		snprintf(name, sizeof(name), "%.20s.size", words[1]);
		return answer(munmap((void *)value_of(words[1]), value_of(name)));
	}
	if (strcmp(words[0], "peek") == 0) {
		value = 0;
		memcpy(&value, (const void *)value_of(words[1]), value_of(words[2]));
		snprintf(text, sizeof(text), "0x%" PRIx64, value);
		return text;
	}
	if (strcmp(words[0], "poke") == 0) {
		value = value_of(words[3]);
		memcpy((void *)value_of(words[1]), &value, value_of(words[2]));
		return "ok";
	}
	if (strcmp(words[0], "load") == 0)
		return load32((void *)value_of(words[1]), &loaded) ? "ok" : "SIGBUS";
	if (strcmp(words[0], "unbind") == 0)
		return ask_unbind();
	if (strcmp(words[0], "unbound") == 0)
		return ask_unbound();
	bad("no such question:", words[0]);
}

void ask_script(const char *file, const char *device)
{
	FILE *script = fopen(file, "r");
	char *line = NULL, *words[WORDS], *colon, name[32], value[32];
	size_t room = 0;

	if (script == NULL) {
		perror(file);
		exit(2);
	}
	where = file;
	bdf = device;
	while (getline(&line, &room, script) > 0) {
		int count = 0;

		line_number++;
		if (line[0] == '#' || line[0] == '\n')
			continue;
		if (sscanf(line, "let %31s %31s", name, value) == 2) {
			assign(name, value_of(value));
			continue;
		}
		colon = strstr(line, " : ");
		if (colon == NULL)
			bad("no ' : ' in", strtok(line, "\n"));
		*colon = '\0';
		for (char *word = strtok(colon + 3, " \n"); word != NULL && count < WORDS; word = strtok(NULL, " \n"))
			words[count++] = word;
		report(line, "%s", ask(words, count));
	}
	free(line);
	fclose(script);
}
