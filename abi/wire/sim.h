/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What passes between the shim (in the driver) and the simulated kernel (in `vfiotape record` or `run`): messages over
 * unix stream sockets, and a directory of files. The C side of the one definition; sim.ts is the TypeScript side, and
 * sim.test.ts compiles this header and compares every size, offset, number and name.
 *
 *   VFIOTAPE_SIM=DIR   in the driver's environment; DIR is absolute and at most VFIOTAPE_SIM_DIRECTORY_MAX bytes long
 *   DIR/socket         where the server listens
 *   DIR/root/...       the files that the driver sees below the prefixes of VFIOTAPE_SIM_PREFIXES, at DIR/root + path
 *
 * All numbers are little endian. Every connection is one of four things, by the first request on it:
 *
 *   OPEN      a VFIO file that the driver opened by its path. The connection is the driver's descriptor: nothing is
 *             sent on it after the reply, but for a netlink socket's datagrams; its hang-up (the last descriptor in any process is closed) closes the file.
 *   SPARE     a VFIO file to be: an ioctl that makes a descriptor (VFIO_GROUP_GET_DEVICE_FD, IOMMU_FAULT_QUEUE_ALLOC)
 *             names it, and if it is taken it is as after OPEN. Otherwise the shim closes it.
 *   CHANNEL   requests of one process, one at a time: each is answered before the next is sent. A process has several,
 *             so that its threads don't wait for each other. The process's memory is gone (exit, exec, kill) when its
 *             last CHANNEL and SERVICE have hung up: then its mappings are, too.
 *   SERVICE   messages of struct vfiotape_sim_service in both directions, to and from a thread of the shim's in
 *             the process. One a process, made before the first request that could need it.
 *
 * A file is named by the inode of its socket on the driver's side (fstat), which is the same in every process and is
 * what /proc/PID/fd/N shows as socket:[inode].
 */
#ifndef VFIOTAPE_WIRE_SIM_H
#define VFIOTAPE_WIRE_SIM_H

#include <stdint.h>

#define VFIOTAPE_SIM_VERSION 2u
#define VFIOTAPE_SIM_DIRECTORY_MAX 96u
#define VFIOTAPE_SIM_VARIABLE "VFIOTAPE_SIM"
#define VFIOTAPE_SIM_SOCKET "/socket"
#define VFIOTAPE_SIM_ROOT "/root"
/* What is opened for a socket of generic netlink; -ENOENT: this machine's VFIO has nothing to do with it. */
#define VFIOTAPE_SIM_NETLINK "netlink:generic"

/*
 * Paths that are looked up in DIR/root: the name itself and everything below it; with a star at its end also whatever
 * continues it. (What is not there isn't there: the machine's own is never seen instead.)
 */
#define VFIOTAPE_SIM_PREFIXES                                                                                          \
	{ "/dev/vfio*", "/dev/iommu", "/dev/uiommu", "/sys/bus/pci", "/sys/bus/pci_express", "/sys/devices/pci*",      \
	  "/sys/kernel/iommu_groups", "/sys/class/iommu", "/sys/class/vfio*", "/sys/class/uiommu",                     \
	  "/sys/class/misc/vfio", "/sys/class/misc/iommu", "/sys/module/vfio*", "/sys/module/iommufd",                 \
	  "/sys/dev/char/10:196", "/sys/dev/char/10:228", "/sys/dev/char/510:*", "/sys/dev/char/511:*",                \
	  "/proc/modules", "/proc/bus/pci" }

/* Device numbers: as in the `dev` files and st_rdev. /dev/vfio/vfio is 10:196, /dev/iommu 10:228. */
#define VFIOTAPE_SIM_MAJOR_GROUP 511u
#define VFIOTAPE_SIM_MAJOR_CDEV 510u

/*
 * A character device in DIR/root is an empty regular file with this bit of its mode set and a size (a hole) that says
 * its number: major << 20 | minor. The shim reports S_IFCHR, that number and size 0; an open of it is an OPEN request
 * with its path in the tree, links resolved.
 */
#define VFIOTAPE_SIM_NODE_MODE 01000u

/* Payloads are never longer; a read or write of more is cut, as a file may do. */
#define VFIOTAPE_SIM_DATA_MAX 1048576u
/* Bytes of an ioctl's argument that the shim sends along, as far as they can be read. */
#define VFIOTAPE_SIM_ARGUMENT_MAX 256u

/* --- requests, shim to server ------------------------------------------------------------------------------------- */

struct vfiotape_sim_request {
	uint32_t length;  /* of the payload that follows */
	uint16_t type;    /* enum vfiotape_sim_type */
	uint16_t version; /* VFIOTAPE_SIM_VERSION in the first request of a connection, else 0 */
	uint32_t pid;     /* whose memory and descriptors are meant: getpid() of the caller */
	uint32_t tid;
	uint64_t file;    /* inode of the file's socket; LOAD and STORE: the mapping's id */
	uint64_t a;
	uint64_t b;
	uint64_t c;
	uint64_t d;
	uint64_t site;    /* in the driver: LOAD and STORE: the instruction; ioctl, read and write: where the call returns to; 0: not known */
};

struct vfiotape_sim_reply {
	uint32_t length; /* of the payload that follows */
	uint32_t type;   /* the request's */
	int64_t result;  /* 0 or more, or a negative errno */
	uint64_t a;
	uint64_t b;
};

/*
 *                        a                 b                c            d               payload      reply: result, a, b, payload
 */
enum vfiotape_sim_type {
	/* First on a connection. -EPROTO: another version; the server hangs up. */
	VFIOTAPE_SIM_CHANNEL = 1, /* parent pid   0                0            0               -            0 */
	VFIOTAPE_SIM_SERVICE = 2, /* parent pid   0                0            0               -            0; service messages follow */
	VFIOTAPE_SIM_OPEN = 3,    /* open flags   mode             0            0               path         0 or errno (then the server hangs up); a st_rdev, b kind. file: own inode */
	VFIOTAPE_SIM_SPARE = 4,   /* 0            0                0            0               -            0. file: own inode */

	/*
	 * On a channel. The answer to OPEN and CLOSED comes after one full turn of the server's event loop, so that the
	 * hang-ups which happened before are known: close and open again works at once, as on a kernel.
	 */
	VFIOTAPE_SIM_FILE = 5,    /* 0            0                0            0               -            0 or -EBADF when there is no such file; a st_rdev, b kind, payload: what /proc/PID/fd/N calls it */
	/*
	 * The payload is what could be read at the argument, at most ARGUMENT_MAX bytes (none for arguments that are no
	 * pointers). The reply's payload is what the call writes to the caller's memory, as struct vfiotape_sim_copy with
	 * their bytes, in that order; when one of them can't be written the caller gets EFAULT. The server may as well
	 * have written it itself. c, d: the spare's descriptor number and inode, -1 and 0 when there is none.
	 */
	VFIOTAPE_SIM_IOCTL = 6,   /* request      argument         spare fd     spare inode     argument     result; a 1: the spare was taken, b: its kind */
	VFIOTAPE_SIM_READ = 7,    /* 0            count            0            0               -            count or errno; payload: the bytes */
	/* Fewer bytes than count: the rest can't be read. Whether that is EFAULT the file says (a bad offset is EINVAL first). */
	VFIOTAPE_SIM_WRITE = 8,   /* 0            count            0            0               the bytes    count or errno */
	VFIOTAPE_SIM_PREAD = 9,   /* offset       count            0            0               -            as READ */
	VFIOTAPE_SIM_PWRITE = 10, /* offset       count            0            0               the bytes    as WRITE */
	/* The shim has reserved the addresses already; on an errno it gives them up. Several mappings may lie side by side. */
	VFIOTAPE_SIM_MMAP = 11,   /* address      length           offset       prot | flags << 32  -        mapping id (from 1) or errno; a region index, b offset in the region */
	/*
	 * Whatever of the process's mappings lies in the range is gone; parts of one may stay. file: 0. Also for other memory,
	 * once a 2010 device has mapped some for DMA.
	 */
	VFIOTAPE_SIM_MUNMAP = 12, /* address      length           0            0               -            0 */
	/* What was mapped at a..a+b is at c..c+b now, what was mapped there is gone. The ids stay. file: 0 */
	VFIOTAPE_SIM_MOVED = 13,  /* address      length           new address  0               -            0 */
	/* Offsets count from the mapping's first byte as it was made, whatever was unmapped or moved since. No access crosses 8 bytes. */
	VFIOTAPE_SIM_LOAD = 14,   /* offset       width 1 2 4 8    0            0               -            0 or -EFAULT (the driver's SIGBUS); a value */
	VFIOTAPE_SIM_STORE = 15,  /* offset       width            value        0               -            0 or -EFAULT */
	VFIOTAPE_SIM_CLOSED = 16, /* 0            0                0            0               -            0. A descriptor of a VFIO file was closed, perhaps the last. file: its inode, or 0 for several */
	/*
	 * A child with a copy of this process's memory: its mappings and its duplicates of interrupts' eventfds are in
	 * place. Sent by the parent before fork returns there; the child may come first with a CHANNEL of its own.
	 */
	VFIOTAPE_SIM_FORKED = 17, /* child's pid  0                0            0               -            0 */
	/*
	 * mprotect to `c` (PROT_ bits), before it is made, or madvise that took the pages away (c: ~0). Only once a 2010 device has
	 * mapped memory for DMA: its kernel takes a mapping down whose pages change. file: 0
	 */
	VFIOTAPE_SIM_CHANGED = 19, /* address     length           protection   0               -            0 */
	/*
	 * On a netlink socket: bind(2), or only what its port is. A WRITE on one is a datagram; the server puts each datagram
	 * for the driver onto the connection, one netlink message in each, whose header says how long it is.
	 */
	VFIOTAPE_SIM_BIND = 18,   /* wanted port, 0: any  1: bind, 0: tell  0      0               -            0 or errno; a the port, 0: none yet */
	VFIOTAPE_SIM_TYPE_END = 20,
};

/* What a file is: reply to OPEN, FILE and IOCTL. The numbers are those of enum vfiotape_object_kind in record.h. */

/* In the reply to IOCTL: `length` bytes for `address`, padded to 8. */
struct vfiotape_sim_copy {
	uint64_t address;
	uint32_t length;
	uint32_t pad;
};

/* --- service: eventfds ---------------------------------------------------------------------------------------------- */

/*
 * A token stands for an eventfd that the driver gave to SET_IRQS or IOEVENTFD; the server chooses it. The shim holds a
 * duplicate of the eventfd for it, in the process and, by fork, in its children at the same number.
 */
struct vfiotape_sim_service {
	uint32_t type; /* enum vfiotape_sim_service_type */
	int32_t fd;
	uint64_t token;
	int64_t result;
	uint64_t value;
};

enum vfiotape_sim_service_type {
	/* Server to shim. */
	VFIOTAPE_SIM_TAKE = 1,     /* duplicate `fd` for the token; answered by TAKEN. The ioctl is not answered before. */
	VFIOTAPE_SIM_SIGNAL = 2,   /* add one to the eventfd; answered by HEARD, which no call waits for */
	VFIOTAPE_SIM_SIGNAL_NOW = 3, /* the same, answered by SIGNALLED: interrupts that an ioctl itself triggers are there when it returns */
	VFIOTAPE_SIM_WATCH = 4,    /* read it whenever somebody else has written to it, and answer by FIRED; may already have fired */
	VFIOTAPE_SIM_UNWATCH = 5,  /* a FIRED may still be on its way */
	VFIOTAPE_SIM_RELEASE = 6,  /* close the duplicate; the token is free */
	/* Shim to server. */
	VFIOTAPE_SIM_TAKEN = 7,    /* result: 0 or a negative errno, which is then the ioctl's */
	VFIOTAPE_SIM_SIGNALLED = 8,
	VFIOTAPE_SIM_FIRED = 9,    /* value: what the counter was */
	VFIOTAPE_SIM_HEARD = 10,   /* a SIGNAL was made; one that is not when the process ends goes to its child */
	VFIOTAPE_SIM_SERVICE_TYPE_END = 11,
};

#endif
