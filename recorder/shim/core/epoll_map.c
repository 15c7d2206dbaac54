// SPDX-License-Identifier: Apache-2.0
#include "epoll_map.h"

#define ENTRIES 1024u

/*
 * Small and scanned: drivers wait on tens of eventfds. The key is stored last and cleared first, so that a scan beside
 * an epoll_ctl of another thread sees an entry whole or not at all; two threads that change the same (epoll, fd) at
 * once race in the kernel as well.
 */
static struct {
	uint64_t key; /* epoll << 32 | fd; 0: free (no object has that id) */
	uint64_t data;
} entries[ENTRIES];
static uint32_t used; /* no entry beyond this one was ever set */

static uint64_t key_of(uint32_t epoll, int fd)
{
	return (uint64_t)epoll << 32 | (uint32_t)fd;
}

bool epoll_map_set(uint32_t epoll, int fd, uint64_t data)
{
	uint64_t key = key_of(epoll, fd);
	uint32_t count = __atomic_load_n(&used, __ATOMIC_ACQUIRE);

	for (uint32_t i = 0; i < count; i++) {
		if (__atomic_load_n(&entries[i].key, __ATOMIC_RELAXED) == key) {
			__atomic_store_n(&entries[i].data, data, __ATOMIC_RELEASE);
			return true;
		}
	}
	for (uint32_t i = 0; i < ENTRIES; i++) {
		uint64_t none = 0;
		uint32_t seen = count;

		/* Taken with a key that matches no lookup while its data is still the former one. */
		if (!__atomic_compare_exchange_n(&entries[i].key, &none, ~0ull, false, __ATOMIC_ACQ_REL,
						 __ATOMIC_RELAXED))
			continue;
		__atomic_store_n(&entries[i].data, data, __ATOMIC_RELAXED);
		__atomic_store_n(&entries[i].key, key, __ATOMIC_RELEASE);
		while (seen < i + 1 && !__atomic_compare_exchange_n(&used, &seen, i + 1, false, __ATOMIC_ACQ_REL,
								    __ATOMIC_ACQUIRE))
			;
		return true;
	}
	return false;
}

void epoll_map_remove(uint32_t epoll, int fd)
{
	uint64_t key = key_of(epoll, fd);
	uint32_t count = __atomic_load_n(&used, __ATOMIC_ACQUIRE);

	for (uint32_t i = 0; i < count; i++) {
		if (__atomic_load_n(&entries[i].key, __ATOMIC_RELAXED) == key)
			__atomic_store_n(&entries[i].key, 0, __ATOMIC_RELEASE);
	}
}

static void forget(uint64_t mask, uint64_t value)
{
	uint32_t count = __atomic_load_n(&used, __ATOMIC_ACQUIRE);

	for (uint32_t i = 0; i < count; i++) {
		uint64_t key = __atomic_load_n(&entries[i].key, __ATOMIC_RELAXED);

		if (key && key != ~0ull && (key & mask) == value)
			__atomic_store_n(&entries[i].key, 0, __ATOMIC_RELEASE);
	}
}

void epoll_map_forget(int fd)
{
	forget(0xffffffff, (uint32_t)fd);
}

void epoll_map_forget_epoll(uint32_t epoll)
{
	forget(0xffffffff00000000, (uint64_t)epoll << 32);
}

int epoll_map_find(uint32_t epoll, uint64_t data)
{
	uint32_t count = __atomic_load_n(&used, __ATOMIC_ACQUIRE);

	for (uint32_t i = 0; i < count; i++) {
		uint64_t key = __atomic_load_n(&entries[i].key, __ATOMIC_ACQUIRE);

		if (key && key != ~0ull && key >> 32 == epoll &&
		    __atomic_load_n(&entries[i].data, __ATOMIC_RELAXED) == data)
			return (int)(uint32_t)key;
	}
	return -1;
}

int epoll_map_next(uint32_t epoll, uint32_t *at)
{
	uint32_t count = __atomic_load_n(&used, __ATOMIC_ACQUIRE);

	while (*at < count) {
		uint64_t key = __atomic_load_n(&entries[(*at)++].key, __ATOMIC_ACQUIRE);

		if (key && key != ~0ull && key >> 32 == epoll)
			return (int)(uint32_t)key;
	}
	return -1;
}
