// SPDX-License-Identifier: Apache-2.0
// `vfiotape record` with the test build of the shim, which takes memfds for VFIO devices (recorder/shim/core/standin.h):
//   node record-standin.js OUTPUT [--when-full=drop] [--buffer=BYTES] [--max-size=BYTES]
//     [--mmio=MODE] [--watch=RANGE,RANGE…] [--dma=BYTES] DRIVER ARGS…
import { join } from 'node:path';
import { packageRoot } from '../../abi/package-root.js';
import { UserError } from '../../abi/user-error.js';
import { describeLosses } from '../../cli/losses.js';
import { recordDriver } from '../../recorder/launch/record-driver.js';
import { parseWatches } from '../../recorder/launch/watch.js';

const [output = '', ...rest] = process.argv.slice(2);
const first = rest.findIndex((word) => !word.startsWith('--'));
const settings = new Map(rest.slice(0, first).map((word) => word.slice(2).split('=') as [string, string]));
const bytes = (name: string): number | undefined => {
  const text = settings.get(name);
  return text === undefined ? undefined : Number(text);
};

const mmioModes = ['off', 'patch', 'trap', 'syscalls'] as const;
const watchTexts = settings.get('watch')?.split(',') ?? [];

try {
  const { exitStatus, losses } = await recordDriver({
    command: rest.slice(first),
    output,
    bufferBytes: bytes('buffer'),
    maxSize: bytes('max-size') ?? 0,
    atLimit: 'keep-last',
    durationNs: 0,
    whenFull: settings.get('when-full') === 'drop' ? 'drop' : 'block',
    mmio: mmioModes.find((mode) => mode === settings.get('mmio')) ?? 'off',
    dmaCompared: bytes('dma') ?? 0,
    watches: parseWatches(watchTexts),
    watchTexts,
    library: join(packageRoot(), 'build/libvfiotape-standin.so'),
    say: (line) => process.stderr.write(`vfiotape: ${line}\n`),
  });
  if (losses.length > 0) process.stderr.write(`vfiotape: lost: ${describeLosses(losses)}\n`);
  process.exitCode = exitStatus;
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  process.stderr.write(`vfiotape: ${error.message}\n`);
  process.exitCode = 2;
}
