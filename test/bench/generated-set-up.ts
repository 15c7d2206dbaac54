// SPDX-License-Identifier: Apache-2.0
/** How the bench's trace begins: both devices are opened and set up, as QEMU's and DPDK's drivers do it, in few calls. */
import { CONFIG_REGION } from '../../abi/vfio/regions.js';
import { EventKind, ObjectKind, PayloadRole } from '../../traces/model.js';
import { CONTAINER, EVENTFD, GROUP, NIC, NVME } from './generated-definitions.js';
import { access as patched, type Row } from './generated-row.js';

export type SetUpRow = Partial<Omit<Row, 'time'>>;

const VFIO_SET_IOMMU = 0x3b66;
const VFIO_GROUP_SET_CONTAINER = 0x3b68;
const VFIO_GROUP_GET_DEVICE_FD = 0x3b6a;
const VFIO_DEVICE_GET_INFO = 0x3b6b;
const VFIO_DEVICE_GET_REGION_INFO = 0x3b6c;
const VFIO_DEVICE_SET_IRQS = 0x3b6e;
const VFIO_DEVICE_RESET = 0x3b6f;
const TYPE1V2 = 3n;
const BAR_BYTES = 0x20000n;
const STACK = 0x7ffd_1234_4000n;
const CALL_TICKS = 9000;
const RESET_TICKS = 3e6;

interface Place {
  readonly object: number;
  readonly fd: number;
}

function ioctl(on: Place, op: number, words: readonly bigint[], more: SetUpRow = {}): SetUpRow {
  const segments = words.length === 0 ? [] : [{ role: PayloadRole.IN, words }];
  return { kind: EventKind.IOCTL, ...on, op, value: STACK, duration: CALL_TICKS, site: 1, segments, ...more };
}

function opened(file: Place): SetUpRow {
  const result = BigInt(file.fd);
  return { kind: EventKind.OPEN, ...file, op: 2, result, duration: CALL_TICKS, site: 2 };
}

/** The group answers with a descriptor; the recorder says whose it is. */
function device(of: Place): readonly SetUpRow[] {
  const info = [20n | (3n << 32n), 9n | (5n << 32n), 0n];
  const region = [32n | (7n << 32n), 0n, BAR_BYTES, 0n];
  const kind = [BigInt(ObjectKind.DEVICE) | (BigInt(of.object) << 32n)];
  const answers = (words: readonly bigint[]) => ({
    segments: [
      { role: PayloadRole.IN, words },
      { role: PayloadRole.OUT, words },
    ],
  });
  return [
    ioctl(GROUP, VFIO_GROUP_GET_DEVICE_FD, [], {
      result: BigInt(of.fd),
      duration: RESET_TICKS,
      segments: [{ role: PayloadRole.KIND, words: kind }],
    }),
    ioctl(of, VFIO_DEVICE_GET_INFO, [], answers(info)),
    ioctl(of, VFIO_DEVICE_GET_REGION_INFO, [], answers(region)),
    {
      kind: EventKind.WRITE,
      ...of,
      op: 2,
      offset: (BigInt(CONFIG_REGION) << 40n) + 4n,
      value: 0x0406n,
      result: 2n,
      duration: CALL_TICKS,
      site: 3,
    },
    {
      kind: EventKind.MMAP,
      ...of,
      op: 3 | (1 << 8),
      offset: 0n,
      value: BAR_BYTES,
      result: 0x7f40_0000_0000n + BigInt(of.object) * BAR_BYTES,
      duration: CALL_TICKS,
      site: 4,
    },
    ioctl(of, VFIO_DEVICE_RESET, [], { duration: RESET_TICKS }),
  ];
}

function access(kind: number, { object }: Place, offset: number, width: number, value: bigint): SetUpRow {
  return { kind, object, op: patched(0, width), offset: BigInt(offset), value, site: 5 };
}

export function setUpRows(): readonly SetUpRow[] {
  const nvme = (offset: number, width: number, value: bigint) =>
    access(EventKind.STORE, NVME, offset, width, value);
  const nic = (offset: number, value: bigint) => access(EventKind.STORE, NIC, offset, 4, value);
  const status = (value: bigint) => access(EventKind.LOAD, NVME, 0x1c, 4, value);
  const rings = [0x2800, 0x2900, 0x3800, 0x3900].flatMap((ring, n) => [
    nic(ring, 0x1000_0000n * BigInt(n + 1)),
    nic(ring + 4, 0n),
    nic(ring + 8, 0x4000n),
    nic(ring + 0x18, 0n),
  ]);
  return [
    opened(CONTAINER),
    opened(GROUP),
    ioctl(GROUP, VFIO_GROUP_SET_CONTAINER, [BigInt(CONTAINER.fd)]),
    ioctl(CONTAINER, VFIO_SET_IOMMU, [], { value: TYPE1V2 }),
    ...device(NIC),
    ...rings,
    nic(0x0400, 0x0003_f0fan),
    nic(0x0100, 0x0000_8002n),
    ...device(NVME),
    access(EventKind.LOAD, NVME, 0, 8, 0x20_0f01_07ffn),
    nvme(0x14, 4, 0x0046_0000n),
    status(0n),
    nvme(0x24, 4, 0x001f_001fn),
    nvme(0x28, 8, 0x2_0000_0000n),
    nvme(0x30, 8, 0x2_0000_1000n),
    nvme(0x14, 4, 0x0046_0001n),
    status(0n),
    status(1n),
    { kind: EventKind.EVENTFD, ...EVENTFD, result: BigInt(EVENTFD.fd), duration: CALL_TICKS, site: 6 },
    // MSI-X, vector 0: DATA_EVENTFD | ACTION_TRIGGER.
    ioctl(NVME, VFIO_DEVICE_SET_IRQS, [24n | (0x24n << 32n), 2n, 1n | (BigInt(EVENTFD.fd) << 32n)], {
      duration: RESET_TICKS,
    }),
    ...[1n, 2n].flatMap((tail) => [nvme(0x1000, 4, tail), nvme(0x1004, 4, tail)]),
  ];
}
