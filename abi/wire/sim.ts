// SPDX-License-Identifier: Apache-2.0

/**
 * What passes between the shim and the simulated kernel: the TypeScript side of sim.h, where every field and every
 * message is explained. sim.test.ts compiles the header and compares every size, offset, number and name with these.
 */

export const SIM_VERSION = 2;
/** Bytes of the directory's name: the socket in it has to fit into sun_path. */
export const SIM_DIRECTORY_MAX = 96;
export const SIM_VARIABLE = 'VFIOTAPE_SIM';
export const SIM_SOCKET = '/socket';
export const SIM_ROOT = '/root';
export const SIM_NETLINK = 'netlink:generic';

/** Paths that are looked up in DIR/root; a star stands for any continuation of the name. */
export const SIM_PREFIXES: readonly string[] = [
  '/dev/vfio*',
  '/dev/iommu',
  '/dev/uiommu',
  '/sys/bus/pci',
  '/sys/bus/pci_express',
  '/sys/devices/pci*',
  '/sys/kernel/iommu_groups',
  '/sys/class/iommu',
  '/sys/class/vfio*',
  '/sys/class/uiommu',
  '/sys/class/misc/vfio',
  '/sys/class/misc/iommu',
  '/sys/module/vfio*',
  '/sys/module/iommufd',
  '/sys/dev/char/10:196',
  '/sys/dev/char/10:228',
  '/sys/dev/char/510:*',
  '/sys/dev/char/511:*',
  '/proc/modules',
  '/proc/bus/pci',
];

export const SIM_MAJOR_GROUP = 511;
export const SIM_MAJOR_CDEV = 510;
/** Marks a regular file of the tree as a character device; its size is major << 20 | minor. */
export const SIM_NODE_MODE = 0o1000;

export const SIM_DATA_MAX = 1048576;
export const SIM_ARGUMENT_MAX = 256;

/** Byte offsets in struct vfiotape_sim_request. */
export const SimRequestField = {
  length: 0,
  type: 4,
  version: 6,
  pid: 8,
  tid: 12,
  file: 16,
  a: 24,
  b: 32,
  c: 40,
  d: 48,
  site: 56,
} as const;
export const SIM_REQUEST_BYTES = 64;

/** Byte offsets in struct vfiotape_sim_reply. */
export const SimReplyField = { length: 0, type: 4, result: 8, a: 16, b: 24 } as const;
export const SIM_REPLY_BYTES = 32;

export const SimType = {
  CHANNEL: 1,
  SERVICE: 2,
  OPEN: 3,
  SPARE: 4,
  FILE: 5,
  IOCTL: 6,
  READ: 7,
  WRITE: 8,
  PREAD: 9,
  PWRITE: 10,
  MMAP: 11,
  MUNMAP: 12,
  MOVED: 13,
  LOAD: 14,
  STORE: 15,
  CLOSED: 16,
  FORKED: 17,
  BIND: 18,
  CHANGED: 19,
  TYPE_END: 20,
} as const;
export type SimType = (typeof SimType)[keyof typeof SimType];

/** Byte offsets in struct vfiotape_sim_copy; the bytes follow it, padded to 8. */
export const SimCopyField = { address: 0, length: 8 } as const;
export const SIM_COPY_BYTES = 16;

/** Byte offsets in struct vfiotape_sim_service. */
export const SimServiceField = { type: 0, fd: 4, token: 8, result: 16, value: 24 } as const;
export const SIM_SERVICE_BYTES = 32;

export const SimServiceType = {
  TAKE: 1,
  SIGNAL: 2,
  SIGNAL_NOW: 3,
  WATCH: 4,
  UNWATCH: 5,
  RELEASE: 6,
  TAKEN: 7,
  SIGNALLED: 8,
  FIRED: 9,
  HEARD: 10,
  SERVICE_TYPE_END: 11,
} as const;
export type SimServiceType = (typeof SimServiceType)[keyof typeof SimServiceType];
