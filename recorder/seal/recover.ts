// SPDX-License-Identifier: Apache-2.0
import { lstatSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { UserError } from '../../abi/user-error.js';
import { EventKind, type TraceLoss } from '../../traces/model.js';
import { openTrace } from '../../traces/reader.js';
import { type Resumed, TraceWriter } from '../../traces/writer.js';
import { RecordingClock } from '../collector/clock.js';
import { Collector } from '../collector/collector.js';
import { Control } from '../collector/control.js';
import { Definer } from '../collector/definer.js';
import { ProcessWatch } from '../collector/processes.js';
import {
  collectorAlive,
  readSessionNote,
  removeSessionDirectory,
  type SessionNote,
} from '../collector/session-directory.js';
import { TraceSink } from '../collector/trace-sink.js';
import { summarize } from './summary.js';

export interface RecoverOutcome {
  readonly output: string;
  readonly bytes: number;
  readonly events: number;
  /** Of them, those that were still in memory. */
  readonly added: number;
  readonly losses: readonly TraceLoss[];
  /** Attached processes that go on, unrecorded from now on. */
  readonly running: readonly number[];
}

interface Continued {
  readonly writer: TraceWriter;
  readonly resumed: Resumed;
}

/** Seals what a recorder that died left behind: the chunks in its file, and what the rings hold beyond them. */
export async function recoverSession(directory: string): Promise<RecoverOutcome> {
  const note = readSessionNote(directory);
  if (collectorAlive(note)) {
    throw new UserError(`${directory}: its recorder still runs (pid ${note.collectorPid}); end that first`);
  }
  const place = dirname(note.output);
  if (statSync(place, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new UserError(
      `${directory}: its trace is ${note.output}, and there is no directory ${place} any more; make it, and recover again`,
    );
  }
  const control = Control.open(directory);
  // A driver that still runs is not recorded any further: it steps aside before we look.
  control.stop();
  const clock = new RecordingClock(control.clockSource, note.ticksPerSecond);
  const definer = new Definer();
  const processes = new ProcessWatch(directory);
  const continued = await continueFile(note);
  if (continued !== undefined) learnFromFile(note.output, continued.resumed, clock, definer, processes);
  processes.refresh();

  const openSink = async (): Promise<TraceSink> => {
    const writer = continued?.writer ?? (await newFile(note, clock));
    return new TraceSink(writer, definer, 0);
  };
  const resumeAt = new Map(
    (continued?.resumed.rings ?? []).map(({ ring, records, side }) => [
      ring,
      { records: Number(records), side: Number(side) },
    ]),
  );
  const collector = new Collector({ directory, control, clock, definer, processes, openSink, resumeAt });
  const before = continued?.writer.nextEvent ?? 0;
  await collector.drain();
  const sink = collector.traceSink ?? (await openSink());
  const summary = summarize({
    collector,
    control,
    clock,
    processes,
    whenFull: note.modes.whenFull === 'drop' ? 'drop' : 'block',
    stoppedBy: 'recovered',
    complete: false,
    main: undefined,
  });
  const losses = await sink.seal(summary);
  collector.close();
  control.close();
  removeSessionDirectory(directory);
  return {
    output: note.output,
    bytes: statSync(note.output).size,
    events: sink.events,
    added: sink.events - before,
    losses,
    running: processes.running(),
  };
}

/** Undefined when the recorder died before it wrote anything. */
async function continueFile(note: SessionNote): Promise<Continued | undefined> {
  const file = lstatSync(note.output, { throwIfNoEntry: false });
  if (file === undefined || file.size === 0) return undefined;
  const trace = openTrace(note.output);
  const sealed = trace.indexed;
  const ours = trace.header.command.join('\0') === note.command.join('\0');
  trace.close();
  // A file of that name from an earlier recording: it would have been replaced.
  if (sealed || !ours) {
    throw new UserError(
      `${note.output} is not the file that this recorder left; move it away and run recover again`,
    );
  }
  return TraceWriter.resume(note.output);
}

function newFile(note: SessionNote, clock: RecordingClock): Promise<TraceWriter> {
  const { recorder, host, command, modes } = note;
  return TraceWriter.create(note.output, { recorder, host, command, modes, clock: clock.describe() });
}

/** What the dead recorder knew, as far as its file tells. */
function learnFromFile(
  path: string,
  { header, definitions }: Resumed,
  clock: RecordingClock,
  definer: Definer,
  processes: ProcessWatch,
): void {
  clock.setBase(header.clock.baseTicks);
  definer.preload(definitions);
  for (const { id, pid } of definitions.processes) processes.attached(id, pid);
  const processOf = new Map(definitions.threads.map(({ id, process }) => [id, process]));
  const trace = openTrace(path);
  try {
    const kinds = [EventKind.CLOCK, EventKind.EXIT, EventKind.SIGNAL];
    for (const batch of trace.batches({
      kinds,
      columns: ['kind', 'thread', 'op', 'time', 'offset', 'value'],
      payloads: false,
    })) {
      for (let row = batch.begin; row < batch.end; row++) {
        const process = processOf.get(batch.thread[row] as number) ?? 0;
        const op = batch.op[row] as number;
        switch (batch.kind[row]) {
          case EventKind.CLOCK:
            clock.add(
              header.clock.baseTicks + (batch.time[row] as bigint),
              batch.offset[row] as bigint,
              batch.value[row] as bigint,
            );
            break;
          case EventKind.EXIT:
            processes.exited(process, op);
            break;
          case EventKind.SIGNAL:
            processes.killed(process, op);
            break;
          default:
            break;
        }
      }
    }
  } finally {
    trace.close();
  }
}
