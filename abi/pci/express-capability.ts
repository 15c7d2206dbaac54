// SPDX-License-Identifier: Apache-2.0
/** The PCI Express capability (PCI Express Base 5.0, 7.5.3). */
import { type Register, register } from '../register.js';
import type { Capability } from './capability.js';

const BYTES = { 0: '128', 1: '256', 2: '512', 3: '1024', 4: '2048', 5: '4096' } as const;
const SPEED = { 1: '2.5GT/s', 2: '5GT/s', 3: '8GT/s', 4: '16GT/s', 5: '32GT/s', 6: '64GT/s' } as const;
const ASPM = { 1: 'L0s', 2: 'L1', 3: 'L0s+L1' } as const;

const capabilities = register('PCIeCap', 0x02, 2, {
  linux: 'PCI_EXP_FLAGS',
  clause: '7.5.3.2',
  fields: {
    VERSION: [0, 4],
    TYPE: [
      4,
      4,
      {
        0: 'Endpoint',
        1: 'LegacyEndpoint',
        4: 'RootPort',
        5: 'UpstreamPort',
        6: 'DownstreamPort',
        7: 'PCIeToPCIBridge',
        8: 'PCIToPCIeBridge',
        9: 'RCiEP',
        10: 'RCEC',
      },
    ],
    SLOT: 8,
    IRQ: [9, 5],
  },
});

const device: readonly Register[] = [
  register('DevCap', 0x04, 4, {
    linux: 'PCI_EXP_DEVCAP',
    clause: '7.5.3.3',
    fields: {
      MPS: [0, 3, BYTES],
      PHANTOM: [3, 2],
      EXT_TAG: 5,
      L0S_LATENCY: [6, 3],
      L1_LATENCY: [9, 3],
      RBER: 15,
      SLOT_POWER: [18, 8],
      SLOT_POWER_SCALE: [26, 2],
      FLR: 28,
    },
  }),
  register('DevCtl', 0x08, 2, {
    linux: 'PCI_EXP_DEVCTL',
    clause: '7.5.3.4',
    fields: {
      CERE: 0,
      NFERE: 1,
      FERE: 2,
      URRE: 3,
      RELAX_EN: 4,
      MPS: [5, 3, BYTES],
      EXT_TAG: 8,
      PHANTOM: 9,
      AUX_PME: 10,
      NOSNOOP_EN: 11,
      MRRS: [12, 3, BYTES],
      // Bridge Configuration Retry Enable in a bridge; in an endpoint, setting it starts the reset.
      FLR: 15,
    },
  }),
  register('DevSta', 0x0a, 2, {
    linux: 'PCI_EXP_DEVSTA',
    clause: '7.5.3.5',
    fields: { CED: 0, NFED: 1, FED: 2, URD: 3, AUXPD: 4, TRPND: 5 },
  }),
];

const link: readonly Register[] = [
  register('LnkCap', 0x0c, 4, {
    linux: 'PCI_EXP_LNKCAP',
    clause: '7.5.3.6',
    fields: {
      SPEED: [0, 4, SPEED],
      WIDTH: [4, 6],
      ASPM: [10, 2, ASPM],
      L0S_EXIT: [12, 3],
      L1_EXIT: [15, 3],
      CLKPM: 18,
      SDERC: 19,
      DLLLARC: 20,
      LBNC: 21,
      PORT: [24, 8],
    },
  }),
  register('LnkCtl', 0x10, 2, {
    linux: 'PCI_EXP_LNKCTL',
    clause: '7.5.3.7',
    fields: {
      ASPM: [0, 2, ASPM],
      RCB: 3,
      LINK_DISABLE: 4,
      RETRAIN: 5,
      CCC: 6,
      EXT_SYNC: 7,
      CLKREQ_EN: 8,
      HAWD: 9,
      LBMIE: 10,
      LABIE: 11,
    },
  }),
  register('LnkSta', 0x12, 2, {
    linux: 'PCI_EXP_LNKSTA',
    clause: '7.5.3.8',
    fields: { SPEED: [0, 4, SPEED], WIDTH: [4, 6], TRAINING: 11, SLC: 12, DLLLA: 13, LBMS: 14, LABS: 15 },
  }),
];

const slot: readonly Register[] = [
  register('SltCap', 0x14, 4, {
    linux: 'PCI_EXP_SLTCAP',
    clause: '7.5.3.9',
    fields: { ABP: 0, PCP: 1, MRLSP: 2, AIP: 3, PIP: 4, HPS: 5, HPC: 6, SLOT: [19, 13] },
  }),
  register('SltCtl', 0x18, 2, {
    linux: 'PCI_EXP_SLTCTL',
    clause: '7.5.3.10',
    fields: { ABPE: 0, PFDE: 1, MRLSCE: 2, PDCE: 3, CCIE: 4, HPIE: 5, PCC: 10 },
  }),
  register('SltSta', 0x1a, 2, {
    linux: 'PCI_EXP_SLTSTA',
    clause: '7.5.3.11',
    fields: { ABP: 0, PFD: 1, MRLSC: 2, PDC: 3, CC: 4, MRLSS: 5, PDS: 6 },
  }),
];

const root: readonly Register[] = [
  register('RootCtl', 0x1c, 2, { linux: 'PCI_EXP_RTCTL', clause: '7.5.3.12' }),
  register('RootCap', 0x1e, 2, { linux: 'PCI_EXP_RTCAP', clause: '7.5.3.13' }),
  register('RootSta', 0x20, 4, { linux: 'PCI_EXP_RTSTA', clause: '7.5.3.14' }),
];

const second: readonly Register[] = [
  register('DevCap2', 0x24, 4, {
    linux: 'PCI_EXP_DEVCAP2',
    clause: '7.5.3.15',
    fields: {
      CPL_TIMEOUT: [0, 4],
      CTDS: 4,
      ARI: 5,
      ATOMIC_ROUTE: 6,
      ATOMIC_COMP32: 7,
      ATOMIC_COMP64: 8,
      ATOMIC_COMP128: 9,
      LTR: 11,
      TPH_COMP: [12, 2],
      TAG10_COMP: 16,
      TAG10_REQ: 17,
      OBFF: [18, 2],
      EE_PREFIX: 21,
    },
  }),
  register('DevCtl2', 0x28, 2, {
    linux: 'PCI_EXP_DEVCTL2',
    clause: '7.5.3.16',
    fields: {
      CPL_TIMEOUT: [0, 4],
      CTD: 4,
      ARI: 5,
      ATOMIC_REQ: 6,
      ATOMIC_EGRESS_BLOCK: 7,
      IDO_REQ: 8,
      IDO_CMP: 9,
      LTR_EN: 10,
      TAG10_REQ: 12,
      OBFF: [13, 2],
      EE_PREFIX_BLOCK: 15,
    },
  }),
  register('DevSta2', 0x2a, 2, { linux: 'PCI_EXP_DEVSTA2', clause: '7.5.3.17' }),
  register('LnkCap2', 0x2c, 4, {
    linux: 'PCI_EXP_LNKCAP2',
    clause: '7.5.3.18',
    fields: { SPEEDS: [1, 7], CROSSLINK: 8 },
  }),
  register('LnkCtl2', 0x30, 2, {
    linux: 'PCI_EXP_LNKCTL2',
    clause: '7.5.3.19',
    fields: { TARGET_SPEED: [0, 4, SPEED], ENTER_COMP: 4, HASD: 5, DEEMPHASIS: 6, TX_MARGIN: [7, 3] },
  }),
  register('LnkSta2', 0x32, 2, { linux: 'PCI_EXP_LNKSTA2', clause: '7.5.3.20' }),
  register('SltCap2', 0x34, 4, { linux: 'PCI_EXP_SLTCAP2', clause: '7.5.3.21' }),
  register('SltCtl2', 0x38, 2, { linux: 'PCI_EXP_SLTCTL2', clause: '7.5.3.22' }),
  register('SltSta2', 0x3a, 2, { linux: 'PCI_EXP_SLTSTA2', clause: '7.5.3.23' }),
];

const ROOT_COMPLEX_TYPES: ReadonlySet<number> = new Set([9, 10]);

/** Version 1 has only what the kind of port needs; version 2 has every register (7.5.3). */
export const PCI_EXPRESS: Capability = {
  id: 0x10,
  name: 'PCIe',
  clause: '7.5.3',
  linux: 'PCI_CAP_ID_EXP',
  registers: (read) => {
    const flags = read(2, 2);
    if (flags === undefined || (flags & 0xf) >= 2) {
      return [capabilities, ...device, ...link, ...slot, ...root, ...second];
    }
    const type = (flags >> 4) & 0xf;
    const withLink = ROOT_COMPLEX_TYPES.has(type) ? [] : link;
    const withSlot = (flags & 0x100) !== 0 ? slot : [];
    return [capabilities, ...device, ...withLink, ...withSlot, ...(type === 4 || type === 10 ? root : [])];
  },
};
