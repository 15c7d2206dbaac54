// SPDX-License-Identifier: Apache-2.0
/** Extended capabilities, from 0x100 on (PCI Express Base 5.0 chapters 7, 9 and 10). */
import { type Register, register } from '../register.js';
import type { Capability } from './capability.js';

const UNCORRECTABLE = {
  DLP: 4,
  SURPDN: 5,
  POISON_TLP: 12,
  FCP: 13,
  COMP_TIME: 14,
  COMP_ABORT: 15,
  UNX_COMP: 16,
  RX_OVER: 17,
  MALF_TLP: 18,
  ECRC: 19,
  UNSUP: 20,
  ACSV: 21,
  INTN: 22,
  MCBTLP: 23,
  ATOMEG: 24,
  TLPPRE: 25,
} as const;
const CORRECTABLE = {
  RCVR: 0,
  BAD_TLP: 6,
  BAD_DLLP: 7,
  REP_ROLL: 8,
  REP_TIMER: 12,
  ADV_NFAT: 13,
  INTERNAL: 14,
  LOG_OVER: 15,
} as const;
const ACS = { SV: 0, TB: 1, RR: 2, CR: 3, UF: 4, EC: 5, DT: 6 } as const;
const LATENCY = { VALUE: [0, 10], SCALE: [10, 3] } as const;

const aer: Capability = {
  id: 0x01,
  name: 'AER',
  clause: '7.8.4',
  linux: 'PCI_EXT_CAP_ID_ERR',
  registers: [
    register('UncorrectableStatus', 0x04, 4, {
      linux: 'PCI_ERR_UNCOR_STATUS',
      clause: '7.8.4.2',
      fields: UNCORRECTABLE,
    }),
    register('UncorrectableMask', 0x08, 4, {
      linux: 'PCI_ERR_UNCOR_MASK',
      clause: '7.8.4.3',
      fields: UNCORRECTABLE,
    }),
    register('UncorrectableSeverity', 0x0c, 4, {
      linux: 'PCI_ERR_UNCOR_SEVER',
      clause: '7.8.4.4',
      fields: UNCORRECTABLE,
    }),
    register('CorrectableStatus', 0x10, 4, {
      linux: 'PCI_ERR_COR_STATUS',
      clause: '7.8.4.5',
      fields: CORRECTABLE,
    }),
    register('CorrectableMask', 0x14, 4, {
      linux: 'PCI_ERR_COR_MASK',
      clause: '7.8.4.6',
      fields: CORRECTABLE,
    }),
    register('Control', 0x18, 4, {
      linux: 'PCI_ERR_CAP',
      clause: '7.8.4.7',
      fields: { FIRST_ERROR: [0, 5], ECRC_GENC: 5, ECRC_GENE: 6, ECRC_CHKC: 7, ECRC_CHKE: 8 },
    }),
    register('HeaderLog0', 0x1c, 4, { linux: 'PCI_ERR_HEADER_LOG', clause: '7.8.4.8' }),
    register('HeaderLog1', 0x20, 4),
    register('HeaderLog2', 0x24, 4),
    register('HeaderLog3', 0x28, 4),
    register('RootCommand', 0x2c, 4, { linux: 'PCI_ERR_ROOT_COMMAND', clause: '7.8.4.9' }),
    register('RootStatus', 0x30, 4, { linux: 'PCI_ERR_ROOT_STATUS', clause: '7.8.4.10' }),
    register('ErrorSource', 0x34, 4, { linux: 'PCI_ERR_ROOT_ERR_SRC', clause: '7.8.4.11' }),
  ],
};

const sriov: Capability = {
  id: 0x10,
  name: 'SRIOV',
  clause: '9.3.3',
  linux: 'PCI_EXT_CAP_ID_SRIOV',
  registers: [
    register('Cap', 0x04, 4, {
      linux: 'PCI_SRIOV_CAP',
      clause: '9.3.3.2',
      fields: { VFM: 0, ARI_PRESERVED: 1 },
    }),
    register('Control', 0x08, 2, {
      linux: 'PCI_SRIOV_CTRL',
      clause: '9.3.3.3',
      fields: { VFE: 0, VFM: 1, INTR: 2, MSE: 3, ARI: 4 },
    }),
    register('Status', 0x0a, 2, { linux: 'PCI_SRIOV_STATUS', clause: '9.3.3.4', fields: { VFM: 0 } }),
    register('InitialVFs', 0x0c, 2, { linux: 'PCI_SRIOV_INITIAL_VF', clause: '9.3.3.5' }),
    register('TotalVFs', 0x0e, 2, { linux: 'PCI_SRIOV_TOTAL_VF', clause: '9.3.3.6' }),
    register('NumVFs', 0x10, 2, { linux: 'PCI_SRIOV_NUM_VF', clause: '9.3.3.7' }),
    register('FuncDependency', 0x12, 1, { linux: 'PCI_SRIOV_FUNC_LINK', clause: '9.3.3.8' }),
    register('FirstVFOffset', 0x14, 2, { linux: 'PCI_SRIOV_VF_OFFSET', clause: '9.3.3.9' }),
    register('VFStride', 0x16, 2, { linux: 'PCI_SRIOV_VF_STRIDE', clause: '9.3.3.10' }),
    register('VFDeviceID', 0x1a, 2, { linux: 'PCI_SRIOV_VF_DID', clause: '9.3.3.11' }),
    register('SupportedPageSizes', 0x1c, 4, { linux: 'PCI_SRIOV_SUP_PGSIZE', clause: '9.3.3.12' }),
    register('SystemPageSize', 0x20, 4, { linux: 'PCI_SRIOV_SYS_PGSIZE', clause: '9.3.3.13' }),
    ...[0, 1, 2, 3, 4, 5].map((n) =>
      register(`VFBAR${n}`, 0x24 + n * 4, 4, n === 0 ? { linux: 'PCI_SRIOV_BAR', clause: '9.3.3.14' } : {}),
    ),
    register('VFMigrationArray', 0x3c, 4, { linux: 'PCI_SRIOV_VFM' }),
  ],
};

const REBAR_CONTROL = { BAR: [0, 3], BARS: [5, 3], SIZE_LOG2_MB: [8, 6] } as const;

/** One pair of registers for each resizable BAR; the first control register tells how many (7.8.6.3). */
function resizable(id: number, name: string, linux: string, clause: string): Capability {
  return {
    id,
    name,
    clause,
    linux,
    registers: (read) => {
      const control = read(8, 4);
      const bars = control === undefined ? 1 : Math.min(Math.max((control >> 5) & 7, 1), 6);
      return Array.from({ length: bars }, (_, n) => [
        register(`Cap${n}`, 0x04 + n * 8, 4, n === 0 ? { linux: 'PCI_REBAR_CAP' } : {}),
        register(`Control${n}`, 0x08 + n * 8, 4, {
          fields: REBAR_CONTROL,
          ...(n === 0 ? { linux: 'PCI_REBAR_CTRL' } : {}),
        }),
      ]).flat();
    },
  };
}

const dpc: Capability = {
  id: 0x1d,
  name: 'DPC',
  clause: '7.9.15',
  linux: 'PCI_EXT_CAP_ID_DPC',
  registers: [
    register('Cap', 0x04, 2, {
      linux: 'PCI_EXP_DPC_CAP',
      fields: {
        IRQ: [0, 5],
        RP_EXT: 5,
        POISONED_TLP: 6,
        SW_TRIGGER: 7,
        RP_PIO_LOG_SIZE: [8, 4],
        DL_ACTIVE: 12,
      },
    }),
    register('Control', 0x06, 2, {
      linux: 'PCI_EXP_DPC_CTL',
      fields: {
        TRIGGER: [0, 2, { 1: 'fatal', 2: 'nonfatal' }],
        COMPLETION_UR: 2,
        INT_EN: 3,
        COR_EN: 4,
        SW_TRIGGER: 6,
      },
    }),
    register('Status', 0x08, 2, {
      linux: 'PCI_EXP_DPC_STATUS',
      fields: { TRIGGERED: 0, REASON: [1, 2], INTERRUPT: 3, RP_BUSY: 4, REASON_EXT: [5, 2] },
    }),
    register('SourceID', 0x0a, 2, { linux: 'PCI_EXP_DPC_SOURCE_ID' }),
    register('RPPIOStatus', 0x0c, 4, { linux: 'PCI_EXP_DPC_RP_PIO_STATUS' }),
    register('RPPIOMask', 0x10, 4, { linux: 'PCI_EXP_DPC_RP_PIO_MASK' }),
    register('RPPIOSeverity', 0x14, 4, { linux: 'PCI_EXP_DPC_RP_PIO_SEVERITY' }),
    register('RPPIOSysError', 0x18, 4, { linux: 'PCI_EXP_DPC_RP_PIO_SYSERROR' }),
    register('RPPIOException', 0x1c, 4, { linux: 'PCI_EXP_DPC_RP_PIO_EXCEPTION' }),
  ],
};

const l1ss: Capability = {
  id: 0x1e,
  name: 'L1SS',
  clause: '7.8.3',
  linux: 'PCI_EXT_CAP_ID_L1SS',
  registers: [
    register('Cap', 0x04, 4, {
      linux: 'PCI_L1SS_CAP',
      clause: '7.8.3.2',
      fields: {
        PCIPM_L1_2: 0,
        PCIPM_L1_1: 1,
        ASPM_L1_2: 2,
        ASPM_L1_1: 3,
        L1_PM_SS: 4,
        CM_RESTORE: [8, 8],
        T_POWER_ON_SCALE: [16, 2],
        T_POWER_ON: [19, 5],
      },
    }),
    register('Control1', 0x08, 4, {
      linux: 'PCI_L1SS_CTL1',
      clause: '7.8.3.3',
      fields: {
        PCIPM_L1_2: 0,
        PCIPM_L1_1: 1,
        ASPM_L1_2: 2,
        ASPM_L1_1: 3,
        CM_RESTORE: [8, 8],
        LTR_L12_VALUE: [16, 10],
        LTR_L12_SCALE: [29, 3],
      },
    }),
    register('Control2', 0x0c, 4, {
      linux: 'PCI_L1SS_CTL2',
      clause: '7.8.3.4',
      fields: { T_POWER_ON_SCALE: [0, 2], T_POWER_ON: [3, 5] },
    }),
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

export const EXTENDED_CAPABILITIES: readonly Capability[] = [
  aer,
  named(0x02, 'VC', 'PCI_EXT_CAP_ID_VC', '7.9.1', [
    register('Cap1', 0x04, 4, { linux: 'PCI_VC_PORT_CAP1' }),
    register('Cap2', 0x08, 4, { linux: 'PCI_VC_PORT_CAP2' }),
    register('Control', 0x0c, 2, { linux: 'PCI_VC_PORT_CTRL' }),
    register('Status', 0x0e, 2, { linux: 'PCI_VC_PORT_STATUS' }),
    register('VC0Cap', 0x10, 4, { linux: 'PCI_VC_RES_CAP' }),
    register('VC0Control', 0x14, 4, { linux: 'PCI_VC_RES_CTRL' }),
    register('VC0Status', 0x1a, 2, { linux: 'PCI_VC_RES_STATUS' }),
  ]),
  named(0x03, 'DSN', 'PCI_EXT_CAP_ID_DSN', '7.9.3', [
    register('SerialLow', 0x04, 4, { identity: 0xffff_ffffn }),
    register('SerialHigh', 0x08, 4, { identity: 0xffff_ffffn }),
  ]),
  named(0x04, 'PowerBudget', 'PCI_EXT_CAP_ID_PWR', '7.8.1', [
    register('DataSelect', 0x04, 1, { linux: 'PCI_PWR_DSR' }),
    register('Data', 0x08, 4, { linux: 'PCI_PWR_DATA' }),
    register('Cap', 0x0c, 1, { linux: 'PCI_PWR_CAP' }),
  ]),
  named(0x05, 'RCLD', 'PCI_EXT_CAP_ID_RCLD', '7.9.8'),
  named(0x06, 'RCILC', 'PCI_EXT_CAP_ID_RCILC', '7.9.9'),
  named(0x07, 'RCEC', 'PCI_EXT_CAP_ID_RCEC', '7.9.10', [
    register('Bitmap', 0x04, 4, { linux: 'PCI_RCEC_RCIEP_BITMAP' }),
    register('BusNumbers', 0x08, 4, { linux: 'PCI_RCEC_BUSN' }),
  ]),
  named(0x08, 'MFVC', 'PCI_EXT_CAP_ID_MFVC', '7.9.2'),
  named(0x09, 'VC9', 'PCI_EXT_CAP_ID_VC9', '7.9.1'),
  named(0x0a, 'RCRB', 'PCI_EXT_CAP_ID_RCRB', '7.9.7'),
  named(0x0b, 'VSEC', 'PCI_EXT_CAP_ID_VNDR', '7.9.5', [
    register('Header', 0x04, 4, {
      linux: 'PCI_VNDR_HEADER',
      fields: { ID: [0, 16], REV: [16, 4], LENGTH: [20, 12] },
    }),
  ]),
  named(0x0c, 'CAC', 'PCI_EXT_CAP_ID_CAC', 'obsolete'),
  named(0x0d, 'ACS', 'PCI_EXT_CAP_ID_ACS', '7.7.8', [
    register('Cap', 0x04, 2, {
      linux: 'PCI_ACS_CAP',
      clause: '7.7.8.2',
      fields: { ...ACS, EGRESS_BITS: [8, 8] },
    }),
    register('Control', 0x06, 2, { linux: 'PCI_ACS_CTRL', clause: '7.7.8.3', fields: ACS }),
    register('EgressVector', 0x08, 4, { linux: 'PCI_ACS_EGRESS_CTL_V', clause: '7.7.8.4' }),
  ]),
  named(0x0e, 'ARI', 'PCI_EXT_CAP_ID_ARI', '7.8.8', [
    register('Cap', 0x04, 2, { linux: 'PCI_ARI_CAP', fields: { MFVC: 0, ACS: 1, NEXT_FUNCTION: [8, 8] } }),
    register('Control', 0x06, 2, { linux: 'PCI_ARI_CTRL', fields: { MFVC: 0, ACS: 1, GROUP: [4, 3] } }),
  ]),
  named(0x0f, 'ATS', 'PCI_EXT_CAP_ID_ATS', '10.5.1', [
    register('Cap', 0x04, 2, {
      linux: 'PCI_ATS_CAP',
      fields: { QUEUE_DEPTH: [0, 5], PAGE_ALIGNED: 5, GLOBAL_INVALIDATE: 6 },
    }),
    register('Control', 0x06, 2, { linux: 'PCI_ATS_CTRL', fields: { STU: [0, 5], ENABLE: 15 } }),
  ]),
  sriov,
  named(0x11, 'MRIOV', 'PCI_EXT_CAP_ID_MRIOV', 'MR-IOV 1.0'),
  named(0x12, 'Multicast', 'PCI_EXT_CAP_ID_MCAST', '7.9.11', [
    register('Cap', 0x04, 2),
    register('Control', 0x06, 2),
    register('BaseAddress', 0x08, 8),
    register('Receive', 0x10, 8),
    register('BlockAll', 0x18, 8),
    register('BlockUntranslated', 0x20, 8),
  ]),
  named(0x13, 'PRI', 'PCI_EXT_CAP_ID_PRI', '10.5.2', [
    register('Control', 0x04, 2, { linux: 'PCI_PRI_CTRL', fields: { ENABLE: 0, RESET: 1 } }),
    register('Status', 0x06, 2, {
      linux: 'PCI_PRI_STATUS',
      fields: { RF: 0, UPRGI: 1, STOPPED: 8, PASID: 15 },
    }),
    register('MaxRequests', 0x08, 4, { linux: 'PCI_PRI_MAX_REQ' }),
    register('AllowedRequests', 0x0c, 4, { linux: 'PCI_PRI_ALLOC_REQ' }),
  ]),
  named(0x14, 'AMD', 'PCI_EXT_CAP_ID_AMD_XXX', 'AMD'),
  resizable(0x15, 'ReBAR', 'PCI_EXT_CAP_ID_REBAR', '7.8.6'),
  named(0x16, 'DPA', 'PCI_EXT_CAP_ID_DPA', '7.9.12', [
    register('Cap', 0x04, 4, { linux: 'PCI_DPA_CAP' }),
    register('LatencyIndicator', 0x08, 4),
    register('Status', 0x0c, 2),
    register('Control', 0x0e, 2),
  ]),
  named(0x17, 'TPH', 'PCI_EXT_CAP_ID_TPH', '7.9.13', [
    register('Cap', 0x04, 4, {
      linux: 'PCI_TPH_CAP',
      fields: {
        NO_ST: 0,
        INTERRUPT_VECTOR: 1,
        DEVICE_SPECIFIC: 2,
        EXT: 8,
        LOCATION: [9, 2, { 1: 'capability', 2: 'MSI-X' }],
        ST_LAST: [16, 11],
      },
    }),
    register('Control', 0x08, 4, { fields: { ST_MODE: [0, 3], ENABLE: [8, 2] } }),
  ]),
  named(0x18, 'LTR', 'PCI_EXT_CAP_ID_LTR', '7.8.2', [
    register('MaxSnoop', 0x04, 2, { linux: 'PCI_LTR_MAX_SNOOP_LAT', fields: LATENCY }),
    register('MaxNoSnoop', 0x06, 2, { linux: 'PCI_LTR_MAX_NOSNOOP_LAT', fields: LATENCY }),
  ]),
  named(0x19, 'SecPCIe', 'PCI_EXT_CAP_ID_SECPCI', '7.7.3', [
    register('LnkCtl3', 0x04, 4, { fields: { EQUALIZE: 0, EQ_IRQ: 1 } }),
    register('LaneErrors', 0x08, 4),
  ]),
  named(0x1a, 'PMUX', 'PCI_EXT_CAP_ID_PMUX', 'PCIe 3.1 7.30'),
  named(0x1b, 'PASID', 'PCI_EXT_CAP_ID_PASID', '7.8.9', [
    register('Cap', 0x04, 2, { linux: 'PCI_PASID_CAP', fields: { EXEC: 1, PRIV: 2, WIDTH: [8, 5] } }),
    register('Control', 0x06, 2, { linux: 'PCI_PASID_CTRL', fields: { ENABLE: 0, EXEC: 1, PRIV: 2 } }),
  ]),
  named(0x1c, 'LNR', '', '7.9.14'),
  dpc,
  l1ss,
  named(0x1f, 'PTM', 'PCI_EXT_CAP_ID_PTM', '7.9.16', [
    register('Cap', 0x04, 4, {
      linux: 'PCI_PTM_CAP',
      fields: { REQUESTER: 0, RESPONDER: 1, ROOT: 2, GRANULARITY: [8, 8] },
    }),
    register('Control', 0x08, 4, {
      linux: 'PCI_PTM_CTRL',
      fields: { ENABLE: 0, ROOT: 1, GRANULARITY: [8, 8] },
    }),
  ]),
  named(0x20, 'MPCIe', '', 'M-PCIe'),
  named(0x21, 'FRS', '', '7.8.10'),
  named(0x22, 'RTR', '', '7.9.17'),
  named(0x23, 'DVSEC', 'PCI_EXT_CAP_ID_DVSEC', '7.9.6', [
    register('Header1', 0x04, 4, {
      linux: 'PCI_DVSEC_HEADER1',
      fields: { VENDOR: [0, 16], REV: [16, 4], LENGTH: [20, 12] },
    }),
    register('Header2', 0x08, 2, { linux: 'PCI_DVSEC_HEADER2' }),
  ]),
  resizable(0x24, 'VFReBAR', '', '7.8.7'),
  named(0x25, 'DLF', 'PCI_EXT_CAP_ID_DLF', '7.7.4', [
    register('Cap', 0x04, 4, { linux: 'PCI_DLF_CAP' }),
    register('Status', 0x08, 4),
  ]),
  named(0x26, 'PL16G', 'PCI_EXT_CAP_ID_PL_16GT', '7.7.5', [
    register('Cap', 0x04, 4),
    register('Control', 0x08, 4),
    register('Status', 0x0c, 4),
  ]),
  named(0x27, 'LaneMargin', '', '7.7.7'),
  named(0x28, 'HierarchyID', '', '7.9.18'),
  named(0x29, 'NPEM', '', '7.9.20'),
  named(0x2a, 'PL32G', '', '7.7.6', [
    register('Cap', 0x04, 4),
    register('Control', 0x08, 4),
    register('Status', 0x0c, 4),
  ]),
  named(0x2b, 'AltProtocol', '', '7.9.21'),
  named(0x2c, 'SFI', '', '7.9.23'),
  named(0x2e, 'DOE', 'PCI_EXT_CAP_ID_DOE', 'PCIe 6.0 7.9.24', [
    register('Cap', 0x04, 4, { linux: 'PCI_DOE_CAP' }),
    register('Control', 0x08, 4, { linux: 'PCI_DOE_CTRL', fields: { ABORT: 0, INT_EN: 1, GO: 31 } }),
    register('Status', 0x0c, 4, {
      linux: 'PCI_DOE_STATUS',
      fields: { BUSY: 0, INT_STATUS: 1, ERROR: 2, READY: 31 },
    }),
    register('WriteMailbox', 0x10, 4, { linux: 'PCI_DOE_WRITE' }),
    register('ReadMailbox', 0x14, 4, { linux: 'PCI_DOE_READ' }),
  ]),
  named(0x2f, 'DevExt3', '', 'PCIe 6.0 7.7.9'),
  named(0x30, 'IDE', '', 'PCIe 6.0 7.9.26'),
  named(0x31, 'PL64G', '', 'PCIe 6.0 7.7.7'),
];

/** Four bytes stand before every extended capability's registers (7.6.3). */
export const EXTENDED_HEADER: Register = register('Header', 0, 4, {
  fields: { ID: [0, 16], VERSION: [16, 4], NEXT: [20, 12] },
});
