// SPDX-License-Identifier: Apache-2.0
/**
 * Intel gigabit Ethernet: the registers that a driver's start, its queues and its interrupts need, named as in the
 * manuals (8254x SDM chapter 13, 82574 datasheet chapter 10, 82576 datasheet chapter 8). Counters are R/clr.
 */
import { type BitField, type Register, register } from '../register.js';
import type { RegisterArray, RegisterMap } from './map.js';

const CAUSES = {
  TXDW: 0,
  TXQE: 1,
  LSC: 2,
  RXSEQ: 3,
  RXDMT0: 4,
  RXO: 6,
  RXT0: 7,
  MDAC: 9,
  RXQ0: 20,
  RXQ1: 21,
  TXQ0: 22,
  TXQ1: 23,
  OTHER: 24,
  INT_ASSERTED: 31,
} as const;

const fields = (bits: Readonly<Record<string, BitField>>) => ({ fields: bits });

const common: readonly Register[] = [
  register(
    'CTRL',
    0x0000,
    4,
    fields({
      FD: 0,
      GIO_MASTER_DISABLE: 2,
      LRST: 3,
      ASDE: 5,
      SLU: 6,
      ILOS: 7,
      SPEED: [8, 2],
      FRCSPD: 11,
      FRCDPX: 12,
      RST: 26,
      RFCE: 27,
      TFCE: 28,
      VME: 30,
      PHY_RST: 31,
    }),
  ),
  register(
    'STATUS',
    0x0008,
    4,
    fields({ FD: 0, LU: 1, LAN_ID: [2, 2], TXOFF: 4, SPEED: [6, 2], GIO_MASTER_ENABLE: 19 }),
  ),
  register('EECD', 0x0010, 4, fields({ SK: 0, CS: 1, DI: 2, DO: 3, REQ: 6, GNT: 7, PRES: 8, AUTO_RD: 9 })),
  // The EEPROM's words, the MAC address first.
  register('EERD', 0x0014, 4, {
    identity: 0xffff_0000n,
    ...fields({ START: 0, DONE: 1, ADDR: [2, 14], DATA: [16, 16] }),
  }),
  register('CTRL_EXT', 0x0018, 4),
  register('FLA', 0x001c, 4),
  register(
    'MDIC',
    0x0020,
    4,
    fields({ DATA: [0, 16], REG: [16, 5], PHY: [21, 5], OP: [26, 2], READY: 28, INT_EN: 29, ERROR: 30 }),
  ),
  register('FCAL', 0x0028, 4),
  register('FCAH', 0x002c, 4),
  register('FCT', 0x0030, 4),
  register('VET', 0x0038, 4),
  register('ICR', 0x00c0, 4, fields(CAUSES)),
  register('ITR', 0x00c4, 4),
  register('ICS', 0x00c8, 4, fields(CAUSES)),
  register('IMS', 0x00d0, 4, fields(CAUSES)),
  register('IMC', 0x00d8, 4, fields(CAUSES)),
  register('IAM', 0x00e0, 4, fields(CAUSES)),
  register(
    'RCTL',
    0x0100,
    4,
    fields({
      RST: 0,
      EN: 1,
      SBP: 2,
      UPE: 3,
      MPE: 4,
      LPE: 5,
      LBM: [6, 2],
      RDMTS: [8, 2],
      MO: [12, 2],
      BAM: 15,
      BSIZE: [16, 2],
      VFE: 18,
      BSEX: 25,
      SECRC: 26,
    }),
  ),
  register('FCTTV', 0x0170, 4),
  register('TXCW', 0x0178, 4),
  register('RXCW', 0x0180, 4),
  register(
    'TCTL',
    0x0400,
    4,
    fields({ EN: 1, PSP: 3, CT: [4, 8], COLD: [12, 10], SWXOFF: 22, RTLC: 24, MULR: 28 }),
  ),
  register('TCTL_EXT', 0x0404, 4),
  register('TIPG', 0x0410, 4),
  register('AIT', 0x0458, 4),
  register('LEDCTL', 0x0e00, 4),
  register('PBA', 0x1000, 4, fields({ RXA: [0, 16], TXA: [16, 16] })),
  register('EEMNGCTL', 0x1010, 4),
  register('EEWR', 0x102c, 4),
  register('FCRTL', 0x2160, 4),
  register('FCRTH', 0x2168, 4),
  register('RXCSUM', 0x5000, 4, fields({ PCSS: [0, 8], IPOFL: 8, TUOFL: 9, IPPCSE: 12, PCSD: 13 })),
  register('RFCTL', 0x5008, 4),
  register('WUC', 0x5800, 4),
  register('WUFC', 0x5808, 4),
  register('WUS', 0x5810, 4),
  register('MRQC', 0x5818, 4),
  register('MANC', 0x5820, 4),
  register('MANC2H', 0x5860, 4),
  register('GCR', 0x5b00, 4),
  register('FACTPS', 0x5b30, 4),
  register('SWSM', 0x5b50, 4, fields({ SMBI: 0, SWESMBI: 1 })),
  register('FWSM', 0x5b54, 4),
  register('SW_FW_SYNC', 0x5b5c, 4),
];

const counterNames: Readonly<Record<number, string>> = {
  0: 'CRCERRS',
  4: 'ALGNERRC',
  8: 'SYMERRS',
  12: 'RXERRC',
  16: 'MPC',
  20: 'SCC',
  24: 'ECOL',
  28: 'MCC',
  32: 'LATECOL',
  40: 'COLC',
  48: 'DC',
  52: 'TNCRS',
  56: 'SEC',
  60: 'CEXTERR',
  64: 'RLEC',
  72: 'XONRXC',
  76: 'XONTXC',
  80: 'XOFFRXC',
  84: 'XOFFTXC',
  88: 'FCRUC',
  92: 'PRC64',
  96: 'PRC127',
  100: 'PRC255',
  104: 'PRC511',
  108: 'PRC1023',
  112: 'PRC1522',
  116: 'GPRC',
  120: 'BPRC',
  124: 'MPRC',
  128: 'GPTC',
  136: 'GORCL',
  140: 'GORCH',
  144: 'GOTCL',
  148: 'GOTCH',
  160: 'RNBC',
  164: 'RUC',
  168: 'RFC',
  172: 'ROC',
  176: 'RJC',
  180: 'MGTPRC',
  184: 'MGTPDC',
  188: 'MGTPTC',
  192: 'TORL',
  196: 'TORH',
  200: 'TOTL',
  204: 'TOTH',
  208: 'TPR',
  212: 'TPT',
  216: 'PTC64',
  220: 'PTC127',
  224: 'PTC255',
  228: 'PTC511',
  232: 'PTC1023',
  236: 'PTC1522',
  240: 'MPTC',
  244: 'BPTC',
  248: 'TSCTC',
  252: 'TSCTFC',
  256: 'IAC',
  260: 'ICRXPTC',
  264: 'ICRXATC',
  268: 'ICTXPTC',
  272: 'ICTXATC',
  280: 'ICTXQEC',
  284: 'ICTXQMTC',
  288: 'ICRXDMTC',
  292: 'ICRXOC',
};
const counters = Object.entries(counterNames).map(([offset, name]) =>
  register(name, 0x4000 + Number(offset), 4),
);

const receive = (n: string): readonly Register[] => [
  register(`RDBAL${n}`, 0x00, 4),
  register(`RDBAH${n}`, 0x04, 4),
  register(`RDLEN${n}`, 0x08, 4),
  register(`SRRCTL${n}`, 0x0c, 4),
  register(`RDH${n}`, 0x10, 4),
  register(`RXCTL${n}`, 0x14, 4),
  register(`RDT${n}`, 0x18, 4),
  register(
    `RXDCTL${n}`,
    0x28,
    4,
    fields({ PTHRESH: [0, 6], HTHRESH: [8, 6], WTHRESH: [16, 6], GRAN: 24, ENABLE: 25 }),
  ),
];
const transmit = (n: string): readonly Register[] => [
  register(`TDBAL${n}`, 0x00, 4),
  register(`TDBAH${n}`, 0x04, 4),
  register(`TDLEN${n}`, 0x08, 4),
  register(`TDH${n}`, 0x10, 4),
  register(`TXCTL${n}`, 0x14, 4),
  register(`TDT${n}`, 0x18, 4),
  register(
    `TXDCTL${n}`,
    0x28,
    4,
    fields({ PTHRESH: [0, 6], HTHRESH: [8, 6], WTHRESH: [16, 6], GRAN: 24, ENABLE: 25 }),
  ),
];

const tables: readonly RegisterArray[] = [
  { offset: 0x5200, stride: 4, count: 128, registers: [register('MTA[{n}]', 0, 4)] },
  {
    offset: 0x5400,
    stride: 8,
    count: 16,
    registers: [
      register('RAL[{n}]', 0, 4, { identity: 0xffff_ffffn }),
      register('RAH[{n}]', 4, 4, { identity: 0xffffn, ...fields({ ADDR: [0, 16], AV: 31 }) }),
    ],
  },
  { offset: 0x5600, stride: 4, count: 128, registers: [register('VFTA[{n}]', 0, 4)] },
  { offset: 0x5c00, stride: 4, count: 32, registers: [register('RETA[{n}]', 0, 4)] },
  { offset: 0x5c80, stride: 4, count: 10, registers: [register('RSSRK[{n}]', 0, 4)] },
];

// Delay timers lie between the queue registers of the devices that have at most two queues.
const delays: readonly Register[] = [
  register('RDTR', 0x2820, 4, fields({ DELAY: [0, 16], FPD: 31 })),
  register('RADV', 0x282c, 4),
  register('TIDV', 0x3820, 4),
  register('TADV', 0x382c, 4),
  register('TARC0', 0x3840, 4),
  register('TARC1', 0x3940, 4),
];

function queues(count: number): readonly RegisterArray[] {
  const low: readonly RegisterArray[] = [
    { offset: 0x2800, stride: 0x100, count: Math.min(count, 4), registers: receive('[{n}]') },
    { offset: 0x3800, stride: 0x100, count: Math.min(count, 4), registers: transmit('[{n}]') },
  ];
  if (count <= 4) return low;
  return [
    ...low,
    { offset: 0xc000, stride: 0x40, count, registers: receive('[{n}]') },
    { offset: 0xe000, stride: 0x40, count, registers: transmit('[{n}]') },
  ];
}

/** 82540 to 82547: one queue, an I/O BAR beside. */
export const E1000: RegisterMap = {
  name: 'e1000',
  source: 'Intel PCI/PCI-X Family of Gigabit Ethernet Controllers SDM, 13',
  match: [
    {
      vendor: 0x8086,
      devices: [
        0x1004, 0x1008, 0x100c, 0x100d, 0x100e, 0x100f, 0x1010, 0x1011, 0x1015, 0x1016, 0x1017, 0x1019,
        0x101a, 0x101d, 0x101e, 0x1026, 0x1027, 0x1028, 0x1075, 0x1076, 0x1077, 0x1078, 0x1079, 0x107a,
        0x107b, 0x107c,
      ],
    },
  ],
  blocks: [
    { region: 0, base: 0, registers: [...common, ...counters, ...delays], arrays: [...tables, ...queues(1)] },
  ],
};

/** 82571 to 82574, 82583: two queues, MSI-X in the 82574. */
export const E1000E: RegisterMap = {
  name: 'e1000e',
  source: 'Intel 82574 GbE Controller Family Datasheet 3.4, 10',
  match: [
    {
      vendor: 0x8086,
      devices: [
        0x105e, 0x105f, 0x1060, 0x107d, 0x107e, 0x107f, 0x108b, 0x108c, 0x109a, 0x10a4, 0x10b9, 0x10d3,
        0x10f6, 0x150c,
      ],
    },
  ],
  blocks: [
    {
      region: 0,
      base: 0,
      registers: [
        ...common,
        ...counters,
        ...delays,
        register('EIAC', 0x00dc, 4),
        register(
          'IVAR',
          0x00e4,
          4,
          fields({ RXQ0: [0, 4], RXQ1: [4, 4], TXQ0: [8, 4], TXQ1: [12, 4], OTHER: [16, 4], ON_ALL_TX: 31 }),
        ),
        register('EXTCNF_CTRL', 0x0f00, 4),
        register('EXTCNF_SIZE', 0x0f08, 4),
        register('PHY_CTRL', 0x0f10, 4),
        register('PSRCTL', 0x2170, 4),
        register('GCR2', 0x5b64, 4),
      ],
      arrays: [
        { offset: 0x00e8, stride: 4, count: 5, registers: [register('EITR[{n}]', 0, 4)] },
        ...tables,
        ...queues(2),
      ],
    },
  ],
};

/** 82575, 82576, 82580, I350, I210, I211. */
export const IGB: RegisterMap = {
  name: 'igb',
  source: 'Intel 82576 GbE Controller Datasheet 2.7, 8',
  match: [
    {
      vendor: 0x8086,
      devices: [
        0x10a7, 0x10a9, 0x10c9, 0x10d6, 0x10e6, 0x10e7, 0x10e8, 0x150a, 0x150d, 0x150e, 0x150f, 0x1510,
        0x1511, 0x1516, 0x1518, 0x1521, 0x1522, 0x1523, 0x1524, 0x1526, 0x1527, 0x1533, 0x1536, 0x1537,
        0x1538, 0x1539, 0x157b, 0x157c,
      ],
    },
  ],
  blocks: [
    {
      region: 0,
      base: 0,
      registers: [
        ...common,
        ...counters,
        register('GPIE', 0x1514, 4, fields({ NSICR: 0, MULTIPLE_MSIX: 4, EIAME: 30, PBA: 31 })),
        register('EICS', 0x1520, 4),
        register('EIMS', 0x1524, 4),
        register('EIMC', 0x1528, 4),
        register('EIAC', 0x152c, 4),
        register('EIAM', 0x1530, 4),
        register('EICR', 0x1580, 4),
        register('IVAR_MISC', 0x1740, 4),
        register('DTXCTL', 0x3590, 4),
      ],
      arrays: [
        { offset: 0x1680, stride: 4, count: 25, registers: [register('EITR[{n}]', 0, 4)] },
        { offset: 0x1700, stride: 4, count: 8, registers: [register('IVAR[{n}]', 0, 4)] },
        ...tables,
        ...queues(16),
      ],
    },
  ],
};
