// SPDX-License-Identifier: Apache-2.0
import { UserError } from '../abi/user-error.js';
import { runDriver } from '../recorder/launch/run-driver.js';
import { reportPlays } from './departures.js';
import { reportSimulation, simulate, simulationOptions } from './simulation.js';
import { defineVerb } from './verb.js';

export const verb = defineVerb({
  usage: 'run --sim DEVICE [OPTIONS] [--] DRIVER [ARGS…]',
  summary:
    'Runs an unmodified driver on a simulated machine, without recording. The exit status is the driver’s own (128 + n when signal n ended it); 2 when it could not be run.',
  operands: 'command',
  options: simulationOptions,
  examples: [['vfiotape run --sim nvme -- qemu-img bench -c 1000 nvme://0000:00:04.0/1', '']],
  async run(args) {
    const simulator = await simulate('run', args);
    if (simulator === undefined)
      throw new UserError('run: name a device: --sim nvme, --sim edu, --sim generic:FILE');
    try {
      return await runDriver({ command: args.operands, ...simulator });
    } finally {
      const report = await simulator.stop();
      const say = (line: string): void => void process.stderr.write(`vfiotape: ${line}\n`);
      reportSimulation(report, say);
      await reportPlays(report.plays, say);
    }
  },
});
