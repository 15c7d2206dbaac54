/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of the driver's descriptors matter, and what they are. The table is ordinary private memory: fork copies it as
 * it copies the descriptors themselves. process.PID is its lasting copy, written at each change, for an image that
 * comes after an exec and for children that were spawned.
 */
#ifndef VFIOTAPE_OBJECTS_H
#define VFIOTAPE_OBJECTS_H

#include "ring.h"

#define OBJECTS_LOW 1024u /* descriptors beyond these have their entries in blocks that are mapped on demand */

/* struct vfiotape_fd.flags */
#define OBJECT_IO 0x01u        /* its reads and writes are recorded */
#define OBJECT_SIMULATED 0x04u /* a connection to the simulated kernel: every call on it goes there */
#define OBJECT_INTERRUPT 0x02u /* an eventfd that an interrupt, or a KVM irqfd or ioeventfd, is tied to */

union object_entry {
	struct vfiotape_fd fd;
	uint64_t word;
};

extern uint64_t objects_low[OBJECTS_LOW];
extern uint64_t *objects_high[VFIOTAPE_FDS_MAX / OBJECTS_LOW];
/* Something that matters was open at some time: this process, or the image before it, is of interest. */
extern uint32_t objects_any;
/* Some eventfd has been tied to an interrupt: before that no wait needs to be looked at. */
extern uint32_t objects_interrupts;

/* The entry of a descriptor; kind NONE when it doesn't matter. This is all that a call on any other fd pays. */
ALWAYS_INLINE union object_entry object_of(int fd)
{
	union object_entry entry = { .word = 0 };

	if (likely((unsigned int)fd < OBJECTS_LOW)) {
		entry.word = __atomic_load_n(&objects_low[fd], __ATOMIC_RELAXED);
	} else if ((unsigned int)fd < VFIOTAPE_FDS_MAX) {
		const uint64_t *block = __atomic_load_n(&objects_high[(unsigned int)fd / OBJECTS_LOW], __ATOMIC_ACQUIRE);

		if (block)
			entry.word = __atomic_load_n(&block[(unsigned int)fd % OBJECTS_LOW], __ATOMIC_RELAXED);
	}
	return entry;
}

/* A descriptor came, or went (a zero entry). Written to process.PID too. */
void object_set(int fd, union object_entry entry);
/* The number was given to something that doesn't matter: an entry that is still there is of an fd closed unseen. */
ALWAYS_INLINE void object_forget(int fd)
{
	if (unlikely(object_of(fd).word))
		object_set(fd, (union object_entry){ .word = 0 });
}

/*
 * May this caller change the table? Not a child that shares our memory without being a thread of ours: it has descriptors
 * of its own. (A forked child whose pid is not known yet has its own copy of the table.)
 */
ALWAYS_INLINE bool objects_are_ours(void)
{
	return likely(!shim_session.memory_sharers) || !shim_process.pid || (uint32_t)raw_getpid() == shim_process.pid;
}

uint32_t object_new_id(void);
/* A new object of this kind behind `fd`; its entry. */
union object_entry object_add(int fd, enum vfiotape_object_kind kind);
/* Sets OBJECT_INTERRUPT on an eventfd and on its duplicates; adopts it when it was never seen. */
void object_mark_interrupt(int fd);

/* What a file is by its absolute path, or by what /proc/self/fd calls it. */
enum vfiotape_object_kind object_kind_of_path(const char *path);
enum vfiotape_object_kind object_kind_of_link(int fd);
/* A name below /dev/vfio. */
bool object_is_vfio_path(const char *path);
/* What /proc/self/fd calls a descriptor, with a NUL; its length, 0 or less when there is none. */
long object_link(int fd, char *link, size_t room);
/* The path of a directory (AT_FDCWD too) and a slash, for a relative name; its length, 0 when it has none. */
size_t object_directory(int directory, char *path, size_t room);
/* What was just opened: char devices are recognised by their link, however they were reached. */
enum vfiotape_object_kind object_kind_of_open(int fd, const char *path);

/*
 * A VFIO request on a descriptor that has no entry: looks what it is, and takes it in with an UNSEEN record. Returns its
 * entry, kind NONE when it is something else.
 */
union object_entry object_adopt(int fd);
/*
 * A descriptor that another process sent. When it is a VFIO one or an eventfd it gets an entry: the object of the sender's,
 * where kcmp(2) finds the same open file in this process or in another of the session, else a new one.
 */
union object_entry object_received(int fd);
/* All descriptors of /proc/self/fd: VFIO ones without an entry are adopted. */
void objects_find_unseen(void);
/*
 * After an exec or a spawn: takes over the entries that a former image, or the parent, left for descriptors still open.
 * True when there was a former image of this process.
 */
bool objects_inherit(uint32_t pid, uint32_t parent);
/* Writes every entry to an open process.PID. */
void objects_save(int file);

/* Calls visit for each fd of /proc/self/fd. */
void objects_each_open(void (*visit)(int fd, void *context), void *context);
/* Calls visit for each entry of the table whose fd lies in first..last. */
void objects_each_entry(uint32_t first, uint32_t last, void (*visit)(int fd, union object_entry entry, void *context),
			void *context);

#endif
