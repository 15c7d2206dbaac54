// SPDX-License-Identifier: Apache-2.0
import { basename } from 'node:path';
import { formatSeconds, formatSize, parseDuration, parseSize } from '../abi/quantity.js';
import { countText, escapeText } from '../abi/text.js';
import { UserError } from '../abi/user-error.js';
import { type RecordOutcome, recordDriver } from '../recorder/launch/record-driver.js';
import { BUFFER_LEAST, BUFFER_MOST } from '../recorder/launch/settings.js';
import { whyNoMmio } from '../recorder/launch/spawn.js';
import { parseWatches } from '../recorder/launch/watch.js';
import { reportPlays } from './departures.js';
import { describeLosses } from './losses.js';
import { reportSimulation, simulate, simulationOptions } from './simulation.js';
import { defineVerb } from './verb.js';

/** Bytes of DMA-mapped memory that a process compares at most: some 10 ms each time. */
const DMA_COMPARED = 64 << 20;
const MAX_SIZE_LEAST = 1 << 20;

export const verb = defineVerb({
  usage: 'record [OPTIONS] [--] DRIVER [ARGS…]',
  summary:
    'Runs a driver and records every VFIO call that it makes, unmodified. The exit status is the driver’s own (128 + n when signal n ended it); 2 when it could not be recorded.',
  operands: 'command',
  options: {
    output: { alias: 'o', type: 'string', describe: 'the trace; DRIVER.vtape unless given' },
    buffer: { type: 'string', describe: 'memory for each thread of the driver, like 64M' },
    'max-size': { type: 'string', describe: 'how large the trace may grow, like 1G' },
    'at-limit': {
      choices: ['keep-last', 'stop'] as const,
      describe: 'what --max-size does: keep the last events (default), or stop recording',
    },
    duration: { type: 'string', describe: 'stop recording after this time, like 10s; the driver runs on' },
    'when-full': {
      choices: ['block', 'drop'] as const,
      default: 'block' as const,
      describe:
        'when events come faster than they can be stored: the driver waits, or they are lost and counted',
    },
    mmio: {
      choices: ['patch', 'trap', 'syscalls', 'off'] as const,
      describe: 'how loads and stores to mapped registers are recorded',
    },
    watch: {
      type: 'array',
      string: true,
      default: [] as string[],
      describe: 'only these registers, like BAR0:0-0x1000; may be given several times',
    },
    ...simulationOptions,
    dma: {
      choices: ['off', 'content'] as const,
      default: 'off' as const,
      describe:
        'content: what the device writes into the driver’s memory, and what it finds there; on hardware by comparing, see docs/play.md',
    },
  },
  examples: [
    ['vfiotape record -o nvme.vtape -- ./my-driver 0000:01:00.0', ''],
    ['vfiotape record --sim nvme -- qemu-img info nvme://0000:00:04.0/1', 'no card, no root'],
    ['vfiotape record --max-size 1G -- dpdk-testpmd -l 0-1', 'a flight recorder: the last gigabyte'],
  ],
  async run(args) {
    const { operands, buffer, duration, output, watch } = args;
    const maxSize = args['max-size'];
    if (args['at-limit'] !== undefined && maxSize === undefined) {
      throw new UserError('record: --at-limit says what happens at --max-size; give that, too');
    }
    const options = {
      command: operands,
      output: output ?? `${basename(operands[0] ?? 'trace')}.vtape`,
      bufferBytes:
        buffer === undefined
          ? undefined
          : parseSize(buffer, '--buffer', { least: BUFFER_LEAST, most: BUFFER_MOST }),
      maxSize:
        maxSize === undefined
          ? 0
          : parseSize(maxSize, '--max-size', { least: MAX_SIZE_LEAST, most: Number.MAX_SAFE_INTEGER }),
      atLimit: args['at-limit'] ?? 'keep-last',
      durationNs: duration === undefined ? 0 : parseDuration(duration, '--duration'),
      whenFull: args['when-full'],
      mmio: mmioMode(args.mmio),
      watches: parseWatches(watch),
      watchTexts: watch,
      say,
    };
    if (options.output === '') throw new UserError('record: -o needs the name of a file');
    const simulator = await simulate('record', args);
    if (simulator === undefined) {
      const dmaCompared = args.dma === 'content' ? DMA_COMPARED : 0;
      return summarize(await recordDriver({ ...options, dmaCompared }));
    }
    const simulated = {
      environment: simulator.environment,
      dialect: simulator.abi,
      ...(args.dma === 'content' && {
        devices: (session: string, ring: number) => simulator.recordDevices(session, ring),
      }),
    };
    try {
      return summarize(await recordDriver({ ...options, ...simulated }), simulator.devices);
    } finally {
      const report = await simulator.stop();
      reportSimulation(report, say);
      await reportPlays(report.plays, say);
    }
  },
});

/** `devices`: of the simulated machine. */
function summarize(outcome: RecordOutcome, devices: readonly string[] = []): number {
  for (const line of summaryLines(outcome, devices)) say(line);
  return outcome.exitStatus;
}

function say(line: string): void {
  process.stderr.write(`vfiotape: ${line}\n`);
}

function mmioMode(
  asked: 'patch' | 'trap' | 'syscalls' | 'off' | undefined,
): 'patch' | 'trap' | 'syscalls' | 'off' {
  const missing = whyNoMmio();
  if (missing === undefined || asked === 'off' || asked === 'syscalls') return asked ?? 'patch';
  if (asked !== undefined) {
    throw new UserError(
      `record: --mmio ${asked}: loads and stores to mapped registers can't be recorded: ${missing}; or --mmio off`,
    );
  }
  say(`loads and stores to mapped registers are not recorded: ${missing}`);
  return 'off';
}

function summaryLines(outcome: RecordOutcome, devices: readonly string[]): string[] {
  const { output, bytes, events, droppedEvents, seconds, stoppedBy, waits, waitedNs, losses } = outcome;
  const kept = events - droppedEvents;
  const parts = [
    `${escapeText(output)}: ${countText(kept, 'event')}, ${formatSize(bytes)}, ${formatSeconds(seconds)}`,
    losses.length === 0 ? 'nothing lost' : 'INCOMPLETE',
  ];
  if (droppedEvents > 0) parts.push(`${countText(droppedEvents, 'earlier event')} given up for --max-size`);
  if (stoppedBy !== 'driver-exit') parts.push(`stopped by ${stoppedBy}`);
  if (waitedNs >= 1e6)
    parts.push(
      `the driver waited ${formatSeconds(waitedNs / 1e9)} for the recorder (${countText(waits, 'time')})`,
    );
  const lines = [parts.join(', ')];
  if (losses.length > 0) lines.push(`lost: ${describeLosses(losses)}`);
  if (!outcome.sawDriver)
    lines.push(
      devices.length === 0
        ? 'the driver made no VFIO call; is it the right program, and does it reach its device through VFIO?'
        : `the driver made no VFIO call; does it look for its device where the simulated machine has one: ${devices.join(', ')}?`,
    );
  return lines;
}
