/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulated kernel, as the rest of the shim sees it: the shim's other backend. A descriptor of a simulated VFIO file is
 * a connection to the server (abi/wire/sim.h says what passes); its entry in the object table has OBJECT_SIMULATED.
 *
 * Unless said otherwise a function returns what the system call would, a negative errno where it fails, and touches
 * neither errno nor libc. All are safe in a signal handler.
 */
#ifndef VFIOTAPE_SHIM_SIM_H
#define VFIOTAPE_SHIM_SIM_H

#include <sys/stat.h>
#include <sys/uio.h>

#include "../../../abi/wire/record.h"
#include "../../../abi/wire/sim.h"
#include "../core/objects.h"

/* VFIOTAPE_SIM is set and usable: the machine's own VFIO is out of reach. */
extern uint32_t sim_active;
#define simulating() unlikely(sim_active)

/* Before the session is attached: reads the environment. */
void sim_attach(void);
/* DIR, and DIR/root with its length. */
extern char sim_directory[VFIOTAPE_SIM_DIRECTORY_MAX + 1];
extern char sim_root[VFIOTAPE_SIM_DIRECTORY_MAX + sizeof(VFIOTAPE_SIM_ROOT)];
extern size_t sim_root_length;

/* --- files ---------------------------------------------------------------------------------------------------------- */

/* An open of a device node, by its path in the tree. */
long sim_open(const char *node, int flags, uint32_t mode);
/* What a socket is, when it is a connection to the server; `link` gets what /proc/self/fd would call it. */
enum vfiotape_object_kind sim_kind_of(int fd, char *link, size_t room);
/* A descriptor of a simulated file was closed; `several`: a range of them. */
void sim_closed(uint64_t inode);
/* The inode that names the file; 0 when fd is no socket. */
uint64_t sim_inode(int fd);
/* fstat of a simulated file: the character device, or the anonymous file, that it would be. */
void sim_fstat(int fd, uint32_t *mode, uint64_t *device);

/* `site`: where the driver's call returns to. */
long sim_ioctl(union object_entry entry, int fd, unsigned long request, unsigned long argument, uint64_t site);
#define SIM_POSITION INT64_MIN /* read and write, not pread and pwrite */
long sim_read(int fd, void *buffer, size_t count, int64_t offset, uint64_t site);
long sim_write(int fd, const void *buffer, size_t count, int64_t offset, uint64_t site);
long sim_vector(int fd, const struct iovec *pieces, long count, int64_t offset, int flags, bool writing, uint64_t site);

/* --- generic netlink, on a machine of 2010 ---------------------------------------------------------------------------- */

/* bind(2), or only asks for the port, which is 0 before. */
long sim_netlink_bind(int fd, uint32_t wanted, bool bind, uint32_t *port);
long sim_netlink_send(int fd, const struct iovec *pieces, size_t count);
/* The next datagram's length, and how much of it there was room for; -EAGAIN when there is none. It never waits for one. */
long sim_netlink_take(int fd, const struct iovec *pieces, size_t count, bool peek, size_t *copied);

/* --- memory --------------------------------------------------------------------------------------------------------- */

/* The mapping's id. */
long sim_mmap(uint64_t inode, uint64_t address, size_t length, uint64_t offset, int prot, int flags, uint32_t *region,
	      uint64_t *region_offset);
void sim_unmapped(uint64_t address, size_t length);
/*
 * Set by the first DMA mapping of a 2010 device: that kernel hears of all memory that goes (its MMU notifier), and takes
 * mappings of it down.
 */
extern uint32_t sim_watches_memory;
ALWAYS_INLINE void sim_memory_gone(const void *address, size_t length)
{
	if (unlikely(sim_watches_memory) && length)
		sim_unmapped((uint64_t)address, length);
}
/* mprotect to `prot` is about to be made; SIM_PAGES_GONE: madvise took the pages away. */
#define SIM_PAGES_GONE (~0u)
void sim_changed(uint64_t address, size_t length, uint32_t prot);
ALWAYS_INLINE void sim_memory_changes(const void *address, size_t length, uint32_t prot)
{
	if (unlikely(sim_watches_memory) && length)
		sim_changed((uint64_t)address, length, prot);
}
void sim_moved(uint64_t address, size_t length, uint64_t to);
/* One access of 1, 2, 4 or 8 bytes that doesn't cross 8. False: the device refused it. */
/* `site`: the instruction's address, 0 when it is not known. */
bool sim_load(uint64_t mapping, uint64_t offset, unsigned int width, uint64_t site, uint64_t *value);
bool sim_store(uint64_t mapping, uint64_t offset, unsigned int width, uint64_t site, uint64_t value);

/* --- our own descriptors, which the driver doesn't see ----------------------------------------------------------------- */

ALWAYS_INLINE bool sim_is_hidden(union object_entry entry)
{
	return entry.fd.kind == VFIOTAPE_OBJECT_SOCKET;
}
/* A second number for it, where drivers seldom are; a negative errno. The first one is to be closed. */
long sim_hide(int fd);
/* The driver is about to put something else at that number. */
void sim_move_away(int fd);
/* close_range without ours. */
long sim_close_range(unsigned int first, unsigned int last, unsigned int flags);

/* --- processes ---------------------------------------------------------------------------------------------------------- */

/* In the parent, before fork returns; and in the child. */
void sim_forked(int child);
void sim_in_child(void);

#endif
