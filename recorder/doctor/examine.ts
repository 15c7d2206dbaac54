// SPDX-License-Identifier: Apache-2.0
import { examineDevices, examineNodes, type Group, readGroups, warnOfNoIommu } from './devices.js';
import type { Finding } from './finding.js';
import { examineIommu } from './iommu.js';
import type { Machine } from './machine.js';
import { examineMemory } from './memory.js';
import { examineSystem } from './system.js';
import { examineTools } from './tools.js';

export interface Diagnosis {
  /** No problem was found: a driver of a bound device can be recorded. */
  readonly canRecord: boolean;
  readonly findings: readonly Finding[];
  readonly groups: readonly Group[];
}

export function examine(machine: Machine, shim: string): Diagnosis {
  const groups = readGroups(machine);
  const findings = [
    ...examineSystem(machine),
    ...examineIommu(machine),
    ...warnOfNoIommu(groups),
    ...examineNodes(machine),
    ...examineDevices(machine, groups),
    ...examineMemory(machine),
    ...examineTools(machine, shim),
  ];
  return { canRecord: findings.every(({ level }) => level !== 'problem'), findings, groups };
}

const MARK: Readonly<Record<Finding['level'], string>> = {
  ok: 'ok     ',
  warn: 'warn   ',
  problem: 'PROBLEM',
};

/** The report as text; what mends a finding stands below it, ready to be pasted. */
export function formatDiagnosis({ canRecord, findings }: Diagnosis): string {
  const lines = findings.flatMap(({ level, message, remedy }) => [
    `${MARK[level]}  ${message}`,
    ...remedy.map((command) => `           ${command}`),
  ]);
  const count = (level: Finding['level']): number =>
    findings.filter((finding) => finding.level === level).length;
  const problems = count('problem');
  const warnings = count('warn');
  const aside = warnings === 0 ? '' : ` (${warnings} ${warnings === 1 ? 'warning' : 'warnings'})`;
  lines.push(
    '',
    canRecord
      ? `This machine can record a VFIO driver${aside}.`
      : `This machine cannot record a driver of real hardware yet: ${problems} ${problems === 1 ? 'problem' : 'problems'}${aside}. The commands above are for root.`,
  );
  return `${lines.join('\n')}\n`;
}
