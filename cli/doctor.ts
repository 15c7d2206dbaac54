// SPDX-License-Identifier: Apache-2.0
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { packageRoot } from '../abi/package-root.js';
import { examine, formatDiagnosis } from '../recorder/doctor/examine.js';
import { machineAt } from '../recorder/doctor/machine.js';
import { ExitStatus } from './exit-status.js';
import { defineVerb } from './verb.js';

export const verb = defineVerb({
  usage: 'doctor [--json]',
  summary:
    'Can this machine record a VFIO driver, and if not, what to do: kernel, IOMMU, groups and their drivers, permissions, memory limits, tools. Changes nothing.',
  operands: { least: 0, most: 0 },
  options: { json: { type: 'boolean', default: false, describe: 'findings and groups as JSON' } },
  epilogue: 'Exit status: 0 it can, 1 it has problems that must be mended first.',
  async run({ json }) {
    const diagnosis = examine(machineAt('/', userName()), join(packageRoot(), 'build/libvfiotape.so'));
    process.stdout.write(json ? `${JSON.stringify(diagnosis, undefined, 2)}\n` : formatDiagnosis(diagnosis));
    return diagnosis.canRecord ? ExitStatus.OK : ExitStatus.FINDINGS;
  },
});

/** A container may run as a number that has no name. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.geteuid?.() ?? 'this user');
  }
}
