/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What passes between the shim (in the driver) and the collector (in `vfiotape record`): files in one session
 * directory on tmpfs. The C side of the one definition; record.ts is the TypeScript side, and record.test.ts
 * compiles this header and compares every size, offset and number.
 *
 *   DIR/control       struct vfiotape_control: modes, the heartbeat, the ring pool
 *   DIR/ring.NNN      struct vfiotape_ring_header, then the records, then the side ring (payload bytes)
 *   DIR/process.PID   struct vfiotape_process, then its fd table: survives exec, and a child reads its parent's
 *
 * All numbers are little endian (the shim is x86-64 only). "Ticks" are rdtsc, or CLOCK_MONOTONIC nanoseconds where
 * vfiotape_control.clock_source says so.
 */
#ifndef VFIOTAPE_WIRE_RECORD_H
#define VFIOTAPE_WIRE_RECORD_H

#include <stdint.h>

#define VFIOTAPE_WIRE_VERSION 2u
#define VFIOTAPE_CONTROL_MAGIC 0x5345535f45504154ull /* "TAPE_SES" */
#define VFIOTAPE_RING_MAGIC 0x474e495245504154ull    /* "TAPERING" */
#define VFIOTAPE_PROCESS_MAGIC 0x434f525045504154ull /* "TAPEPROC" */

#define VFIOTAPE_RINGS_MAX 256u
#define VFIOTAPE_RING_HEADER_BYTES 4096u
#define VFIOTAPE_WATCHES_MAX 32u

/* --- one event: a fixed 64 bytes ------------------------------------------------------------------------------ */

/*
 * The last eight bytes are stored last, in one store: a slot is complete when `lap` is the lap the reader expects,
 * (uint16_t)(position / ring records + 1). A slot that was never written has lap 0.
 */
struct vfiotape_record {
	uint64_t entered;    /* ticks when the call was entered, or the access made */
	uint64_t site_errno; /* bits 0-47: address after the call instruction, or of the access; 48-63: errno, 0 when it succeeded */
	uint64_t offset;     /* see the table of kinds */
	uint64_t value;
	uint64_t result;     /* two's complement where negative */
	uint32_t duration;   /* ticks; in units of 65536 ticks when VFIOTAPE_FLAG_LONG is set */
	uint32_t object;     /* session-wide id of the open file description, 0 when none */
	uint32_t op;
	int32_t fd;          /* -1 when none */
	uint8_t kind;        /* enum vfiotape_kind */
	uint8_t flags;       /* VFIOTAPE_FLAG_* */
	uint16_t lap;
	uint32_t payload;    /* FLAG_PAYLOAD: where the first segment is in the side ring, position / 8, modulo 2^32 */
};

#define VFIOTAPE_SITE_MASK 0x0000ffffffffffffull

#define VFIOTAPE_FLAG_PAYLOAD 0x01u /* payload segments in the side ring */
#define VFIOTAPE_FLAG_LONG 0x02u    /* duration is in units of 65536 ticks */
#define VFIOTAPE_FLAG_INTENT 0x04u  /* MMIO: about to happen, result not known yet; the slot is stored again without it */
#define VFIOTAPE_FLAG_UNKNOWN 0x08u /* MMIO: the old value is not known (an atomic that returns none) */
#define VFIOTAPE_FLAG_RAW 0x10u     /* went through syscall(2), not through its own libc entry point */

/*
 * kind          offset              value                  result        op                     fd        payload
 */
enum vfiotape_kind {
	VFIOTAPE_NONE = 0,
	VFIOTAPE_THREAD = 1,    /* pid               tid                    parent pid    0                      -1        NAME; all that follows in this ring is this thread's */
	VFIOTAPE_PROCESS = 2,   /* pid               parent pid             0             0                      -1        EXE, ARGV, MAPS: an image attached (start, exec, fork child) */
	VFIOTAPE_CLOCK = 3,     /* CLOCK_MONOTONIC   CLOCK_REALTIME ns      0             0                      -1        - : taken at ticks `entered` */
	VFIOTAPE_OPEN = 4,      /* open mode         0                      fd or -1      open flags             new fd    PATH; object = the new one, its kind in KIND */
	VFIOTAPE_CLOSE = 5,     /* last fd (close_range) 0                  0 or -1       0 close, 1 close_range fd        - */
	VFIOTAPE_DUP = 6,       /* 0                 wanted fd              new fd or -1  enum vfiotape_dup      old fd    - */
	VFIOTAPE_IOCTL = 7,     /* 0                 argument               return        request (low 32 bits)  fd        IN, OUT, POINTED; object = the fd's */
	/* READ and WRITE of a netlink socket, by whichever call: the offset is the call's MSG_ flags, the bytes are one datagram. */
	VFIOTAPE_READ = 8,      /* file offset       first 8 bytes          return        bytes asked for        fd        DATA when more than 8 bytes moved */
	VFIOTAPE_WRITE = 9,     /* file offset       first 8 bytes          return        bytes given            fd        DATA when more than 8 bytes moved */
	VFIOTAPE_LSEEK = 10,    /* wanted offset     whence                 new offset    0                      fd        - */
	VFIOTAPE_MMAP = 11,     /* file offset       length                 address or -1 prot | flags << 8      fd or -1  IN: u64 wanted address */
	VFIOTAPE_MUNMAP = 12,   /* address           length                 return        0                      -1        - */
	VFIOTAPE_MREMAP = 13,   /* old address       old length             address or -1 flags                  -1        IN: u64 new length, u64 wanted address */
	VFIOTAPE_MPROTECT = 14, /* address           length                 return        prot                   -1        - */
	VFIOTAPE_MADVISE = 15,  /* address           length                 return        advice                 -1        - */
	VFIOTAPE_EVENTFD = 16,  /* 0                 initial count          fd or -1      flags                  new fd    - ; object = the new one */
	VFIOTAPE_WAKE = 17,     /* 0                 events (poll bits)     calls' return enum vfiotape_wait     eventfd   - ; one record for each ready fd of an interrupt */
	VFIOTAPE_SIGNAL = 18,   /* fault address     si_code                0             signal number          -1        - ; a signal that ends the process */
	VFIOTAPE_EXIT = 19,     /* 0                 0                      0             exit status            -1        MAPS */
	VFIOTAPE_EXEC = 20,     /* 0                 0                      -1 if failed  0                      -1        PATH; recorded before the call; again with errno when it returns */
	VFIOTAPE_FORK = 21,     /* 0                 0                      child pid     enum vfiotape_fork     -1        - */
	VFIOTAPE_SEND_FD = 22,  /* 0                 socket inode           return        number of the fd in the message, fd - ; one record for each VFIO fd sent */
	VFIOTAPE_RECV_FD = 23,  /* 0                 socket inode           return        number of the fd in the message, new fd KIND; object = the sender's where it could be matched, else new */
	VFIOTAPE_LOAD = 24,     /* offset in region  value                  0             VFIOTAPE_ACCESS_*      -1        DATA when wider than 8; object = the device's */
	VFIOTAPE_STORE = 25,    /* offset in region  value                  0             VFIOTAPE_ACCESS_*      -1        DATA when wider than 8 */
	VFIOTAPE_UPDATE = 26,   /* offset in region  value stored           value before  VFIOTAPE_ACCESS_*      -1        - ; read-modify-write */
	VFIOTAPE_LOST = 27,     /* first cause       events lost            bytes lost    enum vfiotape_loss     -1        - */
	VFIOTAPE_UNSEEN = 28,   /* 0                 0                      0             0                      fd        PATH; a VFIO fd the shim met and had not seen born; object = new */
	VFIOTAPE_SITE = 29,     /* instruction addr  tier                   0             enum of mmio.h reasons -1        IN: instruction bytes; a site met by the MMIO watcher */
	/* A device's own doings, in a ring of whoever sees them: one whose process is 0, or of the thread that compared. */
	VFIOTAPE_DMA = 30,      /* IOVA              first 8 bytes          bytes or -1   VFIOTAPE_DMA_*         -1        DATA when more than 8 bytes moved; object = see VFIOTAPE_DMA_* */
	VFIOTAPE_INTERRUPT = 31, /* vector           level, or 1            0             index: 0 INTx 1 MSI 2 MSI-X -1   - ; object = the function's address, as of DMA */
	VFIOTAPE_KIND_END = 32,
};

/* op of LOAD, STORE, UPDATE: region index in bits 0-7, width in bytes in bits 8-15, how it was caught in bits 16-23, instruction class in bits 24-31. */
#define VFIOTAPE_ACCESS(region, width, tier, form) ((uint32_t)(region) | (uint32_t)(width) << 8 | (uint32_t)(tier) << 16 | (uint32_t)(form) << 24)

/*
 * op of DMA: the direction in bits 0-7, how it was seen in bits 8-15. SEEN by the simulated IOMMU: each access, stamped
 * before a write is there to be read and after a read was made; the object is then the function's address, segment << 16
 * | bus << 8 | device << 3 | function, which the collector turns into the device's object. FOUND and AMBIGUOUS by the
 * shim, which compares DMA-mapped memory with what it was (recorder/shim/dma): the object is that of the device whose
 * registers were written last, 0 when none were; AMBIGUOUS says that the other side may have written it.
 * FILL is what the driver wrote since the last comparison, HELD what memory held when it was mapped.
 */
enum vfiotape_dma { VFIOTAPE_DMA_READ = 0, VFIOTAPE_DMA_WRITE = 1, VFIOTAPE_DMA_FILL = 2, VFIOTAPE_DMA_HELD = 3 };
enum vfiotape_dma_how { VFIOTAPE_DMA_SEEN = 0, VFIOTAPE_DMA_FOUND = 1, VFIOTAPE_DMA_AMBIGUOUS = 2 };

enum vfiotape_dup { VFIOTAPE_DUP_DUP, VFIOTAPE_DUP_DUP2, VFIOTAPE_DUP_DUP3, VFIOTAPE_DUP_F_DUPFD, VFIOTAPE_DUP_F_DUPFD_CLOEXEC, VFIOTAPE_DUP_PIDFD_GETFD };
enum vfiotape_wait { VFIOTAPE_WAIT_POLL, VFIOTAPE_WAIT_PPOLL, VFIOTAPE_WAIT_SELECT, VFIOTAPE_WAIT_PSELECT, VFIOTAPE_WAIT_EPOLL, VFIOTAPE_WAIT_EPOLL_PWAIT, VFIOTAPE_WAIT_EPOLL_PWAIT2 };
enum vfiotape_fork { VFIOTAPE_FORK_FORK, VFIOTAPE_FORK_VFORK, VFIOTAPE_FORK_CLONE, VFIOTAPE_FORK_SPAWN };
enum vfiotape_loss { VFIOTAPE_LOSS_FULL, VFIOTAPE_LOSS_NO_RING, VFIOTAPE_LOSS_NO_COLLECTOR, VFIOTAPE_LOSS_SIDE_FULL, VFIOTAPE_LOSS_FD_TABLE, VFIOTAPE_LOSS_INTERNAL };

/* What an object is. The kind is known from how the fd was born, never from a request's number: numbers mean different things on different fds. */
enum vfiotape_object_kind {
	VFIOTAPE_OBJECT_NONE = 0,
	VFIOTAPE_OBJECT_CONTAINER = 1,      /* /dev/vfio/vfio */
	VFIOTAPE_OBJECT_GROUP = 2,          /* /dev/vfio/N */
	VFIOTAPE_OBJECT_NOIOMMU_GROUP = 3,  /* /dev/vfio/noiommu-N */
	VFIOTAPE_OBJECT_DEVICE = 4,         /* VFIO_GROUP_GET_DEVICE_FD */
	VFIOTAPE_OBJECT_CDEV = 5,           /* /dev/vfio/devices/vfioN */
	VFIOTAPE_OBJECT_IOMMUFD = 6,        /* /dev/iommu */
	VFIOTAPE_OBJECT_EVENTFD = 7,
	VFIOTAPE_OBJECT_MIGRATION = 8,      /* VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE */
	VFIOTAPE_OBJECT_DMABUF = 9,         /* VFIO_DEVICE_GET_GFX_DMABUF, VFIO_DEVICE_FEATURE_DMA_BUF */
	VFIOTAPE_OBJECT_FAULT_QUEUE = 10,   /* IOMMU_FAULT_QUEUE_ALLOC */
	VFIOTAPE_OBJECT_VEVENTQ = 11,       /* IOMMU_VEVENTQ_ALLOC */
	VFIOTAPE_OBJECT_LYON_DEVICE = 12,   /* /dev/vfioN, the interface of 2010 */
	VFIOTAPE_OBJECT_UIOMMU = 13,        /* /dev/uiommu */
	VFIOTAPE_OBJECT_SYSFS = 14,         /* a PCI, IOMMU-group or vfio file of sysfs; only its open and close are recorded */
	VFIOTAPE_OBJECT_KVM = 15,           /* /dev/kvm: tells that the driver is a VMM */
	VFIOTAPE_OBJECT_KVM_VM = 16,        /* KVM_CREATE_VM: KVM_IRQFD, KVM_IOEVENTFD and memory slots are recorded */
	VFIOTAPE_OBJECT_PAGEMAP = 17,       /* /proc/self/pagemap */
	VFIOTAPE_OBJECT_EPOLL = 18,         /* only followed, never recorded by itself */
	VFIOTAPE_OBJECT_SOCKET = 19,        /* reserved */
	VFIOTAPE_OBJECT_LYON_NETLINK = 20,  /* socket(AF_NETLINK, …, NETLINK_GENERIC) on a simulated machine of 2010; PATH is VFIOTAPE_SIM_NETLINK */
	VFIOTAPE_OBJECT_KIND_END = 21,
};

/* --- payload: segments in the side ring, each 8-byte aligned; the chain of one record lies in one piece ---------- */

struct vfiotape_segment {
	uint32_t length; /* bytes that follow, before padding to 8 */
	uint8_t role;    /* enum vfiotape_role */
	uint8_t flags;   /* VFIOTAPE_SEGMENT_* */
	uint16_t index;  /* which array of POINTED, which iovec of DATA */
	uint64_t address; /* where in the driver's memory the bytes were; 0 when none */
};

#define VFIOTAPE_SEGMENT_MORE 0x01u      /* another segment of the same record follows */
#define VFIOTAPE_SEGMENT_CUT 0x02u       /* the driver's bytes were more than were kept: VFIOTAPE_PAYLOAD_MAX */
#define VFIOTAPE_SEGMENT_FAULT 0x04u     /* the address could not be read */
#define VFIOTAPE_SEGMENT_REDACTED 0x08u  /* a secret: length kept, bytes zeroed */

#define VFIOTAPE_PAYLOAD_MAX 65536u      /* bytes kept of one segment */

enum vfiotape_role {
	VFIOTAPE_ROLE_IN = 1,      /* argument bytes before the call */
	VFIOTAPE_ROLE_OUT = 2,     /* argument bytes after it */
	VFIOTAPE_ROLE_POINTED = 3, /* what a pointer inside the argument points to, before the call */
	VFIOTAPE_ROLE_POINTED_OUT = 4,
	VFIOTAPE_ROLE_DATA = 5,
	VFIOTAPE_ROLE_PATH = 6,
	VFIOTAPE_ROLE_NAME = 7,
	VFIOTAPE_ROLE_EXE = 8,
	VFIOTAPE_ROLE_ARGV = 9,    /* NUL-separated */
	VFIOTAPE_ROLE_MAPS = 10,   /* the executable lines of /proc/self/maps */
	VFIOTAPE_ROLE_KIND = 11,   /* pairs of u32: enum vfiotape_object_kind, object id. OPEN, RECV_FD, UNSEEN: of the record's object (id 0);
				      IOCTL: the object that it made, or each eventfd in the order given, { 0, 0 } where there is none */
};

/* --- a ring: one thread writes, the collector reads ---------------------------------------------------------------
 *
 * head is advanced with one xadd (a signal handler may come in between; with `lock` once a clone shares the TLS),
 * side_head with a compare-and-swap; the collector's words are followed by their complement, since its 8-byte write need
 * not be one store.
 * Record at position p is at RING_HEADER_BYTES + (p mod records) * 64; side position s at RING_HEADER_BYTES +
 * records * 64 + (s mod side bytes). A chain of segments never wraps: the writer skips to the start instead.
 */
struct vfiotape_ring_header {
	uint64_t magic;
	uint32_t index;
	uint32_t records_log2;
	uint32_t side_log2;
	uint32_t pid; /* of the present owner */
	uint32_t tid;
	uint32_t process; /* counts the images that attached in this session, from 1 */
	uint64_t pad0[4];

	uint64_t head; /* records reserved since the ring was made */
	uint64_t pad1[7];
	uint64_t tail; /* records that the collector gave back */
	uint64_t tail_check; /* ~tail */
	uint64_t pad2[6];

	uint64_t side_head; /* bytes reserved */
	uint64_t pad3[7];
	uint64_t side_tail;
	uint64_t side_tail_check;
	uint64_t pad4[6];

	uint64_t lost;         /* records dropped: the ring was full and the collector dead, or --when-full drop */
	uint64_t lost_payload; /* bytes of payload dropped; their records are kept */
	uint64_t waits;        /* times the driver waited for the collector */
	uint64_t waited;       /* ticks it waited, in all */
	uint64_t pad5[4];

	struct vfiotape_record inflight; /* the call this thread is in: stored before it, kind set to NONE after it */
};

enum vfiotape_ring_state {
	VFIOTAPE_RING_FREE = 0,    /* to be claimed; claimed by compare-and-swap to OWNED */
	VFIOTAPE_RING_OWNED = 1,
	VFIOTAPE_RING_LEFT = 2,    /* its thread ended: the collector empties it, sets tail = head and side_tail = side_head
				      (side bytes that a killed owner reserved and never used would not come back), then FREE */
};

/* --- the session ------------------------------------------------------------------------------------------------ */

enum vfiotape_when_full { VFIOTAPE_FULL_BLOCK = 0, VFIOTAPE_FULL_DROP = 1 };
enum vfiotape_clock_source { VFIOTAPE_CLOCK_TSC = 0, VFIOTAPE_CLOCK_MONOTONIC = 1 };
enum vfiotape_mmio_mode { VFIOTAPE_MMIO_OFF = 0, VFIOTAPE_MMIO_PATCH = 1, VFIOTAPE_MMIO_TRAP = 2, VFIOTAPE_MMIO_SYSCALLS = 3 };
enum vfiotape_session_state { VFIOTAPE_RECORDING = 0, VFIOTAPE_STOPPED = 1 };


/* Why a mapping for DMA is not compared, or not any more. */
enum vfiotape_left_out {
	VFIOTAPE_LEFT_OUT_LARGE = 0,      /* beyond what is compared in all */
	VFIOTAPE_LEFT_OUT_MANY = 1,       /* more mappings than the table holds */
	VFIOTAPE_LEFT_OUT_UNREADABLE = 2, /* a device's registers, no memory, or in no whole pages */
	VFIOTAPE_LEFT_OUT_GONE = 3,       /* the driver took the memory away, and left the mapping for DMA */
	VFIOTAPE_LEFT_OUT_NO_MEMORY = 4,  /* for the copy */
	VFIOTAPE_LEFT_OUT_INDIRECT = 5,   /* without an address of the process: of a file, a copy of another space */
	VFIOTAPE_LEFT_OUT_END = 6,
};

struct vfiotape_watch {
	uint32_t region; /* 0xffffffff: any */
	uint32_t pad;
	uint64_t first;
	uint64_t last;
};

struct vfiotape_control {
	uint64_t magic;
	uint32_t version;
	uint32_t records_log2; /* records in a ring */
	uint32_t side_log2;    /* bytes in its side ring */
	uint32_t ring_limit;   /* at most VFIOTAPE_RINGS_MAX */
	uint32_t when_full;
	uint32_t clock_source;
	uint32_t mmio_mode;
	uint32_t watches;
	uint32_t state;        /* written by the collector: STOPPED makes the shim step aside */
	uint32_t collector_pid;
	uint64_t heartbeat;       /* CLOCK_MONOTONIC ns of the collector's last round */
	uint64_t heartbeat_check; /* ~heartbeat */

	/* written by the shims, atomically */
	uint32_t next_object;  /* the next object id; starts at 1 */
	uint32_t next_process; /* starts at 1 */
	uint64_t lost_no_ring; /* events of threads that found no ring */
	uint64_t lost_other;   /* what the shim could not record for another reason */
	uint64_t open_files;   /* the recorder's: RLIMIT_NOFILE (soft) of whoever called it, for the first image; 0: leave it */
	uint64_t pad[5];

	uint32_t ring_state[VFIOTAPE_RINGS_MAX]; /* enum vfiotape_ring_state, compare-and-swap */
	struct vfiotape_watch watch[VFIOTAPE_WATCHES_MAX];

	uint64_t dma_compared; /* by the collector: bytes of mappings that a process compares at most; 0: none are */
	/* by the shims, of all processes */
	uint64_t dma_comparisons;
	uint64_t dma_pages;    /* that were looked at, of 4 KiB */
	uint64_t dma_ticks;    /* that it took */
	uint64_t dma_skipped;  /* comparisons that could not be made: in a signal handler that came into one */
	uint64_t dma_mapped;   /* mappings that were compared */
	uint64_t dma_tracked;  /* of those, for how many the kernel told which pages the driver wrote */
	uint64_t dma_left_out[VFIOTAPE_LEFT_OUT_END]; /* mappings */
	uint64_t dma_left_out_bytes[VFIOTAPE_LEFT_OUT_END];
};

/* --- a process: what it holds open, outliving the image ----------------------------------------------------------- */

#define VFIOTAPE_FDS_MAX (1u << 20)

struct vfiotape_fd {
	uint32_t object;
	uint8_t kind; /* enum vfiotape_object_kind */
	uint8_t flags;
	uint16_t detail; /* shim's own */
};

struct vfiotape_process {
	uint64_t magic;
	uint32_t pid;
	uint32_t parent;
	uint32_t process;  /* id of the present image */
	uint32_t attached; /* 1 when the shim's constructor is through */
	uint64_t started;  /* ticks */
	uint64_t unseen;   /* VFIO fds that were met without having been seen born */
	uint64_t pid_namespace; /* inode of its pid namespace, which its pids are counted in; 0: not known (no /proc) */
	uint64_t pad[10];
	/* at byte 4096: struct vfiotape_fd[VFIOTAPE_FDS_MAX], sparse */
};

#endif
