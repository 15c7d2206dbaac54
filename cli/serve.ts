// SPDX-License-Identifier: Apache-2.0
import { UserError } from '../abi/user-error.js';
import { reportSimulation } from './simulation.js';
import { defineVerb } from './verb.js';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export const verb = defineVerb({
  usage: 'serve DEVICE --vfio-user SOCKET',
  summary:
    'Serves a simulated device to vfio-user clients (QEMU’s vfio-user-pci, SPDK, another vfiotape), one after another, until it is told to end (SIGINT, SIGTERM). Exit status 0.',
  operands: { least: 1, most: 1 },
  options: {
    'vfio-user': {
      type: 'string',
      describe: 'the UNIX socket to listen at; it is made, and removed at the end',
    },
  },
  examples: [
    ['vfiotape serve nvme:file=disk.img --vfio-user nvme.sock', ''],
    [
      `qemu-system-x86_64 … -device '{"driver":"vfio-user-pci","socket":{"type":"unix","path":"nvme.sock"}}'`,
      'a guest that has it (QEMU 10.1 and later; its memory shared: -object memory-backend-memfd)',
    ],
    ['vfiotape record --sim vfio-user:nvme.sock -- ./my-driver 0000:00:04.0', 'a driver of VFIO'],
  ],
  async run({ operands: [device = ''], 'vfio-user': socket }) {
    if (socket === undefined || socket === '')
      throw new UserError('serve: name a socket: --vfio-user SOCKET');
    const say = (line: string): void => void process.stderr.write(`vfiotape: ${line}\n`);
    const { serve } = await import('../replayer/vfio-user/serve.js');
    const serving = serve(device, socket, say);
    // Once: who says it again is not asked to wait.
    const stop = (): void => {
      for (const signal of SIGNALS) process.off(signal, stop);
      serving.stop();
    };
    for (const signal of SIGNALS) process.on(signal, stop);
    say(`${device} is served at ${socket}`);
    reportSimulation(await serving.ended, say);
    return 0;
  },
});
