// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { escapeText } from '../abi/text.js';
import { UserError } from '../abi/user-error.js';
import { runDriver } from '../recorder/launch/run-driver.js';
import { whyNoMmio } from '../recorder/launch/spawn.js';
import { recordedDevices } from '../replayer/devices/recorded/identity.js';
import { ObjectKind } from '../traces/model.js';
import type { Trace } from '../traces/reader.js';
import { reportPlays } from './departures.js';
import { ExitStatus } from './exit-status.js';
import { reportDamages, withTrace } from './input.js';
import { reportSimulation } from './simulation.js';
import { SYMBOLS_OPTION } from './symbols.js';
import { defineVerb } from './verb.js';

export const verb = defineVerb({
  usage: 'play TRACE [--keep-going] [--mask FILE] -- DRIVER [ARGS…]',
  summary:
    'Gives an unmodified driver the recorded device back: registers, interrupts, and what it wrote into memory. The exit status is the driver’s own, or 1 when it left the script, which also ends it.',
  operands: { least: 2, most: Number.POSITIVE_INFINITY },
  options: {
    'keep-going': {
      type: 'boolean',
      describe: 'where the driver leaves the script answer by the last value, and list all such places',
    },
    mask: { type: 'string', describe: 'a file of registers that are not compared (docs/play.md)' },
    'sim-kernel': { type: 'string', describe: 'the simulated kernel, as of record' },
    symbols: SYMBOLS_OPTION,
  },
  examples: [
    [
      'vfiotape play t.vtape -- qemu-img info nvme://0000:00:04.0/1',
      'the drive that was recorded, nowhere at hand',
    ],
  ],
  async run({ operands, mask, symbols, 'keep-going': keepGoing, 'sim-kernel': variant }) {
    const [path = '', ...command] = operands;
    if (path === '-') throw new UserError('play: standard input is the driver’s; name a file');
    const missing = whyNoMmio();
    if (missing !== undefined) throw new UserError(`play: loads and stores must be seen: ${missing}`);
    const masks = mask === undefined ? undefined : { text: readMasks(mask), file: mask };
    const found = await withTrace(path, (trace) => {
      const devices = [...recordedDevices(trace).keys()];
      if (devices.length === 0) throw new UserError(`${escapeText(path)}: ${whyNone(trace)}`);
      if (trace.header.modes.dma !== 'content')
        say(
          `${escapeText(path)}: recorded without --dma content: registers and interrupts are played, not what the device wrote into memory`,
        );
      reportDamages(trace);
      return { devices, variant: variant ?? variantOf(trace) };
    });
    const { startSimulator } = await import('../replayer/simulator/simulator.js');
    const simulator = await startSimulator(
      found.devices.map((device) => ({ trace: path, device })),
      found.variant,
      'modern',
      { stops: keepGoing === true ? 'exhausted' : 'departed', ...(masks !== undefined && { masks }) },
    );
    let status: number | undefined;
    try {
      status = await runDriver({ command, ...simulator, until: simulator.departed });
    } finally {
      const report = await simulator.stop();
      if (status !== undefined) {
        reportSimulation(report, say);
        await reportPlays(report.plays, say, symbols);
        if (report.plays.some(({ departed }) => departed > 0)) status = ExitStatus.FINDINGS;
      }
    }
    return status;
  },
});

function say(line: string): void {
  process.stderr.write(`vfiotape: ${line}\n`);
}

function whyNone({ definitions }: Trace): string {
  const isLyon = [...definitions.objects.values()].some(({ kind }) => kind === ObjectKind.LYON_DEVICE);
  return isLyon
    ? 'its device was opened by the interface of 2010 (/dev/vfioN), which is replayed, and not played'
    : 'no device was opened in this recording';
}

/** A driver without an IOMMU finds no-IOMMU mode again. */
function variantOf(trace: Trace): string {
  const kinds = new Set([...trace.definitions.objects.values()].map(({ kind }) => kind));
  return kinds.has(ObjectKind.NOIOMMU_GROUP) ? 'iommu=none,noiommu=on' : '';
}

function readMasks(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new UserError(`play: --mask ${path} can't be read: ${(error as Error).message}`);
  }
}
