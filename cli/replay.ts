// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { escapeText } from '../abi/text.js';
import { UserError } from '../abi/user-error.js';
import type { Divergence, ReplayReport } from '../replayer/replay/divergence.js';
import { Masks, parseMasks } from '../replayer/replay/masks.js';
import { Replay } from '../replayer/replay/replay.js';
import type { Target } from '../replayer/replay/target.js';
import { durationText } from '../session/describe/time.js';
import { ExitStatus } from './exit-status.js';
import { reportDamages, withWholeTrace } from './input.js';
import { print } from './output.js';
import { defineVerb } from './verb.js';

const DIVERGENCES_SHOWN = 50;

export const verb = defineVerb({
  usage: 'replay --on sim:DEVICE [OPTIONS] TRACE',
  summary:
    'Reissues a recorded session to a device and reports every divergence: values, results, errnos, interrupts. The exit status is 1 when there was one.',
  operands: { least: 1, most: 1 },
  options: {
    on: {
      type: 'string',
      demandOption: true,
      describe: 'sim:DEVICE, a simulated one as --sim of record has it',
    },
    'sim-kernel': { type: 'string', describe: 'the simulated kernel, as of record' },
    pace: {
      choices: ['recorded', 'fast'] as const,
      default: 'fast' as const,
      describe: 'as recorded, or at once',
    },
    from: {
      type: 'number',
      describe: 'compare from this event on; what comes before is reissued all the same',
    },
    to: { type: 'number', describe: 'the last event to reissue' },
    mask: { type: 'string', describe: 'a file of registers that are not compared (docs/replay.md)' },
    'stop-at-divergence': { type: 'boolean', describe: 'go no further than the first' },
    json: { type: 'boolean', describe: 'one JSON object (docs/replay.md)' },
  },
  examples: [
    ['vfiotape replay --on sim:nvme t.vtape', 'the same drive, simulated'],
    ['vfiotape replay --on sim:edu --pace recorded t.vtape', 'not faster than the driver was'],
  ],
  async run({ operands, on, from, to, pace, mask, json, 'sim-kernel': variant, ...rest }) {
    const masks = mask === undefined ? new Masks() : parseMasks(readMasks(mask), mask);
    return await withWholeTrace(operands[0] as string, async (trace) => {
      const target = await openTarget(on, variant ?? '');
      try {
        const replay = new Replay(trace, target, {
          masks,
          pace,
          from: eventNumber('from', from) ?? 0,
          to: (eventNumber('to', to) ?? Number.MAX_SAFE_INTEGER - 1) + 1,
          stopAtDivergence: rest['stop-at-divergence'] === true,
          patienceNs: 0,
        });
        const running = replay.run();
        let step = running.next();
        while (step.done !== true) step = running.next();
        const report = step.value;
        await print(
          json === true ? `${JSON.stringify(reportJson(report), null, 2)}\n` : reportText(trace.name, report),
        );
        reportDamages(trace);
        return report.divergences.length === 0 ? ExitStatus.OK : ExitStatus.FINDINGS;
      } finally {
        target.end();
      }
    });
  },
});

async function openTarget(on: string, variant: string): Promise<Target> {
  const [kind, ...device] = on.split(':');
  if (kind === 'hardware')
    throw new UserError('replay: --on hardware:BDF is not there yet; there is sim:DEVICE');
  if (kind !== 'sim' || device.length === 0)
    throw new UserError(`replay: --on '${on}' is not understood; write sim:DEVICE, like sim:nvme`);
  const { SimulatedTarget } = await import('../replayer/replay/simulated-target.js');
  return new SimulatedTarget(device.join(':'), variant);
}

function readMasks(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new UserError(`replay: --mask ${path} can't be read: ${(error as Error).message}`);
  }
}

function eventNumber(name: string, value: number | undefined): number | undefined {
  if (value !== undefined && !(Number.isSafeInteger(value) && value >= 0))
    throw new UserError(`replay: --${name} needs the number of an event, from 0`);
  return value;
}

function total(counts: ReplayReport['counts']): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

function reportText(name: string, report: ReplayReport): string {
  const { target, operations, compared, masked, divergences, counts, omissions, stopped, durationNs } =
    report;
  const found = total(counts);
  const kinds = Object.entries(counts).filter(([, count]) => count > 0);
  const lines = [
    `${escapeText(name)} on ${escapeText(target)}: ${found === 0 ? 'no divergence' : `${found} divergence${found === 1 ? '' : 's'}`}`,
    `  ${operations.toLocaleString('en-US')} operations in ${durationText(durationNs)}, ${compared.toLocaleString('en-US')} answers compared${masked > 0 ? `, ${masked} masked` : ''}`,
    ...(stopped === undefined ? [] : [`  stopped ${stopped}`]),
    ...omissions.map(
      ({ reason, count, event }) => `  left out: ${count} × ${escapeText(reason)} (first: event ${event})`,
    ),
    ...(kinds.length === 0 ? [] : [`  ${kinds.map(([kind, count]) => `${count} ${kind}`).join(', ')}`]),
    ...divergences.slice(0, DIVERGENCES_SHOWN).map(line),
    ...(found > DIVERGENCES_SHOWN
      ? [`  … and ${found - DIVERGENCES_SHOWN} more (--json has the first 1,000)`]
      : []),
  ];
  return `${lines.join('\n')}\n`;
}

function line({ event, object, what, recorded, seen, kind }: Divergence): string {
  return `${String(event).padStart(9)}  ${object}  ${kind}  ${what}: recorded ${recorded}, seen ${seen}`;
}

function reportJson(report: ReplayReport): Readonly<Record<string, unknown>> {
  const {
    target,
    events,
    operations,
    compared,
    masked,
    divergences,
    counts,
    omissions,
    stopped,
    durationNs,
  } = report;
  return {
    target,
    events,
    operations,
    compared,
    masked,
    duration_ns: Math.round(durationNs),
    stopped: stopped ?? null,
    counts,
    omissions,
    divergences,
  };
}
