// SPDX-License-Identifier: Apache-2.0
/** virtio over PCI: its registers are where its vendor capabilities say (virtio 1.1, 4.1.4). */
import type { ConfigSpace } from '../pci/config-space.js';
import { type Register, register } from '../register.js';
import type { DeviceIdentity, RegisterBlock } from './map.js';

const VENDOR = 0x1af4;
const FIRST_DEVICE = 0x1000;
const LAST_DEVICE = 0x107f;
const FIRST_MODERN = 0x1040;
const VENDOR_CAPABILITY = 0x09;
const QUEUES = 65536;

export function isVirtio({ vendor, device }: DeviceIdentity): boolean {
  return vendor === VENDOR && device >= FIRST_DEVICE && device <= LAST_DEVICE;
}

const STATUS = {
  ACKNOWLEDGE: 0,
  DRIVER: 1,
  DRIVER_OK: 2,
  FEATURES_OK: 3,
  NEEDS_RESET: 6,
  FAILED: 7,
} as const;

/** struct virtio_pci_common_cfg (4.1.4.3). */
const common: readonly Register[] = [
  register('device_feature_select', 0x00, 4),
  register('device_feature', 0x04, 4),
  register('driver_feature_select', 0x08, 4),
  register('driver_feature', 0x0c, 4),
  register('msix_config', 0x10, 2),
  register('num_queues', 0x12, 2),
  register('device_status', 0x14, 1, { fields: STATUS }),
  register('config_generation', 0x15, 1),
  register('queue_select', 0x16, 2),
  register('queue_size', 0x18, 2),
  register('queue_msix_vector', 0x1a, 2),
  register('queue_enable', 0x1c, 2),
  register('queue_notify_off', 0x1e, 2),
  register('queue_desc', 0x20, 8),
  register('queue_driver', 0x28, 8),
  register('queue_device', 0x30, 8),
  register('queue_notify_data', 0x38, 2),
  register('queue_reset', 0x3a, 2),
];

const isr: readonly Register[] = [register('ISR', 0, 1, { fields: { QUEUE: 0, CONFIG: 1 } })];

/** struct virtio_net_config (5.1.4). */
const net: readonly Register[] = [
  ...[0, 1, 2, 3, 4, 5].map((n) => register(`net.mac[${n}]`, n, 1, { identity: 0xffn })),
  register('net.status', 6, 2, { fields: { LINK_UP: 0, ANNOUNCE: 1 } }),
  register('net.max_virtqueue_pairs', 8, 2),
  register('net.mtu', 10, 2),
];

/** struct virtio_blk_config (5.2.4). */
const block: readonly Register[] = [
  register('blk.capacity', 0, 8),
  register('blk.size_max', 8, 4),
  register('blk.seg_max', 12, 4),
  register('blk.geometry', 16, 4),
  register('blk.blk_size', 20, 4),
];

/** The legacy interface: registers in an I/O BAR 0 (4.1.4.8). Behind them device registers, at 20, or 24 with MSI-X. */
const legacy: readonly Register[] = [
  register('device_feature', 0x00, 4),
  register('driver_feature', 0x04, 4),
  register('queue_address', 0x08, 4),
  register('queue_size', 0x0c, 2),
  register('queue_select', 0x0e, 2),
  register('queue_notify', 0x10, 2),
  register('device_status', 0x12, 1, { fields: STATUS }),
  register('ISR', 0x13, 1, { fields: { QUEUE: 0, CONFIG: 1 } }),
];

function deviceRegisters(type: number): readonly Register[] {
  return type === 1 ? net : type === 2 ? block : [];
}

/** Network and block devices kept numbers of their own from before virtio 1.0. */
function deviceType(device: number): number {
  if (device >= FIRST_MODERN) return device - FIRST_MODERN;
  return device === 0x1000 ? 1 : device === 0x1001 ? 2 : 0;
}

export function virtioBlocks(device: DeviceIdentity, config: ConfigSpace): readonly RegisterBlock[] {
  const blocks: RegisterBlock[] = [];
  for (const { id, extended, offset: at } of config.capabilities) {
    if (id !== VENDOR_CAPABILITY || extended) continue;
    const type = config.read(at + 3, 1);
    const region = config.read(at + 4, 1);
    const base = config.read(at + 8, 4);
    const length = config.read(at + 12, 4);
    if (
      type === undefined ||
      region === undefined ||
      base === undefined ||
      length === undefined ||
      region > 5
    )
      continue;
    const fit = (registers: readonly Register[]) =>
      registers.filter(({ offset, width }) => offset + width <= length);
    if (type === 1) blocks.push({ region, base, registers: fit(common) });
    else if (type === 2) {
      // Queues may share one address: multiplier 0 (4.1.4.4).
      const multiplier = config.read(at + 16, 4) ?? 0;
      const count = multiplier === 0 ? 1 : Math.min(Math.floor(length / multiplier), QUEUES);
      const stride = Math.max(multiplier, 4);
      blocks.push({
        region,
        base,
        registers: [],
        arrays: [
          {
            offset: 0,
            stride,
            count,
            registers: [register(multiplier === 0 ? 'notify' : 'notify[{n}]', 0, 4)],
          },
        ],
      });
    } else if (type === 3) blocks.push({ region, base, registers: isr });
    else if (type === 4)
      blocks.push({ region, base, registers: fit(deviceRegisters(deviceType(device.device))) });
  }
  const bar0 = config.read(0x10, 4);
  if (device.device < FIRST_MODERN && bar0 !== undefined && (bar0 & 1) === 1) {
    blocks.push({ region: 0, base: 0, registers: legacy });
  }
  return blocks;
}
