// SPDX-License-Identifier: Apache-2.0
/** Capabilities of the first 256 bytes (PCI Express Base 5.0 chapter 7, PCI Local Bus 3.0 where it says so). */
import { type Register, register } from '../register.js';
import type { Capability } from './capability.js';
import { PCI_EXPRESS } from './express-capability.js';

const BIR = { BIR: [0, 3], OFFSET: [3, 29] } as const;

const powerManagement: Capability = {
  id: 0x01,
  name: 'PM',
  clause: '7.5.2',
  linux: 'PCI_CAP_ID_PM',
  registers: [
    register('PMC', 0x02, 2, {
      linux: 'PCI_PM_PMC',
      clause: '7.5.2.1',
      fields: {
        VERSION: [0, 3],
        PME_CLOCK: 3,
        IMM_READY: 4,
        DSI: 5,
        AUX: [6, 3],
        D1: 9,
        D2: 10,
        PME: [11, 5],
      },
    }),
    register('PMCSR', 0x04, 2, {
      linux: 'PCI_PM_CTRL',
      clause: '7.5.2.2',
      fields: {
        STATE: [0, 2, { 0: 'D0', 1: 'D1', 2: 'D2', 3: 'D3hot' }],
        NO_SOFT_RESET: 3,
        PME_ENABLE: 8,
        DATA_SELECT: [9, 4],
        DATA_SCALE: [13, 2],
        PME_STATUS: 15,
      },
    }),
    register('PMCSR_BSE', 0x06, 1, { linux: 'PCI_PM_PPB_EXTENSIONS', fields: { B2_B3: 6, BPCC_ENABLE: 7 } }),
    register('Data', 0x07, 1, { linux: 'PCI_PM_DATA_REGISTER', clause: '7.5.2.3' }),
  ],
};

const msiControl = register('Control', 0x02, 2, {
  linux: 'PCI_MSI_FLAGS',
  clause: '7.7.1.2',
  fields: {
    ENABLE: 0,
    CAPABLE_LOG2: [1, 3],
    ENABLED_LOG2: [4, 3],
    '64BIT': 7,
    MASKABLE: 8,
    EXT_CAPABLE: 9,
    EXT_ENABLE: 10,
  },
});
const msiAddress = register('Address', 0x04, 4, { linux: 'PCI_MSI_ADDRESS_LO', clause: '7.7.1.3' });

const msi32: readonly Register[] = [
  msiControl,
  msiAddress,
  register('Data', 0x08, 2, { linux: 'PCI_MSI_DATA_32', clause: '7.7.1.5' }),
  register('ExtData', 0x0a, 2, { clause: '7.7.1.6' }),
  register('Mask', 0x0c, 4, { linux: 'PCI_MSI_MASK_32', clause: '7.7.1.7' }),
  register('Pending', 0x10, 4, { linux: 'PCI_MSI_PENDING_32', clause: '7.7.1.8' }),
];
const msi64: readonly Register[] = [
  msiControl,
  msiAddress,
  register('AddressHigh', 0x08, 4, { linux: 'PCI_MSI_ADDRESS_HI', clause: '7.7.1.4' }),
  register('Data', 0x0c, 2, { linux: 'PCI_MSI_DATA_64', clause: '7.7.1.5' }),
  register('ExtData', 0x0e, 2, { clause: '7.7.1.6' }),
  register('Mask', 0x10, 4, { linux: 'PCI_MSI_MASK_64', clause: '7.7.1.7' }),
  register('Pending', 0x14, 4, { linux: 'PCI_MSI_PENDING_64', clause: '7.7.1.8' }),
];

const msi: Capability = {
  id: 0x05,
  name: 'MSI',
  clause: '7.7.1',
  linux: 'PCI_CAP_ID_MSI',
  registers: (read) => {
    const control = read(2, 2);
    if (control === undefined) return [msiControl, msiAddress];
    const wide = (control & 0x80) !== 0;
    const all = wide ? msi64 : msi32;
    // Mask and Pending exist only with per-vector masking.
    return (control & 0x100) !== 0 ? all : all.filter(({ name }) => name !== 'Mask' && name !== 'Pending');
  },
};

const msix: Capability = {
  id: 0x11,
  name: 'MSIX',
  clause: '7.7.2',
  linux: 'PCI_CAP_ID_MSIX',
  registers: [
    register('Control', 0x02, 2, {
      linux: 'PCI_MSIX_FLAGS',
      clause: '7.7.2.2',
      fields: { LAST_ENTRY: [0, 11], MASKALL: 14, ENABLE: 15 },
    }),
    register('Table', 0x04, 4, { linux: 'PCI_MSIX_TABLE', clause: '7.7.2.3', fields: { BIR: BIR.BIR } }),
    register('PBA', 0x08, 4, { linux: 'PCI_MSIX_PBA', clause: '7.7.2.4', fields: { BIR: BIR.BIR } }),
  ],
};

const named = (
  id: number,
  name: string,
  linux: string,
  clause: string,
  registers: readonly Register[] = [],
): Capability => ({
  id,
  name,
  clause,
  linux,
  registers,
});

export const STANDARD_CAPABILITIES: readonly Capability[] = [
  powerManagement,
  named(0x02, 'AGP', 'PCI_CAP_ID_AGP', 'AGP 2.0 6.1.2', [
    register('Status', 0x04, 4, { linux: 'PCI_AGP_STATUS' }),
    register('Command', 0x08, 4, { linux: 'PCI_AGP_COMMAND' }),
  ]),
  named(0x03, 'VPD', 'PCI_CAP_ID_VPD', '7.9.19', [
    register('Address', 0x02, 2, { linux: 'PCI_VPD_ADDR', fields: { ADDRESS: [0, 15], DONE: 15 } }),
    register('Data', 0x04, 4, { linux: 'PCI_VPD_DATA', identity: 0xffff_ffffn }),
  ]),
  named(0x04, 'SlotID', 'PCI_CAP_ID_SLOTID', 'PCI-to-PCI Bridge 1.2 13.1', [
    register('ExpansionSlot', 0x02, 1, { linux: 'PCI_SID_ESR' }),
    register('Chassis', 0x03, 1, { linux: 'PCI_SID_CHASSIS_NR' }),
  ]),
  msi,
  named(0x06, 'HotSwap', 'PCI_CAP_ID_CHSWP', 'CompactPCI Hot Swap', [
    register('CSR', 0x02, 1, { linux: 'PCI_CHSWP_CSR' }),
  ]),
  named(0x07, 'PCIX', 'PCI_CAP_ID_PCIX', 'PCI-X 2.0 7.2', [
    register('Command', 0x02, 2, {
      linux: 'PCI_X_CMD',
      fields: { DPERR_E: 0, ERO: 1, MAX_READ: [2, 2], MAX_SPLIT: [4, 3] },
    }),
    register('Status', 0x04, 4, { linux: 'PCI_X_STATUS' }),
    register('ECC_CSR', 0x08, 4, { linux: 'PCI_X_ECC_CSR' }),
  ]),
  named(0x08, 'HT', 'PCI_CAP_ID_HT', 'HyperTransport 3.1 7', [register('Command', 0x02, 2)]),
  named(0x09, 'Vendor', 'PCI_CAP_ID_VNDR', '7.9.4', [
    register('Length', 0x02, 1, { linux: 'PCI_CAP_FLAGS' }),
  ]),
  named(0x0a, 'DebugPort', 'PCI_CAP_ID_DBG', 'EHCI Debug Port', [
    register('Port', 0x02, 2, { fields: { OFFSET: [0, 13], BAR: [13, 3] } }),
  ]),
  named(0x0b, 'CCRC', 'PCI_CAP_ID_CCRC', 'CompactPCI'),
  named(0x0c, 'SHPC', 'PCI_CAP_ID_SHPC', 'SHPC 1.0 4.1', [
    register('DwordSelect', 0x02, 1),
    register('Pending', 0x03, 1),
    register('DwordData', 0x04, 4),
  ]),
  named(0x0d, 'SSVID', 'PCI_CAP_ID_SSVID', '7.9.24', [
    register('VendorID', 0x04, 2, { linux: 'PCI_SSVID_VENDOR_ID' }),
    register('DeviceID', 0x06, 2, { linux: 'PCI_SSVID_DEVICE_ID' }),
  ]),
  named(0x0e, 'AGP8x', 'PCI_CAP_ID_AGP3', 'AGP 3.0'),
  named(0x0f, 'SecureDevice', 'PCI_CAP_ID_SECDEV', 'AMD IOMMU 3.2'),
  PCI_EXPRESS,
  msix,
  named(0x12, 'SATA', 'PCI_CAP_ID_SATA', 'AHCI 1.3.1 2.4', [
    register('Revision', 0x02, 2),
    register('Registers', 0x04, 4, { linux: 'PCI_SATA_REGS' }),
  ]),
  named(0x13, 'AF', 'PCI_CAP_ID_AF', '7.9.22', [
    register('Length', 0x02, 1, { linux: 'PCI_AF_LENGTH' }),
    register('Cap', 0x03, 1, { linux: 'PCI_AF_CAP', fields: { TP: 0, FLR: 1 } }),
    register('Control', 0x04, 1, { linux: 'PCI_AF_CTRL', fields: { FLR: 0 } }),
    register('Status', 0x05, 1, { linux: 'PCI_AF_STATUS', fields: { TP: 0 } }),
  ]),
  named(0x14, 'EA', 'PCI_CAP_ID_EA', '7.8.5', [
    register('Entries', 0x02, 1, { linux: 'PCI_EA_NUM_ENT', fields: { COUNT: [0, 6] } }),
  ]),
];
