// SPDX-License-Identifier: Apache-2.0
/*
 * Executable memory of our own, and writing into the driver's: through /proc/self/mem, which leaves the protection of
 * the text as it is. The file is opened each time: one kept open would be the parent's memory in a forked child, and
 * could be closed by the driver.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <sys/mman.h>

#include "internal.h"

#define REACH 0x7f000000ull      /* of a 32-bit displacement, less than the most that a trampoline is long */
#define ARENA_BYTES (256u << 10)
#define ARENAS_MAX 64u
#define STUB_BYTES MMIO_STUB_BYTES
#define STUBS_LOG2 13u
#define STUBS (1u << STUBS_LOG2)
#define VERDICTS_MAX 32u
/* Room that is left for the heap to grow into. */
#define HEAP_ROOM (1ull << 30)

static struct { uint64_t start, used, end; } arenas[ARENAS_MAX];
static uint32_t arena_count;
/* Hash tables by open addressing: of stub addresses by 16-byte granule, and of the pages that they are on. */
static uint64_t stubs[STUBS], stub_pages[STUBS];
static uint32_t stub_count, stub_page_count;
/* What /proc/self/maps said of code that was asked for. */
static struct { uint64_t start, end; uint32_t reason; } verdicts[VERDICTS_MAX];
static uint32_t verdict_count;
static bool sync_works;

bool mmio_code_start(void)
{
	long done = raw3(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0);

	sync_works = !raw_failed(done);
	return sync_works;
}

bool mmio_can_sync(void)
{
	return sync_works;
}

/* Every processor that runs this process sees the code as it now is, before this returns. */
bool mmio_code_sync(void)
{
	long done = raw3(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0);

	if (done == -EPERM && mmio_code_start()) /* an address space that was not registered: a child's */
		done = raw3(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0);
	return !raw_failed(done);
}

bool mmio_code_write(uint64_t address, const void *bytes, size_t length)
{
	int memory = raw_openat(AT_FDCWD, "/proc/self/mem", O_RDWR | O_CLOEXEC, 0);
	uint64_t first = page_down(address), pages = page_up(address + length) - first;
	long written = -1;

	if (memory >= 0) {
		written = raw_pwrite(memory, bytes, length, address);
		raw_close(memory);
	}
	if (written == (long)length)
		return true;
	/* Only code that isn't writable is ever written to: it goes back to that. */
	if (raw_failed(raw3(SYS_mprotect, (long)first, (long)pages, PROT_READ | PROT_WRITE | PROT_EXEC)))
		return false;
	copy_bytes((void *)address, bytes, length);
	raw3(SYS_mprotect, (long)first, (long)pages, PROT_READ | PROT_EXEC);
	return true;
}

static bool take(uint64_t at, size_t length)
{
	long heap = raw3(SYS_brk, 0, 0, 0);
	long got;

	if (at < USER_LOW || at + length > USER_HIGH)
		return false;
	if (!raw_failed(heap) && at + length > (uint64_t)heap && at < (uint64_t)heap + HEAP_ROOM)
		return false;
	got = (long)raw_mmap((void *)at, length, PROT_READ | PROT_EXEC,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (raw_failed(got))
		return false;
	if ((uint64_t)got == at) {
		raw3(SYS_munlock, got, (long)length, 0); /* after mlockall: not on the driver's account */
		return true;
	}
	raw_munmap((void *)got, length); /* a kernel before 4.17 takes the flag for a hint */
	return false;
}

static bool within(uint64_t near, uint64_t start, uint64_t end)
{
	return start + REACH > near && end < near + REACH;
}

uint64_t mmio_code_room(uint64_t near, size_t size)
{
	uint64_t middle = near & ~0xfffffull, at = 0;

	for (uint32_t i = 0; i < arena_count; i++) {
		if (arenas[i].used + size > arenas[i].end || !within(near, arenas[i].start, arenas[i].end))
			continue;
		at = arenas[i].used;
		arenas[i].used = (at + size + 15) & ~15ull;
		return at;
	}
	if (arena_count == ARENAS_MAX)
		return 0;
	for (uint64_t step = 2 << 20; step < REACH && !at; step += 1 << 20) {
		if (middle > step && take(middle - step, ARENA_BYTES))
			at = middle - step;
		else if (take(middle + step, ARENA_BYTES))
			at = middle + step;
	}
	if (!at)
		return 0;
	arenas[arena_count].start = at;
	arenas[arena_count].end = at + ARENA_BYTES;
	arenas[arena_count].used = (at + size + 15) & ~15ull;
	__atomic_store_n(&arena_count, arena_count + 1, __ATOMIC_RELEASE);
	return at;
}

void mmio_code_trim(uint64_t address, size_t asked, size_t used)
{
	for (uint32_t i = 0; i < arena_count; i++)
		if (arenas[i].used == ((address + asked + 15) & ~15ull))
			arenas[i].used = (address + used + 15) & ~15ull;
}

/* --- stubs at given addresses ---------------------------------------------------------------------------------------- */

static uint32_t bucket(uint64_t key)
{
	return (uint32_t)(key * 0x9e3779b97f4a7c15ull >> (64 - STUBS_LOG2));
}

static bool stub_in_granule(uint64_t granule, uint64_t at)
{
	for (uint32_t i = bucket(granule); stubs[i]; i = (i + 1) & (STUBS - 1))
		if (stubs[i] >> 4 == granule && stubs[i] < at + STUB_BYTES && at < stubs[i] + STUB_BYTES)
			return true;
	return false;
}

static bool have_page(uint64_t page)
{
	uint32_t i = bucket(page >> 12);

	for (; stub_pages[i]; i = (i + 1) & (STUBS - 1))
		if (stub_pages[i] == page)
			return true;
	if (stub_page_count >= STUBS / 2 || !take(page, PAGE))
		return false;
	__atomic_store_n(&stub_pages[i], page, __ATOMIC_RELEASE);
	stub_page_count++;
	return true;
}

static bool taken(uint64_t at)
{
	uint64_t last = at + STUB_BYTES - 1;

	for (uint64_t granule = (at - STUB_BYTES) >> 4; granule <= last >> 4; granule++)
		if (stub_in_granule(granule, at))
			return true;
	return false;
}

static bool have_pages(uint64_t at)
{
	uint64_t first = page_down(at), last = page_down(at + STUB_BYTES - 1);

	return have_page(first) && (last == first || have_page(last));
}

bool mmio_stub_possible(uint64_t at)
{
	return at >= USER_LOW && at <= USER_HIGH - PAGE && stub_count < STUBS / 2 && !taken(at) && have_pages(at);
}

bool mmio_stub_place(uint64_t at, const uint8_t *code, size_t length)
{
	uint32_t i = bucket(at >> 4);

	if (!mmio_stub_possible(at) || !mmio_code_write(at, code, length))
		return false;
	while (stubs[i])
		i = (i + 1) & (STUBS - 1);
	stubs[i] = at;
	stub_count++;
	return true;
}

/* --- what the driver does to memory ---------------------------------------------------------------------------------- */

static bool stub_pages_in(uint64_t address, uint64_t end)
{
	if (end - address < 256 * PAGE) {
		for (uint64_t page = page_down(address); page < end; page += PAGE)
			for (uint32_t i = bucket(page >> 12); stub_pages[i]; i = (i + 1) & (STUBS - 1))
				if (stub_pages[i] == page)
					return true;
		return false;
	}
	for (uint32_t i = 0; i < STUBS; i++)
		if (stub_pages[i] && address < stub_pages[i] + PAGE && stub_pages[i] < end)
			return true;
	return false;
}

bool mmio_code_overlaps(uint64_t address, size_t length)
{
	uint64_t end = address + length;
	uint32_t count = __atomic_load_n(&arena_count, __ATOMIC_ACQUIRE);

	for (uint32_t i = 0; i < count; i++)
		if (address < arenas[i].end && arenas[i].start < end)
			return true;
	for (uint32_t i = 0; i < verdict_count && i < VERDICTS_MAX; i++)
		if (address < verdicts[i].end && verdicts[i].start < end)
			return true;
	return stub_page_count && stub_pages_in(address, end);
}

void mmio_code_forget(uint64_t address, size_t length)
{
	uint64_t end = address + length;
	struct mmio_site *site;

	for (uint32_t cursor = 0; (site = mmio_site_next(&cursor));) {
		bool gone = site->trampoline && site->trampoline < end &&
			    site->trampoline + site->trampoline_length > address;

		if (gone || (site->state == SITE_PATCHED && site->stub && site->stub < end &&
			     site->stub + STUB_BYTES > address))
			mmio_unpatch(site, MMIO_REASON_REPLACED);
		if (gone)
			site->trampoline = 0;
		if (site->copy && site->copy < end && site->copy + STUB_BYTES > address)
			__atomic_store_n(&site->copy, 0, __ATOMIC_RELEASE);
	}
	/* The pages stay known: have_page would find them, so they are made unusable instead. */
	for (uint32_t i = 0; i < STUBS; i++)
		if (stub_pages[i] && address < stub_pages[i] + PAGE && stub_pages[i] < end)
			stub_pages[i] = 1;
	for (uint32_t i = 0; i < arena_count; i++)
		if (address < arenas[i].end && arenas[i].start < end)
			arenas[i].used = arenas[i].end;
}

void mmio_code_maps_changed(void)
{
	verdict_count = 0;
}

/* --- which code may be patched ----------------------------------------------------------------------------------------- */

struct maps_line {
	uint64_t start, end;
	char access[4];
	char path[16]; /* its beginning */
};

static const char *hex(const char *at, uint64_t *value)
{
	for (*value = 0;; at++) {
		if (*at >= '0' && *at <= '9')
			*value = *value << 4 | (uint64_t)(*at - '0');
		else if (*at >= 'a' && *at <= 'f')
			*value = *value << 4 | (uint64_t)(*at - 'a' + 10);
		else
			return at;
	}
}

static void parse(const char *text, size_t length, struct maps_line *line)
{
	const char *at = hex(text, &line->start), *end = text + length;
	unsigned int field = 1;

	at = hex(at + 1, &line->end) + 1;
	copy_bytes(line->access, at, 4);
	for (; at < end && field < 5; at++)
		if (*at == ' ')
			field++;
	while (at < end && *at == ' ')
		at++;
	zero_bytes(line->path, sizeof(line->path));
	for (unsigned int i = 0; i + 1 < sizeof(line->path) && at < end; i++)
		line->path[i] = *at++;
}

static bool find_line(uint64_t address, struct maps_line *line)
{
	static char text[8192]; /* under the lock */
	size_t have = 0;
	long got;
	int maps = raw_openat(AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC, 0);

	if (maps < 0)
		return false;
	while ((got = raw_read(maps, text + have, sizeof(text) - have)) > 0) {
		size_t start = 0;

		have += (size_t)got;
		for (size_t at = 0; at < have; at++) {
			if (text[at] != '\n')
				continue;
			parse(text + start, at - start, line);
			start = at + 1;
			if (address >= line->start && address < line->end) {
				raw_close(maps);
				return true;
			}
		}
		have -= start;
		copy_bytes(text, text + start, have);
		if (have == sizeof(text))
			have = 0;
	}
	raw_close(maps);
	return false;
}

static enum mmio_reason judge(const struct maps_line *line)
{
	static const char *const generated[] = { "/memfd:", "/dev/shm/", "/SYSV", "/dev/zero" };

	if (line->path[0] != '/')
		return MMIO_REASON_ANONYMOUS;
	if (line->access[1] == 'w' || line->access[3] != 'p')
		return MMIO_REASON_WRITABLE;
	for (unsigned int i = 0; i < sizeof(generated) / sizeof(generated[0]); i++) {
		const char *prefix = generated[i], *path = line->path;

		while (*prefix && *prefix == *path)
			prefix++, path++;
		if (!*prefix)
			return MMIO_REASON_WRITABLE;
	}
	return MMIO_REASON_NONE;
}

enum mmio_reason mmio_code_patchable(uint64_t address, size_t length)
{
	struct maps_line line;

	(void)length;
	for (uint32_t i = 0; i < verdict_count; i++)
		if (address >= verdicts[i].start && address < verdicts[i].end)
			return (enum mmio_reason)verdicts[i].reason;
	if (!find_line(address, &line))
		return MMIO_REASON_CANT_WRITE;
	if (verdict_count == VERDICTS_MAX)
		verdict_count = 0;
	verdicts[verdict_count].start = line.start;
	verdicts[verdict_count].end = line.end;
	verdicts[verdict_count].reason = judge(&line);
	return (enum mmio_reason)verdicts[verdict_count++].reason;
}
