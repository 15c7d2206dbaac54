// SPDX-License-Identifier: Apache-2.0
/** NVM Express controller registers (NVMe Base 1.4, 3.1). */
import { register } from '../register.js';
import type { RegisterMap } from './map.js';

const CAP = 0;
const DOORBELLS = 0x1000;
/** 16-bit queue identifiers (NVMe 1.4, 3.1.24). */
const QUEUES = 65536;

const controller = [
  register('CAP', CAP, 8, {
    clause: '3.1.1',
    fields: {
      MQES: [0, 16],
      CQR: 16,
      AMS: [17, 2],
      TO: [24, 8],
      DSTRD: [32, 4],
      NSSRS: 36,
      CSS: [37, 8],
      BPS: 45,
      MPSMIN: [48, 4],
      MPSMAX: [52, 4],
      PMRS: 56,
      CMBS: 57,
    },
  }),
  register('VS', 0x08, 4, { clause: '3.1.2', fields: { TER: [0, 8], MNR: [8, 8], MJR: [16, 16] } }),
  register('INTMS', 0x0c, 4, { clause: '3.1.3' }),
  register('INTMC', 0x10, 4, { clause: '3.1.4' }),
  register('CC', 0x14, 4, {
    clause: '3.1.5',
    fields: {
      EN: 0,
      CSS: [4, 3],
      MPS: [7, 4],
      AMS: [11, 3],
      SHN: [14, 2, { 1: 'normal', 2: 'abrupt' }],
      IOSQES: [16, 4],
      IOCQES: [20, 4],
    },
  }),
  register('CSTS', 0x1c, 4, {
    clause: '3.1.6',
    fields: { RDY: 0, CFS: 1, SHST: [2, 2, { 1: 'occurring', 2: 'complete' }], NSSRO: 4, PP: 5 },
  }),
  register('NSSR', 0x20, 4, { clause: '3.1.7' }),
  register('AQA', 0x24, 4, { clause: '3.1.8', fields: { ASQS: [0, 12], ACQS: [16, 12] } }),
  register('ASQ', 0x28, 8, { clause: '3.1.9' }),
  register('ACQ', 0x30, 8, { clause: '3.1.10' }),
  register('CMBLOC', 0x38, 4, { clause: '3.1.11', fields: { BIR: [0, 3], OFST: [12, 20] } }),
  register('CMBSZ', 0x3c, 4, {
    clause: '3.1.12',
    fields: { SQS: 0, CQS: 1, LISTS: 2, RDS: 3, WDS: 4, SZU: [8, 4], SZ: [12, 20] },
  }),
  register('BPINFO', 0x40, 4, { clause: '3.1.13', fields: { BPSZ: [0, 15], BRS: [24, 2], ABPID: 31 } }),
  register('BPRSEL', 0x44, 4, { clause: '3.1.14', fields: { BPRSZ: [0, 10], BPROF: [10, 20], BPID: 31 } }),
  register('BPMBL', 0x48, 8, { clause: '3.1.15' }),
  register('CMBMSC', 0x50, 8, { clause: '3.1.16', fields: { CRE: 0, CMSE: 1 } }),
  register('CMBSTS', 0x58, 4, { clause: '3.1.17', fields: { CBAI: 0 } }),
  register('PMRCAP', 0xe00, 4, {
    clause: '3.1.18',
    fields: { RDS: 3, WDS: 4, BIR: [5, 3], PMRTU: [8, 2], PMRWBM: [10, 4], PMRTO: [16, 8], CMSS: 24 },
  }),
  register('PMRCTL', 0xe04, 4, { clause: '3.1.19', fields: { EN: 0 } }),
  register('PMRSTS', 0xe08, 4, {
    clause: '3.1.20',
    fields: { ERR: [0, 8], NRDY: 8, HSTS: [9, 3], CBAI: 12 },
  }),
  register('PMREBS', 0xe0c, 4, { clause: '3.1.21' }),
  register('PMRSWTP', 0xe10, 4, { clause: '3.1.22' }),
  register('PMRMSC', 0xe14, 4, { clause: '3.1.23', fields: { CMSE: 1 } }),
];

const tail = register('SQ{n}TDBL', 0, 4, { clause: '3.1.24', fields: { SQT: [0, 16] } });
const head = register('CQ{n}HDBL', 0, 4, { clause: '3.1.25', fields: { CQH: [0, 16] } });

export const NVME: RegisterMap = {
  name: 'nvme',
  source: 'NVM Express Base Specification 1.4, 3.1',
  match: [{ classCode: 0x010802 }],
  layoutRegisters: [
    { region: 0, offset: CAP, mask: 0xf_0000_0000n },
    { region: 0, offset: CAP + 4, mask: 0xfn },
  ],
  blocks: (seen) => {
    // A driver may read CAP as two halves (3.1): DSTRD is in the upper one.
    const whole = seen(0, CAP, 8);
    const upper = whole === undefined ? seen(0, CAP + 4, 4) : whole >> 32n;
    const stride = 4 << Number((upper ?? 0n) & 0xfn);
    return [
      {
        region: 0,
        base: 0,
        registers: controller,
        arrays: [
          { offset: DOORBELLS, stride: stride * 2, count: QUEUES, registers: [tail] },
          { offset: DOORBELLS + stride, stride: stride * 2, count: QUEUES, registers: [head] },
        ],
      },
    ];
  },
};
