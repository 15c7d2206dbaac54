// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { createInterface } from 'node:readline';
import { escapeText } from '../abi/text.js';
import { UserError } from '../abi/user-error.js';
import type { ReplayReport } from '../replayer/replay/divergence.js';
import { driveReplay } from '../replayer/replay/drive.js';
import type { Guard } from '../replayer/replay/guard.js';
import { adaptTarget } from '../replayer/replay/interfaces/adapt.js';
import { Masks, parseMasks } from '../replayer/replay/masks.js';
import { PATIENCE_NS } from '../replayer/replay/patience.js';
import { Replay } from '../replayer/replay/replay.js';
import { compareDevices } from '../replayer/replay/same-device.js';
import { STEP_HELP, Stepper } from '../replayer/replay/stepper.js';
import type { Target } from '../replayer/replay/target.js';
import { compileFilter } from '../session/filter/compile.js';
import type { DeviceDefinition } from '../traces/model.js';
import type { Trace } from '../traces/reader.js';
import { countEvents, eventsText } from './events.js';
import { ExitStatus } from './exit-status.js';
import { reportDamages, withTrace, withWholeTrace } from './input.js';
import { print } from './output.js';
import { reportJson, reportText } from './replay-report.js';
import { defineVerb } from './verb.js';

const STOPPING = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export const verb = defineVerb({
  usage: 'replay --on hardware:BDF|sim:DEVICE [OPTIONS] TRACE',
  summary:
    'Reissues a recorded session to a device and reports every divergence: values, results, errnos, interrupts. The exit status is 1 when there was one.',
  operands: { least: 1, most: 1 },
  options: {
    on: {
      type: 'string',
      demandOption: true,
      describe:
        'hardware:BDF, a device of this machine that VFIO has; or sim:DEVICE, a simulated one as --sim of record has it',
    },
    'sim-kernel': { type: 'string', describe: 'the simulated kernel, as of record' },
    pace: {
      choices: ['recorded', 'fast'] as const,
      default: 'fast' as const,
      describe: 'as recorded, or at once',
    },
    'allow-dma': {
      type: 'boolean',
      describe: 'hardware: let the device be a bus master, once all recorded mappings are there',
    },
    force: { type: 'boolean', describe: 'hardware: also when the device is another one than the recorded' },
    'dry-run': { type: 'boolean', describe: 'only print what would be done, and what would be left out' },
    from: {
      type: 'number',
      describe: 'compare from this event on; what comes before is reissued all the same',
    },
    to: { type: 'number', describe: 'the last event to reissue' },
    until: {
      type: 'string',
      describe:
        'stop after the first event that fits this expression (dump --help); `divergence`: at the first',
    },
    step: {
      type: 'boolean',
      describe: 'one operation at a time, by commands on standard input (help lists them)',
    },
    mask: { type: 'string', describe: 'a file of registers that are not compared (docs/replay.md)' },
    learn: {
      type: 'string',
      describe: 'another recording of the same driver: bits of registers that differ are not compared',
    },
    json: { type: 'boolean', describe: 'one JSON object (docs/replay.md)' },
  },
  examples: [
    ['vfiotape replay --on sim:nvme t.vtape', 'the same drive, simulated'],
    ['vfiotape replay --on hardware:0000:01:00.0 --dry-run t.vtape', 'what would be done to this device'],
    [
      'vfiotape replay --on hardware:0000:01:00.0 --allow-dma --until divergence t.vtape',
      'up to where it is otherwise',
    ],
  ],
  async run(args) {
    const { operands, mask, until, step, json, 'dry-run': dryRun } = args;
    const path = operands[0] as string;
    if (step === true && (json === true || path === '-'))
      throw new UserError('replay: --step takes its commands from standard input, and answers in text');
    const masks = mask === undefined ? new Masks() : parseMasks(readMasks(mask), mask);
    const filter = until === undefined || until === 'divergence' ? until : compileFilter(until);
    return await withWholeTrace(path, async (trace) => {
      const [recorded] = trace.definitions.devices.values();
      const range = eventRange(trace, args);
      if (args.learn !== undefined) await learnMasks(masks, trace, args.learn);
      const { target, guard, patienceNs } = await openTarget(trace, masks, recorded, args);
      const adapted = adaptTarget(trace, target);
      const replay = new Replay(trace, adapted, {
        masks,
        pace: dryRun === true ? 'fast' : args.pace,
        from: dryRun === true ? Number.POSITIVE_INFINITY : range.from,
        to: range.to,
        until: filter,
        patienceNs,
        guard,
        narrate: step === true || dryRun === true,
      });
      const ending = endWhateverHappens(replay, adapted);
      try {
        const report =
          step === true
            ? await stepThrough(replay)
            : await driveReplay(replay, dryRun === true && json !== true ? () => show(replay) : undefined);
        if (report.operations === 0 && report.stopped === undefined && args.to === undefined) {
          reportDamages(trace);
          throw new UserError(`${escapeText(trace.name)}: there is nothing in it that could be reissued`);
        }
        await print(
          json === true
            ? `${JSON.stringify(reportJson(report), null, 2)}\n`
            : reportText(trace.name, report, dryRun === true, hints(trace, report, masks)),
        );
        reportDamages(trace);
        return ending.status() ?? statusOf(report);
      } finally {
        ending.end();
      }
    });
  },
});

/** What a person should know of the figures. */
function hints({ header }: Trace, { counts }: ReplayReport, masks: Masks): readonly string[] {
  const { unmet } = masks;
  return [
    ...(counts.interrupt > 0 && header.modes.dma !== 'content'
      ? [
          'recorded without --dma content: a device that looks for commands in memory finds none, and does not interrupt',
        ]
      : []),
    ...(unmet.length > 0
      ? [`masks that covered nothing that differed: ${unmet.map(escapeText).join(', ')}`]
      : []),
  ];
}

function statusOf({ counts }: ReplayReport): number {
  return Object.values(counts).every((count) => count === 0) ? ExitStatus.OK : ExitStatus.FINDINGS;
}

/** The device is reset and let go on every way out: a signal ends the replay, and process.exit is no exception. */
function endWhateverHappens(replay: Replay, target: Target) {
  let signalled: number | undefined;
  let ended = false;
  const end = () => {
    if (ended) return;
    ended = true;
    target.end();
  };
  const handlers = STOPPING.map((name) => {
    const handler = () => {
      signalled = 128 + constants.signals[name];
      replay.stop(`by ${name}, after event ${replay.account.event}`);
    };
    process.on(name, handler);
    return [name, handler] as const;
  });
  process.on('exit', end);
  return {
    status: () => signalled,
    end: () => {
      end();
      process.off('exit', end);
      for (const [name, handler] of handlers) process.off(name, handler);
    },
  };
}

async function stepThrough(replay: Replay): Promise<ReplayReport> {
  const stepper = new Stepper(replay);
  const input = createInterface({ input: process.stdin, terminal: false });
  const prompt = process.stdin.isTTY ? () => print('(vfiotape) ') : async () => undefined;
  const leave = () => input.close();
  for (const name of STOPPING) process.once(name, leave);
  if (process.stdin.isTTY) await print(STEP_HELP);
  await prompt();
  for await (const line of input) {
    await print(stepper.command(line));
    if (stepper.report !== undefined) break;
    await prompt();
  }
  input.close();
  for (const name of STOPPING) process.off(name, leave);
  if (stepper.report === undefined) stepper.leave();
  return stepper.report as ReplayReport;
}

async function show({ narrator, account }: Replay): Promise<void> {
  const notes = account.notes.map((note) => `         ${escapeText(note)}\n`).join('');
  await print(`${narrator?.line ?? ''}\n${notes}`);
}

interface OpenedTarget {
  readonly target: Target;
  readonly guard: Guard | undefined;
  readonly patienceNs: number;
}

async function openTarget(
  trace: Trace,
  masks: Masks,
  recorded: DeviceDefinition | undefined,
  args: {
    readonly on: string;
    readonly 'sim-kernel': string | undefined;
    readonly 'allow-dma': boolean | undefined;
    readonly force: boolean | undefined;
    readonly 'dry-run': boolean | undefined;
  },
): Promise<OpenedTarget> {
  const [, kind, name = ''] = /^([^:]*):(.+)$/s.exec(args.on) ?? [];
  const dryRun = args['dry-run'] === true;
  if (kind === 'hardware') {
    if (args['sim-kernel'] !== undefined)
      throw new UserError('replay: --sim-kernel goes with --on sim:DEVICE');
    const { openHardware } = await import('../replayer/hardware/open-hardware.js');
    const [allowDma, force] = [args['allow-dma'] === true, args.force === true];
    const { remarks, ...opened } = openHardware(name, { recorded, allowDma, force, dryRun, masks });
    for (const remark of remarks) say(remark);
    return { ...opened, patienceNs: dryRun ? 0 : PATIENCE_NS };
  }
  if (kind !== 'sim')
    throw new UserError(
      `replay: --on '${escapeText(args.on)}' is not understood; write hardware:BDF or sim:DEVICE, like sim:nvme`,
    );
  for (const option of ['allow-dma', 'force'] as const)
    if (args[option] === true) throw new UserError(`replay: --${option} goes with --on hardware:BDF`);
  const { simulatedTarget } = await import('../replayer/replay/simulated-replay.js');
  const target = simulatedTarget(trace, name, args['sim-kernel'] ?? '');
  const another =
    recorded === undefined ? undefined : compareDevices(recorded, target.ids, target.label).another;
  if (another !== undefined) say(another);
  if (!dryRun) return { target, guard: undefined, patienceNs: target.isOutside ? PATIENCE_NS : 0 };
  const { DryRunTarget } = await import('../replayer/hardware/dry-run.js');
  return { target: new DryRunTarget(target), guard: undefined, patienceNs: 0 };
}

function say(line: string): void {
  process.stderr.write(`vfiotape: ${escapeText(line)}\n`);
}

/** What the two recordings disagree on is of the moment, not of the driver. */
async function learnMasks(masks: Masks, trace: Trace, path: string): Promise<void> {
  const { diffTraces } = await import('../analyzer/diff/diff.js');
  await withTrace(path, (other) => {
    const [one, two] = [trace, other].map(({ definitions }) => [...definitions.devices.values()][0]);
    const another = one === undefined || two === undefined ? undefined : compareDevices(one, two, path);
    if (another?.another !== undefined)
      throw new UserError(`replay: --learn: the device of ${another.another}`);
    for (const { region, offset, bits } of diffTraces(trace, other).volatile) masks.add(region, offset, bits);
  });
}

function readMasks(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new UserError(`replay: --mask ${path} can't be read: ${(error as Error).message}`);
  }
}

/** From the first event that is compared up to, and without, the one behind the last that is reissued. */
function eventRange(
  trace: Trace,
  args: { readonly from: number | undefined; readonly to: number | undefined },
): { readonly from: number; readonly to: number } {
  const [from, to] = [eventNumber('from', args.from) ?? 0, eventNumber('to', args.to)];
  const events = countEvents(trace);
  if (to !== undefined && to < from) throw new UserError(`replay: --to ${to} is before --from ${from}`);
  if (from > 0 && from >= events)
    throw new UserError(`replay: --from ${from}: ${escapeText(trace.name)} has ${eventsText(events)}`);
  return { from, to: (to ?? Number.MAX_SAFE_INTEGER - 1) + 1 };
}

function eventNumber(name: string, value: number | undefined): number | undefined {
  if (value !== undefined && !(Number.isSafeInteger(value) && value >= 0))
    throw new UserError(`replay: --${name} needs the number of an event, from 0`);
  return value;
}
