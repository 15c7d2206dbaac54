// SPDX-License-Identifier: Apache-2.0
/** The first 64 bytes of configuration space (PCI Express Base 5.0, 7.5.1). */
import { type Register, register } from '../register.js';

const BAR = {
  fields: {
    IO: 0,
    TYPE: [1, 2, { 2: '64bit' }],
    PREFETCH: 3,
  },
} as const;

const COMMAND = register('Command', 0x04, 2, {
  linux: 'PCI_COMMAND',
  clause: '7.5.1.1.3',
  fields: {
    IO: 0,
    MEM: 1,
    MASTER: 2,
    SPECIAL: 3,
    INVALIDATE: 4,
    VGA_PALETTE: 5,
    PARITY: 6,
    WAIT: 7,
    SERR: 8,
    FAST_BACK: 9,
    INTX_DISABLE: 10,
  },
});

const STATUS_FIELDS = {
  IMM_READY: 0,
  INTERRUPT: 3,
  CAP_LIST: 4,
  '66MHZ': 5,
  FAST_BACK: 7,
  PARITY: 8,
  DEVSEL: [9, 2],
  SIG_TARGET_ABORT: 11,
  REC_TARGET_ABORT: 12,
  REC_MASTER_ABORT: 13,
  SIG_SYSTEM_ERROR: 14,
  DETECTED_PARITY: 15,
} as const;

const common: readonly Register[] = [
  register('VendorID', 0x00, 2, { linux: 'PCI_VENDOR_ID', clause: '7.5.1.1.1' }),
  register('DeviceID', 0x02, 2, { linux: 'PCI_DEVICE_ID', clause: '7.5.1.1.2' }),
  COMMAND,
  register('Status', 0x06, 2, { linux: 'PCI_STATUS', clause: '7.5.1.1.4', fields: STATUS_FIELDS }),
  register('RevisionID', 0x08, 1, { linux: 'PCI_REVISION_ID', clause: '7.5.1.1.5' }),
  register('ClassCode', 0x09, 3, { linux: 'PCI_CLASS_PROG', clause: '7.5.1.1.6' }),
  register('CacheLineSize', 0x0c, 1, { linux: 'PCI_CACHE_LINE_SIZE', clause: '7.5.1.1.7' }),
  register('LatencyTimer', 0x0d, 1, { linux: 'PCI_LATENCY_TIMER', clause: '7.5.1.1.8' }),
  register('HeaderType', 0x0e, 1, {
    linux: 'PCI_HEADER_TYPE',
    clause: '7.5.1.1.9',
    fields: { LAYOUT: [0, 7], MULTIFUNCTION: 7 },
  }),
  register('BIST', 0x0f, 1, {
    linux: 'PCI_BIST',
    clause: '7.5.1.1.10',
    fields: { CODE: [0, 4], START: 6, CAPABLE: 7 },
  }),
  register('CapabilitiesPointer', 0x34, 1, { linux: 'PCI_CAPABILITY_LIST', clause: '7.5.1.1.11' }),
  register('InterruptLine', 0x3c, 1, { linux: 'PCI_INTERRUPT_LINE', clause: '7.5.1.1.12' }),
  register('InterruptPin', 0x3d, 1, {
    linux: 'PCI_INTERRUPT_PIN',
    clause: '7.5.1.1.13',
    fields: { PIN: [0, 8, { 1: 'INTA', 2: 'INTB', 3: 'INTC', 4: 'INTD' }] },
  }),
];

const ROM = { clause: '7.5.1.2.4', fields: { ENABLE: 0 } } as const;

export const TYPE0_HEADER: readonly Register[] = [
  ...common,
  register('BAR0', 0x10, 4, { ...BAR, linux: 'PCI_BASE_ADDRESS_0', clause: '7.5.1.2.1' }),
  register('BAR1', 0x14, 4, { ...BAR, linux: 'PCI_BASE_ADDRESS_1', clause: '7.5.1.2.1' }),
  register('BAR2', 0x18, 4, { ...BAR, linux: 'PCI_BASE_ADDRESS_2', clause: '7.5.1.2.1' }),
  register('BAR3', 0x1c, 4, { ...BAR, linux: 'PCI_BASE_ADDRESS_3', clause: '7.5.1.2.1' }),
  register('BAR4', 0x20, 4, { ...BAR, linux: 'PCI_BASE_ADDRESS_4', clause: '7.5.1.2.1' }),
  register('BAR5', 0x24, 4, { ...BAR, linux: 'PCI_BASE_ADDRESS_5', clause: '7.5.1.2.1' }),
  register('CardbusCIS', 0x28, 4, { linux: 'PCI_CARDBUS_CIS', clause: '7.5.1.2.2' }),
  register('SubsystemVendorID', 0x2c, 2, { linux: 'PCI_SUBSYSTEM_VENDOR_ID', clause: '7.5.1.2.3' }),
  register('SubsystemID', 0x2e, 2, { linux: 'PCI_SUBSYSTEM_ID', clause: '7.5.1.2.3' }),
  register('ROM', 0x30, 4, { ...ROM, linux: 'PCI_ROM_ADDRESS' }),
  register('MinGnt', 0x3e, 1, { linux: 'PCI_MIN_GNT', clause: '7.5.1.2.5' }),
  register('MaxLat', 0x3f, 1, { linux: 'PCI_MAX_LAT', clause: '7.5.1.2.5' }),
];

export const TYPE1_HEADER: readonly Register[] = [
  ...common,
  register('BAR0', 0x10, 4, { ...BAR, linux: 'PCI_BASE_ADDRESS_0', clause: '7.5.1.3.1' }),
  register('BAR1', 0x14, 4, { ...BAR, linux: 'PCI_BASE_ADDRESS_1', clause: '7.5.1.3.1' }),
  register('PrimaryBus', 0x18, 1, { linux: 'PCI_PRIMARY_BUS', clause: '7.5.1.3.2' }),
  register('SecondaryBus', 0x19, 1, { linux: 'PCI_SECONDARY_BUS', clause: '7.5.1.3.3' }),
  register('SubordinateBus', 0x1a, 1, { linux: 'PCI_SUBORDINATE_BUS', clause: '7.5.1.3.4' }),
  register('SecLatencyTimer', 0x1b, 1, { linux: 'PCI_SEC_LATENCY_TIMER', clause: '7.5.1.3.5' }),
  register('IOBase', 0x1c, 1, { linux: 'PCI_IO_BASE', clause: '7.5.1.3.6' }),
  register('IOLimit', 0x1d, 1, { linux: 'PCI_IO_LIMIT', clause: '7.5.1.3.6' }),
  register('SecStatus', 0x1e, 2, { linux: 'PCI_SEC_STATUS', clause: '7.5.1.3.7', fields: STATUS_FIELDS }),
  register('MemoryBase', 0x20, 2, { linux: 'PCI_MEMORY_BASE', clause: '7.5.1.3.8' }),
  register('MemoryLimit', 0x22, 2, { linux: 'PCI_MEMORY_LIMIT', clause: '7.5.1.3.8' }),
  register('PrefMemoryBase', 0x24, 2, { linux: 'PCI_PREF_MEMORY_BASE', clause: '7.5.1.3.9' }),
  register('PrefMemoryLimit', 0x26, 2, { linux: 'PCI_PREF_MEMORY_LIMIT', clause: '7.5.1.3.9' }),
  register('PrefBaseUpper32', 0x28, 4, { linux: 'PCI_PREF_BASE_UPPER32', clause: '7.5.1.3.10' }),
  register('PrefLimitUpper32', 0x2c, 4, { linux: 'PCI_PREF_LIMIT_UPPER32', clause: '7.5.1.3.10' }),
  register('IOBaseUpper16', 0x30, 2, { linux: 'PCI_IO_BASE_UPPER16', clause: '7.5.1.3.11' }),
  register('IOLimitUpper16', 0x32, 2, { linux: 'PCI_IO_LIMIT_UPPER16', clause: '7.5.1.3.11' }),
  register('ROM', 0x38, 4, { ...ROM, linux: 'PCI_ROM_ADDRESS1' }),
  register('BridgeControl', 0x3e, 2, {
    linux: 'PCI_BRIDGE_CONTROL',
    clause: '7.5.1.3.13',
    fields: { PARITY: 0, SERR: 1, ISA: 2, VGA: 3, VGA16: 4, MASTER_ABORT: 5, BUS_RESET: 6, FAST_BACK: 7 },
  }),
];
