// SPDX-License-Identifier: Apache-2.0
/** How long one waits for the command line itself. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { packageRoot } from '../../abi/package-root.js';
import { type Area, medianOf } from './harness.js';

function wallMs(args: readonly string[]): number {
  const began = process.hrtime.bigint();
  const { status } = spawnSync(process.execPath, [...args], { stdio: 'ignore' });
  if (status !== 0) throw new Error(`${args.join(' ')} ended with ${status}`);
  return Number(process.hrtime.bigint() - began) / 1e6;
}

export const area: Area = {
  name: 'cli',
  async run(report) {
    const command = join(packageRoot(), 'dist/cli/main.js');
    const node = await medianOf(() => wallMs(['-e', '0']));
    report({ name: 'cli.node_ms', value: node, unit: 'ms', goal: '' });
    const started = await medianOf(() => wallMs([command, '--version']));
    report({ name: 'cli.startup_ms', value: started, unit: 'ms', goal: '' });
    const verb = await medianOf(() => wallMs([command, 'dump', '--help']));
    report({ name: 'cli.verb_startup_ms', value: verb, unit: 'ms', goal: '' });
  },
};
