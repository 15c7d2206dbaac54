// SPDX-License-Identifier: Apache-2.0
/** A report for the tests of its forms: one finding of each severity and state, and a trace that means no good. */
import type { ComplianceReport, ReportedFinding, TraceReport } from './model.js';

/** Ends tags, attributes, tables, fences and CDATA; has control characters, half a surrogate pair and a turned writing direction. */
export const HOSTILE = '</style><script>alert(1)</script> "\'&|`]]>```\u0000\u001b[31m\ud800\u202e';

const EVIDENCE = [
  {
    event: 31,
    note: 'bus mastering goes on',
    time_ns: 333_697,
    text: 'device0 0000:00:04.0  write config+0x4 Command = 0x0406 MEM=1 MASTER=1',
    site: 'driver!enable+0x1c (pci.c:12)',
    source: { file: '/src/my driver/pci.c', line: 12 },
  },
  {
    event: 22,
    note: 'GET_INFO lacks the RESET flag',
    time_ns: 1_000,
    text: 'device0  VFIO_DEVICE_GET_INFO = 0',
  },
] as const;

function finding(rest: Partial<ReportedFinding>): ReportedFinding {
  return {
    rule: 'RST-001',
    title: 'The device is in a known state',
    severity: 'error',
    object: 'device0',
    bdf: '0000:00:04.0',
    message: 'bus mastering was switched on while nothing had reset the device',
    compliant: 'Look at the RESET flag.',
    count: 1,
    fingerprint: '0011223344556677',
    evidence: EVIDENCE,
    state: 'new',
    ...rest,
  };
}

export function sampleTraceReport(rest: Partial<TraceReport> = {}): TraceReport {
  return {
    trace: {
      file: 'traces/my.vtape',
      command: ['driver', '0000:00:04.0'],
      recorder: 'vfiotape 0.1.0',
      recorded_at_ns: '1700000000123456789',
      duration_ns: 516_278_000,
      events: 138,
      host: 'host',
      kernel: '6.12.0',
      backend: 'kernel',
      dialect: 'modern',
      mmio: 'patch',
      dma: 'off',
      when_full: 'block',
      watch: [],
      events_by_kind: { ioctl: 40, load: 90, store: 8 },
      mmio_sites: [
        { how: 'patched', reason: '', instructions: 30, places: [] },
        { how: 'trapped', reason: 'too short for a jump', instructions: 1, places: ['driver+0x1c'] },
      ],
      gaps: [],
    },
    profile: 'driver',
    devices: [
      {
        object: 'device0',
        bdf: '0000:00:04.0',
        vendor: 0x1b36,
        device: 0x10,
        subsystem_vendor: 0x1af4,
        subsystem_device: 0x1100,
        class_code: 0x010802,
        revision: 2,
        kernel_driver: 'vfio-pci',
        iommu_group: '7',
        reset_method: 'flr',
        bars: [{ name: 'BAR0', size: '0x4000' }],
        msix: {
          vectors: 65,
          table: { bar: 0, offset: 0x2000, bytes: 1040, page_aligned: true },
          pba: { bar: 0, offset: 0x3000, bytes: 16, page_aligned: true },
        },
        opens: 1,
        resets: ['at open'],
        well_behaved: 'yes',
      },
    ],
    counts: { error: 1, warning: 1, note: 0 },
    waived: 1,
    known: 1,
    rules: [
      {
        id: 'RST-001',
        title: 'The device is in a known state',
        severity: 'error',
        status: 'fail',
        reasons: [],
        suppressed: 0,
      },
      {
        id: 'RST-002',
        title: 'It can be reset at close',
        severity: 'warning',
        status: 'unknown',
        reasons: ['the reset was not asked for'],
        suppressed: 0,
      },
      { id: 'RST-003', title: 'Start anew', severity: 'error', status: 'pass', reasons: [], suppressed: 0 },
      { id: 'RST-004', title: 'Quiet', severity: 'warning', status: 'fail', reasons: [], suppressed: 0 },
      {
        id: 'RST-005',
        title: 'Prefer',
        severity: 'note',
        status: 'not applicable',
        reasons: [],
        suppressed: 0,
      },
    ],
    findings: [
      finding({}),
      finding({ rule: 'RST-004', severity: 'warning', count: 3, fingerprint: '1111111111111111' }),
      finding({ rule: 'RST-004', severity: 'warning', state: 'known', fingerprint: '2222222222222222' }),
      finding({
        rule: 'RST-004',
        severity: 'note',
        state: 'waived',
        waived_because: 'ours',
        fingerprint: '3333333333333333',
      }),
    ],
    ...rest,
  };
}

export function sampleReport(trace: TraceReport = sampleTraceReport()): ComplianceReport {
  return {
    schema: 1,
    tool: 'vfiotape 0.1.0',
    fail_on: 'error',
    verdict: 'fail',
    reports: [trace],
    remarks: ['the waiver of RST-005 fits no finding'],
  };
}

/** Every text of it is hostile. */
export function hostileReport(): ComplianceReport {
  const sample = sampleTraceReport();
  return sampleReport({
    ...sample,
    trace: {
      ...sample.trace,
      file: HOSTILE,
      command: [HOSTILE],
      recorder: HOSTILE,
      host: HOSTILE,
      kernel: HOSTILE,
      backend: HOSTILE,
      dialect: HOSTILE,
      mmio: HOSTILE,
      dma: HOSTILE,
      when_full: HOSTILE,
      watch: [HOSTILE],
      events_by_kind: { [HOSTILE]: 1 },
      mmio_sites: [{ how: HOSTILE, reason: HOSTILE, instructions: 1, places: [HOSTILE] }],
      gaps: [HOSTILE],
    },
    devices: sample.devices.map((device) => ({
      ...device,
      bdf: HOSTILE,
      kernel_driver: HOSTILE,
      iommu_group: HOSTILE,
      reset_method: HOSTILE,
      bars: [{ name: HOSTILE, size: HOSTILE }],
      resets: [HOSTILE],
    })),
    rules: sample.rules.map((rule) => ({ ...rule, reasons: [HOSTILE] })),
    findings: [
      finding({
        message: HOSTILE,
        bdf: HOSTILE,
        evidence: [
          {
            event: 1,
            note: HOSTILE,
            time_ns: 5,
            text: HOSTILE,
            site: HOSTILE,
            source: { file: HOSTILE, line: 0 },
          },
        ],
        state: 'waived',
        waived_because: HOSTILE,
      }),
      finding({ message: HOSTILE, evidence: [{ event: 1, note: HOSTILE, time_ns: 5, text: HOSTILE }] }),
    ],
  });
}
